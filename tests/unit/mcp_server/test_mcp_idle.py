"""Sessions by Streamable HTTP that nobody uses are forgotten, and make room; those in use are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer

from luxxon_core.kernel.errors import RateLimited
from luxxon_core.mcp_server import endpoint
from luxxon_core.mcp_server.endpoint import IDLE_SECONDS, SESSION, Endpoint

ACCEPTS = {"Accept": "application/json, text/event-stream"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}


class Clock:
    """The event loop's, by which everything here is timed; it can be put forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._time, self._ahead = loop, loop.time, 0.0
        loop.time = lambda: self._time() + self._ahead  # type: ignore[method-assign]

    async def passes(self, seconds: float) -> None:
        """Let what is under way come to its end, then so much time pass, and what is due by then happen."""
        for ahead in (0.0, seconds):
            self._ahead += ahead
            for _ in range(50):
                await asyncio.sleep(0)

    def restore(self) -> None:
        self._loop.time = self._time  # type: ignore[method-assign]


@pytest_asyncio.fixture
async def clock() -> AsyncIterator[Clock]:
    made = Clock(asyncio.get_running_loop())
    yield made
    made.restore()


@pytest_asyncio.fixture
async def http(clock: Clock) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """The endpoint behind a server that takes every key for good."""
    opened = Endpoint()
    await opened.open()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await opened.answer(
                request, request.headers.get("Authorization", ""), await request.read()
            )
        except RateLimited as error:
            return web.Response(status=429, text=error.detail)

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    async with TestClient(TestServer(app), timeout=ClientTimeout(), headers=ACCEPTS) as client:
        yield client
        await opened.close()


@pytest.fixture
def of_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(endpoint, "MOST_SESSIONS_OF_KEY", 2)
    yield 2


async def opening(http: TestClient[web.Request, web.Application]) -> tuple[int, dict[str, str]]:
    """The status, and the header that names the session."""
    async with http.post("/mcp", json=HELLO) as answer:
        await answer.read()
        named = {SESSION: answer.headers[SESSION]} if answer.status == 200 else {}
    if named:
        async with http.post("/mcp", json=READY, headers=named) as told:
            assert told.status == 202
    return answer.status, named


async def asked(http: TestClient[web.Request, web.Application], session: dict[str, str]) -> int:
    async with http.post("/mcp", json=PING, headers=session) as answer:
        await answer.read()
        return answer.status


async def test_a_session_is_forgotten_after_a_quarter_of_an_hour(
    http: TestClient[web.Request, web.Application], clock: Clock
) -> None:
    """From its last request on."""
    _, used = await opening(http)
    _, left = await opening(http)
    await clock.passes(IDLE_SECONDS - 60)
    assert await asked(http, used) == 200
    await clock.passes(120)
    assert await asked(http, left) == 404
    assert await asked(http, used) == 200
    await clock.passes(IDLE_SECONDS + 1)
    assert await asked(http, used) == 404
    status, again = await opening(http)
    assert (status, await asked(http, again)) == (200, 200)


async def test_a_session_that_listens_is_in_use(
    http: TestClient[web.Request, web.Application], clock: Clock
) -> None:
    _, session = await opening(http)
    async with http.get("/mcp", headers=session) as stream:
        assert stream.status == 200
        await clock.passes(10 * IDLE_SECONDS)
        assert await asked(http, session) == 200
        assert not stream.content.at_eof()


async def test_what_is_forgotten_makes_room_for_another(
    http: TestClient[web.Request, web.Application], clock: Clock, of_key: int
) -> None:
    for _ in range(of_key):
        status, used = await opening(http)
        assert status == 200
    assert (await opening(http))[0] == 429
    await clock.passes(IDLE_SECONDS - 60)
    assert await asked(http, used) == 200
    assert (await opening(http))[0] == 429
    await clock.passes(120)
    assert (await opening(http))[0] == 200, "in the place of the one that was left"
    assert (await opening(http))[0] == 429
