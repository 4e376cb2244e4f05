"""From frames to JPEG, in a worker thread (FFmpeg through PyAV, JPEG by Pillow)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from luxxon_core.adapters.aiortc_edge import payload
from luxxon_core.kernel.errors import StartError
from luxxon_core.media.domain import digest_of

DECODERS = {"h264": "h264", "vp8": "vp8", "vp9": "vp9", "av1": "libdav1d"}
"""FFmpeg's decoder for each SDP encoding name."""
THUMBNAIL = 64, 36
JPEG_QUALITY = 80
MAX_PIXELS = 4096 * 2304
"""A larger picture is refused: a crafted header must not cost a gigabyte."""
MAX_PIXELS_EVERY_FRAME = 2560 * 1440
"""Of larger pictures only keyframes are decoded: the worker threads are for all live inputs."""
ERRORS = (av.FFmpegError, payload.PayloadError, ValueError, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Unit:
    """One whole frame as it came."""

    payloads: tuple[bytes, ...] = field(repr=False)
    keyframe: bool
    at: float
    """Monotonic arrival."""


@dataclass(frozen=True, slots=True)
class Picture:
    jpeg: bytes = field(repr=False)
    width: int
    height: int
    at: float
    """Monotonic arrival of the frame."""
    digest: str
    light: NDArray[np.uint8] = field(repr=False)
    """Luma from 0, black, to 255, averaged over 36 rows of 64 parts of the picture each."""


@dataclass(frozen=True, slots=True)
class Decoded:
    picture: Picture | None
    broken: bool
    """The decoder choked: feed it a keyframe next."""


class Decoder:
    """Not thread-safe: one ``decode`` at a time, from any thread."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._context: VideoCodecContext | None = None
        self._alone = True
        """What ``_context`` was opened for."""
        self._reformatter, self._shrinker = VideoReformatter(), VideoReformatter()

    def decode(self, units: Sequence[Unit], every_frame: bool, due: float) -> Decoded:
        """Decode ``units`` in order; the last frame that arrived at ``due`` or later becomes the picture.

        Without ``every_frame`` each unit is a keyframe that stands alone. Never raises for broken input.
        """
        try:
            latest: tuple[VideoFrame, float] | None = None
            for unit in units:
                frames = self._frames(unit, alone=not every_frame)
                if frames and (unit.at >= due or not every_frame):
                    latest = frames[-1], unit.at
            return Decoded(self._picture(*latest) if latest else None, broken=False)
        except ERRORS:
            self._context = None
            return Decoded(None, broken=True)

    def _frames(self, unit: Unit, *, alone: bool) -> list[VideoFrame]:
        data = payload.assemble(self._codec, unit.payloads)
        if self._context is None or self._alone is not alone:
            self._context, self._alone = self._open(MAX_PIXELS if alone else MAX_PIXELS_EVERY_FRAME), alone
        elif unit.keyframe:
            self._context.flush_buffers()
        frames = self._context.decode(av.Packet(data))
        if alone:  # whatever the decoder holds back for reordering, too
            frames += self._context.decode(None)
            self._context.flush_buffers()
        return [frame for frame in frames if not frame.is_corrupt]

    def _open(self, max_pixels: int) -> VideoCodecContext:
        context = av.CodecContext.create(DECODERS[self._codec], "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1
        context.options = {"flags": "low_delay", "max_pixels": str(max_pixels)}
        return context

    def _picture(self, frame: VideoFrame, at: float) -> Picture:
        jpeg = self._jpeg(self._rgb(frame))
        return Picture(jpeg, frame.width, frame.height, at, digest_of(jpeg), self._light(frame))

    def _rgb(self, frame: VideoFrame) -> VideoFrame:
        return self._reformatter.reformat(frame, format="rgb24", threads=1)

    def _jpeg(self, rgb: VideoFrame) -> bytes:
        plane: Any = rgb.planes[0]  # a buffer, which Pillow's types do not admit
        image = Image.frombuffer("RGB", (rgb.width, rgb.height), plane, "raw", "RGB", plane.line_size, 1)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=JPEG_QUALITY)
        return out.getvalue()

    def _light(self, frame: VideoFrame) -> NDArray[np.uint8]:
        width, height = THUMBNAIL
        small = self._shrinker.reformat(
            frame, width=width, height=height, format="gray", interpolation="AREA", threads=1
        )
        plane: Any = small.planes[0]
        return np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width].copy()


def warm_up() -> None:
    """Load Pillow's JPEG plugin, so that the first picture does not wait for it.

    Raises:
        StartError: the FFmpeg libraries lack a decoder; what cannot be decoded can never go LIVE.
    """
    for codec, name in DECODERS.items():
        try:
            av.codec.Codec(name, "r")
        except UnknownCodecError as error:
            raise StartError("media:decoder", f"FFmpeg has no decoder {name} for {codec}") from error
    Image.new("RGB", (16, 16)).save(io.BytesIO(), "JPEG")
