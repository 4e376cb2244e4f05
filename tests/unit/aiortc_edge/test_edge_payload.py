"""Keyframes and frames in RTP payloads, against aiortc's packetisers and arbitrary bytes."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.aiortc_edge import payload

CODECS = st.sampled_from(["h264", "vp8", "vp9", "av1", "opus", ""])


def picture(index: int) -> av.VideoFrame:
    rng = np.random.default_rng(index)
    frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (240, 320, 3), np.uint8), format="rgb24")
    frame.pts, frame.time_base = index * 3000, Fraction(1, 90000)
    return frame


@pytest.mark.parametrize(("codec", "encoder"), [("h264", H264Encoder), ("vp8", Vp8Encoder)])
def test_keyframes_are_told_from_others_and_both_decode(codec: str, encoder: type) -> None:
    source = encoder()
    decoder = av.CodecContext.create(codec, "r")
    for index, forced in enumerate([True, False, False, True]):
        payloads, _ = source.encode(picture(index), force_keyframe=forced)
        assert any(payload.starts_keyframe(codec, part) for part in payloads) is forced
        frames = decoder.decode(av.Packet(payload.assemble(codec, payloads)))
        assert [(frame.width, frame.height) for frame in frames] == [(320, 240)]


def test_a_keyframe_hidden_behind_a_delimiter_in_an_aggregate_is_found() -> None:
    delimiter, parameters = b"\x09\xf0", b"\x67\x42\xe0\x1f"
    aggregate = b"\x18" + b"".join(len(u).to_bytes(2, "big") + u for u in (delimiter, parameters))
    assert payload.starts_keyframe("h264", aggregate)
    assert payload.assemble("h264", [aggregate]) == b"\0\0\0\1" + delimiter + b"\0\0\0\1" + parameters


def test_fragments_are_joined_under_the_original_header() -> None:
    parts = [b"\x7c\x85first", b"\x7c\x05then", b"\x7c\x45last"]
    assert payload.assemble("h264", parts) == b"\0\0\0\1\x65firstthenlast"
    assert [payload.starts_keyframe("h264", part) for part in parts] == [True, False, False]


@pytest.mark.parametrize(
    "part",
    [b"", b"\x1c", b"\x18\x00\x09\x67", b"\x18\x00\x00\x00", b"\x1f\x00\x00", b"\x00\x00"],
    ids=["empty", "short", "aggregate-cut", "empty-unit", "reserved", "zero"],
)
def test_malformed_h264_is_refused(part: bytes) -> None:
    with pytest.raises(payload.PayloadError):
        payload.assemble("h264", [part])


@pytest.mark.parametrize(
    ("descriptor", "rest"),
    [(b"\x10", 1), (b"\x90\x80\x05", 1), (b"\x90\x80\x85\x01", 1), (b"\x90\xf0\x85\x01\x02\x40", 1)],
)
def test_vp8_descriptors_of_every_length(descriptor: bytes, rest: int) -> None:
    assert payload.assemble("vp8", [descriptor + b"\x00data"]) == b"\x00data"
    assert payload.starts_keyframe("vp8", descriptor + b"\x00data")
    assert not payload.starts_keyframe("vp8", descriptor + b"\x01data")


def test_vp9_and_av1_keyframes() -> None:
    assert payload.starts_keyframe("vp9", b"\x8c\x00") and not payload.starts_keyframe("vp9", b"\xcc\x00")
    assert payload.starts_keyframe("av1", b"\x18\x00") and not payload.starts_keyframe("av1", b"\x10\x00")


@given(CODECS, st.lists(st.binary(max_size=40), max_size=5))
def test_arbitrary_bytes_give_data_or_a_clean_error(codec: str, parts: list[bytes]) -> None:
    for part in parts:
        payload.starts_keyframe(codec, part)
    with suppress(payload.PayloadError):
        payload.assemble(codec, parts)
