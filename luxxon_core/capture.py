"""From a thread to the event loop: what most camera sources need to bring frames and packets over.

:class:`FrameMailbox` keeps the newest frame, :class:`PacketMailbox` goes on at key frames, :func:`pump` runs
the blocking work in a thread of its own, :class:`HealthMeter` counts. For plugin authors as for ourselves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from luxxon_core.source import EncodedPacket, Health, HealthState, without_userinfo

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
