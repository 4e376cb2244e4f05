"""The test card moves, keeps time, and its counter can be read from a decoded picture."""

from __future__ import annotations

import time
from contextlib import aclosing

import av
import numpy as np
import pytest
from luxxon_testcard import counter, testcard
from luxxon_testcard.render import Renderer

from luxxon_core.operator.encoder import H264Encoder
from luxxon_core.source import VIDEO_CLOCK, SourceConfigError
from luxxon_core.testing.conformance import take


@pytest.mark.parametrize("number", [0, 1, 0xABCDEF, counter.MODULO - 1])
@pytest.mark.parametrize("size", [(1280, 720), (320, 180), (96, 54)])
def test_the_counter_reads_back(number: int, size: tuple[int, int]) -> None:
    frame = Renderer(*size, "test").render(number, 0.0)
    assert counter.read_counter(frame) == number


def test_the_counter_survives_encoding_and_scaling() -> None:
    encoder, decoder = H264Encoder(bit_rate=300_000), av.CodecContext.create("h264", "r")
    renderer = Renderer(640, 360, "test")
    read = []
    for number in range(500, 530):
        frame = renderer.render(number, number / 30)
        frame.pts, frame.time_base = number * 3000, VIDEO_CLOCK
        packet = encoder.encode(frame, keyframe=False)
        assert packet is not None
        read += [
            counter.read_counter(decoded.reformat(width=256, height=144))
            for decoded in decoder.decode(av.Packet(packet.data))
        ]
    assert read == list(range(500, 530))


@pytest.mark.parametrize("luma", [0, 16, 128, 255])
def test_a_picture_without_a_counter_has_none(luma: int) -> None:
    assert counter.read_counter_luma(np.full((180, 320), luma, dtype=np.uint8)) is None


def test_every_frame_differs_in_more_than_its_counter() -> None:
    renderer = Renderer(320, 180, "test")
    above = [renderer.render(number, number / 30).to_ndarray()[: counter.strip_top(180)] for number in (7, 8)]
    assert np.count_nonzero(above[0] != above[1]) > 50


def test_pictures_do_not_smear() -> None:
    """A renderer that has drawn a thousand frames draws the next as a fresh one does."""
    used = Renderer(320, 180, "test")
    for number in range(1000):
        used.render(number, number / 30)
    fresh = Renderer(320, 180, "test").render(1000, 5.0)
    assert np.array_equal(used.render(1000, 5.0).to_ndarray(), fresh.to_ndarray())


async def test_frames_come_at_their_rate_and_all_readers_see_one_timeline() -> None:
    source = await testcard.TestcardType().open(testcard.TestcardConfig(width=160, height=90, fps=30))
    (profile,) = source.media_profiles()
    async with source, aclosing(source.frames(profile)) as full:
        numbers = []
        started = time.monotonic()
        async for frame in full:
            numbers.append(counter.read_counter(frame))
            if len(numbers) == 30:
                break
        assert time.monotonic() - started > 0.9
        (late,) = await take(source.frames(profile, max_width=64), 1)
        seen = counter.read_counter(late)
    assert all(number is not None for number in numbers)
    assert numbers == sorted(set(numbers), key=lambda number: number or 0)
    assert seen is not None
    assert seen >= (numbers[-1] or 0)


@pytest.mark.parametrize("field", [{"width": 641}, {"height": 0}, {"fps": 1000}, {"colour": "red"}])
def test_sizes_that_cannot_be_encoded_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        testcard.TestcardConfig.model_validate(field)


async def test_raw_frames_are_all_it_has() -> None:
    source = await testcard.TestcardType().open(testcard.TestcardConfig())
    with pytest.raises(SourceConfigError):
        await anext(source.packets(source.media_profiles()[0]))
