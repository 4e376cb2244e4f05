"""Where the picture comes from: WHEP, or single frames by HTTP while WHEP fails."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import FrameNotAvailable, LuxxonError
from luxxon_tui.views import SignalView

if TYPE_CHECKING:
    from datetime import datetime

    from luxxon_core.client import Luxxon
    from luxxon_core.client.whep import WhepViewer
    from luxxon_tui.picture.source import Source

STILL_INTERVAL = 1.0
STILL_LAST_RETRY = 8.0
"""Longest wait after failures; the first one takes ``STILL_INTERVAL`` and each next one doubles it."""
TOO_MANY = 429
WHEP_AGAIN = 10.0
"""Seconds of single frames before WHEP is tried again."""
HISTORY = 160


@dataclass(frozen=True, slots=True)
class Stream:
    """A reading of the stream; rates over the last seconds."""

    width: int = 0
    height: int = 0
    codec: str = ""
    transport: str = ""
    fps: float = 0.0
    bits_per_second: float = 0.0
    loss_ratio: float = 0.0
    age_ms: float | None = None


class VideoFeed(Protocol):
    """One stream: the newest frame only, never old ones."""

    async def frame(self) -> Source:
        """Wait for a frame that was not returned before.

        Raises:
            LuxxonError: the stream is over; there will be no more.
        """

    def stream(self) -> Stream:
        """What the stream is like now."""

    async def close(self) -> None:
        """Leave. Idempotent."""


class SessionVideo:
    """The stream of a session: by WHEP; while that cannot be had, its ``/frame`` once a second."""

    def __init__(self, api: Luxxon, session_id: UUID) -> None:
        self._api = api
        self._id = session_id
        self._viewer: WhepViewer | None = None
        self._whep_after = 0.0
        self._still_at: float | None = None
        self._still_size = (0, 0)

    async def frame(self) -> Source:
        pause = STILL_INTERVAL
        while True:
            if self._viewer is None and monotonic() >= self._whep_after:
                await self._open()
            if self._viewer is not None:
                try:
                    return await self._viewer.frame()
                except LuxxonError:  # the edge has let the stream go: the session's own frames tell more
                    await self._leave()
            if self._still_at is not None:
                await asyncio.sleep(max(0.0, self._still_at + STILL_INTERVAL - monotonic()))
            try:
                return await self._still()
            except FrameNotAvailable:
                await asyncio.sleep(STILL_INTERVAL)
            except LuxxonError as error:
                if error.status < 500 and error.status != TOO_MANY:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, STILL_LAST_RETRY)

    async def _open(self) -> None:
        whep = await asyncio.to_thread(import_module, "luxxon_core.client.whep")  # takes half a second
        viewer: WhepViewer = whep.WhepViewer()
        try:
            token = await self._api.sessions.viewer_token(self._id)
            await viewer.open(token.whep_url)
        except LuxxonError:
            await viewer.close()
            self._whep_after = monotonic() + WHEP_AGAIN
        except BaseException:
            await viewer.close()
            raise
        else:
            self._viewer = viewer

    async def _leave(self) -> None:
        viewer, self._viewer = self._viewer, None
        self._whep_after = monotonic() + WHEP_AGAIN
        if viewer is not None:
            await viewer.close()

    async def _still(self) -> Source:
        """The session's newest frame.

        Raises:
            FrameNotAvailable: there is none, or what came is no picture.
            LuxxonError: any other refusal.
        """
        from io import BytesIO

        from PIL import Image

        jpeg = await self._api.sessions.frame(self._id)
        try:
            image = await asyncio.to_thread(lambda: Image.open(BytesIO(jpeg)).convert("RGB"))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise FrameNotAvailable("frame:unreadable") from error
        self._still_at, self._still_size = monotonic(), image.size
        return image

    def stream(self) -> Stream:
        if self._viewer is not None:
            stats = self._viewer.stats()
            return Stream(
                stats.width, stats.height, stats.codec, "WHEP",
                stats.fps, stats.bits_per_second, stats.loss_ratio, stats.frame_age_ms,
            )  # fmt: skip
        if self._still_at is None:
            return Stream()
        age_ms = (monotonic() - self._still_at) * 1000
        return Stream(*self._still_size, "jpeg", "stills", 1 / STILL_INTERVAL, age_ms=age_ms)

    async def close(self) -> None:
        with suppress(LuxxonError):
            await self._leave()


class NoVideo:
    """The stream of a server that is not there, for now: it waits."""

    async def frame(self) -> Source:
        await asyncio.Event().wait()
        raise FrameNotAvailable

    def stream(self) -> Stream:
        return Stream()

    async def close(self) -> None:
        """There is nothing to leave."""


class SignalMeter:
    """Readings of a stream, twice a second, as a view with their history."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fps: deque[float] = deque(maxlen=HISTORY)
        self._bits: deque[float] = deque(maxlen=HISTORY)
        self._newest_at: datetime | None = None

    def arrived(self) -> None:
        """A frame has come."""
        self._newest_at = self._clock()

    def sample(self, stream: Stream) -> SignalView:
        """Take one reading."""
        view = SignalView(
            stream.width, stream.height, stream.codec, stream.transport,
            stream.fps, stream.bits_per_second, stream.loss_ratio, stream.age_ms,
        )  # fmt: skip
        if stream.age_ms is not None and (stream.fps or self._fps):  # the first second is not measured
            self._fps.append(0.0 if view.stalled else stream.fps)
            self._bits.append(0.0 if view.stalled else stream.bits_per_second)
        return replace(
            view, fps_history=tuple(self._fps), bits_history=tuple(self._bits), newest_at=self._newest_at
        )
