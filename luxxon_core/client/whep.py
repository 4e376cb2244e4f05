"""Watching a stream by WHEP: the newest frame, what the stream is like, and coming back when it breaks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from luxxon_core.client.peer import EdgeBusy, EdgeUnreachable, Peer, http_client
from luxxon_core.kernel.errors import LuxxonError, NotFound, VideoError

if TYPE_CHECKING:
    import httpx
    from aiortc import MediaStreamTrack

log = structlog.get_logger(__name__)

STALL_SECONDS = 2.0
"""Without a frame for this long a stream is STALLED; with no packet for twice that it is opened anew."""
NO_PICTURE_SECONDS = 12.0
"""Packets that make no picture for this long are as good as none. Longer than key frames are apart."""
BACKOFF = (0.2, 5.0)
FPS_WINDOW = 2.0
JOIN_SECONDS = 1.0
"""After the first frame of a connection: what the edge kept since the last key frame comes in a burst."""
FPS_SPAN = 0.5
"""Frames over fewer seconds than these tell of jitter, not of a rate."""


class ViewerState(StrEnum):
    CONNECTING = "CONNECTING"
    """No frame of this connection yet."""
    LIVE = "LIVE"
    STALLED = "STALLED"
    RECONNECTING = "RECONNECTING"
    ENDED = "ENDED"
    """The edge does not know the stream any more; final."""
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class ViewerStats:
    state: ViewerState
    width: int
    height: int
    codec: str
    """``h264`` or ``vp8``; empty before the first connection."""
    fps: float
    """0.0 until measured, 1.5 s after the first frame of a connection."""
    bits_per_second: float
    """0.0 until measured over a second."""
    loss_ratio: float
    """Share of RTP packets lost on the way in the last second, before retransmission."""
    frame_age_ms: float | None
    """Since the newest frame was decoded; None before the first."""
    frames: int
    reconnects: int
    last_error: str | None


class WhepViewer:
    """Plays one stream. ``open``, then ``frame`` again and again, then ``close``.

    Decoding is in a thread of its own and goes on at the stream's pace; a caller who is slower sees fewer
    frames, never old ones.
    """

    def __init__(
        self, *, http: httpx.AsyncClient | None = None, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._own_http = http is None
        self._http = http or http_client()
        self._stall = stall_seconds
        self._state = ViewerState.CONNECTING
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._changed = asyncio.Condition()
        self._newest: VideoFrame | None = None
        self._taken = 0
        self._frames = 0
        self._reconnects = 0
        self._last_error: str | None = None
        self._codec = ""
        self._arrivals: deque[float] = deque(maxlen=240)
        self._settled = 0.0
        """Monotonic time from when on frames come at the pace of the stream."""
        self._meter = _TransportMeter()

    @property
    def state(self) -> ViewerState:
        return self._state

    async def open(self, url: str) -> None:
        """Connect, waiting as long as the edge asks to try again (409 until someone publishes).

        Raises:
            NotFound, NotAuthorized, VideoError: as :meth:`luxxon_core.client.peer.Peer.connect`.
        """
        if self._task is not None:
            raise VideoError("viewer:open", "the viewer has been opened already")
        self._opened = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(url), name="whep-viewer")
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise

    async def frame(self) -> VideoFrame:
        """The newest frame that this method has not returned yet; waits for one.

        Raises:
            VideoError: the stream has ended or the viewer is closed.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._frames > self._taken or self._over)
            if self._frames == self._taken or self._newest is None:
                raise VideoError("viewer:ended", self._last_error or "the stream has ended")
            self._taken = self._frames
            return self._newest

    def stats(self) -> ViewerStats:
        now, newest = time.monotonic(), self._newest
        since = max(now - FPS_WINDOW, self._settled)
        recent = [arrival for arrival in self._arrivals if arrival >= since]
        span = recent[-1] - recent[0] if recent else 0.0
        return ViewerStats(
            state=self._state,
            width=newest.width if newest else 0,
            height=newest.height if newest else 0,
            codec=self._codec,
            fps=(len(recent) - 1) / span if span >= FPS_SPAN else 0.0,
            bits_per_second=self._meter.bits_per_second,
            loss_ratio=self._meter.loss_ratio,
            frame_age_ms=(now - self._arrivals[-1]) * 1000 if self._arrivals else None,
            frames=self._frames,
            reconnects=self._reconnects,
            last_error=self._last_error,
        )

    async def close(self) -> None:
        """Leave: DELETE the WHEP resource. Idempotent; ends an ``open`` that is still waiting."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait((self._task,))
        finally:
            if self._opened is not None and not self._opened.done():
                self._opened.set_exception(VideoError("viewer:closed", "the viewer was closed"))
            await self._enter(ViewerState.CLOSED)
            if self._own_http:
                await self._http.aclose()

    @property
    def _over(self) -> bool:
        return self._state in (ViewerState.ENDED, ViewerState.CLOSED)

    async def _enter(self, state: ViewerState) -> None:
        async with self._changed:
            self._state = state
            self._changed.notify_all()

    async def _run(self, url: str) -> None:
        try:
            await self._play(url)
        except Exception as error:  # noqa: BLE001 - whatever it was, who waits for a picture must hear of it
            # The type alone: a message may contain the URL.
            log.error("viewer.failed", error=type(error).__name__)
            await self._end(VideoError("viewer:failed", f"the viewer failed ({type(error).__name__})"))

    async def _play(self, url: str) -> None:
        assert self._opened is not None
        delay = BACKOFF[0]
        while True:
            peer = Peer(self._http)
            peer.connection.addTransceiver("video", direction="recvonly")
            try:
                await peer.connect(url)
                if self._opened.done():
                    self._reconnects += 1
                else:
                    self._opened.set_result(None)
                self._codec = peer.codec or ""
                await self._enter(ViewerState.CONNECTING)
                if await self._watch(peer):
                    delay = BACKOFF[0]
            except (EdgeBusy, EdgeUnreachable) as error:
                self._last_error = error.message
                if isinstance(error, EdgeBusy) and error.retry_after is not None:
                    delay = max(error.retry_after, BACKOFF[0])
                elif isinstance(error, EdgeUnreachable) and not self._opened.done():
                    self._opened.set_exception(error)
                    return
            except LuxxonError as error:
                await self._end(error)
                return
            finally:
                await peer.close()
            await self._enter(ViewerState.RECONNECTING if self._opened.done() else ViewerState.CONNECTING)
            await asyncio.sleep(delay)
            delay = min(max(delay, BACKOFF[0]) * 2, BACKOFF[1])

    async def _end(self, error: LuxxonError) -> None:
        assert self._opened is not None
        self._last_error = error.message
        if not self._opened.done():
            self._opened.set_exception(error)
        elif not isinstance(error, NotFound):
            log.warning("viewer.ended", reason=error.message)
        await self._enter(ViewerState.ENDED)

    async def _watch(self, peer: Peer) -> bool:
        """Take frames until the connection breaks or stays dead; whether there were any."""
        before = self._frames
        receiver = peer.connection.getTransceivers()[0].receiver
        reader = asyncio.create_task(self._read(receiver.track), name="whep-reader")
        meter = self._meter = _TransportMeter()
        started = time.monotonic()
        try:
            while not reader.done() and not peer.lost.is_set():
                await asyncio.wait((reader,), timeout=0.25)
                meter.sample(await peer.connection.getStats())
                now = time.monotonic()
                picture = self._arrivals[-1] if self._frames > before else started
                if now - picture > NO_PICTURE_SECONDS or now - max(picture, meter.heard) > 2 * self._stall:
                    self._last_error = f"no picture for {now - picture:.0f} s"
                    break
                if now - picture > self._stall and self._state is not ViewerState.STALLED:
                    await self._enter(ViewerState.STALLED)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        return self._frames > before

    async def _read(self, track: MediaStreamTrack) -> None:
        joined = False
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                if not joined:
                    joined, self._settled = True, time.monotonic() + JOIN_SECONDS
                async with self._changed:
                    self._newest = frame
                    self._frames += 1
                    self._arrivals.append(time.monotonic())
                    self._state = ViewerState.LIVE
                    self._changed.notify_all()


class _TransportMeter:
    """Bit rate and loss from aiortc's cumulative counters, once a second."""

    def __init__(self) -> None:
        self.bits_per_second = self.loss_ratio = 0.0
        self.heard = 0.0
        """Monotonic time of the last sample in which RTP packets had come."""
        self._at = 0.0
        self._last = (0, 0, 0)

    def sample(self, report: dict[str, object]) -> None:
        now = time.monotonic()
        if now - self._at < 1.0:
            return
        received = sum(getattr(entry, "bytesReceived", 0) for entry in report.values())
        inbound = [entry for entry in report.values() if getattr(entry, "type", "") == "inbound-rtp"]
        packets = sum(getattr(entry, "packetsReceived", 0) for entry in inbound)
        lost = sum(getattr(entry, "packetsLost", 0) for entry in inbound)
        totals = (received, packets, lost)
        if packets > self._last[1]:
            self.heard = now
        moved = [total - before for total, before in zip(totals, self._last, strict=True)]
        if self._at and min(moved[:2]) >= 0:
            self.bits_per_second = moved[0] * 8 / (now - self._at)
            expected = moved[1] + moved[2]
            self.loss_ratio = min(1.0, max(0.0, moved[2] / expected)) if expected > 0 else 0.0
        self._at, self._last = now, totals
