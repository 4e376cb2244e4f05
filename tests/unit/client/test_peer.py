"""How a peer finds its addresses and reads an endpoint's answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aioice.ice
import ifaddr
import pytest
from aiohttp import web
from aiortc import RTCRtpSender

from luxxon_core.client import peer as peer_module
from luxxon_core.client.peer import (
    EdgeBusy,
    EdgeUnreachable,
    Peer,
    check_private_names,
    gathering_for,
    http_client,
    loopback_addresses,
    negotiated_codec,
)
from luxxon_core.kernel.errors import LuxxonError, NotAuthorized, NotFound, StartError, VideoError

Handler = Callable[[web.Request], Awaitable[web.Response]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://127.0.0.1:8080/whip/x", ("127.0.0.1",)),
        ("http://127.8.8.8/whip/x", ("127.0.0.1",)),
        ("http://[::1]:8080/whip/x", ("::1",)),
        ("http://localhost/whip/x", ("127.0.0.1", "::1")),
        ("https://edge.example/whip/x", ()),
        ("https://192.0.2.7/whip/x", ()),
        ("https://127.example/whip/x", ()),
    ],
)
def test_loopback_is_gathered_for_a_loopback_endpoint_only(url: str, addresses: tuple[str, ...]) -> None:
    assert loopback_addresses(url) == addresses


async def test_gathering_is_pinned_for_one_connection_and_not_for_its_neighbour() -> None:
    check_private_names()
    inside, leave = asyncio.Event(), asyncio.Event()

    async def pinned() -> list[str]:
        with gathering_for("http://127.0.0.1/whip/x"):
            inside.set()
            await leave.wait()
            return aioice.ice.get_host_addresses(True, True)

    task = asyncio.create_task(pinned())
    await inside.wait()
    here = aioice.ice.get_host_addresses(True, True)
    leave.set()
    assert await task == ["127.0.0.1"]
    assert here == aioice.ice.get_host_addresses(True, True)


def test_a_machine_with_nothing_but_loopback_gathers_there(monkeypatch: pytest.MonkeyPatch) -> None:
    check_private_names()
    monkeypatch.setattr(ifaddr, "get_adapters", list)
    assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]


def test_an_aiortc_without_what_is_needed_is_found_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_private_names()
    monkeypatch.delattr(RTCRtpSender, "_send_keyframe")
    peer_module.check_private_names.cache_clear()
    with pytest.raises(StartError, match="_send_keyframe"):
        Peer(http_client())


@pytest.mark.parametrize(
    ("lines", "codec"),
    [
        (
            ["m=video 9 UDP/TLS/RTP/SAVPF 102 103", "a=rtpmap:103 rtx/90000", "a=rtpmap:102 H264/90000"],
            "h264",
        ),
        (["m=audio 9 X 96", "a=rtpmap:96 opus/48000", "m=video 9 X 96", "a=rtpmap:96 VP8/90000"], "vp8"),
        (["m=video 0 UDP/TLS/RTP/SAVPF 102", "a=rtpmap:102 H264/90000"], None),
        (["v=0"], None),
    ],
)
def test_the_codec_is_read_from_the_answer(lines: list[str], codec: str | None) -> None:
    assert negotiated_codec("\r\n".join(lines) + "\r\n") == codec


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/whep/sesame"

    yield start
    for runner in runners:
        await runner.cleanup()


async def connect(url: str, timeout: float = 5.0) -> None:
    async with http_client() as http:
        peer = Peer(http)
        peer.connection.addTransceiver("video", direction="recvonly")
        try:
            await peer.connect(url, timeout)
        finally:
            await peer.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFound),
        (410, NotFound),
        (401, NotAuthorized),
        (403, NotAuthorized),
        (409, EdgeBusy),
        (503, EdgeBusy),
        (400, VideoError),
        (422, VideoError),
        (500, VideoError),
        (200, VideoError),
    ],
)
async def test_a_refusal_says_what_to_do(serve: Serve, status: int, error: type[LuxxonError]) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no", headers={"Retry-After": "7"})

    with pytest.raises(error) as caught:
        await connect(await serve(handler))
    assert "sesame" not in str(caught.value)
    if isinstance(caught.value, EdgeBusy):
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(("value", "seconds"), [("2", 2.0), ("99999", 30.0), ("soon", None), ("", None)])
async def test_retry_after_is_taken_with_care(serve: Serve, value: str, seconds: float | None) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=409, headers={"Retry-After": value})

    with pytest.raises(EdgeBusy) as caught:
        await connect(await serve(handler))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "answer", ["nonsense", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 97\r\na=rtpmap:97 VP8/90000"]
)
async def test_an_answer_that_is_none_is_an_error_and_its_resource_deleted(serve: Serve, answer: str) -> None:
    deleted: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            deleted.append(request.path)
            return web.Response()
        headers = {"Content-Type": "application/sdp", "Location": "/resource/1"}
        return web.Response(status=201, text=answer, headers=headers)

    with pytest.raises(VideoError):
        await connect(await serve(handler))
    assert deleted == ["/resource/1"]


async def test_redirects_are_followed_with_the_offer(serve: Serve) -> None:
    offers: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/whep/sesame":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        assert request.method == "POST"
        offers.append(await request.text())
        return web.Response(status=404)

    with pytest.raises(NotFound):
        await connect(await serve(handler))
    assert offers[0].startswith("v=0")


async def test_nobody_at_home_and_no_answer_in_time(serve: Serve) -> None:
    with pytest.raises(EdgeUnreachable) as caught:
        await connect("http://127.0.0.1:1/whep/sesame")
    assert "sesame" not in str(caught.value)
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    with pytest.raises(EdgeUnreachable, match=r"within 0\.3 s"):
        await connect(await serve(handler), timeout=0.3)
    never.set()
