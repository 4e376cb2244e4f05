"""Whatever becomes of an agent's call, its host, the connection or the server: the meter does not run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from agents_place import BEFORE, HELLO, NOW, SILENT, Place, hosting, live, told
from aiohttp import web
from aiohttp.test_utils import TestServer
from mcp import Client
from mcp.types import CallToolResult

from luxxon_core.client import Luxxon
from luxxon_core.server import running
from luxxon_core.settings import load

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS = [("stdio", NOW), ("stdio", BEFORE), ("http", NOW), ("http", BEFORE)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with hosting(tmp_path_factory.mktemp("mcp-metering") / "data") as place:
        yield place


@asynccontextmanager
async def calling(client: Client, name: str, arguments: dict[str, object]) -> AsyncIterator[asyncio.Event]:
    """The call under way, and an event for its first progress; it is cancelled when the block ends."""
    looked = asyncio.Event()

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        looked.set()

    call = asyncio.create_task(client.call_tool(name, arguments, progress_callback=progressed))
    try:
        yield looked
    finally:
        call.cancel()
        await asyncio.wait((call,))


async def begun(place: Place, state: str) -> str:
    """The one session that the workspace has open, once it is in that state."""
    async with asyncio.timeout(15):
        while not (found := await place.consumer.api.sessions.list(state=state)):
            await asyncio.sleep(0.05)
    (session,) = found
    return session.id


async def nothing_more_is_paid(place: Place, session_id: str) -> None:
    """The session is over, and its bill is what it was when it ended, for as long as some meter's ticks."""
    api = place.consumer.api
    assert await place.over(session_id) == "ENDED"
    ended = await api.sessions.get(session_id)
    assert ended.started_at is not None and ended.ended_at is not None
    assert ended.clean_seconds <= (ended.ended_at - ended.started_at).total_seconds() + 1
    await asyncio.sleep(1.2)  # time is what would be charged
    later = await api.sessions.get(session_id)
    assert (later.clean_seconds, later.charged_micro_usdc) == (ended.clean_seconds, ended.charged_micro_usdc)
    assert (await api.sessions.receipt(session_id)).charged_micro_usdc == ended.charged_micro_usdc
    assert await place.open() == set()


@asynccontextmanager
async def behind_a_gateway(place: Place, refuses: int) -> AsyncIterator[Place]:
    """The place through a gateway that answers so many requests to end a session itself."""
    passed = ("Authorization", "Content-Type", "Idempotency-Key")
    left = refuses

    async def forward(request: web.Request) -> web.Response:
        nonlocal left
        if left and (request.method == "DELETE" or request.path.endswith("/end")):
            left -= 1
            return web.Response(status=502, text="<h1>Bad Gateway</h1>")
        if request.path.endswith("/events"):
            return web.json_response({"statusCode": 404, "code": "NOT_FOUND", "message": "no"}, status=404)
        headers = {name: request.headers[name] for name in passed if name in request.headers}
        body = await request.read()
        answer = await http.request(
            request.method, f"{place.url}{request.path_qs}", headers=headers, content=body
        )
        kind = {"Content-Type": answer.headers["Content-Type"]}
        return web.Response(status=answer.status_code, body=answer.content, headers=kind)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http, TestServer(app) as server:
        yield replace(place, url=str(server.make_url("")).rstrip("/"))
    assert left == 0, "each has been asked for"


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_who_cancels_a_watch_pays_no_more(place: Place, way: tuple[str, str]) -> None:
    async with place.host(way) as client:
        session_id = await live(client)
        asked = {"sessionId": session_id, "everySeconds": 60, "maxFrames": 5}
        async with calling(client, "watch", asked) as looked:
            await asyncio.wait_for(looked.wait(), 15)
        await nothing_more_is_paid(place, session_id)


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_who_cancels_an_observation_pays_no_more(place: Place, way: tuple[str, str]) -> None:
    """While a camera is LIVE that gives no picture, and before any camera has answered."""
    supplier = place.silent.api.sessions
    async with place.host(way) as client:
        async with calling(client, "observe", {**SILENT, "waitTimeoutSeconds": 60}):
            session_id = await begun(place, "ASSIGNED")
            await supplier.start(session_id)
            await place.first_frame(session_id)
            assert await begun(place, "LIVE") == session_id
        await nothing_more_is_paid(place, session_id)
        async with calling(client, "observe", {**SILENT, "waitTimeoutSeconds": 60}):
            session_id = await begun(place, "ASSIGNED")
        assert await place.over(session_id) == "CANCELLED"
        async with calling(client, "request_live_view", {**SILENT, "maxDurationSeconds": 60}):
            session_id = await begun(place, "ASSIGNED")
        assert await place.over(session_id) == "CANCELLED"
    assert await place.open() == set()


