"""Keyframes and frames in RTP payloads, against aiortc's packetisers and arbitrary bytes."""

from __future__ import annotations

from contextlib import suppress

import av
import numpy as np
import pytest
from edge_packets import CODECS as DECODED
from edge_packets import MTU, encode, vp9_payloads
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.aiortc_edge import payload
from luxxon_core.adapters.aiortc_edge.decoder import DECODERS, Decoder, Unit

CODECS = st.sampled_from(["h264", "vp8", "vp9", "av1", "opus", ""])


def noise(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (240, 320, 3), np.uint8)


@pytest.mark.parametrize("codec", DECODED)
def test_keyframes_are_told_from_others_and_both_decode(codec: str) -> None:
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    units = encode(codec, [noise(index) for index in range(4)], {0, 3})
    assert [unit.keyframe for unit in units] == [True, False, False, True]
    assert max(len(unit.payloads) for unit in units) > 1, "some frame is cut into several packets"
    frames = []
    for unit in units:
        frames += decoder.decode(av.Packet(payload.assemble(codec, unit.payloads)))
    frames += decoder.decode(None)
    assert [(frame.width, frame.height) for frame in frames] == [(320, 240)] * 4


def test_a_keyframe_hidden_behind_a_delimiter_in_an_aggregate_is_found() -> None:
    delimiter, parameters = b"\x09\xf0", b"\x67\x42\xe0\x1f"
    aggregate = b"\x18" + b"".join(len(u).to_bytes(2, "big") + u for u in (delimiter, parameters))
    assert payload.starts_keyframe("h264", aggregate)
    assert payload.assemble("h264", [aggregate]) == b"\0\0\0\1" + delimiter + b"\0\0\0\1" + parameters


def test_fragments_are_joined_under_the_original_header() -> None:
    parts = [b"\x7c\x85first", b"\x7c\x05then", b"\x7c\x45last"]
    assert payload.assemble("h264", parts) == b"\0\0\0\1\x65firstthenlast"
    assert [payload.starts_keyframe("h264", part) for part in parts] == [True, False, False]


@pytest.mark.parametrize("end", [b"\x0a", b"\x0b"], ids=["sequence", "stream"])
def test_the_end_of_a_sequence_in_one_byte_spoils_no_picture(end: bytes) -> None:
    (unit,) = encode("h264", [noise(0)], {0})
    picture = payload.assemble("h264", [*unit.payloads, end])
    assert picture.endswith(b"\0\0\0\1" + end)
    decoded = Decoder("h264").decode([Unit((*unit.payloads, end), True, 1.0)], False, 0.0)
    assert decoded.picture is not None and not decoded.broken


