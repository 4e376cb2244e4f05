"""The vehicle's video: parameter sets, times, faults; and published for real, to a viewer's picture."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxxon_drone import video
from luxxon_drone.config import DroneConfig, VideoAddress, parse_video
from luxxon_drone.drone import DroneType
from luxxon_drone.h264 import ParameterSets, Timeline
from luxxon_drone.source import DroneSource
from relays import LossyRadio, RtspRelay
from rtp_camera import RtpCamera, psnr
from simulated_vehicle import SimulatedVehicle
from whip_whep import publishing, watching

from luxxon_core.operator.publisher import PublishState
from luxxon_core.rtp.nal import split_annex_b
from luxxon_core.source import HealthState, SourceAuthError, SourceConfigError, SourceNotReady
from luxxon_core.testing.conformance import take

pytestmark = pytest.mark.alone

Until = Callable[..., Awaitable[None]]

SPS, PPS, IDR, SLICE, AUD, SEI = b"\x67s", b"\x68p", b"\x65i", b"\x41s", b"\x09\xf0", b"\x06e"


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def test_parameter_sets_go_before_every_key_frame() -> None:
    sets = ParameterSets()
    assert sets.complete(annex_b(SLICE)) is None  # of a picture that nobody has seen
    assert sets.complete(annex_b(IDR)) is None  # nobody could decode it
    assert sets.complete(annex_b(SPS, PPS)) is None
    assert sets.complete(annex_b(IDR)) == (annex_b(SPS, PPS, IDR), True)
    assert sets.complete(annex_b(AUD, IDR)) == (annex_b(AUD, SPS, PPS, IDR), True)
    assert sets.complete(annex_b(SLICE)) == (annex_b(SLICE), False)
    assert sets.complete(annex_b(SEI)) is None
    whole = annex_b(b"\x67t", b"\x68q", IDR)
    assert sets.complete(whole) == (whole, True)
    assert sets.complete(annex_b(IDR)) == (annex_b(b"\x67t", b"\x68q", IDR), True)


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-(2**40), 2**40)), st.floats(0, 60)), max_size=50))
def test_times_always_rise_and_keep_to_the_clock(steps: list[tuple[int | None, float]]) -> None:
    timeline, arrival, last = Timeline(), 0.0, -1
    for pts, pause in steps:
        arrival += pause
        stamped = timeline.stamp(pts, Fraction(1, 90_000), arrival)
        assert stamped > last
        last = stamped
    assert last / 90_000 <= arrival + 2.0 * len(steps) + 1


def test_a_camera_that_starts_anew_goes_on_where_it_was() -> None:
    timeline = Timeline()
    stamps = [timeline.stamp(n * 3000, Fraction(1, 90_000), n / 30) for n in range(5)]
    stamps += [timeline.stamp(2**33 - 9 + n * 3000, Fraction(1, 90_000), (5 + n) / 30) for n in range(5)]
    stamps += [timeline.stamp(n * 3000, Fraction(1, 90_000), (10 + n) / 30) for n in range(5)]
    assert [b - a for a, b in pairwise(stamps)] == [3000] * 14


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5600", VideoAddress(host="0.0.0.0", port=5600)),
        ("udp://5600", VideoAddress(host="0.0.0.0", port=5600)),
        ("udp://@:5600", VideoAddress(host="0.0.0.0", port=5600)),
        ("udp://239.1.2.3:5600", VideoAddress(host="239.1.2.3", port=5600)),
        ("udp://[::1]:5600", VideoAddress(host="::1", port=5600)),
        ("rtsp://192.0.2.4:8554/main", VideoAddress(url="rtsp://192.0.2.4:8554/main")),
    ],
)
def test_addresses_of_video(text: str, expected: VideoAddress) -> None:
    assert parse_video(text) == expected
    assert "192.0.2.4" not in repr(parse_video(text))


@asynccontextmanager
async def drone_with(port: int, udp_port: Any, **fields: Any) -> AsyncIterator[DroneSource]:
    with SimulatedVehicle.udp(udp_port(1), video_uri=str(port)) as vehicle:
        settings = DroneConfig(link=f"udpin:127.0.0.1:{vehicle.wire._peer[1]}", **fields)
        async with await asyncio.wait_for(DroneType().open(settings), 20) as drone:
            yield drone


async def test_headers_sent_once_are_repeated(udp_port: Any) -> None:
    """As from a camera that puts them into one key frame of three."""
    with RtpCamera(udp_port(2), headers_every=3, gop=5) as camera:
        async with drone_with(camera.port, udp_port) as drone:
            packets = await take(drone.packets(drone.media_profiles()[0]), 20)
    assert sum(packet.keyframe for packet in packets) == 4
    for packet in packets:
        kinds = {unit[0] & 31 for unit in split_annex_b(packet.data)}
        assert ({5, 7, 8} <= kinds) == packet.keyframe
    steps = [later.pts - earlier.pts for earlier, later in pairwise(packets)]
    assert all(step == 3000 for step in steps)


async def test_after_a_loss_nothing_is_shown_before_a_whole_key_frame(udp_port: Any) -> None:
    """3 % of the packets: what is passed on is the picture that was sent, in order; the rest is left out."""
    through, port = udp_port(2), udp_port(2)
    with LossyRadio(through, port, 0.03) as radio, RtpCamera(through, gop=10):
        async with drone_with(port, udp_port) as drone:
            (profile,) = drone.media_profiles()
            packets, frames = await asyncio.wait_for(
                asyncio.gather(take(drone.packets(profile), 60), take(drone.frames(profile), 60)), 30
            )
            health = drone.health()
    assert radio.lost > 0
    assert health.state is HealthState.OK
    assert "packets were lost" in health.warnings[0]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    shown = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    assert len(shown) == len(packets)
    assert min(psnr(frame) for frame in [*frames, *shown]) > 30
    for media in (packets, frames):
        times = [one.pts for one in media]
        assert times == sorted(set(times))
    # What was left out is a gap in the times; what follows one is a key frame.
    gaps = [after for before, after in pairwise(packets) if after.pts - before.pts > 4500]
    assert gaps
    assert all(packet.keyframe for packet in gaps)


async def test_video_of_which_nothing_comes_whole_is_told(
    udp_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "LOST_SECONDS", 1.0)
    through, port = udp_port(2), udp_port(2)
    with LossyRadio(through, port, 0.0) as radio, RtpCamera(through, gop=10):
        async with drone_with(port, udp_port) as drone:
            (profile,) = drone.media_profiles()
            packets = drone.packets(profile)
            await anext(packets)
            radio.loss = 0.8
            with pytest.raises(SourceNotReady, match="no whole key frame"):
                async with asyncio.timeout(10):
                    async for _ in packets:
                        pass
            assert drone.health().state is HealthState.FAILED
            radio.loss = 0.0
            again = await asyncio.wait_for(take(drone.packets(profile), 3), 15)
            assert again[0].keyframe
            assert drone.health().state is HealthState.OK


async def test_rtsp_with_a_password(udp_port: Any) -> None:
    port = udp_port(2)
    with (
        RtspRelay(port, "s3cret@/:") as relay,
        RtpCamera(port),
        SimulatedVehicle.udp(
            udp_port(1), video_uri=f"rtsp://127.0.0.1:{relay.port}/main", video_type=0
        ) as vehicle,
    ):
        link = f"udpin:127.0.0.1:{vehicle.wire._peer[1]}"
        login = {"video_username": "pilot", "video_password": "s3cret@/:"}
        async with await DroneType().open(DroneConfig(link=link, **login)) as drone:
            (profile,) = drone.media_profiles()
            assert (profile.codec, profile.width) == ("h264", 320)
            packets, frames = await asyncio.gather(
                take(drone.packets(profile), 20), take(drone.frames(profile), 10)
            )
            assert packets[0].keyframe
            assert min(psnr(frame) for frame in frames) > 30
            async with aclosing(drone.packets(profile)) as again, asyncio.timeout(15):
                await anext(again)
                relay.hang_up()
                while relay.sessions < 2:
                    await anext(again)
                while not (await anext(again)).keyframe:
                    pass
            assert "s3cret" not in repr(drone.health())
        with pytest.raises(SourceAuthError) as caught:
            await DroneType().open(DroneConfig(link=link, video_username="pilot", video_password="guess"))
        assert "guess" not in caught.value.message
        with pytest.raises(SourceConfigError, match="no such stream"):
            await DroneType().open(
                DroneConfig(link=link, video=f"rtsp://127.0.0.1:{relay.port}/other", **login)
            )


async def test_b_frames_are_encoded_again_with_a_warning(udp_port: Any) -> None:
    with RtpCamera(udp_port(2), b_frames=2) as camera:
        async with drone_with(camera.port, udp_port) as drone:
            (profile,) = drone.media_profiles()
            assert profile.codec == "raw"
            assert "B-frames" in drone.health().warnings[0]
            with pytest.raises(SourceConfigError, match="B-frames"):
                await take(drone.packets(profile), 1)
            frames = await take(drone.frames(profile), 10)
            assert all(psnr(frame) > 30 for frame in frames)
            times = [frame.pts for frame in frames]
            assert times == sorted(set(times))


async def test_a_video_that_stops_is_told_and_comes_back(
    udp_port: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "LOST_SECONDS", 1.0)
    monkeypatch.setattr(video, "READ_SECONDS", 1.0)
    with RtpCamera(udp_port(2)) as camera:
        async with drone_with(camera.port, udp_port) as drone:
            (profile,) = drone.media_profiles()
            packets = drone.packets(profile)
            await anext(packets)
            camera.paused.set()
            with pytest.raises(SourceNotReady, match="no video comes"):
                async with asyncio.timeout(10):
                    async for _ in packets:
                        pass
            assert drone.health().state is HealthState.FAILED
            camera.paused.clear()
            again = await asyncio.wait_for(take(drone.packets(profile), 3), 15)
            assert again[0].keyframe
            assert drone.health().state is HealthState.OK
            assert drone.health().reconnects >= 1


async def test_a_camera_that_starts_anew_with_another_size_is_followed(
    udp_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "READ_SECONDS", 1.0)
    port = udp_port(2)
    first = RtpCamera(port)
    with first:
        async with drone_with(port, udp_port) as drone:
            (profile,) = drone.media_profiles()
            async with aclosing(drone.packets(profile)) as packets, asyncio.timeout(30):
                decoder, sizes, pts = av.CodecContext.create("h264", "r"), set(), -1
                decoder.decode(av.Packet((await anext(packets)).data))
                await asyncio.to_thread(first.__exit__)
                with RtpCamera(port, size=(640, 360)):
                    while (640, 360) not in sizes:
                        packet = await anext(packets)
                        assert packet.pts > pts
                        pts = packet.pts
                        for frame in decoder.decode(av.Packet(packet.data)):
                            sizes.add((frame.width, frame.height))


async def test_no_video_at_all_is_not_ready_and_a_taken_port_is_named(
    udp_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "OPEN_SECONDS", 1.0)
    port = udp_port(2)
    with SimulatedVehicle.udp(udp_port(1), video_uri=str(port)) as vehicle:
        settings = DroneConfig(link=f"udpin:127.0.0.1:{vehicle.wire._peer[1]}")
        with pytest.raises(SourceNotReady, match="no video comes"):
            await DroneType().open(settings)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", port))
            with pytest.raises(SourceNotReady, match="another program receives there"):
                await DroneType().open(settings)  # the link was let go, too


async def test_an_address_of_the_sender_listens_everywhere(udp_port: Any) -> None:
    with RtpCamera(udp_port(2)) as camera:
        async with drone_with(camera.port, udp_port, video=f"udp://192.0.2.7:{camera.port}") as drone:
            assert await take(drone.packets(drone.media_profiles()[0]), 3)


async def test_the_viewer_sees_what_the_drone_sent(
    vehicle: SimulatedVehicle, edge: Any, until: Until
) -> None:
    """By packet copy through the edge; the silence of the vehicle ends it, its return brings it back."""
    settings = DroneConfig(link=f"udpin:127.0.0.1:{vehicle.wire._peer[1]}", link_timeout=1)
    live_input = await edge.create()
    async with (
        await asyncio.wait_for(DroneType().open(settings), 20) as drone,
        publishing(drone, live_input.whip_url) as (publisher, _),
    ):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer, asyncio.timeout(40):
            qualities = [psnr(await viewer.frame()) for _ in range(30)]
            assert min(qualities) > 30
            assert publisher.status.copied
            vehicle.silent.set()
            silent = time.monotonic()
            await until(lambda: publisher.status.state is not PublishState.PUBLISHING, 4)
            assert 0.5 < time.monotonic() - silent < 2.0
            assert "no heartbeat" in (publisher.status.last_error or "")
            await asyncio.sleep(0.5)  # what is under way arrives
            before = viewer.stats().frames
            await asyncio.sleep(1.0)
            assert viewer.stats().frames == before
            vehicle.silent.clear()
            await until(lambda: publisher.status.state is PublishState.PUBLISHING, 15)
            await until(lambda: viewer.stats().frames > before + 20, 15)
            await viewer.frame()
            assert psnr(await viewer.frame()) > 30
