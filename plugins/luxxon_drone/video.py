"""The vehicle's video through FFmpeg: RTSP, or RTP that comes in at a port. It blocks: one thread reads."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import av
import structlog

from luxxon_core.capture import HealthMeter, Mailbox
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

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = structlog.get_logger(__name__)

OPEN_SECONDS, READ_SECONDS = 6.0, 2.0
BACKOFF = (0.2, 2.0)
LOST_SECONDS = 10.0
"""Without a picture for so long the readers are told that the video is gone."""
PROBED = 12
"""Pictures looked at for B-frames when the video is opened."""
CODECS = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class VideoFormat:
    width: int
    height: int
    frame_rate: float
    encode_reason: str | None
    """Why WebRTC viewers could not play the packets as they come; None if they can."""


@dataclass(frozen=True, slots=True)
class VideoLogin:
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "VideoLogin(***)" if self.username or self.password else "VideoLogin()"


def open_video(address: VideoAddress, login: VideoLogin) -> InputContainer:
    """Open and look at the first second or so.

    Raises:
        SourceAuthError: the RTSP server refuses user or password.
        SourceConfigError: it has no such stream, or what comes is no video that we take.
        SourceNotReady: nobody answers, the port is taken, or no picture comes.
    """
    # "nobuffer" keeps what was looked at from being played late; the frame rate stands in the SPS.
    options = {
        "fflags": "nobuffer",
        "analyzeduration": "5000000",
        "fpsprobesize": "0",
        "max_delay": "100000",
    }
    timeout = OPEN_SECONDS, READ_SECONDS
    try:
        if address.rtsp:
            options |= {"protocol_whitelist": "rtsp,rtp,tcp,udp,tls,crypto", "rtsp_transport": "tcp"}
            container = av.open(_with_login(address.url, login), "r", options=options, timeout=timeout)
        else:
            options |= {"protocol_whitelist": "rtp,udp", "reorder_queue_size": "64"}
            container = av.open(
                io.BytesIO(_sdp(address)), "r", format="sdp", options=options, timeout=timeout
            )
    except (av.FFmpegError, OSError) as error:
        raise _refusal(address, error) from None
    stream = next(iter(container.streams.video), None)
    if stream is None or not stream.width or not stream.height:
        container.close()
        raise SourceNotReady("drone:noVideo", f"{address}: no video comes")
    if stream.codec_context.name not in CODECS:
        container.close()
        raise SourceConfigError("drone:codec", f"{address}: the video is neither H.264 nor H.265")
    return container


def _sdp(address: VideoAddress) -> bytes:
    """What a session description would say of RTP that simply comes in (RFC 8866, RFC 6184 §8.2)."""
    family = "IP6" if ":" in address.host else "IP4"
    lines = [
        "v=0",
        f"o=- 0 0 IN {family} {address.host}",
        "s=-",
        f"c=IN {family} {address.host}",
        "t=0 0",
        f"m=video {address.port} RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1",
    ]
    return "".join(line + "\r\n" for line in lines).encode()


def _with_login(url: str, login: VideoLogin) -> str:
    if not login.username and not login.password.strip():
        return url
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}://{quote(login.username, safe='')}:{quote(login.password, safe='')}@{host}{slash}{path}"


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
        self._packet_readers: list[Mailbox[EncodedPacket]] = []
        self._frame_readers: list[Mailbox[VideoFrame]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended: SourceError | None = None
        self._closed = False
        self._format: VideoFormat | None = None
        self._thread: threading.Thread | None = None
        self._packet_times, self._frame_times = Timeline(), Timeline()
        self._seen = time.monotonic()

    def start(self) -> VideoFormat:
        """Open the stream, look at it and go on reading. Raises as :func:`open_video`."""
        container = open_video(self._address, self._login)
        try:
            video_format = _inspected(container, self._address)
        except (av.FFmpegError, OSError) as error:
            container.close()
            raise _refusal(self._address, error) from None
        except BaseException:
            container.close()
            raise
        if self._stop.is_set():  # closed meanwhile: whoever opened it did not want to wait
            container.close()
            raise SourceNotReady("drone:closed", f"{self._address}: closed while it was opened")
        self._seen, self._format = time.monotonic(), video_format
        self._thread = threading.Thread(target=self._run, args=(container,), name="drone-video", daemon=True)
        self._thread.start()
        return video_format

    def close(self) -> None:
        """End every reader and release the stream. Blocks until a read in progress is over."""
        self._stop.set()
        self._closed = True
        self.end_readers(None)
        if self._thread is not None:
            self._thread.join(OPEN_SECONDS + 1)

    def add_packets(self, reader: Mailbox[EncodedPacket]) -> None:
        self._add(self._packet_readers, reader)

    def add_frames(self, reader: Mailbox[VideoFrame]) -> None:
        self._add(self._frame_readers, reader)

    def _add(self, readers: list[Mailbox[EncodedPacket]] | list[Mailbox[VideoFrame]], reader: object) -> None:
        assert isinstance(reader, Mailbox)
        with self._lock:
            if not self._closed and self._ended is None:
                readers.append(reader)
                return
            error = self._ended
        reader.close(error)

    def remove(self, reader: Mailbox[EncodedPacket] | Mailbox[VideoFrame]) -> None:
        with self._lock:
            for readers in (self._packet_readers, self._frame_readers):
                if reader in readers:
                    readers.remove(reader)  # type: ignore[arg-type]

    def end_readers(self, error: SourceError | None) -> None:
        """Those who read now get the error, or the end; later ones may come."""
        with self._lock:
            readers: Sequence[Mailbox[EncodedPacket] | Mailbox[VideoFrame]] = [
                *self._packet_readers,
                *self._frame_readers,
            ]
            self._packet_readers, self._frame_readers = [], []
        for reader in readers:
            reader.close(error)

    def _run(self, container: InputContainer | None) -> None:
        try:
            self._keep_reading(container)
        except BaseException as error:
            failure = SourceError("drone:videoEnded", f"{self._address}: failed ({type(error).__name__})")
            with self._lock:
                self._ended = failure
            self._meter.failed, self._meter.last_error = True, failure.message
            self.end_readers(failure)
            raise

    def _keep_reading(self, container: InputContainer | None) -> None:
        delay = BACKOFF[0]
        while not self._stop.is_set():
            before = self._seen
            try:
                if container is None:
                    container = open_video(self._address, self._login)
                    self._meter.reconnects += 1
                with container:
                    self._read(container)
                reason = f"{self._address}: the video has ended"
            except SourceError as error:
                reason = error.message
            except (av.FFmpegError, OSError) as error:
                reason = _refusal(self._address, error).message
            container = None
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

    def _read(self, container: InputContainer) -> None:
        """Until told to stop or the stream ends."""
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would hold pictures back
        if self._format is not None and self._format.encode_reason is None and not _is_h264(stream):
            raise SourceConfigError("drone:codecChanged", f"{self._address}: the video is no longer H.264")
        sets = ParameterSets(stream.codec_context.extradata) if _is_h264(stream) else None
        decoding = False
        for packet in container.demux(stream):
            if self._stop.is_set():
                return
            if not packet.size:
                continue
            now = time.monotonic()
            self._seen = now
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
                stream.codec_context.flush_buffers()
                decoding = True
            self._decode(packet, frame_readers, now)

    def _pass_on(
        self,
        packet: av.Packet[VideoStream],
        sets: ParameterSets,
        readers: list[Mailbox[EncodedPacket]],
        now: float,
    ) -> None:
        whole = sets.complete(bytes(packet))
        if whole is None:
            return
        pts = self._packet_times.stamp(packet.pts, packet.time_base, now)
        made = EncodedPacket("h264", pts, whole[1], whole[0])
        for reader in readers:
            reader.put(made)

    def _decode(self, packet: av.Packet[VideoStream], readers: list[Mailbox[VideoFrame]], now: float) -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return  # damaged on its way; the next key frame heals it
        for frame in frames:
            frame.pts = self._frame_times.stamp(frame.pts, frame.time_base, now)
            frame.time_base = VIDEO_CLOCK
            for reader in readers:
                reader.put(frame)


def _is_h264(stream: VideoStream) -> bool:
    return stream.codec_context.name == "h264"


def _inspected(container: InputContainer, address: VideoAddress) -> VideoFormat:
    """Size and rate, and whether the packets can be sent on, by a look at the next pictures."""
    stream = container.streams.video[0]
    times: list[int] = []
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            times.append(packet.pts)
        if len(times) >= PROBED:
            break
    if not times:
        raise SourceNotReady("drone:noVideo", f"{address}: no video comes")
    reason = None
    if not _is_h264(stream):
        reason = "it is H.265, which WebRTC viewers cannot play"
    elif stream.codec_context.has_b_frames or times != sorted(set(times)):
        reason = "it has B-frames, which WebRTC viewers cannot play"
    rate = float(stream.average_rate or stream.guessed_rate or 30)
    return VideoFormat(stream.width, stream.height, rate if 1 <= rate <= 240 else 30.0, reason)
