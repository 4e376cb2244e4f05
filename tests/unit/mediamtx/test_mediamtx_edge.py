"""MediaMTX as an edge, against its control API on loopback: two secret paths, liveness by bytes, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from mediamtx_server import CREDENTIALS, MediaMtxServer, mediamtx_server

from luxxon_core.adapters import rest
from luxxon_core.adapters.mediamtx.edge import MediaMtx
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind

UP, DOWN = MediaEventKind.CONNECTED, MediaEventKind.DISCONNECTED


@dataclass
class Stage:
    server: MediaMtxServer
    edge: MediaMtx
    events: list[MediaEvent] = field(default_factory=list)

    async def becomes(self, *kinds: MediaEventKind) -> None:
        await until(lambda: [event.kind for event in self.events] == list(kinds))

    async def polls(self, count: int = 3) -> None:
        """Let it look a few times."""
        looked = self.server.calls.count("GET /v3/paths")
        await until(lambda: self.server.calls.count("GET /v3/paths") >= looked + count)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not true():
            await asyncio.sleep(0.01)


def connected_to(server: MediaMtxServer, name: str = "mediamtx-1") -> MediaMtx:
    return MediaMtx(
        api_url=server.url,
        public_url="https://media.test:8889/",
        rtsp_url="rtsp://127.0.0.1:8554",
        credentials=CREDENTIALS,
        name=name,
        poll_s=0.05,
    )


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(rest, "PAUSE_S", (0.01, 0.02))
    async with mediamtx_server() as server:
        stage = Stage(server, connected_to(server))
        await stage.edge.start()

        async def listen() -> None:
            async for event in stage.edge.events():
                stage.events.append(event)

        listening = asyncio.create_task(listen())
        yield stage
        await stage.edge.close()
        await asyncio.wait_for(listening, 5)


def path_of(url: str) -> str:
    return urlsplit(url).path.split("/")[1]


async def test_publishing_and_watching_are_two_secrets(stage: Stage) -> None:
    made = await stage.edge.create()
    publish, watch = path_of(made.whip_url), path_of(made.whep_url)
    assert made.whip_url == f"https://media.test:8889/{publish}/whip"
    assert made.whep_url == f"https://media.test:8889/{watch}/whep"
    assert publish != watch
    assert stage.server.paths[publish]["source"] == "publisher"
    # nobody can publish to a path that has a source
    assert stage.server.paths[watch]["source"] == f"rtsp://127.0.0.1:8554/{publish}"
    assert stage.edge.seen_from(made).whep_url == f"https://media.test:8889/{publish}/whep"

    await stage.edge.delete(made)
    assert stage.server.paths == {}
    await stage.edge.delete(made)


async def test_media_flow_while_bytes_come(stage: Stage) -> None:
    made = await stage.edge.create()
    stage.server.received[stage.server.published] = 0
    await stage.polls()
    assert stage.events == []  # connected, but nothing has come
    flowing = asyncio.create_task(flow(stage.server))
    await stage.becomes(UP)
    await stage.polls(20)
    stopping = utc_now()
    flowing.cancel()
    await stage.becomes(UP, DOWN)  # it hangs, and stays ready
    assert timedelta(seconds=1.5) < utc_now() - stopping < timedelta(seconds=3.5)
    assert abs(stage.events[1].at - stopping) < timedelta(seconds=0.5)
    flowing = asyncio.create_task(flow(stage.server))
    await stage.becomes(UP, DOWN, UP)
    flowing.cancel()
    del stage.server.received[stage.server.published]
    await stage.becomes(UP, DOWN, UP, DOWN)  # at once: the publisher has gone
    assert {event.uid for event in stage.events} == {made.uid}


async def flow(server: MediaMtxServer) -> None:
    while True:
        server.received[server.published] = server.received.get(server.published, 0) + 1200
        await asyncio.sleep(0.02)


async def test_a_server_that_does_not_answer_vouches_for_nothing(stage: Stage) -> None:
    await stage.edge.create()
    flowing = asyncio.create_task(flow(stage.server))
    await stage.becomes(UP)
    stage.server.gone = True
    await stage.becomes(UP, DOWN)
    assert not stage.edge.reachable
    stage.server.gone = False
    await stage.becomes(UP, DOWN, UP)
    assert stage.edge.reachable
    flowing.cancel()


async def test_a_restart_of_mediamtx_forgets_paths_and_they_are_made_again(stage: Stage) -> None:
    made = await stage.edge.create()
    before = dict(stage.server.paths)
    stage.server.paths.clear()
    await until(lambda: stage.server.paths == before)
    await stage.edge.delete(made)
    assert stage.server.paths == {}


async def test_a_path_that_is_not_made_again_costs_no_other_its_liveness(stage: Stage) -> None:
    lost = await stage.edge.create()
    stage.server.paths.clear()
    stage.server.refused = {path_of(lost.whip_url), path_of(lost.whep_url)}
    kept = await stage.edge.create()
    flowing = asyncio.create_task(flow(stage.server))
    await stage.becomes(UP)
    await asyncio.sleep(3)
    assert [(event.kind, event.uid) for event in stage.events] == [(UP, kept.uid)]
    assert stage.edge.reachable
    flowing.cancel()


async def test_a_restart_of_ours_restores_them(stage: Stage) -> None:
    made = await stage.edge.create()
    before = dict(stage.server.paths)
    await stage.edge.close()
    again = connected_to(stage.server)
    await again.restore(made)  # they are still there
    stage.server.paths.clear()
    await again.restore(made)  # MediaMTX was restarted as well
    assert stage.server.paths == before
    assert again.serving(utc_now() + timedelta(seconds=1)) == {made.uid: "mediamtx-1"}
    for foreign in (
        replace(made, edge="mediamtx-2"),
        replace(made, whip_url="https://example.com/sekret/whip"),
    ):
        with pytest.raises(VideoError) as refused:
            await again.restore(foreign)
        assert "sekret" not in str(refused.value)
    await again.close()


async def test_what_is_restored_while_mediamtx_is_down_is_made_when_it_is_back(stage: Stage) -> None:
    made = await stage.edge.create()
    before = dict(stage.server.paths)
    await stage.edge.close()
    stage.server.paths.clear()
    stage.server.gone = True
    again = connected_to(stage.server)
    await again.start()
    await again.restore(made)
    stage.server.gone = False
    await until(lambda: stage.server.paths == before)
    await again.close()


async def test_a_path_of_that_name_that_is_another_is_not_taken_for_ours(stage: Stage) -> None:
    made = await stage.edge.create()
    stage.server.paths[path_of(made.whep_url)]["source"] = "rtsp://127.0.0.1:8554/other"
    with pytest.raises(VideoError) as refused:
        await stage.edge.restore(made)
    assert refused.value.detail == "video:mediamtx:400"


async def test_a_live_input_that_is_half_made_is_taken_back(stage: Stage) -> None:
    def refuse() -> web.Response:
        return web.json_response({"status": "error", "error": "invalid source"}, status=400)

    def accept() -> web.Response:
        return web.json_response({"status": "ok"})

    stage.server.refusals = [accept, refuse, refuse]
    with pytest.raises(VideoError) as refused:
        await stage.edge.create()
    assert refused.value.detail == "video:mediamtx:400"
    assert stage.server.calls.count("DELETE /v3/config/paths/delete") == 2
    assert stage.edge.serving(utc_now() + timedelta(seconds=1)) == {}


async def test_many_paths_come_in_pages(stage: Stage) -> None:
    stage.server.page_size = 3
    made = [await stage.edge.create() for _ in range(5)]
    for live_input in made:
        stage.server.received[path_of(live_input.whip_url)] = 1
    await until(lambda: {event.uid for event in stage.events} == {one.uid for one in made})


async def test_errors_hold_no_secret(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = MediaMtx(
        api_url=stage.server.url, public_url="https://media.test", credentials=("luxxon", "guess-sekret")
    )
    with pytest.raises(VideoError) as refused:
        await wrong.create()
    assert refused.value.detail == "video:mediamtx:401"
    await wrong.close()
    gone = MediaMtx(api_url="http://127.0.0.1:9", public_url="https://media.test")
    with pytest.raises(VideoError) as unreachable:
        await gone.create()
    assert unreachable.value.detail == "video:mediamtx:unreachable"
    await gone.close()
    made = await stage.edge.create()
    stage.server.gone = True
    with pytest.raises(VideoError):
        await stage.edge.delete(made)
    await until(lambda: not stage.edge.reachable or not stage.edge.serving(utc_now()))
    written = capsys.readouterr()
    text = written.out + written.err + repr(refused.value) + repr(unreachable.value) + repr(made)
    assert "sekret" not in text
    assert path_of(made.whip_url) not in text
    assert path_of(made.whep_url) not in text


@pytest.mark.parametrize(
    "body", ["", "null", "[]", '{"items":{},"pageCount":1}', '{"items":[1,null],"pageCount":"x"}']
)
async def test_a_list_that_is_not_understood_counts_as_no_answer(stage: Stage, body: str) -> None:
    await stage.edge.create()
    stage.server.refusals = [lambda: web.Response(text=body, content_type="application/json")] * 2
    await until(lambda: not stage.edge.reachable)
    await until(lambda: stage.edge.reachable)


async def test_what_could_not_be_deleted_is_still_served(stage: Stage) -> None:
    """By a sweep that knows no more of it than its uid, and finds it again by what is served."""
    made = await stage.edge.create()
    named = LiveInput(made.uid, made.edge, "", "")
    stage.server.gone = True
    with pytest.raises(VideoError):
        await stage.edge.delete(named)
    stage.server.gone = False
    assert made.uid in stage.edge.serving(utc_now() + timedelta(minutes=1))
    await stage.edge.delete(named)
    assert stage.server.paths == {} and not stage.edge.serving(utc_now() + timedelta(minutes=1))


async def test_a_live_input_that_nobody_knows_is_deleted_without_a_call(stage: Stage) -> None:
    stage.server.calls.clear()
    await stage.edge.delete(LiveInput("0" * 32, "mediamtx-1", "", ""))
    await stage.edge.delete(LiveInput("0" * 32, "mediamtx-1", "https://edge.test/a", "https://edge.test/b"))
    assert not [call for call in stage.server.calls if call.startswith("DELETE")]
