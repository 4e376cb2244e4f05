"""What goes wrong with a camera in the middle of a session, and how its readers go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import av
import pytest
from luxxon_rtsp_ptz import camera as camera_module
from luxxon_rtsp_ptz.config import Transport
from luxxon_rtsp_ptz.source_type import RtspType
from pydantic import SecretStr

from luxxon_core.source import EncodedPacket, HealthState, SourceAuthError, SourceConfigError
from tests.plugins.rtsp_ptz.camera_clips import CameraClip
from tests.plugins.rtsp_ptz.conftest import PASSWORD, USER, Cameras

pytestmark = pytest.mark.alone

Clips = Callable[..., CameraClip]
Until = Callable[..., Awaitable[None]]


class Reader:
    """Reads packets in the background, and decodes them as a viewer would."""

    def __init__(self, packets: AsyncGenerator[EncodedPacket, None]) -> None:
        self.packets: list[EncodedPacket] = []
        self.error: Exception | None = None
        self._task = asyncio.create_task(self._read(packets))

    async def _read(self, packets: AsyncGenerator[EncodedPacket, None]) -> None:
        try:
            async with aclosing(packets):
                async for packet in packets:
                    self.packets.append(packet)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    async def more(self, count: int, seconds: float = 20.0) -> None:
        wanted = len(self.packets) + count
        async with asyncio.timeout(seconds):
            while len(self.packets) < wanted and self.error is None:
                await asyncio.sleep(0.02)
        assert self.error is None

    async def ended(self) -> Exception | None:
        await asyncio.wait_for(asyncio.shield(self._task), 20)
        return self.error

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def frames(self) -> list[av.VideoFrame]:
        decoder = av.CodecContext.create("h264", "r")
        return [frame for one in self.packets for frame in decoder.decode(av.Packet(one.data))]

    def increasing(self) -> bool:
        return all(earlier.pts < later.pts for earlier, later in pairwise(self.packets))


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
async def test_a_camera_that_was_off_is_read_again_by_the_same_readers(
    rtsp_camera: Cameras, clips: Clips, until: Until, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "READ_SECONDS", 1.5)
    clip = clips()
    async with (
        rtsp_camera(clip, password=PASSWORD) as camera,
        await RtspType().open(camera.settings(transport)) as source,
    ):
        reader = Reader(source.packets(source.media_profiles()[0]))
        frames = source.frames(source.media_profiles()[0])
        await reader.more(20)
        await anext(frames)
        await camera.off()
        await until(lambda: source.health().state is HealthState.FAILED)
        assert source.health().last_error
        before = len(reader.packets)
        await asyncio.sleep(1.0)
        await camera.on()
        await reader.more(20)
        assert clip.psnr(await anext(frames)) == float("inf")
        health = source.health()
        await frames.aclose()
        await reader.close()
    assert health.state is HealthState.OK
    assert health.reconnects == 1
    assert PASSWORD not in (health.last_error or "")
    assert reader.packets[before].keyframe
    assert reader.increasing()
    # The clock of the packets went on while the camera was off.
    assert reader.packets[before].pts - reader.packets[before - 1].pts > 90_000
    assert all(clip.psnr(frame) == float("inf") for frame in reader.frames())


async def test_a_camera_that_stops_sending_is_asked_again(
    rtsp_camera: Cameras, clips: Clips, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "READ_SECONDS", 1.0)
    async with (
        rtsp_camera(clips()) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        reader = Reader(source.packets(source.media_profiles()[0]))
        await reader.more(10)
        await camera.command("pause")
        await until(lambda: source.health().state is HealthState.FAILED)
        assert "no video" in (source.health().last_error or "")
        await camera.command("resume")
        await reader.more(20)
        await reader.close()
    assert reader.increasing()


async def test_a_password_changed_meanwhile_ends_it(
    rtsp_camera: Cameras, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "BACKOFF", (0.2, 0.4))
    clip = clips()
    async with (
        rtsp_camera(clip, password=PASSWORD) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        profile = source.media_profiles()[0]
        reader = Reader(source.packets(profile))
        frames = source.frames(profile)
        await anext(frames)
        await camera.off()
        camera.config["password"] = "another"
        await camera.on()
        assert isinstance(await reader.ended(), SourceAuthError)
        with pytest.raises(SourceAuthError):
            async with asyncio.timeout(10):
                async for _ in frames:
                    pass
        with pytest.raises(SourceAuthError):  # whoever comes later is told at once
            await asyncio.wait_for(anext(source.packets(profile)), 1)
        assert source.health().state is HealthState.FAILED


async def test_the_picture_changes_its_size(rtsp_camera: Cameras, clips: Clips, until: Until) -> None:
    small, large = clips(), clips(width=640, height=352, first=1000)
    async with (
        rtsp_camera(small, large) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        profile = source.media_profiles()[0]
        reader = Reader(source.packets(profile))
        frames = source.frames(profile)
        await reader.more(10)
        await anext(frames)
        await camera.command("clip 1")
        async with asyncio.timeout(10):
            async for frame in frames:
                if frame.width == 640:
                    break
        await frames.aclose()
        await reader.more(20)
        await until(lambda: source.media_profiles()[0].width == 640)
        # With the profile of before, as who publishes holds on to it.
        again = source.packets(profile)
        assert (await anext(again)).keyframe
        await again.aclose()
        await reader.close()
    assert large.psnr(frame) == float("inf")
    sizes = [(frame.width, frame.height) for frame in reader.frames()]
    assert sorted(set(sizes), key=sizes.index) == [(320, 192), (640, 352)]
    assert reader.increasing()


async def test_a_camera_that_begins_to_send_b_frames_has_to_be_opened_anew(
    rtsp_camera: Cameras, clips: Clips
) -> None:
    async with (
        rtsp_camera(clips(), clips(b_frames=2)) as camera,
        await RtspType().open(camera.settings()) as source,
    ):
        reader = Reader(source.packets(source.media_profiles()[0]))
        await reader.more(5)
        await camera.command("clip 1")
        error = await reader.ended()
        assert isinstance(error, SourceConfigError)
        assert "B-frames" in error.message
        assert not source.media_profiles()[0].encoded


async def test_what_is_lost_is_never_seen_broken(rtsp_camera: Cameras, clips: Clips) -> None:
    clip = clips(gop=10, bit_rate=1_500_000)
    async with (
        rtsp_camera(clip, loss=0.03, only="udp") as camera,
        await RtspType().open(camera.settings(Transport.UDP)) as source,
    ):
        reader = Reader(source.packets(source.media_profiles()[0]))
        frames = source.frames(source.media_profiles()[0])
        seen: list[av.VideoFrame] = []
        async with asyncio.timeout(40):
            async for frame in frames:
                seen.append(frame)
                if len(seen) >= 40:
                    break
        await frames.aclose()
        await reader.more(1)
        await reader.close()
        assert any("lost" in warning for warning in source.health().warnings)
    assert all(clip.psnr(frame) == float("inf") for frame in seen)
    assert all(clip.psnr(frame) == float("inf") for frame in reader.frames())
    assert reader.packets[0].keyframe
    assert reader.increasing()


async def test_a_loss_asks_an_onvif_camera_for_a_key_frame(
    rtsp_camera: Cameras, onvif_camera: Cameras, clips: Clips, until: Until
) -> None:
    from luxxon_rtsp_ptz.config import RtspConfig

    async with (
        rtsp_camera(clips(gop=50), loss=0.03, only="udp") as video,
        onvif_camera(stream_uri=video.url) as camera,
    ):
        config: dict[str, Any] = {"onvif": camera.address, "transport": "udp"}
        async with await RtspType().open(
            RtspConfig(username=USER, password=SecretStr(PASSWORD), **config)
        ) as source:
            asked = camera.synchronization_points
            reader = Reader(source.packets(source.media_profiles()[0]))
            await until(lambda: camera.synchronization_points >= asked + 2)
            await reader.close()
