"""From a camera through the publisher, the embedded edge and WHEP to a viewer's picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import av
import pytest
from luxxon_rtsp_ptz.source_type import RtspType

from luxxon_core.client.whep import WhepViewer
from luxxon_core.operator.publisher import Publisher, PublishState
from luxxon_core.source import Source
from tests.plugins.rtsp_ptz.camera_clips import CameraClip
from tests.plugins.rtsp_ptz.conftest import PASSWORD, Cameras

pytestmark = pytest.mark.alone

Clips = Callable[..., CameraClip]
Until = Callable[..., Awaitable[None]]


@asynccontextmanager
async def published(edge: Any, until: Until, source: Source) -> AsyncIterator[tuple[Publisher, WhepViewer]]:
    live_input = await edge.create()
    publisher, viewer = Publisher(source), WhepViewer()
    task = asyncio.create_task(publisher.publish(live_input.whip_url))
    try:
        await until(lambda: edge.publishers)
        await asyncio.wait_for(viewer.open(live_input.whep_url), 10)
        yield publisher, viewer
    finally:
        await viewer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def frames_of(viewer: WhepViewer, count: int, seconds: float = 15) -> list[av.VideoFrame]:
    async with asyncio.timeout(seconds):
        return [await viewer.frame() for _ in range(count)]


async def test_the_viewer_sees_the_very_pictures_of_the_camera(
    edge: Any, until: Until, rtsp_camera: Cameras, clips: Clips
) -> None:
    clip = clips(width=1280, height=720, rate=30, bit_rate=1_500_000, gop=30, count=60)
    async with (
        rtsp_camera(clip, password=PASSWORD) as camera,
        await RtspType().open(camera.settings()) as source,
        published(edge, until, source) as (publisher, viewer),
    ):
        frames = await frames_of(viewer, 40)
        assert publisher.status.copied
        assert publisher.status.reconnects == 0
    assert all(clip.psnr(frame) == float("inf") for frame in frames)


@pytest.mark.parametrize("properties", [{"codec": "libx265"}, {"b_frames": 2}], ids=["h265", "b-frames"])
async def test_what_has_to_be_encoded_again_still_shows_the_same(
    edge: Any, until: Until, rtsp_camera: Cameras, clips: Clips, properties: dict[str, Any]
) -> None:
    clip = clips(**properties)
    async with (
        rtsp_camera(clip) as camera,
        await RtspType().open(camera.settings()) as source,
        published(edge, until, source) as (publisher, viewer),
    ):
        frames = await frames_of(viewer, 30)
        assert not publisher.status.copied
    assert min(clip.psnr(frame) for frame in frames) > 30


async def test_the_viewer_goes_on_seeing_a_camera_that_was_off(
    edge: Any, until: Until, rtsp_camera: Cameras, clips: Clips
) -> None:
    clip = clips()
    async with (
        rtsp_camera(clip, password=PASSWORD) as camera,
        await RtspType().open(camera.settings()) as source,
        published(edge, until, source) as (publisher, viewer),
    ):
        await frames_of(viewer, 5)
        await camera.off()
        await asyncio.sleep(2)
        await camera.on()
        frames = await frames_of(viewer, 10)
        assert publisher.status.state is PublishState.PUBLISHING
        assert publisher.status.reconnects == 0
        assert source.health().reconnects == 1
    assert all(clip.psnr(frame) == float("inf") for frame in frames)
