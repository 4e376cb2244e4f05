"""The microphone of a webcam: on request, in Opus, open only while somebody listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import pairwise

import av
import numpy as np
import pytest
from luxxon_webcam import microphone
from luxxon_webcam.webcam import WebcamConfig, WebcamSource, WebcamType

from luxxon_core.source import AudioPacket, AudioSource, SourceConfigError
from luxxon_core.testing import SourceConformance
from luxxon_core.testing.conformance import take

TYPE = WebcamType(input_format="lavfi", sound_format="lavfi")
CAMERA = "testsrc2=size=160x90:rate=30,realtime"
TONE = "sine=frequency=440:sample_rate=44100,arealtime"
WAIT = 15


def config(sound: str = TONE) -> WebcamConfig:
    return WebcamConfig(device=CAMERA, microphone=sound)


class TestConformance(SourceConformance):
    source_type = TYPE
    config = WebcamConfig(device=CAMERA, microphone=TONE)
    bad_configs = (WebcamConfig(device="no_such_filter", microphone=TONE),)


def listening() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "microphone"]


async def silence() -> None:
    async with asyncio.timeout(WAIT):
        while listening():
            await asyncio.sleep(0.02)


def frequency(packets: list[AudioPacket]) -> float:
    """The loudest one that a decoder hears, Hz."""
    decoder = av.CodecContext.create("libopus", "r")
    frames = [frame for one in packets for frame in decoder.decode(av.Packet(one.data))]
    left = [frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0] for frame in frames]
    wave = np.concatenate(left)[4800:].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * 48_000 / len(wave))


async def test_a_tone_is_heard_in_packets_of_20_ms() -> None:
    async with await TYPE.open(config()) as source:
        assert isinstance(source, AudioSource)
        packets = await asyncio.wait_for(take(source.audio_packets(), 60), WAIT)
        video = await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), WAIT)
    assert {one.codec for one in packets} == {"opus"}
    assert {b.pts - a.pts for a, b in pairwise(packets)} == {960}
    assert abs(frequency(packets) - 440) < 10
    assert len(video) == 3


async def test_without_a_microphone_there_is_no_sound() -> None:
    async with await TYPE.open(WebcamConfig(device=CAMERA)) as source:
        assert not isinstance(source, AudioSource)
        assert isinstance(source, WebcamSource)


async def test_it_is_open_only_while_somebody_listens() -> None:
    async with await TYPE.open(config()) as source:
        assert isinstance(source, AudioSource)
        await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), WAIT)
        assert not listening()
        for _ in range(3):
            both = await asyncio.wait_for(
                asyncio.gather(take(source.audio_packets(), 5), take(source.audio_packets(), 5)), WAIT
            )
            assert [len(one) for one in both] == [5, 5]
        await silence()
        async with aclosing(source.audio_packets()) as packets:
            await asyncio.wait_for(anext(packets), WAIT)
            assert len(listening()) == 1
    assert not listening()


async def test_one_that_is_unplugged_is_opened_again() -> None:
    """The device ends after a second; what follows is later by at least the pause."""
    async with await TYPE.open(config(TONE + ",atrim=duration=1")) as source:
        assert isinstance(source, AudioSource)
        packets = await asyncio.wait_for(take(source.audio_packets(), 80), WAIT)
        assert "microphone stopped" in str(source.health().last_error)
    gaps = [b.pts - a.pts for a, b in pairwise(packets)]
    assert min(gaps) == 960
    assert max(gaps) > 0.4 * 48_000


@pytest.mark.parametrize("device", ["no_such_filter", CAMERA])
async def test_one_that_is_not_there_is_named_and_the_picture_goes_on(device: str) -> None:
    async with await TYPE.open(config(device)) as source:
        assert isinstance(source, AudioSource)
        with pytest.raises(SourceConfigError if device == CAMERA else Exception) as caught:
            await asyncio.wait_for(take(source.audio_packets(), 1), WAIT)
        assert "camera" not in str(caught.value)
        assert len(await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), WAIT)) == 3


async def test_an_input_that_this_ffmpeg_lacks() -> None:
    lacking = WebcamType(input_format="lavfi", sound_format="no_such_input")
    async with await lacking.open(config()) as source:
        assert isinstance(source, AudioSource)
        with pytest.raises(SourceConfigError, match="no_such_input"):
            await asyncio.wait_for(take(source.audio_packets(), 1), WAIT)


async def test_a_driver_that_answers_oddly_does_not_hang_its_listeners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> bool:
        raise ValueError("odd")

    monkeypatch.setattr(microphone.Microphone, "_read", read)
    async with await TYPE.open(config()) as source:
        assert isinstance(source, AudioSource)
        packets = source.audio_packets()
        assert isinstance(packets, AsyncGenerator)
        asking = asyncio.create_task(take(packets, 1))
        await until(lambda: "ValueError" in str(source.health().last_error))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not true():
            await asyncio.sleep(0.02)
