"""A video file as a stream: what is in it, and playing it in real time. It blocks: call it from a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av

from luxxon_core.capture import Mailbox, scaled
from luxxon_core.rtp.nal import split_annex_b
from luxxon_core.source import VIDEO_CLOCK, EncodedPacket, SourceConfigError, SourceNotReady

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

SCANNED_PACKETS = 3000
"""Packets looked at for B-frames and key frames: 100 s at 30 fps, and no decoding."""

LONGEST_GOP = 6.0
"""Seconds between key frames beyond which a clip is encoded again: a viewer who joins waits for one."""

_PROFILES = frozenset(
    {"Baseline", "Constrained Baseline", "Main", "High", "Progressive High", "Constrained High"}
)
_B_FRAMES = "it has B-frames, which WebRTC viewers cannot play"
_IDR, _SPS, _PPS, _AUD = 5, 7, 8, 9
_START = b"\0\0\0\1"


@dataclass(frozen=True, slots=True)
class Clip:
    path: Path
    width: int
    height: int
    frame_rate: float
    encode_reason: str | None
    """Why the clip cannot be published by packet copy; None if it can."""


def probe(path: Path) -> Clip:
    """Look into a file; at least one frame of it decodes.

    Raises:
        SourceConfigError: missing, empty, a directory, or not a video.
    """
    if not path.exists():
        raise SourceConfigError("source:notFound", f"{path}: no such file")
    if not path.is_file():
        raise SourceConfigError("source:notAFile", f"{path}: not a file")
    if not path.stat().st_size:
        raise SourceConfigError("source:empty", f"{path}: the file is empty")
    with _opened(path) as container:
        stream = _video(path, container)
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise SourceConfigError(
                "source:notAVideo", f"{path}: does not decode: {error.strerror}"
            ) from None
        if frame is None:
            raise SourceConfigError("source:notAVideo", f"{path}: contains no frame")
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        interlaced = frame.interlaced_frame
        size = frame.width, frame.height
    reason = "it is interlaced" if interlaced else _encode_reason(path)
    return Clip(path, *size, rate, reason)


def _encode_reason(path: Path) -> str | None:
    """Why WebRTC viewers could not play the packets as they are, or None."""
    with _opened(path) as container:
        stream = _video(path, container)
        codec = stream.codec_context
        if codec.name != "h264":
            return f"its codec is {codec.name}, not H.264"
        if codec.profile not in _PROFILES or codec.pix_fmt not in ("yuv420p", "yuvj420p"):
            return f"WebRTC viewers cannot play H.264 {codec.profile} {codec.pix_fmt}"
        if codec.has_b_frames:
            return _B_FRAMES
        packets = islice((packet for packet in container.demux(stream) if packet.size), SCANNED_PACKETS)
        return _order_reason([(packet.pts, packet.is_keyframe) for packet in packets], stream.time_base)


def _order_reason(packets: list[tuple[int | None, bool]], time_base: Fraction | None) -> str | None:
    """As above, from the time stamps and key frame flags of packets in the order of decoding."""
    times = [pts for pts, _ in packets if pts is not None]
    if len(times) < len(packets) or time_base is None:
        return "it has no timestamps"
    if any(later <= earlier for earlier, later in pairwise(times)):
        return _B_FRAMES
    if not packets[0][1]:
        return "it does not begin with a key frame"
    keys = [pts for pts, (_, keyframe) in zip(times, packets, strict=True) if keyframe]
    gap = float(max(later - earlier for earlier, later in pairwise([*keys, times[-1]])) * time_base)
    if gap > LONGEST_GOP:
        return f"its key frames are up to {gap:.0f} s apart, and a viewer who joins waits for one"
    return None


def play_packets(clip: Clip, loop: bool, mailbox: Mailbox[EncodedPacket], stop: threading.Event) -> None:
    """Put the clip's access units at their time, Annex B, timestamps going on over the loop's seam."""
    pace = _Pace()
    start = 0
    while not stop.is_set():
        end = start
        for offset, keyframe, data in _copied(clip):
            pts = start + offset
            if not pace.wait(pts, stop):
                return
            mailbox.put(EncodedPacket("h264", pts, keyframe, data))
            end = max(end, pts + round(VIDEO_CLOCK.denominator / clip.frame_rate))
        if not loop:
            return
        if end == start:
            raise SourceNotReady("source:changed", f"{clip.path}: nothing left to play")
        start = end


def play_frames(
    clip: Clip,
    loop: bool,
    max_width: int | None,
    max_fps: float | None,
    mailbox: Mailbox[VideoFrame],
    stop: threading.Event,
) -> None:
    """Put the clip's frames at their time in YUV 4:2:0, scaled and thinned; only what is put is converted."""
    pace = _Pace()
    start, due = 0, 0.0
    tick = VIDEO_CLOCK.denominator / clip.frame_rate
    every = VIDEO_CLOCK.denominator / max_fps if max_fps and max_fps < clip.frame_rate else 0.0
    while not stop.is_set():
        end = start
        for offset, frame in _decoded(clip):
            pts = start + offset
            end = max(end, pts + round(tick))
            if not pace.wait(pts, stop):
                return
            if pts + tick / 2 < due:
                continue
            due = max(due + every, pts)
            picture = scaled(frame, max_width)
            picture.pts, picture.time_base = pts, VIDEO_CLOCK
            mailbox.put(picture)
        if not loop:
            return
        if end == start:
            raise SourceNotReady("source:changed", f"{clip.path}: nothing left to play")
        start = end


