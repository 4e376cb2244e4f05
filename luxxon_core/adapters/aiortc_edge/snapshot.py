"""The latest picture of a live input: frames put together from packets, a few of them decoded.

Normally only keyframes are decoded, one a second on request. A publisher that ignores the requests is decoded
frame by frame, and still gives about one JPEG a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from luxxon_core.adapters.aiortc_edge.decoder import MAX_PIXELS_EVERY_FRAME, Decoded, Decoder, Picture, Unit
from luxxon_core.adapters.aiortc_edge.stream import Tap

INTERVAL = 0.9
"""Seconds between JPEGs, a little less than the second that is promised."""
FIRST_INTERVAL = 0.1
"""Seconds between keyframe requests before the first picture."""
KEYFRAME_OVERDUE = 1.4
"""Seconds without a keyframe after which every frame is decoded."""
PUNCTUAL = 3
"""Keyframes in time, one after the other, that end decoding of every frame."""
REPAIR_PATIENCE = 0.3
"""Seconds that a gap may hold frames up; retransmissions have come by then, or never will."""
MAX_WAITING_PACKETS = 512
MAX_FRAME_PACKETS = 2048
MAX_BACKLOG = 600
"""Frames since the last keyframe kept in case every frame must be decoded."""
MAX_QUEUE = 120
"""Frames waiting for the decoder; if it falls behind that far, it resumes at the next keyframe."""
MAX_HELD_PACKETS = 8192
"""In each of the two: 12 MB, more than 20 s at the bitrate that publishers are asked to stay below."""
MAX_JOB = 16
"""Frames in one turn at the decoder threads, which all live inputs share."""


@dataclass(slots=True)
class _Frame:
    timestamp: int
    packets: list[bytes] = field(default_factory=list)
    keyframe: bool = False


class Assembler:
    """Puts packets in order and cuts them into frames (pure). Frames with a hole are left out."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, tuple[Tap, float]] = {}
        self._frame: _Frame | None = None
        self._broken = True
        """The start of the present frame is unknown."""

    def push(self, packet: Tap, now: float) -> list[Unit]:
        """Frames completed by ``packet``, in order."""
        if self._next is None:
            self._next = packet.sequence
            self._broken = False
        if packet.sequence < self._next:
            return []
        self._waiting[packet.sequence] = packet, now
        units: list[Unit] = []
        self._advance(units, now)
        while self._waiting and self._gap_is_final(now):
            self._next = min(self._waiting)
            self._frame, self._broken = None, True
            self._advance(units, now)
        return units

    def _gap_is_final(self, now: float) -> bool:
        _, oldest = next(iter(self._waiting.values()))  # kept in order of arrival
        return now - oldest > REPAIR_PATIENCE or len(self._waiting) > MAX_WAITING_PACKETS

    def _advance(self, units: list[Unit], now: float) -> None:
        while self._next is not None and (entry := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            self._append(entry[0], units, now)

    def _append(self, packet: Tap, units: list[Unit], now: float) -> None:
        if not packet.payload:  # padding to probe the bandwidth
            return
        frame = self._frame
        if frame is not None and frame.timestamp != packet.timestamp:  # an encoder that sets no marker
            self._finish(units, now)
            frame = None
        if frame is None:
            frame = self._frame = _Frame(packet.timestamp)
            # After a gap the first packet may be the middle of a frame, unless it starts a keyframe.
            self._broken = self._broken and not packet.keyframe
        frame.packets.append(packet.payload)
        frame.keyframe |= packet.keyframe
        if packet.marker:
            self._finish(units, now)
        elif len(frame.packets) > MAX_FRAME_PACKETS:
            self._frame, self._broken = None, True

    def _finish(self, units: list[Unit], now: float) -> None:
        if self._frame is not None and not self._broken:
            units.append(Unit(tuple(self._frame.packets), self._frame.keyframe, now))
        self._frame, self._broken = None, False


class Snapshot:
    """Keeps the latest picture of one stream; ``on_picture`` is called on the event loop."""

    def __init__(self, codec: str, executor: Executor, on_picture: Callable[[Picture], None]) -> None:
        self._executor, self._on_picture = executor, on_picture
        self._loop = asyncio.get_running_loop()
        self._assembler, self._decoder = Assembler(), Decoder(codec)
        self._every_frame = False
        self._punctual = 0
        self._keyframe_at: float | None = None
        self._queued_at = self._picture_at = self._asked_at = float("-inf")
        self._backlog: list[Unit] = []
        self._queue: deque[Unit] = deque()
        self._room = MAX_QUEUE
        """As many frames may wait; more than ``MAX_QUEUE`` while a backlog is worked off."""
        self._large = False
        """Too large a picture to decode every frame."""
        self._needs_keyframe = True
        self._job: asyncio.Future[Decoded] | None = None
        self._closed = False

    def take(self, packet: Tap, now: float) -> None:
        """A packet of the stream; repaired ones may come late."""
        for unit in self._assembler.push(packet, now):
            if unit.keyframe:
                self._take_keyframe(unit)
            elif self._every_frame:
                self._enqueue(unit)
            elif self._backlog:
                self._keep(unit)

    def _take_keyframe(self, unit: Unit) -> None:
        in_time = self._keyframe_at is not None and unit.at - self._keyframe_at < KEYFRAME_OVERDUE
        self._punctual = self._punctual + 1 if in_time else 0
        self._keyframe_at = unit.at
        self._backlog = [unit]
        if self._every_frame and self._punctual >= PUNCTUAL:
            self._every_frame = False
            self._queue.clear()
        if self._every_frame:
            self._enqueue(unit)
        elif unit.at - self._queued_at >= INTERVAL / 2:
            self._queue.clear()
            self._enqueue(unit)

    def _keep(self, unit: Unit) -> None:
        few = len(self._backlog) < MAX_BACKLOG and _packets(self._backlog) < MAX_HELD_PACKETS
        if few and not self._large:
            self._backlog.append(unit)
        else:
            self._backlog.clear()

    def tick(self, now: float) -> bool:
        """To be called every 50 ms. Whether the publisher should be asked for a keyframe."""
        if (
            not self._every_frame
            and not self._large
            and self._keyframe_at is not None
            and now - self._keyframe_at > KEYFRAME_OVERDUE
        ):
            # What was kept starts with a keyframe, if there is any.
            self._every_frame, self._needs_keyframe, self._punctual = True, not self._backlog, 0
            self._queue, self._backlog = deque(self._backlog), []
            self._room = MAX_QUEUE + len(self._queue)
            self._pump()
        keyframe_at = float("-inf") if self._keyframe_at is None else self._keyframe_at
        interval = INTERVAL if self._picture_at > float("-inf") else FIRST_INTERVAL
        if now - max(self._asked_at, keyframe_at) < interval:
            return False
        self._asked_at = now
        return True

    def _enqueue(self, unit: Unit) -> None:
        if unit.keyframe:
            self._needs_keyframe = False
        elif self._needs_keyframe:
            return
        if len(self._queue) >= self._room or _packets(self._queue) >= MAX_HELD_PACKETS:
            self._queue.clear()
            self._needs_keyframe = True
            return
        self._queued_at = unit.at
        self._queue.append(unit)
        self._pump()

    def _pump(self) -> None:
        """At most one job at a time: frames stay in order and a slow decoder never floods the pool."""
        if self._job is None and self._queue and not self._closed:
            batch = tuple(self._queue.popleft() for _ in range(min(MAX_JOB, len(self._queue))))
            self._room = min(self._room, MAX_QUEUE + len(self._queue))
            self._job = self._loop.run_in_executor(
                self._executor, self._decoder.decode, batch, self._every_frame, self._picture_at + INTERVAL
            )
            self._job.add_done_callback(self._decoded)

    def _decoded(self, job: asyncio.Future[Decoded]) -> None:
        self._job = None
        if self._closed or job.cancelled():
            return
        result = job.result()
        if result.broken:
            self._resume_at_keyframe()
        if (picture := result.picture) is not None:
            self._large = picture.width * picture.height > MAX_PIXELS_EVERY_FRAME
            self._picture_at = picture.at
            self._on_picture(picture)
        self._pump()

    def _resume_at_keyframe(self) -> None:
        """Forget what cannot be decoded any more. A keyframe stands alone: it may be a larger picture."""
        waiting = [unit for unit in self._queue if unit.keyframe]
        self._queue = deque(waiting[-1:])
        self._backlog.clear()
        self._every_frame, self._needs_keyframe, self._keyframe_at = False, True, None
        self._queued_at = float("-inf")

    def close(self) -> None:
        """No more pictures; a frame that a worker has at hand is finished and forgotten."""
        self._closed = True
        self._queue.clear()
        self._backlog.clear()


def _packets(units: Iterable[Unit]) -> int:
    return sum(len(unit.payloads) for unit in units)
