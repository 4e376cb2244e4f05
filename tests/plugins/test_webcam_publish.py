"""From a webcam through WHIP and the edge to a viewer: copied where the camera encodes, else encoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
import pytest
from h264_camera import Picture, clip, h264_camera, luma, psnr
from luxxon_webcam.webcam import WebcamConfig, WebcamType
from running_edge import RunningEdge, running_edge

from luxxon_core.client.whep import WhepViewer
from luxxon_core.operator.publisher import Publisher, PublishStatus
from luxxon_core.source import Source

pytestmark = pytest.mark.alone

SECONDS = 20


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with running_edge() as running:
        yield running


@asynccontextmanager
async def watched(edge: RunningEdge, source: Source) -> AsyncIterator[tuple[Publisher, WhepViewer]]:
    live_input = await edge.create()
    publisher, viewer = Publisher(source), WhepViewer()
    publishing = asyncio.create_task(publisher.publish(live_input.whip_url))
    try:
        async with asyncio.timeout(SECONDS):
            while not edge.publishers:
                await asyncio.sleep(0.02)
            await viewer.open(live_input.whep_url)
        yield publisher, viewer
    finally:
        await viewer.close()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def seen(viewer: WhepViewer, count: int) -> list[av.VideoFrame]:
    async with asyncio.timeout(SECONDS):
        return [await viewer.frame() for _ in range(count)]


async def test_what_the_camera_encodes_arrives_untouched(edge: RunningEdge) -> None:
    _, pictures = clip()
    async with h264_camera() as camera:
        config = WebcamConfig(device=camera.url)
        async with (
            await WebcamType(input_format="h264").open(config) as source,
            watched(edge, source) as (publisher, viewer),
        ):
            frames = await seen(viewer, 30)
            assert publisher.status.copied
    assert all(psnr(luma(frame), pictures) == float("inf") for frame in frames)


async def test_a_cable_that_is_pulled_in_the_middle(edge: RunningEdge) -> None:
    _, pictures = clip()
    async with h264_camera() as camera:
        config = WebcamConfig(device=camera.url)
        async with (
            await WebcamType(input_format="h264").open(config) as source,
            watched(edge, source) as (publisher, viewer),
        ):
            await seen(viewer, 5)
            camera.unplug()
            await asyncio.sleep(1.5)
            camera.plugged = True
            status: PublishStatus = publisher.status
            async with asyncio.timeout(SECONDS):
                while source.health().reconnects == 0:
                    await viewer.frame()
            frames = await seen(viewer, 20)
            assert source.health().reconnects == 1
            assert publisher.status.frames > status.frames
    good = [frame for frame in frames if psnr(luma(frame), pictures) == float("inf")]
    assert len(good) >= 18, "at most what was decoded around the gap may differ"


async def test_what_the_camera_does_not_encode_arrives_as_it_was_seen(edge: RunningEdge) -> None:
    graph = "testsrc2=size=320x180:rate=30"
    references: list[Picture] = []
    with av.open(f"{graph}:duration=12", format="lavfi") as container:
        references = [luma(frame.reformat(format="yuv420p")) for frame in container.decode(video=0)]
    async with (
        await WebcamType(input_format="lavfi").open(WebcamConfig(device=f"{graph},realtime")) as source,
        watched(edge, source) as (publisher, viewer),
    ):
        frames = await seen(viewer, 30)
        assert not publisher.status.copied
        stats = viewer.stats()
    assert min(psnr(luma(frame), references) for frame in frames[-10:]) > 32
    assert psnr(255 - luma(frames[-1]), references) < 15, "a foreign picture must not pass"
    assert stats.frame_age_ms is not None
    assert stats.frame_age_ms < 500, "encoded without delay"