class _Pace:
    """Waits until a timestamp is due; a player that fell behind goes on from where it is."""

    def __init__(self) -> None:
        self._origin = time.monotonic()

    def wait(self, pts: int, stop: threading.Event) -> bool:
        """False when told to stop."""
        delay = self._origin + float(pts * VIDEO_CLOCK) - time.monotonic()
        if delay < -0.5:
            self._origin -= delay
        return not stop.wait(max(0.0, delay))


def _copied(clip: Clip) -> Iterator[tuple[int, bool, bytes]]:
    """Access units once through: 90 kHz timestamp from zero, key frame or not, Annex B."""
    with _opened(clip.path) as container:
        stream = _video(clip.path, container)
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        parameter_sets: list[bytes] = []
        first: int | None = None
        for packet in container.demux(stream):
            for unit in annex_b.filter(packet if packet.size else None):
                if unit.pts is None or stream.time_base is None:
                    continue
                first = unit.pts if first is None else first
                data = bytes(unit)
                units = split_annex_b(data)
                kinds = {nal[0] & 31 for nal in units}
                if _SPS in kinds:
                    parameter_sets = [nal for nal in units if nal[0] & 31 in (_SPS, _PPS)]
                elif _IDR in kinds:
                    # After an access unit delimiter, which stays first (H.264 §7.4.1.2.3).
                    delimiter = [nal for nal in units[:1] if nal[0] & 31 == _AUD]
                    rest = units[len(delimiter) :]
                    data = b"".join(_START + nal for nal in [*delimiter, *parameter_sets, *rest])
                yield round((unit.pts - first) * stream.time_base / VIDEO_CLOCK), _IDR in kinds, data


def _decoded(clip: Clip) -> Iterator[tuple[int, VideoFrame]]:
    """Frames once through, with a 90 kHz timestamp from zero; counted where the file has none."""
    with _opened(clip.path) as container:
        stream = _video(clip.path, container)
        first: int | None = None
        for number, frame in enumerate(container.decode(stream)):
            if frame.pts is None or frame.time_base is None:
                yield round(number * VIDEO_CLOCK.denominator / clip.frame_rate), frame
                continue
            first = frame.pts if first is None else first
            yield round((frame.pts - first) * frame.time_base / VIDEO_CLOCK), frame


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """An open file; what libav cannot read of it becomes a SourceConfigError."""
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or "cannot be read"
        raise SourceConfigError("source:notAVideo", f"{path}: {reason}") from None


def _video(path: Path, container: InputContainer) -> VideoStream:
    stream = next(iter(container.streams.video), None)
    if stream is None:
        raise SourceConfigError("source:notAVideo", f"{path}: contains no video")
    return stream
