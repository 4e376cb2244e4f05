"""Raw frames to H.264 for WebRTC: constrained baseline, no delay, key frames when somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.video.frame import PictureType

from luxxon_core.source import VIDEO_CLOCK, EncodedPacket

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame

BIT_RATE = 2_500_000
KEYFRAME_SECONDS = 4.0
"""A key frame at least this often: what a viewer who lost one and whose PLI was lost, too, waits for."""
KEYFRAME_HOLD_OFF = 0.3
"""Requests for key frames closer together than this are answered by one."""


class KeyframeGate:
    """Decides which frames become key frames. A request within the hold-off is kept, never dropped."""

    def __init__(self, interval: float = KEYFRAME_SECONDS, hold_off: float = KEYFRAME_HOLD_OFF) -> None:
        self._interval, self._hold_off = interval, hold_off
        self._wanted = False
        self._last = float("-inf")

    def request(self) -> None:
        self._wanted = True

    def due(self, now: float) -> bool:
        """Whether the frame about to be encoded at ``now`` (monotonic seconds) must be a key frame."""
        since = now - self._last
        if since >= self._interval or (self._wanted and since >= self._hold_off):
            self._wanted, self._last = False, now
            return True
        return False


class H264Encoder:
    """x264 at its fastest, its rate held by a buffer of half a second. Not for two threads at once."""

    def __init__(self, bit_rate: int = BIT_RATE, frame_rate: float = 30.0) -> None:
        self._bit_rate, self._frame_rate = bit_rate, max(1.0, frame_rate)
        self._context: VideoCodecContext | None = None
        self._last_pts = -1

    def encode(self, frame: VideoFrame, keyframe: bool) -> EncodedPacket | None:
        """One access unit for one frame; None where the frame's time does not advance.

        A change of size begins a new stream with a key frame. Sizes are made even.
        """
        if frame.pts is None or frame.time_base is None:
            raise ValueError("a frame without a timestamp cannot be encoded")
        pts = round(frame.pts * frame.time_base / VIDEO_CLOCK)
        if pts <= self._last_pts:
            return None
        width, height = max(2, frame.width // 2 * 2), max(2, frame.height // 2 * 2)
        if (frame.width, frame.height, frame.format.name) != (width, height, "yuv420p"):
            frame = frame.reformat(width, height, "yuv420p", threads=1)
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context, keyframe = self._opened(width, height), True
        self._last_pts = frame.pts = pts
        frame.time_base = VIDEO_CLOCK
        # A decoded frame still says what it was in its file, and x264 would follow that.
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(frame)
        data = b"".join(bytes(packet) for packet in packets)
        return (
            EncodedPacket("h264", pts, any(packet.is_keyframe for packet in packets), data) if data else None
        )

    def _opened(self, width: int, height: int) -> VideoCodecContext:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = VIDEO_CLOCK
        context.framerate = Fraction(self._frame_rate).limit_denominator(1001)
        context.bit_rate = self._bit_rate
        context.gop_size = 1 << 20  # the gate says when
        context.max_b_frames = 0
        context.thread_count = 1
        context.profile = "Baseline"  # x264's is the constrained one (RFC 6184 §8.1: 42e0)
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "maxrate": str(self._bit_rate),
            "bufsize": str(self._bit_rate // 2),
            # The slices of zerolatency cost rate and gain nothing on one thread. SPS and PPS with every IDR.
            "x264-params": "sliced-threads=0:scenecut=0:repeat-headers=1:annexb=1",
        }
        return context


async def encoded(
    frames: AsyncGenerator[VideoFrame, None], encoder: H264Encoder, gate: KeyframeGate
) -> AsyncGenerator[EncodedPacket, None]:
    """Encode in a worker thread, one frame at a time: frames that come meanwhile are the source's to drop."""
    async with aclosing(frames):
        async for frame in frames:
            packet = await asyncio.to_thread(encoder.encode, frame, gate.due(time.monotonic()))
            if packet is not None:
                yield packet
