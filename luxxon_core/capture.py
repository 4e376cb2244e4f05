"""What most camera sources need: to bring frames and packets from a thread to the event loop, and to be one.

:class:`FrameMailbox` keeps the newest frame, :class:`PacketMailbox` goes on at key frames, :func:`pump` runs
the blocking work in a thread of its own, :class:`HealthMeter` counts. :class:`MeteredSource` and
:class:`SharedSource` are sources but for their camera. For plugin authors as for ourselves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from luxxon_core.source import (
    DeviceInformation,
    EncodedPacket,
    Health,
    HealthState,
    MediaProfile,
    SourceConfigError,
    without_userinfo,
)

if TYPE_CHECKING:
    from types import TracebackType

    from av import VideoFrame

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands items from a thread to one reader on the loop that made it; bounded, never blocks the thread."""

    def __init__(self) -> None:
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        with self._lock:
            idle = not self._items
            self._admit(item)
            wake = idle and bool(self._items)
        if wake:
            self._signal()

    def close(self, error: BaseException | None = None) -> None:
        """No more items: the reader gets what is left, then the error or the end."""
        with self._lock:
            self._closed, self._error = True, error
        self._signal()

    def _signal(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _admit(self, item: T) -> None:
        raise NotImplementedError

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            self._wake.clear()
            with self._lock:
                if self._items:
                    return self._items.popleft()
                closed, error = self._closed, self._error
            if closed:
                if error is not None:
                    raise error
                raise StopAsyncIteration
            await self._wake.wait()


class FrameMailbox(Mailbox[T]):
    """Holds the newest item only."""

    def _admit(self, item: T) -> None:
        self.dropped += len(self._items)
        self._items.clear()
        self._items.append(item)


class PacketMailbox(Mailbox[EncodedPacket]):
    """Starts at a key frame and, when the reader falls ``limit`` packets behind, goes on at the next one."""

    def __init__(self, limit: int = 60) -> None:
        super().__init__()
        self._limit = limit
        self._wait_for_keyframe = True

    def _admit(self, item: EncodedPacket) -> None:
        if len(self._items) >= self._limit:
            self.dropped += len(self._items)
            self._items.clear()
            self._wait_for_keyframe = True
        if self._wait_for_keyframe and not item.keyframe:
            self.dropped += 1
            return
        self._wait_for_keyframe = False
        self._items.append(item)


async def pump(
    work: Callable[[Mailbox[T], threading.Event], None], mailbox: Mailbox[T]
) -> AsyncGenerator[T, None]:
    """Run blocking ``work(mailbox, stop)`` in a thread of its own and yield what it puts.

    Closing the generator sets ``stop`` and waits for the thread, so ``work`` may own what must not be closed
    under its feet (a demuxer, a device). An exception of ``work`` is raised to the reader.
    """
    stop = threading.Event()

    def run() -> None:
        try:
            work(mailbox, stop)
        except Exception as error:  # noqa: BLE001 - handed to the reader
            mailbox.close(error)
        else:
            mailbox.close()

    thread = threading.Thread(target=run, name="luxxon-source", daemon=True)
    thread.start()
    try:
        async for item in mailbox:
            yield item
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, 5.0)


class HealthMeter:
    """Counts frames as they come and answers :meth:`Source.health`. Safe from any thread.

    An iterator of the source is open within :meth:`reading`. A camera nobody reads is idle, not stalled.
    """

    def __init__(self, warnings: tuple[str, ...] = (), stall_seconds: float = 2.0) -> None:
        self.reconnects = 0
        self.last_error: str | None = None
        self.closed = self.failed = False
        self._warnings = warnings
        self._stall = stall_seconds
        self._ticks: deque[float] = deque(maxlen=120)
        self._lock = threading.Lock()
        self._readers = 0
        self._asked = 0.0
        """Monotonic time when the first of the readers came."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._asked = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1

    def tick(self) -> None:
        self.failed = False
        self._ticks.append(time.monotonic())

    def health(self) -> Health:
        now, ticks = time.monotonic(), list(self._ticks)
        with self._lock:
            silent = now - max(self._asked, *ticks[-1:], 0.0) if self._readers else 0.0
        age = now - ticks[-1] if ticks else None
        recent = [tick for tick in ticks if now - tick <= self._stall]
        fps = (len(recent) - 1) / span if len(recent) > 1 and (span := recent[-1] - recent[0]) > 0 else 0.0
        if self.closed:
            state = HealthState.CLOSED
        elif self.failed:
            state = HealthState.FAILED
        elif silent > self._stall:
            state = HealthState.STALLED
        else:
            state = HealthState.STARTING if age is None else HealthState.OK
        last_error = self.last_error and without_userinfo(self.last_error)
        return Health(state, fps, age, self.reconnects, last_error, self._warnings)


class MeteredSource:
    """Of a source what hangs on no camera: its health, the check of a profile, its end."""

    def __init__(self, device_information: DeviceInformation, meter: HealthMeter) -> None:
        self.device_information = device_information
        self._meter = meter

    def media_profiles(self) -> list[MediaProfile]:
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the device and end the readers; called by ``async with``."""

    def health(self) -> Health:
        return self._meter.health()

    def check(self, profile: MediaProfile) -> None:
        """By the token, for a camera's size may have changed since the profile was asked for.

        Raises:
            SourceConfigError: it is not a profile of this source.
        """
        if all(profile.token != own.token for own in self.media_profiles()):
            raise SourceConfigError("source:profile", f"the camera has no profile {profile.token!r}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        finally:
            self._meter.closed = True


class SharedSource(MeteredSource):
    """One capture for all readers: each has a mailbox, into which the capture puts what it gets."""

    @property
    def encode_reason(self) -> str | None:
        """Why WebRTC viewers could not play the packets as they come; None where they can."""
        return None

    async def _add(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        """From now on it gets what comes, until :meth:`_remove`, and is closed where no more will come."""
        raise NotImplementedError

    async def _remove(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        """The reader has gone, or could not be added."""
        raise NotImplementedError

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        self.check(profile)
        if self.encode_reason or not profile.encoded:
            reason = self.encode_reason or "this profile offers raw frames only"
            raise SourceConfigError("source:raw", f"the video cannot be sent as it comes: {reason}")
        mailbox = PacketMailbox(limit=round(2 * profile.frame_rate) + 10)
        with self._meter.reading():
            try:
                await self._add(mailbox)
                async for packet in mailbox:
                    yield packet
            finally:
                await self._remove(mailbox)

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        self.check(profile)
        mailbox: FrameMailbox[VideoFrame] = FrameMailbox()
        every = 90_000 / max_fps if max_fps and max_fps < profile.frame_rate else 0.0
        slack = 45_000 / profile.frame_rate  # half a frame: times jitter
        due = float("-inf")
        with self._meter.reading():
            try:
                await self._add(mailbox)
                async for frame in mailbox:
                    assert frame.pts is not None
                    if frame.pts + slack < due:
                        continue
                    due = max(due + every, frame.pts)
                    yield await asyncio.to_thread(scaled, frame, max_width)
            finally:
                await self._remove(mailbox)


def scaled(frame: VideoFrame, max_width: int | None) -> VideoFrame:
    """The frame in YUV 4:2:0, at its time, of even size and no wider than asked. Takes milliseconds."""
    width, height = frame.width, frame.height
    if max_width is not None and max_width < width:
        width, height = max_width, round(height * max_width / width)
    # Even sizes: 4:2:0 chroma and encoders want them.
    made = frame.reformat(max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p", threads=1)
    made.pts, made.time_base = frame.pts, frame.time_base
    return made
