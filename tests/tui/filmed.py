"""Cameras for the Cameras screen: found at once, the same on every machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from luxxon_core.kernel.errors import InvalidApiKey
from luxxon_core.operator.config import operate_table
from luxxon_core.plugins import PanelType
from luxxon_core.source import MediaProfile, PtzVector, SourceAuthError
from luxxon_core.testing import FakeMarketplace
from luxxon_core.testing.fake import FakeCommand, FakeConfig, FakeSource, FakeSourceType, FakeVehicle
from luxxon_tui.operate.acting import Acting
from luxxon_tui.operate.finding import Fault, Finder, FoundCamera, Told

PRESETS = {
    "a": ("gate", PtzVector(-0.5)),
    "b": ("tram stop", PtzVector(0.5)),
    "c": ("crossing", PtzVector(0.1, -0.2)),
    "d": ("roof line", PtzVector(0, 0.5)),
}
OPERATE = {
    "lat": 50.8466,
    "lng": 4.3528,
    "radius_meters": 500,
    "accept": {"max_distance_meters": 300, "min_rate_uusdc": 800},
}


def _picture() -> Any:
    """Bands of colour."""
    import numpy as np
    from av import VideoFrame

    across, down = np.meshgrid(np.arange(320), np.arange(180))
    pixels = np.stack([across * 255 // 320, down * 255 // 180, (across + down) // 40 % 2 * 160], axis=-1)
    return VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")


@dataclass
class Filmed(FakeSource):
    """A camera with presets and a picture that stands still."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.presets = dict(PRESETS)

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[Any, None]:
        with self._meter.reading():
            while True:
                self._meter.tick()
                yield _picture()
                await asyncio.sleep(0.1)


@dataclass
class Sized(Filmed):
    """A camera with two profiles; ``asked`` are the tokens that pictures were asked for by."""

    asked: list[str] = field(default_factory=list)

    def media_profiles(self) -> list[MediaProfile]:
        best = super().media_profiles()[0]
        return [best, MediaProfile("low", best.codec, 160, 90, 15.0)]

    def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[Any, None]:
        self.asked.append(profile.token)
        return super().frames(profile, max_width, max_fps)


@dataclass
class Drone(Filmed, FakeVehicle):
    """Flies nowhere."""


class Type(FakeSourceType):
    """Keeps the loop that it runs on from everything else for ``block`` seconds when a camera is opened."""

    block: float = 0.0

    async def open(self, config: FakeConfig) -> Any:
        time.sleep(self.block)  # noqa: ASYNC251  # as a careless plugin does
        return await super().open(config)


@dataclass
class Cameras(Finder):
    """What there is to be found.

    Attributes:
        block: seconds for which looking for cameras, and opening one, blocks.
    """

    block: float = 0.0
    types: list[Type] = field(default_factory=list)
    own_markets: dict[str, FakeMarketplace] = field(default_factory=dict)
    """The marketplace of each camera that has a key of its own, by the camera's key."""
    refused: set[str] = field(default_factory=set)
    """Cameras whose key is no good."""
    panels: tuple[PanelType, ...] = ()
    found: tuple[str, ...] = ("ptz", "drone", "roof", "fault")

    @property
    def sources(self) -> list[Any]:
        """Every camera that was opened."""
        return [source for each in self.types for source in each.opened]

    def told(self, name: str) -> list[FakeCommand]:
        """The commands of a name that any camera was given."""
        return [one for source in self.sources for one in source.commands if one.name == name]

    async def own(self, found: FoundCamera) -> Acting | None:
        """As :meth:`luxxon_tui.operate.acting.Identities.own`."""
        if found.key in self.refused:
            raise InvalidApiKey
        market = self.own_markets.get(found.key)
        return None if market is None else Acting(market, market.workspace_id)

    async def find(self, told: Told) -> None:
        time.sleep(self.block)  # noqa: ASYNC251  # as a careless plugin does
        table = operate_table("ptz-04", OPERATE)
        for key, name, title, camera in (
            ("ptz", "ptz-04", "PTZ camera (ONVIF)", Filmed),
            ("drone", "drone-2", "Drone (MAVLink)", Drone),
            ("roof", "roof", "RTSP", Filmed),
            ("gate", "gate", "Webcam", Sized),
        ):
            if key not in self.found:
                continue
            error = SourceAuthError("fake:password") if key == "roof" else None
            kind = Type(title=title, open_error=error, camera=camera)
            kind.block = self.block
            self.types.append(kind)
            told(FoundCamera(key, name, title, "fake", kind, FakeConfig(), table, True))
        if "fault" in self.found:
            told(Fault("luxxon_bad", "ImportError: no module named missing"))
