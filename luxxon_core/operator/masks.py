"""Privacy masks: what of a picture nobody is to see is covered before anything is encoded.

A mask is a polygon in the picture. A camera that moves has views, each a position with masks of its own;
while it moves, and wherever else it looks, everything is covered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.paint import Painter

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_core.source import PtzControl, PtzVector

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
"""How often a camera in use is asked where it looks: others may move it, too."""
STATUS_SECONDS = 1.0
"""An answer older than this says nothing."""
SETTLE_SECONDS = 1.0
"""Pictures are late: for so long after the camera says it has arrived they may still show the way."""

Polygon = tuple[tuple[float, float], ...]
"""Corners, x to the right and y down, both 0…1 of the picture."""


class Cover(StrEnum):
    FILLED = "filled"
    BLURRED = "blurred"
    """By the average of each block of pixels, out of which nothing can be computed back."""


class Elsewhere(StrEnum):
    EVERYTHING = "everything"
    UNION = "union"
    """The masks of all views together."""


@dataclass(frozen=True, slots=True)
class View:
    """Where a camera looks, in ONVIF's generic spaces, and what of that is covered."""

    position: PtzVector
    masks: tuple[Polygon, ...] = ()

    def at(self, position: PtzVector, tolerance: float) -> bool:
        mine = self.position
        return (
            abs(mine.pan - position.pan) <= tolerance
            and abs(mine.tilt - position.tilt) <= tolerance
            and abs(mine.zoom - position.zoom) <= tolerance
        )


@dataclass
class Privacy:
    """The masks of one camera.

    Attributes:
        masks: of every picture, wherever the camera looks.
        views: by the name of their preset; with any, ``control`` says where the camera looks.
        elsewhere: what is covered while it moves or looks at none of them.
        tolerance: in generic units, within which it looks at a view.
        driven: whether it moves by our order, whatever it says: some do not tell, or tell late.
    """

    masks: tuple[Polygon, ...] = ()
    views: Mapping[str, View] = field(default_factory=dict)
    control: PtzControl | None = None
    cover: Cover = Cover.FILLED
    elsewhere: Elsewhere = Elsewhere.EVERYTHING
    tolerance: float = 0.005
    driven: Callable[[], bool] = field(default=lambda: False, repr=False)
    _view: str | None = field(default=None, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)
    """When the status was asked for that says so; monotonic."""
    _arrived_at: float = field(default=float("inf"), init=False)
    _commanded_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self._painter = Painter(blurred=self.cover is Cover.BLURRED)

    def policy(self) -> dict[str, object]:
        """What a session records of it: how much is covered and how, not where."""
        return {
            "masks": {
                "cover": self.cover.value,
                "always": len(self.masks),
                "views": {name: len(view.masks) for name, view in self.views.items()},
                "elsewhere": self.elsewhere.value,
            }
        }

    def moving(self) -> None:
        """The camera is about to be told to move, or may have: what it shows from now on is of no known
        view."""
        self._view, self._commanded_at, self._arrived_at = None, time.monotonic(), float("inf")

    async def masked(self, frames: AsyncGenerator[VideoFrame, None]) -> AsyncGenerator[VideoFrame, None]:
        """The frames in YUV 4:2:0, covered; what cannot be covered is not passed on."""
        self.moving()  # while nobody looked it may have been: switched off and on, cameras turn about
        watching = asyncio.create_task(self._watch(self.control), name="views") if self.views else None
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield await asyncio.to_thread(self._painter.painted, frame, self._covered())
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    def _covered(self) -> Sequence[Polygon] | None:
        """What is covered now; None for everything."""
        if not self.views:
            return self.masks
        now = time.monotonic()
        known = now - self._asked_at <= STATUS_SECONDS and now - self._arrived_at >= SETTLE_SECONDS
        if known and self._view is not None:
            return (*self.masks, *self.views[self._view].masks)
        if self.elsewhere is Elsewhere.EVERYTHING:
            return None
        return (*self.masks, *(mask for view in self.views.values() for mask in view.masks))

    async def _watch(self, control: PtzControl | None) -> None:
        said: str | None = None
        while control is not None:
            asked = time.monotonic()
            driven = self.driven()
            try:
                async with asyncio.timeout(STATUS_SECONDS):
                    status = await control.get_status()
                view = None if status.moving or status.position is None else self._looked_at(status.position)
                said = None
            except Exception as error:  # noqa: BLE001 - a plugin's; what is not known is covered
                view = None
                reason = error.message if isinstance(error, LuxxonError) else type(error).__name__
                if reason != said:
                    log.warning("masks.no_position", reason=reason)
                said = reason
            if driven or self.driven():
                self.moving()
            else:
                self._looks(view, asked)
            await asyncio.sleep(POLL_SECONDS)

    def _looked_at(self, position: PtzVector) -> str | None:
        return next((name for name, one in self.views.items() if one.at(position, self.tolerance)), None)

    def _looks(self, view: str | None, asked: float) -> None:
        if asked < self._commanded_at:
            return  # the answer is from before the command
        if view != self._view:
            self._view, self._arrived_at = view, asked
        self._asked_at = asked
