"""A viewer waits for a stream, notices when it dies, and comes back with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from structlog.testing import capture_logs

from luxxon_core.client.peer import EdgeUnreachable, Peer
from luxxon_core.client.whep import ViewerState, WhepViewer
from luxxon_core.kernel.errors import NotFound, VideoError
from luxxon_core.operator.publisher import Publisher
from luxxon_core.testing import FakeConfig, FakeSource

Until = Callable[..., Awaitable[None]]


@asynccontextmanager
async def publishing(url: str, config: FakeConfig | None = None) -> AsyncIterator[Publisher]:
    async with FakeSource(config or FakeConfig()) as source:
        publisher = Publisher(source)
        task = asyncio.create_task(publisher.publish(url))
        try:
            yield publisher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def viewer() -> AsyncIterator[WhepViewer]:
    viewer = WhepViewer(stall_seconds=0.5)
    yield viewer
    await viewer.close()


async def test_it_waits_for_a_publisher(edge: Any, until: Until, viewer: WhepViewer) -> None:
    live_input = await edge.create()
    opening = asyncio.create_task(viewer.open(live_input.whep_url))
    await until(lambda: viewer.stats().last_error)  # told to try again later
    assert not opening.done()
    async with publishing(live_input.whip_url):
        await asyncio.wait_for(opening, 10)
        await asyncio.wait_for(viewer.frame(), 5)
    assert viewer.state is ViewerState.LIVE


async def test_an_unknown_stream_is_an_error_at_once(edge: Any, viewer: WhepViewer) -> None:
    live_input = await edge.create()
    with pytest.raises(NotFound):
        await viewer.open(live_input.whep_url + "x")
    with pytest.raises(VideoError):
        await viewer.frame()


async def test_an_edge_that_is_not_there_is_an_error_at_once(viewer: WhepViewer) -> None:
    with pytest.raises(EdgeUnreachable):
        await viewer.open("http://127.0.0.1:1/whep/x")


async def test_a_dead_stream_is_noticed_and_comes_back(edge: Any, until: Until, viewer: WhepViewer) -> None:
    live_input = await edge.create()
    async with publishing(live_input.whip_url):
        await viewer.open(live_input.whep_url)
        await asyncio.wait_for(viewer.frame(), 5)
    await until(lambda: viewer.state is not ViewerState.LIVE)
    age = viewer.stats().frame_age_ms
    await until(lambda: (viewer.stats().frame_age_ms or 0) > (age or 0))
    frames = viewer.stats().frames
    async with publishing(live_input.whip_url):
        await until(lambda: viewer.stats().frames > frames + 5, 15)
        assert viewer.state is ViewerState.LIVE


async def test_a_camera_that_freezes_is_a_stall(edge: Any, until: Until, viewer: WhepViewer) -> None:
    """The connection is fine, and nothing comes."""
    live_input = await edge.create()
    async with publishing(live_input.whip_url, FakeConfig(fps=1)):
        await viewer.open(live_input.whep_url)
        await until(lambda: viewer.state is ViewerState.STALLED)
        await until(lambda: viewer.state is ViewerState.LIVE)


async def test_the_end_of_the_stream_ends_the_viewer(edge: Any, until: Until, viewer: WhepViewer) -> None:
    live_input = await edge.create()
    async with publishing(live_input.whip_url):
        await viewer.open(live_input.whep_url)
        await asyncio.wait_for(viewer.frame(), 5)
        await edge.delete(live_input)
        await until(lambda: viewer.state is ViewerState.ENDED)
        with pytest.raises(VideoError):
            async with asyncio.timeout(5):
                while True:
                    await viewer.frame()


async def test_closing_wakes_who_waits_and_leaves_the_edge(edge: Any, until: Until) -> None:
    live_input = await edge.create()
    async with publishing(live_input.whip_url, FakeConfig(fps=1)):
        viewer = WhepViewer()
        await viewer.open(live_input.whep_url)
        assert edge.viewers == 1

        async def watch() -> None:
            while True:
                await viewer.frame()

        watcher = asyncio.create_task(watch())
        await until(lambda: viewer.stats().frames)
        await viewer.close()
        await viewer.close()
        with pytest.raises(VideoError):
            await asyncio.wait_for(watcher, 5)
        assert edge.viewers == 0
        assert viewer.state is ViewerState.CLOSED


async def test_several_viewers_of_one_stream(edge: Any) -> None:
    live_input = await edge.create()
    viewers = [WhepViewer() for _ in range(4)]
    async with publishing(live_input.whip_url):
        try:
            await asyncio.gather(*(viewer.open(live_input.whep_url) for viewer in viewers))
            async with asyncio.timeout(10):
                frames = await asyncio.gather(*(viewer.frame() for viewer in viewers))
        finally:
            await asyncio.gather(*(viewer.close() for viewer in viewers))
    assert {(frame.width, frame.height) for frame in frames} == {(320, 180)}


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("coroutine raised StopIteration")])
async def test_an_answer_that_breaks_the_sdp_parser_is_an_error_at_once(
    viewer: WhepViewer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refuse(*_: object) -> None:
        raise error

    async def answer(*_: object) -> str:
        return "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 97\r\na=rtpmap:97 VP8/90000\r\n"

    monkeypatch.setattr(RTCPeerConnection, "setRemoteDescription", refuse)
    monkeypatch.setattr(Peer, "_post", answer)
    with pytest.raises(VideoError, match="unusable SDP answer"):
        await asyncio.wait_for(viewer.open("http://127.0.0.1:1/whep/x"), 5)


async def test_whatever_breaks_the_viewer_is_told_to_who_waits(
    viewer: WhepViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("http://127.0.0.1/whep/sesame")

    monkeypatch.setattr(Peer, "connect", fail)
    with capture_logs() as logs, pytest.raises(VideoError, match="ZeroDivisionError"):
        await asyncio.wait_for(viewer.open("http://127.0.0.1/whep/sesame"), 5)
    with pytest.raises(VideoError):
        await asyncio.wait_for(viewer.frame(), 5)
    assert "sesame" not in f"{logs} {viewer.stats()}"


async def test_closing_ends_an_open_that_still_waits(edge: Any, until: Until) -> None:
    live_input = await edge.create()
    viewer = WhepViewer()
    opening = asyncio.create_task(viewer.open(live_input.whep_url))
    await until(lambda: viewer.stats().last_error)
    await viewer.close()
    with pytest.raises(VideoError, match="closed"):
        await asyncio.wait_for(opening, 5)


async def test_cancelling_who_closes_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def connect(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            entered.set()
            await leave.wait()  # a DELETE that takes its time

    monkeypatch.setattr(Peer, "connect", connect)
    viewer = WhepViewer()
    opening = asyncio.create_task(viewer.open("http://127.0.0.1:1/whep/x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing = asyncio.create_task(viewer.close())
    await asyncio.wait_for(entered.wait(), 5)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 5)
    leave.set()
    with pytest.raises(VideoError):
        await asyncio.wait_for(opening, 5)
    assert viewer.state is ViewerState.CLOSED


async def test_the_burst_at_the_start_is_no_frame_rate(edge: Any, until: Until, viewer: WhepViewer) -> None:
    """Who joins gets at once what came since the last key frame; the camera still makes 30 a second."""
    live_input = await edge.create()
    async with publishing(live_input.whip_url) as publisher:
        await until(lambda: publisher.status.frames > 60)
        await viewer.open(live_input.whep_url)
        seen: set[float] = set()

        def settled() -> bool:
            seen.add(viewer.stats().fps)
            return viewer.stats().frames > 90 and viewer.stats().fps > 0

        await until(settled)
    assert max(seen) < 45
    assert 0.0 in seen
