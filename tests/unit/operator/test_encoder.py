"""The encoder makes what every WebRTC decoder takes, and key frames come when they are asked for."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from luxxon_testcard.render import Renderer

from luxxon_core.operator.encoder import H264Encoder, KeyframeGate
from luxxon_core.source import VIDEO_CLOCK, EncodedPacket


def frames(count: int, width: int = 320, height: int = 180) -> list[av.VideoFrame]:
    renderer = Renderer(width, height, "test")
    made = [renderer.render(number, number / 30) for number in range(count)]
    for number, frame in enumerate(made):
        frame.pts, frame.time_base = number * 3000, VIDEO_CLOCK
    return made


def units(packet: EncodedPacket) -> list[bytes]:
    return [part for part in packet.data.split(b"\0\0\1")[1:] if part]


def encode_all(
    encoder: H264Encoder, pictures: list[av.VideoFrame], keyframes: set[int]
) -> list[EncodedPacket]:
    packets = [encoder.encode(frame, number in keyframes) for number, frame in enumerate(pictures)]
    return [packet for packet in packets if packet is not None]


def test_each_frame_gives_its_packet_at_once_in_constrained_baseline() -> None:
    packets = encode_all(H264Encoder(), frames(30), {0})
    assert [packet.pts for packet in packets] == [number * 3000 for number in range(30)]
    sps = next(unit for unit in units(packets[0]) if unit[0] & 31 == 7)
    assert sps[1] == 66  # profile_idc Baseline
    assert sps[2] & 0x40  # constraint_set1_flag: the constrained one, as offered (42e01f)


def test_a_key_frame_is_the_frame_it_was_asked_for() -> None:
    packets = encode_all(H264Encoder(), frames(30), {0, 11, 12})
    assert [number for number, packet in enumerate(packets) if packet.keyframe] == [0, 11, 12]
    for packet in packets:
        kinds = {unit[0] & 31 for unit in units(packet)}
        assert ({5, 7, 8} <= kinds) == packet.keyframe


def test_what_a_frame_was_in_its_file_does_not_matter() -> None:
    pictures = frames(10)
    for frame in pictures:
        frame.pict_type = av.video.frame.PictureType.I
    packets = encode_all(H264Encoder(), pictures, {0})
    assert [packet.keyframe for packet in packets] == [True] + [False] * 9


def test_a_change_of_size_begins_with_a_key_frame() -> None:
    encoder = H264Encoder()
    small, large = frames(3), frames(6, 640, 360)[3:]
    packets = encode_all(encoder, small + large, {0})
    assert [packet.keyframe for packet in packets] == [True, False, False, True, False, False]
    decoder = av.CodecContext.create("h264", "r")
    sizes = [frame.width for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    assert sizes == [320] * 3 + [640] * 3


def test_odd_sizes_and_other_formats_are_taken() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((91, 161, 3), np.uint8), format="rgb24")
    frame.pts, frame.time_base = 1, Fraction(1, 25)
    packet = H264Encoder().encode(frame, keyframe=True)
    assert packet is not None
    assert packet.pts == 3600
    (decoded,) = av.CodecContext.create("h264", "r").decode(av.Packet(packet.data))
    assert (decoded.width, decoded.height) == (160, 90)


def test_a_frame_whose_time_stands_still_is_skipped() -> None:
    encoder = H264Encoder()
    first, second, third = frames(3)
    second.pts = first.pts
    assert [encoder.encode(frame, False) is None for frame in (first, second, third)] == [False, True, False]


def test_the_bit_rate_is_held() -> None:
    noise = np.random.default_rng(7)
    encoder, size = H264Encoder(bit_rate=1_000_000), 0
    for number in range(60):
        picture = noise.integers(0, 255, (270, 320), np.uint8)  # cannot be predicted
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 3000, VIDEO_CLOCK
        packet = encoder.encode(frame, False)
        size += len(packet.data) if packet else 0
    assert size * 8 / 2 < 1_600_000  # with half a second of buffer to begin with


def test_a_frame_without_time_is_an_error() -> None:
    frame = av.VideoFrame(160, 90, "yuv420p")
    with pytest.raises(ValueError, match="timestamp"):
        H264Encoder().encode(frame, False)


def test_requests_close_together_make_one_key_frame_and_none_is_lost() -> None:
    gate = KeyframeGate(interval=4.0, hold_off=0.3)
    assert gate.due(0.0)
    assert not gate.due(0.033)
    gate.request()
    gate.request()
    assert not gate.due(0.2)
    assert gate.due(0.31)
    assert not gate.due(0.7)
    gate.request()
    assert gate.due(0.733)


def test_a_key_frame_comes_unasked_every_few_seconds() -> None:
    gate = KeyframeGate(interval=4.0)
    assert [second for second in range(13) if gate.due(float(second))] == [0, 4, 8, 12]
