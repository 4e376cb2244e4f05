"""A webcam that makes H.264: passed on as it is, decoded for who wants pictures, healed when unplugged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import av
import pytest
from h264_camera import GOP, H264Camera, clip, h264_camera, luma, psnr, running_apart
from luxxon_webcam.h264 import ParameterSets
from luxxon_webcam.webcam import WebcamConfig, WebcamType

from luxxon_core.rtp.nal import split_annex_b
from luxxon_core.source import EncodedPacket, MediaProfile, SourceConfigError, SynchronizationPoint
from luxxon_core.testing import SourceConformance
from luxxon_core.testing.conformance import take

TYPE = WebcamType(input_format="h264")
WAIT = 20


@pytest.fixture
async def camera() -> AsyncIterator[H264Camera]:
    async with h264_camera() as running:
        yield running


def config(camera: H264Camera, **more: str) -> WebcamConfig:
    return WebcamConfig(device=camera.url, **more)  # type: ignore[arg-type]


def kinds(packet: EncodedPacket) -> list[int]:
    return [unit[0] & 31 for unit in split_annex_b(packet.data)]


class TestConformance(SourceConformance):
    source_type = TYPE
    bad_configs = (WebcamConfig(device="/nonexistent.h264"),)

    @pytest.fixture(autouse=True)
    def _camera(self) -> Iterator[None]:
        """In a loop and a thread of its own: the suite's checks each run a loop to its end."""
        with running_apart() as url:
            type(self).config = WebcamConfig(device=url)
            yield


async def test_its_own_packets_are_offered_first_and_pictures_too(camera: H264Camera) -> None:
    async with await TYPE.open(config(camera)) as source:
        assert [(one.codec, one.width, one.height) for one in source.media_profiles()] == [
            ("h264", 320, 180),
            ("raw", 320, 180),
        ]
        assert isinstance(source, SynchronizationPoint)
        await source.set_synchronization_point(source.media_profiles()[0])
    async with await TYPE.open(config(camera, encoding="h264")) as source:
        assert source.media_profiles()[0].encoded


async def test_packets_are_the_cameras_bytes_with_parameter_sets_before_every_idr(camera: H264Camera) -> None:
    units, pictures = clip()
    async with await TYPE.open(config(camera)) as source:
        packets = await asyncio.wait_for(take(source.packets(source.media_profiles()[0]), 2 * GOP + 1), WAIT)
    assert [packet.keyframe for packet in packets] == [number % GOP == 0 for number in range(2 * GOP + 1)]
    for packet in packets:
        assert kinds(packet)[:2] == [7, 8] if packet.keyframe else 7 not in kinds(packet)
        pictured = [unit for unit in split_annex_b(packet.data) if unit[0] & 31 in (1, 5)]
        assert any(
            pictured == [one for one in split_annex_b(unit) if one[0] & 31 in (1, 5)] for unit in units
        )
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    assert len(frames) >= len(packets) - 1
    assert all(psnr(luma(frame), pictures) == float("inf") for frame in frames)


async def test_pictures_are_decoded_from_a_key_frame_on(camera: H264Camera) -> None:
    """Also for who comes later, when nobody has been looking for a while."""
    _, pictures = clip()
    async with await TYPE.open(config(camera)) as source:
        for profile in (*source.media_profiles(), source.media_profiles()[1]):
            frames = await asyncio.wait_for(take(source.frames(profile), 4), WAIT)
            assert all(psnr(luma(frame), pictures) == float("inf") for frame in frames)
            await asyncio.sleep(0.2)


async def test_packets_and_pictures_at_once(camera: H264Camera) -> None:
    async with await TYPE.open(config(camera)) as source:
        encoded, raw = source.media_profiles()
        packets, frames = await asyncio.wait_for(
            asyncio.gather(take(source.packets(encoded), 20), take(source.frames(raw, max_width=64), 5)), WAIT
        )
        assert (len(packets), frames[0].width) == (20, 64)
        with pytest.raises(SourceConfigError):
            await take(source.packets(raw), 1)
        with pytest.raises(SourceConfigError):
            await take(source.packets(MediaProfile("other", "h264", 320, 180, 30)), 1)


async def test_a_cable_that_is_pulled_and_put_back(camera: H264Camera) -> None:
    async with (
        await TYPE.open(config(camera)) as source,
        aclosing(source.packets(source.media_profiles()[0])) as packets,
    ):
        before = await asyncio.wait_for(take_from(packets, 10), WAIT)
        camera.unplug()
        await until(lambda: source.health().last_error)
        assert camera.url in str(source.health().last_error)
        camera.plugged = True
        after = [before[-1]]
        async with asyncio.timeout(WAIT):
            while len(after) < 3 or after[-2].pts - after[-3].pts < 0.3 * 90_000:  # and one more
                after.append(await anext(packets))
        assert after[-2].keyframe
        assert kinds(after[-2])[:2] == [7, 8]
        times = [packet.pts for packet in (*before, *after[1:])]
        assert sorted(set(times)) == times
        assert source.health().reconnects >= 1


async def test_a_camera_without_h264_says_so() -> None:
    wanted = WebcamConfig(device="testsrc2=size=160x90:rate=30,realtime", encoding="h264")
    with pytest.raises(SourceConfigError):
        await WebcamType(input_format="lavfi").open(wanted)


# -- bytes ------------------------------------------------------------------------------------------------


SPS, PPS, IDR, P, AUD, SEI = (bytes([0x60 | kind, 1, 2, 3]) for kind in (7, 8, 5, 1, 9, 6))


def stream(*units: bytes, start: bytes = b"\0\0\0\1") -> bytes:
    return b"".join(start + unit for unit in units)


def test_parameter_sets_go_in_front_and_behind_the_delimiter() -> None:
    sets = ParameterSets()
    assert sets.access_unit(stream(IDR)) is None, "nobody could decode it"
    assert sets.access_unit(stream(SPS, PPS)) is None, "there is no picture in it"
    found = sets.access_unit(stream(AUD, SEI, IDR, start=b"\0\0\1"))
    assert found is not None
    assert found.keyframe
    assert found.data == stream(AUD, SPS, PPS, SEI, IDR)
    whole = stream(SPS, PPS, IDR)
    assert (sets.access_unit(whole) or found).data == whole
    assert (sets.access_unit(stream(P)) or found).keyframe is False
    newer = bytes([0x67, 9, 9])
    assert sets.access_unit(stream(newer, PPS)) is None
    assert newer in split_annex_b((sets.access_unit(stream(IDR)) or found).data)


def test_what_is_no_byte_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="Annex B"):
        ParameterSets().access_unit(b"\0\0\0\x20" + IDR)


# -- waiting ----------------------------------------------------------------------------------------------


async def take_from(packets: AsyncIterator[EncodedPacket], count: int) -> list[EncodedPacket]:
    return [await anext(packets) for _ in range(count)]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not true():
            await asyncio.sleep(0.02)
