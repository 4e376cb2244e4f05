"""Clips for a camera to send: a moving picture that carries its number, framed for ``gst_camera``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from luxxon_testcard.counter import read_counter, write_counter

Luma = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class CameraClip:
    path: Path
    pictures: Mapping[int, Luma] = field(repr=False)
    """What a decoder makes of each frame, by the number it carries."""

    def psnr(self, frame: av.VideoFrame) -> float:
        """In dB, of a frame of the same size, against the very frame of the clip whose number it carries.

        -inf where it carries none.
        """
        number = read_counter(frame)
        if number is None or number not in self.pictures:
            return float("-inf")
        error = float(np.mean((luma(frame).astype(np.float32) - self.pictures[number]) ** 2))
        return 10 * np.log10(255**2 / error) if error else float("inf")


def luma(frame: av.VideoFrame) -> Luma:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def make_clip(
    path: Path,
    *,
    width: int = 320,
    height: int = 192,
    rate: int = 25,
    count: int = 50,
    gop: int = 25,
    codec: str = "libx264",
    b_frames: int = 0,
    bit_rate: int = 800_000,
    first: int = 0,
    noise: int = 6,
    headers_once: bool = False,
) -> CameraClip:
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base, encoder.bit_rate = Fraction(rate), Fraction(1, rate), bit_rate
    encoder.gop_size = gop
    if codec == "libx264":
        profile = "high" if b_frames else "baseline"
        parameters = f"b-adapt=0:bframes={b_frames}:scenecut=0:repeat-headers=1:annexb=1:sliced-threads=0"
        parameters += f":vbv-maxrate={bit_rate // 1000}:vbv-bufsize={bit_rate // 2000}"
        tune = {} if b_frames else {"tune": "zerolatency"}
        encoder.options = {"preset": "ultrafast", "profile": profile, "x264-params": parameters, **tune}
    else:
        parameters = "bframes=0:repeat-headers=1:annexb=1:log-level=none:pools=1:frame-threads=1"
        encoder.options = {"preset": "ultrafast", "x265-params": parameters}
    random = np.random.default_rng(7)
    scene = random.integers(0, 256, (height // 16 + 8, width // 16 + 16), dtype=np.uint8)
    scene = scene.repeat(16, 0).repeat(16, 1)
    packets = []
    for number in range(count):
        left, top = number * 3 % 256, number % 128
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        part = scene[top : top + height, left : left + width].astype(np.int16)
        part += random.integers(-noise, noise + 1, part.shape, dtype=np.int16)
        picture[:height] = part.clip(16, 235)
        write_counter(picture[:height], first + number)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    sent = [
        bytes(packets[0]),
        *(without_sets(bytes(one)) if headers_once else bytes(one) for one in packets[1:]),
    ]
    described = {"codec": "h264" if codec == "libx264" else "h265", "rate": rate}
    body = b"".join(
        len(data).to_bytes(4, "big") + one.pts.to_bytes(4, "big") + data
        for one, data in zip(packets, sent, strict=True)
    )
    path.write_bytes(json.dumps(described).encode() + b"\n" + body)
    decoder = av.CodecContext.create("h264" if codec == "libx264" else "hevc", "r")
    frames = [frame for one in packets for frame in decoder.decode(av.Packet(bytes(one)))] + decoder.decode(
        None
    )
    pictures = {number: luma(frame).copy() for frame in frames if (number := read_counter(frame)) is not None}
    assert len(pictures) == count
    return CameraClip(path, pictures)


def without_sets(data: bytes) -> bytes:
    """An H.264 access unit without its SPS and PPS."""
    units = [unit for part in data.split(b"\0\0\1")[1:] if (unit := part.rstrip(b"\0"))]
    return b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 31 not in (7, 8))
