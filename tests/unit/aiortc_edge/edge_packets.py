"""Encoded video cut into RTP payloads, for the formats whose packetisers no library of ours has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from av.video.frame import PictureType

from luxxon_core.adapters.aiortc_edge import payload
from luxxon_core.adapters.aiortc_edge.decoder import Unit

MTU = 1100
CODECS = ("h264", "vp8", "vp9", "av1")
AIORTC = {"h264": H264Encoder, "vp8": Vp8Encoder}
FFMPEG = {
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "av1": ("libsvtav1", {"preset": "12"}),
}


def encode(codec: str, pictures: Sequence[np.ndarray], keyframes: set[int]) -> list[Unit]:
    """RGB pictures as frames of RTP payloads, 30 a second; a keyframe where ``keyframes`` says and first."""
    encoded = _by_aiortc if codec in AIORTC else _by_ffmpeg
    units = []
    for index, payloads in enumerate(encoded(codec, pictures, keyframes)):
        keyframe = any(payload.starts_keyframe(codec, part) for part in payloads)
        units.append(Unit(tuple(payloads), keyframe, index / 30))
    return units


def _frame(picture: np.ndarray, index: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts, frame.time_base = index * 3000, Fraction(1, 90000)
    return frame


def _by_aiortc(codec: str, pictures: Sequence[np.ndarray], keyframes: set[int]) -> Iterator[list[bytes]]:
    encoder = AIORTC[codec]()
    for index, picture in enumerate(pictures):
        yield encoder.encode(_frame(picture, index), force_keyframe=index in keyframes)[0]


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """SVT-AV1 makes the thread that opens it SCHED_FIFO at priority 99 where it may, which whatever the tests
    start later would inherit: one that computes then takes a processor for itself."""
    if not hasattr(os, "sched_getscheduler"):  # Linux has it
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _by_ffmpeg(codec: str, pictures: Sequence[np.ndarray], keyframes: set[int]) -> Iterator[list[bytes]]:
    name, options = FFMPEG[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 90000), Fraction(30)
    encoder.bit_rate, encoder.options, encoder.thread_count = 800_000, options, 1
    packets: list[bytes] = []
    with _scheduled_as_before():
        for index, picture in enumerate(pictures):
            frame = _frame(picture, index).reformat(format="yuv420p")
            frame.pict_type = PictureType.I if index in keyframes else PictureType.NONE
            packets += [bytes(packet) for packet in encoder.encode(frame)]
        packets += [bytes(packet) for packet in encoder.encode(None)]
    cut = vp9_payloads if codec == "vp9" else av1_payloads
    yield from map(cut, packets)


def vp9_payloads(frame: bytes) -> list[bytes]:
    """One layer, picture IDs of 15 bits (RFC 9628 §4.2)."""
    predicted = 0x40 if frame[0] & 4 else 0  # frame_type of the uncompressed header
    parts = [frame[at : at + MTU] for at in range(0, len(frame), MTU)]
    flags = [0x80 | predicted] * len(parts)
    flags[0] |= 0x08
    flags[-1] |= 0x04
    return [bytes((flag, 0x81, 0x02)) + part for flag, part in zip(flags, parts, strict=True)]


def av1_payloads(unit: bytes) -> list[bytes]:
    """OBUs without sizes, cut wherever a packet is full (AV1 RTP §4)."""
    obus = [obu for obu in _obus(unit) if obu[0] >> 3 & 15 != 2]
    new_sequence = any(obu[0] >> 3 & 15 == 1 for obu in obus)
    payloads: list[bytes] = []
    continues = False
    for obu in obus:
        for at in range(0, len(obu), MTU):
            goes_on = at + MTU < len(obu)
            head = 0x80 * continues | 0x40 * goes_on | 0x10
            if not payloads and new_sequence:
                head |= 0x08
            payloads.append(bytes((head,)) + obu[at : at + MTU])
            continues = goes_on
    return payloads


def _obus(unit: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(unit):
        head = unit[at : at + (2 if unit[at] & 4 else 1)]
        assert head[0] & 2, "the encoder gives each OBU its size"
        size, body = leb128(unit, at + len(head))
        yield bytes((head[0] & ~2,)) + head[1:] + unit[body : body + size]
        at = body + size


def leb128(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while data[at] & 0x80:
        number, shift, at = number | (data[at] & 0x7F) << shift, shift + 7, at + 1
    return number | data[at] << shift, at + 1
