"""What a camera's video is, and whether WebRTC viewers can play it as it comes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from luxxon_core.rtp.nal import AccessUnit, Codec, is_b_slice
from luxxon_core.source import RAW, MediaProfile, SourceNotReady

if TYPE_CHECKING:
    from av import VideoCodecContext

LOOKED_AT = 10
"""Pictures looked at for B-frames and for the frame rate."""
B_FRAMES = "it has B-frames, which WebRTC viewers cannot play"
_PLAYABLE = frozenset(
    {"Baseline", "Constrained Baseline", "Main", "High", "Progressive High", "Constrained High"}
)
_USUAL_RATES = (5, 10, 12, 12.5, 15, 20, 24, 25, 30, 50, 60)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    codec: Codec
    width: int
    height: int
    frame_rate: float
    encode_reason: str | None
    """Why it cannot be published by packet copy; None if it can."""

    def profile(self, token: str) -> MediaProfile:
        codec = RAW if self.encode_reason else self.codec.label
        return MediaProfile(token, codec, self.width, self.height, self.frame_rate)


def has_b_frames(unit: AccessUnit) -> bool:
    return unit.codec is Codec.H264 and any(map(is_b_slice, unit.units))


def inspect(codec: Codec, keyframe: bytes, frame_rate: float, b_frames: bool) -> StreamInfo:
    """Decode a key frame with its parameter sets. Blocks for some milliseconds.

    Raises:
        SourceNotReady: it does not decode.
    """
    import av

    context = opened(codec.label)
    try:
        frames = [*context.decode(av.Packet(keyframe)), *context.decode(None)]
    except av.FFmpegError:
        frames = []
    if not frames:
        raise SourceNotReady("rtp:undecodable", "the camera's video does not decode")
    frame = frames[0]
    reason = None
    if codec is not Codec.H264:
        reason = "its codec is H.265, which WebRTC viewers cannot play"
    elif b_frames:
        reason = B_FRAMES
    elif frame.interlaced_frame:
        reason = "it is interlaced"
    elif context.profile not in _PLAYABLE or frame.format.name not in ("yuv420p", "yuvj420p"):
        reason = f"WebRTC viewers cannot play H.264 {context.profile} {frame.format.name}"
    # Frames are offered in even sizes; packets as they are.
    width, height = frame.width, frame.height
    return StreamInfo(codec, width, height, frame_rate, reason)


def frame_rate(timestamps: list[int], clock_rate: int) -> float:
    """Of RTP timestamps in any order; 25 where they say nothing sensible."""
    base = timestamps[0] if timestamps else 0
    ordered = sorted((one - base + 0x80000000 & 0xFFFFFFFF) for one in timestamps)
    gaps = [later - earlier for earlier, later in pairwise(ordered) if later > earlier]
    rate = clock_rate / statistics.median(gaps) if gaps else 0.0
    if not 0.2 <= rate <= 240:
        return 25.0
    usual = min(_USUAL_RATES, key=lambda one: abs(one - rate))
    return float(usual) if abs(usual - rate) < 0.03 * rate else rate


def opened(codec: str) -> VideoCodecContext:
    """A decoder of one thread: FFmpeg's frame threads would each hold a picture back."""
    import av

    context = av.CodecContext.create("hevc" if codec == "h265" else "h264", "r")
    context.thread_count = 1
    return context