async def test_who_cancels_pays_no_more_where_ending_it_fails_first(place: Place) -> None:
    """While nothing is LIVE yet, and while the meter runs."""
    async with behind_a_gateway(place, 2) as reached, reached.host(("stdio", NOW)) as client:
        async with calling(client, "request_live_view", {**SILENT, "maxDurationSeconds": 600}):
            session_id = await begun(place, "ASSIGNED")
        assert await place.over(session_id) == "CANCELLED"
    async with behind_a_gateway(place, 2) as reached, reached.host(("stdio", NOW)) as client:
        session_id = await live(client)
        async with calling(client, "watch", {"sessionId": session_id, "everySeconds": 60}) as looked:
            await asyncio.wait_for(looked.wait(), 15)
        await nothing_more_is_paid(place, session_id)


async def test_a_host_that_ends_leaves_no_meter_running(place: Place) -> None:
    looked = asyncio.Event()

    async def progressed(done: float, total: float | None, message: str | None) -> None:
        looked.set()

    async def watch() -> None:
        async with place.host(("stdio", NOW)) as client:
            begun.set_result(await live(client))
            asked = {"sessionId": begun.result(), "everySeconds": 60}
            await client.call_tool("watch", asked, progress_callback=progressed)

    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hosting = asyncio.create_task(watch())
    await asyncio.wait_for(looked.wait(), 30)
    hosting.cancel()
    await asyncio.wait((hosting,))
    assert await place.over(begun.result()) == "ENDED"


async def test_a_connection_that_breaks_leaves_no_meter_running(place: Place) -> None:
    """Without a word: no request is cancelled and no session deleted."""
    async with place.host(("http", NOW)) as client:
        session_id = await live(client)
    headers = {
        "Authorization": f"Bearer {place.consumer.api_key}",
        "Accept": "application/json, text/event-stream",
    }
    arguments = {"sessionId": session_id, "everySeconds": 60}
    watch = {"name": "watch", "arguments": arguments, "_meta": {"progressToken": 1}}
    async with httpx2.AsyncClient(base_url=place.url, headers=headers, trust_env=False) as http:
        opened = await http.post("/mcp", json=HELLO)
        http.headers["Mcp-Session-Id"] = opened.headers["Mcp-Session-Id"]
        await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": watch}
        async with http.stream("POST", "/mcp", json=call) as answer, asyncio.timeout(15):
            async for line in answer.aiter_lines():
                if "notifications/progress" in line:
                    break
    assert await place.over(session_id) == "ENDED"


async def test_a_server_that_stops_ends_what_calls_have_begun(tmp_path: Path) -> None:
    """The call is told so, and after the restart its session is over."""
    data = tmp_path / "data"
    async with hosting(data) as place, place.host(("http", NOW)) as client:
        session_id = await live(client)
        looked = asyncio.Event()

        async def progressed(done: float, total: float | None, message: str | None) -> None:
            looked.set()

        asked = {"sessionId": session_id, "everySeconds": 60, "maxFrames": 5}
        call = asyncio.create_task(client.call_tool("watch", asked, progress_callback=progressed))
        await asyncio.wait_for(looked.wait(), 15)
        await place.stop()
        answer = await asyncio.wait_for(call, 5)
        assert isinstance(answer, CallToolResult)
        assert answer.is_error
        assert told(answer)["code"] == "UNAVAILABLE"
        assert told(answer)["retryable"]
    async with (
        running(load(data_dir=data, durable=False, port=0)) as again,
        Luxxon(again.api_url, api_key=place.consumer.api_key) as api,
    ):
        assert (await api.sessions.get(session_id)).state == "ENDED"
