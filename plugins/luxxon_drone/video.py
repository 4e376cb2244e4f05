"""The vehicle's video for all its readers: RTSP, or RTP that comes in at a port."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import av
import structlog

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox
from luxxon_core.rtp.nal import Codec
from luxxon_core.rtp.stream import StreamInfo
from luxxon_core.source import (
    VIDEO_CLOCK,
    EncodedPacket,
    SourceAuthError,
    SourceConfigError,
    SourceError,
    SourceNotReady,
)
from luxxon_drone.config import VideoAddress
from luxxon_drone.h264 import ParameterSets, Timeline
from luxxon_drone.rtp_port import RtpPort
from luxxon_drone.rtsp import RtspStream, VideoLogin

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame
    from av.video.stream import VideoStream

log = structlog.get_logger(__name__)

OPEN_SECONDS, READ_SECONDS = 6.0, 2.0
BACKOFF = (0.2, 2.0)
LOST_SECONDS = 10.0
"""Without a picture for so long the readers are told that the video is gone."""
LOST_SHARE = 0.002
"""More packets lost than this are worth a warning."""


class Stream(Protocol):
    """Video that is open."""

    @property
    def context(self) -> VideoCodecContext: ...
    @property
    def lost_share(self) -> float: ...
    def look(self) -> StreamInfo: ...
    def packets(self) -> Iterator[av.Packet[VideoStream]]: ...
    def close(self) -> None: ...


def _refusal(address: VideoAddress, error: av.FFmpegError | OSError) -> SourceError:
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return SourceAuthError("drone:videoLogin", f"{address}: user or password refused")
    if isinstance(error, av.HTTPNotFoundError):
        return SourceConfigError("drone:noStream", f"{address}: there is no such stream")
    if error.errno == errno.EADDRINUSE:
        return SourceNotReady("drone:portInUse", f"{address}: another program receives there")
    if error.errno == errno.ECONNREFUSED:
        return SourceNotReady("drone:unreachable", f"{address}: nobody answers")
    if isinstance(error, av.error.ExitError):
        return SourceNotReady("drone:noVideo", f"{address}: no video comes")
    return SourceNotReady("drone:video", f"{address}: {error.strerror or 'the video cannot be opened'}")


class Video:
    """Reads one stream in a thread from ``start`` to ``close`` and hands it to every reader; reopens on loss.

    Packets are decoded only while somebody wants frames.
    """

    def __init__(self, address: VideoAddress, login: VideoLogin, meter: HealthMeter) -> None:
        self._address, self._login, self._meter = address, login, meter
        self._packet_readers: list[PacketMailbox] = []
        self._frame_readers: list[FrameMailbox[VideoFrame]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended: SourceError | None = None
        self._closed = False
        self._info: StreamInfo | None = None
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None
        self._packet_times, self._frame_times = Timeline(), Timeline()
        self._seen = time.monotonic()

    def start(self) -> StreamInfo:
        """Open the stream, look at it and go on reading.

        Raises:
            SourceAuthError: the RTSP server refuses user or password.
            SourceConfigError: it has no such stream, or what comes is no video that we take.
            SourceNotReady: nobody answers, the port is taken, or no picture comes.
        """
        stream: Stream | None = None
        try:
            stream = self._opened()
            info = stream.look()
            if self._stop.is_set():  # closed meanwhile: whoever opened it did not want to wait
                raise SourceNotReady("drone:closed", f"{self._address}: closed while it was opened")
        except BaseException as error:
            if stream is not None:
                stream.close()
            if isinstance(error, av.FFmpegError | OSError):
                raise _refusal(self._address, error) from None
            raise
        self._seen, self._info = time.monotonic(), info
        self._thread = threading.Thread(target=self._run, args=(stream,), name="drone-video", daemon=True)
        self._thread.start()
        return info

    def warnings(self) -> tuple[str, ...]:
        share = self._stream.lost_share if self._stream is not None else 0.0
        return (f"{100 * share:.1f} % of the video's packets were lost",) if share > LOST_SHARE else ()

    def _opened(self) -> Stream:
        if self._address.rtsp:
            return RtspStream(
                self._address, self._login, open_seconds=OPEN_SECONDS, read_seconds=READ_SECONDS
            )
        return RtpPort(
            self._address,
            self._stop,
            open_seconds=OPEN_SECONDS,
            read_seconds=READ_SECONDS,
            dark_seconds=LOST_SECONDS,
        )

    def close(self) -> None:
        """End every reader and release the stream. Blocks until a read in progress is over."""
        self._stop.set()
        self._closed = True
        self.end_readers(None)
        if self._thread is not None:
            self._thread.join(OPEN_SECONDS + 1)

    def add(self, reader: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        with self._lock:
            if self._closed or self._ended is not None:
                reader.close(self._ended)
            elif isinstance(reader, PacketMailbox):
                self._packet_readers.append(reader)
            else:
                self._frame_readers.append(reader)

    def remove(self, reader: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        with self._lock:
            if reader in self._packet_readers:
                self._packet_readers.remove(reader)
            elif reader in self._frame_readers:
                self._frame_readers.remove(reader)

    def end_readers(self, error: SourceError | None) -> None:
        """Those who read now get the error, or the end; later ones may come."""
        with self._lock:
            readers: list[PacketMailbox | FrameMailbox[VideoFrame]] = [
                *self._packet_readers,
                *self._frame_readers,
            ]
            self._packet_readers, self._frame_readers = [], []
        for reader in readers:
            reader.close(error)

    def _run(self, stream: Stream | None) -> None:
        try:
            self._keep_reading(stream)
        except BaseException as error:
            failure = SourceError("drone:videoEnded", f"{self._address}: failed ({type(error).__name__})")
            with self._lock:
                self._ended = failure
            self._meter.failed, self._meter.last_error = True, failure.message
            self.end_readers(failure)
            raise

    def _keep_reading(self, stream: Stream | None) -> None:
        delay = BACKOFF[0]
        while not self._stop.is_set():
            before = self._seen
            try:
                reopened = stream is None
                self._stream = stream = stream or self._opened()
                with closing(stream):
                    self._read(stream, reopened)
                reason = f"{self._address}: the video has ended"
            except SourceError as error:
                reason = error.message
            except (av.FFmpegError, OSError) as error:
                reason = _refusal(self._address, error).message
            stream = None
            if self._stop.is_set():
                return
            self._failed(reason)
            delay = BACKOFF[0] if self._seen > before else min(delay * 2, BACKOFF[1])
            self._stop.wait(delay)

    def _failed(self, reason: str) -> None:
        if reason != self._meter.last_error:
            log.warning("drone.video_failed", reason=reason)
        self._meter.last_error = reason
        if time.monotonic() - self._seen > LOST_SECONDS:
            self._meter.failed = True
            self.end_readers(SourceNotReady("drone:videoLost", reason))

    def _read(self, stream: Stream, reopened: bool) -> None:
        """Until told to stop or the stream ends."""
        h264 = stream.context.name == Codec.H264.label
        if self._info is not None and self._info.encode_reason is None and not h264:
            raise SourceConfigError("drone:codecChanged", f"{self._address}: the video is no longer H.264")
        sets = ParameterSets(stream.context.extradata) if h264 else None
        decoding = False
        for packet in stream.packets():
            if self._stop.is_set():
                return
            if not packet.size:
                continue
            now = time.monotonic()
            self._seen = now
            self._meter.reconnects += reopened
            reopened = False
            self._meter.tick()
            with self._lock:
                packet_readers, frame_readers = list(self._packet_readers), list(self._frame_readers)
            if sets is not None:
                self._pass_on(packet, sets, packet_readers, now)
            if not frame_readers:
                decoding = False
                continue
            if not decoding:
                if not packet.is_keyframe:
                    continue
                stream.context.flush_buffers()
            decoding = self._decoded(stream.context, packet, frame_readers, now)

    def _pass_on(
        self,
        packet: av.Packet[VideoStream],
        sets: ParameterSets,
        readers: list[PacketMailbox],
        now: float,
    ) -> None:
        whole = sets.complete(bytes(packet))
        if whole is None:
            return
        pts = self._packet_times.stamp(packet.pts, packet.time_base, now)
        made = EncodedPacket("h264", pts, whole[1], whole[0])
        for reader in readers:
            reader.put(made)

    def _decoded(
        self,
        context: VideoCodecContext,
        packet: av.Packet[VideoStream],
        readers: list[FrameMailbox[VideoFrame]],
        now: float,
    ) -> bool:
        """False where the next key frame has to be waited for."""
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            return False  # damaged on its way
        for frame in frames:
            if frame.is_corrupt:
                return False
            frame.pts = self._frame_times.stamp(frame.pts, frame.time_base, now)
            frame.time_base = VIDEO_CLOCK
            for reader in readers:
                reader.put(frame)
        return True