@pytest.mark.parametrize(
    "part",
    [b"", b"\x1c", b"\x18", b"\x18\x00\x09\x67", b"\x18\x00\x00\x00", b"\x1f\x00\x00", b"\x00\x00"],
    ids=["empty", "short", "aggregate-short", "aggregate-cut", "empty-unit", "reserved", "zero"],
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


@pytest.mark.parametrize(
    ("descriptor", "layer"),
    [
        ("08", 0),  # nothing but the start of a frame
        ("8805", 0),  # picture ID of 7 bits
        ("888501", 0),  # of 15
        ("280001", 0),  # layer indices with TL0PICIDX
        ("b8810200", 0),  # the same in flexible mode, without it
        ("b8810202", 1),
        ("0a00", 0),  # scalability structure: one layer, nothing else
        ("0a10028000f0", 0),  # its width and height
        ("0a3002800168014000b4", 0),  # of two layers
        ("0a0803000801020401", 0),  # three pictures with 0, 2 and 1 references
    ],
)
def test_vp9_descriptors_of_every_length(descriptor: str, layer: int) -> None:
    data = bytes.fromhex(descriptor)
    assert payload.assemble("vp9", [data + b"frame"]) == b"frame"
    assert payload.starts_keyframe("vp9", data + b"frame") is (layer == 0)
    for cut in range(1, len(data)):
        with pytest.raises(payload.PayloadError):
            payload.assemble("vp9", [data[:cut]])


def test_vp9_references_of_flexible_mode_are_skipped() -> None:
    assert payload.assemble("vp9", [bytes.fromhex("58 03 05 02") + b"frame"]) == b"frame"
    with pytest.raises(payload.PayloadError):
        payload.assemble("vp9", [bytes.fromhex("58 03 05 07") + b"frame"])


def test_the_spatial_layers_of_vp9_become_a_superframe() -> None:
    low, high = b"l" * 300, b"h" * 70_000
    parts = [b"\xa8\x01\x00\x07" + low]  # SID 0
    parts += [b"\xa8\x01\x02\x07" + high[:MTU], b"\xa0\x01\x02\x07" + high[MTU:]]  # SID 1
    index = b"\xd1" + len(low).to_bytes(3, "little") + len(high).to_bytes(3, "little") + b"\xd1"
    assert payload.assemble("vp9", parts) == low + high + index
    assert [payload.starts_keyframe("vp9", part) for part in parts] == [True, False, False]
    with pytest.raises(payload.PayloadError):
        payload.assemble("vp9", parts[2:])  # begins in the middle
    with pytest.raises(payload.PayloadError):
        payload.assemble("vp9", parts[:1] * 9)


def test_the_decoder_shows_the_highest_layer_of_a_superframe() -> None:
    """Two frames of one stream stand for two layers: both are decoded, the last is shown."""
    dark, light = (np.full((240, 320, 3), level, np.uint8) for level in (40, 200))
    units = encode("vp9", [dark, light], {0})
    layers = [part for unit in units for part in unit.payloads]
    frames = av.CodecContext.create("vp9", "r").decode(av.Packet(payload.assemble("vp9", layers)))
    assert abs(frames[-1].to_ndarray(format="gray").mean() - 200) < 12
    assert vp9_payloads(b"\x82" + bytes(2 * MTU))[0][:1] == b"\x88"  # a keyframe over several packets


AV1_DELIMITER = b"\x12\x00"


@pytest.mark.parametrize(
    ("parts", "units"),
    [
        (["10 0a03010203"], "0a03 010203"),  # W=1: one element, here with its size in it
        (["20 02 08aa 30bbcc"], "0a01aa 3202bbcc"),  # W=2: the first with a length
        (["00 02 08aa 03 30bbcc"], "0a01aa 3202bbcc"),  # W=0: all with one
        (["58 08aa", "90 bbcc"], "0a03aabbcc"),  # a fragment and its rest
        (["58 08aa", "d0 bb", "80 01 cc 02 30dd"], "0a03aabbcc 3201dd"),  # over three packets
        (["20 01 10 7a0c"], "")  # temporal delimiter and padding
    ],
)  # fmt: skip
def test_av1_units_get_their_sizes_back(parts: list[str], units: str) -> None:
    expected = AV1_DELIMITER + bytes.fromhex(units)
    assert payload.assemble("av1", [bytes.fromhex(part) for part in parts]) == expected


@pytest.mark.parametrize(
    "parts",
    [
        ["10"],
        ["10 80"],  # the forbidden bit
        ["00 05 08aa"],  # longer than the packet
        ["00 8080808080 01 08"],  # a length without end
        ["30 01 08"],  # three elements, it says
        ["50 08aa"],  # a fragment without its rest
        ["90 08aa"],  # the rest of nothing
        ["50 08aa", "10 30bb"],
        ["10 0a05aa"],  # its own size is longer
        ["10 0a8080"],
        ["00 00 00"],  # elements without anything
    ],
)
def test_malformed_av1_is_refused(parts: list[str]) -> None:
    with pytest.raises(payload.PayloadError):
        payload.assemble("av1", [bytes.fromhex(part) for part in parts])


@given(CODECS, st.lists(st.binary(max_size=40), max_size=5))
def test_arbitrary_bytes_give_data_or_a_clean_error(codec: str, parts: list[bytes]) -> None:
    for part in parts:
        payload.starts_keyframe(codec, part)
    with suppress(payload.PayloadError):
        payload.assemble(codec, parts)
