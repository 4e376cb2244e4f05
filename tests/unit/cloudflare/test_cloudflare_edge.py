"""Cloudflare Stream as an edge, against its API on loopback: minted, ended, asked about, and out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from cloudflare_server import ACCOUNT, HOST, TOKEN, CloudflareServer, cloudflare_server, envelope, error

from luxxon_core.adapters import rest
from luxxon_core.adapters.cloudflare.edge import CloudflareStream
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import MediaEvent, MediaEventKind


@pytest.fixture
async def server() -> AsyncIterator[CloudflareServer]:
    async with cloudflare_server() as server:
        yield server


@pytest.fixture
async def edge(server: CloudflareServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CloudflareStream]:
    monkeypatch.setattr(rest, "PAUSE_S", (0.01, 0.02))
    edge = CloudflareStream(
        account_id=ACCOUNT, api_token=TOKEN, api_url=server.url, name="cloudflare-1", poll_s=0.05
    )
    yield edge
    await edge.close()


def later() -> datetime:
    return utc_now() + timedelta(seconds=1)


def answering(status: int, document: object = None, **headers: str) -> Callable[[], web.Response]:
    return lambda: web.json_response(document, status=status, headers=headers)


async def test_a_live_input_is_minted_without_a_recording_and_ended(
    server: CloudflareServer, edge: CloudflareStream
) -> None:
    made = await edge.create()
    assert made.edge == "cloudflare-1"
    assert made.whip_url.startswith(HOST)
    assert made.whip_url.endswith(f"k{made.uid}/webRTC/publish")
    assert made.whep_url == f"{HOST}/{made.uid}/webRTC/play"
    assert edge.serving(later()) == {made.uid: "cloudflare-1"}
    await edge.delete(made)
    assert server.inputs == {}
    await edge.delete(made)  # Cloudflare does not know it any more: fine
    assert server.calls == ["POST ", f"DELETE /{made.uid}", f"DELETE /{made.uid}"]
    assert edge.serving(later()) == {}


@pytest.mark.parametrize("status", [400, 500])
async def test_what_could_not_be_deleted_is_still_served(
    server: CloudflareServer, edge: CloudflareStream, status: int
) -> None:
    """It may cost money there: a sweep finds it by what is served."""
    made = await edge.create()
    server.refusals += [answering(status)] * rest.ATTEMPTS
    with pytest.raises(VideoError):
        await edge.delete(made)
    assert edge.serving(later()) == {made.uid: "cloudflare-1"}
    server.refusals.clear()
    await edge.delete(made)
    assert server.inputs == {} and edge.serving(later()) == {}


async def test_what_changes_nothing_twice_is_tried_again(
    server: CloudflareServer, edge: CloudflareStream
) -> None:
    made = await edge.create()
    server.refusals = [answering(502), answering(500, error(10000, "internal"))]
    await edge.delete(made)
    assert server.calls.count(f"DELETE /{made.uid}") == 3
    assert server.inputs == {}


async def test_a_live_input_is_not_minted_twice_over_an_error_that_leaves_it_open(
    server: CloudflareServer, edge: CloudflareStream
) -> None:
    server.refusals = [answering(500)]
    with pytest.raises(VideoError) as failed:
        await edge.create()
    assert failed.value.detail == "video:cloudflare:500"
    assert server.calls == ["POST "]


async def test_too_many_requests_are_repeated_when_asked_to(
    server: CloudflareServer, edge: CloudflareStream
) -> None:
    server.refusals = [answering(429, error(971, "Please wait"), **{"Retry-After": "1"})]
    began = asyncio.get_running_loop().time()
    await edge.create()
    assert asyncio.get_running_loop().time() - began >= 1
    server.refusals = [answering(429, error(971, "Please wait"), **{"Retry-After": "3600"})]
    with pytest.raises(VideoError) as failed:  # nobody waits an hour for a session to start
        await edge.create()
    assert failed.value.detail == "video:cloudflare:429"


async def test_silence_ends_with_a_time_out(
    server: CloudflareServer, edge: CloudflareStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.1)
    server.hanging = True
    with pytest.raises(VideoError) as failed:
        await edge.create()
    assert failed.value.detail == "video:cloudflare:timeout"
    assert not edge.reachable
    server.hanging = False
    await edge.create()
    assert edge.reachable


@pytest.mark.parametrize(
    "body",
    [
        "null",
        "{",
        "[]",
        '{"success":true,"result":null}',
        '{"success":true,"result":{"uid":"../../x"}}',
        '{"success":true,"result":{"uid":7}}',
        '{"success":false,"result":{"uid":"66be4bf738797e01e1fca35a7bdecdcd"}}',
    ],
)
async def test_an_answer_that_is_not_understood_is_an_error(
    server: CloudflareServer, edge: CloudflareStream, body: str
) -> None:
    server.refusals = [lambda: web.Response(text=body, content_type="application/json")]
    with pytest.raises(VideoError) as failed:
        await edge.create()
    assert failed.value.detail == "video:cloudflare:answer"
    assert edge.serving(later()) == {}


async def test_a_live_input_without_urls_is_given_back(
    server: CloudflareServer, edge: CloudflareStream
) -> None:
    uid = "66be4bf738797e01e1fca35a7bdecdcd"
    server.inputs[uid] = {}
    server.refusals = [answering(200, envelope({"uid": uid, "webRTC": {"url": f"{HOST}/x/webRTC/publish"}}))]
    with pytest.raises(VideoError):
        await edge.create()
    assert uid not in server.inputs


async def test_a_wrong_token_is_told_in_words_that_hold_no_token(
    server: CloudflareServer, edge: CloudflareStream, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = CloudflareStream(account_id=ACCOUNT, api_token=TOKEN[::-1], api_url=server.url)
    with pytest.raises(VideoError) as failed:
        await wrong.create()
    assert failed.value.detail == "video:cloudflare:403"
    await wrong.close()
    gone = CloudflareStream(account_id=ACCOUNT, api_token=TOKEN, api_url="http://127.0.0.1:9")
    with pytest.raises(VideoError) as unreachable:
        await gone.create()
    await gone.close()
    assert unreachable.value.detail == "video:cloudflare:unreachable"
    made = await edge.create()
    written = capsys.readouterr()
    text = written.out + written.err + repr(failed.value) + repr(unreachable.value) + repr(made) + repr(edge)
    for secret in (TOKEN, TOKEN[::-1], ACCOUNT, made.whip_url, made.whep_url):
        assert secret not in text


async def test_the_status_tells_whether_media_flow(server: CloudflareServer, edge: CloudflareStream) -> None:
    made = await edge.create()
    await edge.start()
    events: list[MediaEvent] = []

    async def listen() -> None:
        async for event in edge.events():
            events.append(event)  # noqa: PERF401 - one by one, as they come

    async def becomes(*kinds: MediaEventKind) -> None:
        async with asyncio.timeout(5):
            while [event.kind for event in events] != list(kinds):
                await asyncio.sleep(0.01)

    up, down = MediaEventKind.CONNECTED, MediaEventKind.DISCONNECTED
    listening = asyncio.create_task(listen())
    server.status(made.uid, "connected")
    await becomes(up)
    server.status(made.uid, {"current": {"state": "client_disconnect", "reason": "client_disconnect"}})
    await becomes(up, down)
    assert events[1].at >= events[0].at
    server.status(made.uid, {"current": {"state": "connected", "reason": "connected"}, "history": []})
    await becomes(up, down, up)
    server.status(made.uid, None)  # no news
    server.refusals = [answering(500)] * 4
    looked = len(server.calls)
    async with asyncio.timeout(5):
        while len(server.calls) < looked + 8:
            await asyncio.sleep(0.01)
    await becomes(up, down, up)
    edge.announce()
    await becomes(up, down, up, up)
    await edge.close()
    await asyncio.wait_for(listening, 5)


async def test_restored_is_what_cloudflare_has_kept(server: CloudflareServer, edge: CloudflareStream) -> None:
    made = await edge.create()
    again = CloudflareStream(
        account_id=ACCOUNT, api_token=TOKEN, api_url=server.url, name="cloudflare-1", poll_s=0.05
    )
    await again.restore(made)
    assert again.serving(later()) == {made.uid: "cloudflare-1"}
    for foreign in (replace(made, edge="cloudflare-2"), replace(made, whip_url="https://example.com/sekret")):
        with pytest.raises(VideoError) as refused:
            await again.restore(foreign)
        assert "sekret" not in str(refused.value)
    await again.close()
