"""Reading a capture device in a thread of its own, for any number of readers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import Flags

from luxxon_core.capture import HealthMeter, Mailbox, PacketMailbox
from luxxon_core.source import VIDEO_CLOCK, EncodedPacket, SourceError
from luxxon_webcam.device import H264, READ_SECONDS, Wanted, open_device
from luxxon_webcam.h264 import AccessUnit, ParameterSets

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer

BACKOFF = (0.5, 5.0)
SPOILT = 30
"""Pictures in a row that cannot be decoded: from a cable that is half out one now and then is no fault."""


class Capture:
    """Reads a device in a thread until closed, hands every reader the newest frame, packets every reader of
    these, and reopens on loss.

    Nothing is decoded while nobody reads frames.
    """

    def __init__(
        self, container: InputContainer, input_format: str, wanted: Wanted, meter: HealthMeter
    ) -> None:
        self._input_format, self._wanted, self._meter = input_format, wanted, meter
        self._readers: list[Mailbox[VideoFrame]] = []
        self._packet_readers: list[PacketMailbox] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = False
        self._started = time.monotonic()
        self._last_pts = -1
        self._spoilt = 0
        self._thread = threading.Thread(target=self._run, args=(container,), name="webcam", daemon=True)
        self._thread.start()

    def add(self, reader: Mailbox[Any]) -> None:
        with self._lock:
            if not self._ended:
                self._group(reader).append(reader)
                return
        reader.close()

    def remove(self, reader: Mailbox[Any]) -> None:
        with self._lock:
            group = self._group(reader)
            if reader in group:
                group.remove(reader)

    def _group(self, reader: Mailbox[Any]) -> list[Any]:
        return self._packet_readers if isinstance(reader, PacketMailbox) else self._readers

    def close(self) -> None:
        """Stop reading, end every reader, release the device. Blocks until a read in progress is over."""
        self._stop.set()
        self._thread.join(READ_SECONDS + 1)
        self._end_readers(None)

    def _end_readers(self, error: SourceError | None) -> None:
        with self._lock:
            self._ended = True
            readers: list[Mailbox[Any]] = [*self._readers, *self._packet_readers]
            self._readers, self._packet_readers = [], []
        for reader in readers:
            reader.close(error)

    def _run(self, container: InputContainer) -> None:
        failure: SourceError | None = None
        try:
            self._keep_reading(container)
        except BaseException as error:
            # A thread's SystemExit is its own; raised to the reader it would end the host.
            name = type(error).__name__
            failure = SourceError("webcam:ended", f"{self._wanted.device}: the camera failed ({name})")
            raise
        finally:
            self._end_readers(failure)

    def _keep_reading(self, container: InputContainer | None) -> None:
        delay = BACKOFF[0]
        while not self._stop.is_set():
            try:
                if container is None:
                    container = open_device(self._input_format, self._wanted)
                    self._meter.reconnects += 1
                    self._meter.failed = False  # nothing else says so while nobody reads
                with container:
                    delay = self._read(container) or delay
                if not self._stop.is_set():
                    self._meter.last_error = f"{self._wanted.device}: the camera stopped sending"
            except SourceError as error:
                self._meter.last_error = error.message
            except (av.FFmpegError, OSError) as error:
                self._meter.last_error = f"{self._wanted.device}: {error.strerror or 'the camera failed'}"
            except Exception as error:  # noqa: BLE001 - shown; a driver's odd answer must not end the thread
                self._meter.last_error = f"{self._wanted.device}: the camera failed ({type(error).__name__})"
            container = None
            self._meter.failed = True
            self._stop.wait(delay)
            delay = min(delay * 2, BACKOFF[1])

    def _read(self, container: InputContainer) -> float | None:
        """Until told to stop or the device ends; the back-off to begin anew with, if it gave anything."""
        stream = container.streams.video[0]
        encoded = stream.codec_context.name == H264
        if encoded:  # no waiting for pictures that might come in between: there are none
            stream.codec_context.thread_count = 1
            stream.codec_context.flags |= Flags.low_delay
        sets, decoding, delay = ParameterSets(), False, None
        self._spoilt = 0
        begun = not encoded  # with a key frame: what comes before one hangs on pictures that are gone
        for packet in container.demux(stream):
            if self._stop.is_set():
                break
            if not packet.size:
                continue
            unit = sets.access_unit(bytes(packet)) if encoded else None
            keyframe = unit is not None and unit.keyframe
            begun |= keyframe
            with self._lock:
                readers, packet_readers = list(self._readers), list(self._packet_readers)
            given = begun and unit is not None and self._given(unit, packet_readers)
            if not readers:
                decoding = False
            elif decoding or not encoded or keyframe:
                if encoded and not decoding:  # what it knows is of before nobody read
                    stream.codec_context.flush_buffers()
                decoding = True
                given |= self._decoded(packet, readers)
            if given:
                self._meter.tick()
                delay = BACKOFF[0]
        return delay

    def _given(self, unit: AccessUnit, readers: Sequence[PacketMailbox]) -> bool:
        packet = EncodedPacket(H264, self._now(), unit.keyframe, unit.data)
        for reader in readers:
            reader.put(packet)
        return bool(readers)

    def _decoded(self, packet: Packet[Any], readers: Sequence[Mailbox[VideoFrame]]) -> bool:
        try:
            frames: list[Any] = packet.decode()
        except av.error.InvalidDataError:
            self._spoilt += 1
            if self._spoilt > SPOILT:
                raise
            return False
        self._spoilt = 0
        for frame in frames:
            frame.pts, frame.time_base = self._now(), VIDEO_CLOCK
            for reader in readers:
                reader.put(frame)
        return bool(frames)

    def _now(self) -> int:
        """Capture clocks differ by platform; the time of arrival does not."""
        pts = round((time.monotonic() - self._started) / VIDEO_CLOCK)
        self._last_pts = max(self._last_pts + 1, pts)
        return self._last_pts
