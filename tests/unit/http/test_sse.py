"""Event streams on a socket: what is written, and each way in which a stream ends."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

import httpx
import pytest
from aiohttp import web
from httpx_sse import aconnect_sse

from luxxon_core.http.operation import EventStream, ServerEvent
from luxxon_core.http.sse import Pace, Recheck, install, line, stream
from luxxon_core.kernel.errors import AuthzError, NotAuthorized, RevokedApiKey

QUICK = Pace(look=0.02, ping=0.1, recheck=0.05, stuck=0.3)


class Source:
    """Events that a test feeds, and whether somebody still takes them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[ServerEvent | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def events(self) -> AsyncIterator[ServerEvent]:
        try:
            while (event := await self.queue.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed.set()


class Served:
    """A server with one stream."""

    def __init__(self, source: Source, recheck: Recheck | None, pace: Pace) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await stream(request, EventStream(source.events()), recheck, pace)

        self.source = source
        self.app = web.Application()
        install(self.app)
        self.app.router.add_get("/", handler)
        self.runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=5)
        self.url, self.port = "", 0

    async def start(self) -> None:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/"


Serve = Callable[..., Awaitable[Served]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Served] = []

    async def start(recheck: Recheck | None = None, pace: Pace = QUICK) -> Served:
        served = Served(Source(), recheck, pace)
        await served.start()
        running.append(served)
        return served

    yield start
    for served in running:
        await served.runner.cleanup()


@asynccontextmanager
async def bytes_of(served: Served) -> AsyncIterator[AsyncIterator[bytes]]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http, http.stream("GET", served.url) as got:
        assert got.status_code == 200
        assert got.headers["content-type"] == "text/event-stream"
        assert got.headers["cache-control"] == "no-store"
        yield got.aiter_raw()


async def test_an_event_is_its_name_its_id_and_a_line_of_json(serve: Serve) -> None:
    assert line(ServerEvent("a", {"text": "two\nlines"}, "7")) == (
        b'id: 7\nevent: a\ndata: {"text":"two\\nlines"}\n\n'
    )
    served = await serve(pace=Pace())
    for event in (ServerEvent("a", {"n": 1}, "7"), ServerEvent("b", {"n": 2}), None):
        served.source.queue.put_nowait(event)
    async with httpx.AsyncClient(trust_env=False) as http, aconnect_sse(http, "GET", served.url) as source:
        got = [(one.event, one.data, one.id, one.retry) async for one in source.aiter_sse()]
    assert got == [("message", "", "", 1000), ("a", '{"n":1}', "7", None), ("b", '{"n":2}', "7", None)]


async def test_a_quiet_stream_has_comments(serve: Serve) -> None:
    served = await serve()
    async with bytes_of(served) as pieces:
        assert await anext(pieces) == b"retry: 1000\n\n"
        for _ in range(3):
            assert await anext(pieces) == b": ping\n\n"


async def test_streams_end_at_once_when_the_server_stops(serve: Serve) -> None:
    served = await serve(pace=Pace())
    async with bytes_of(served) as first, bytes_of(served) as second:
        for pieces in (first, second):
            await anext(pieces)
        begin = monotonic()
        await asyncio.gather(served.runner.cleanup(), *(_drained(pieces) for pieces in (first, second)))
        assert monotonic() - begin < 1
    await asyncio.wait_for(served.source.closed.wait(), 1)


async def _drained(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


async def test_a_client_that_leaves_is_noticed(serve: Serve) -> None:
    served = await serve(pace=Pace(look=0.02))
    async with bytes_of(served) as pieces:
        await anext(pieces)
        assert not served.source.closed.is_set()
    await asyncio.wait_for(served.source.closed.wait(), 2)


async def test_a_client_that_leaves_before_the_stream_begins_is_no_error() -> None:
    asked, left, ended = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.set()
        await left.wait()
        assert request.transport is None
        ended.set_result(None)
        return await stream(request, EventStream(Source().events()))

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:
            raised.append(error)
            raise

    raised: list[Exception] = []
    app = web.Application(middlewares=[told])
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = runner.server
    assert server is not None
    try:
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(asked.wait(), 5)
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while any(one.transport is not None for one in server.connections):
                await asyncio.sleep(0)
        left.set()
        await asyncio.wait_for(ended, 5)
    finally:
        await runner.cleanup()
    assert raised == []


async def test_a_client_that_takes_nothing_is_cut(serve: Serve) -> None:
    served = await serve()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, ("127.0.0.1", served.port))
    await loop.sock_sendall(reader, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    big = "x" * 100_000
    taken = 0
    async with asyncio.timeout(10):
        for number in itertools.count():
            if served.source.closed.is_set():
                break
            if served.source.queue.empty():
                served.source.queue.put_nowait(ServerEvent("big", big, str(number)))
                taken += 1
            await asyncio.sleep(0.01)
    assert taken < 200
    got = b""
    with suppress(ConnectionResetError):
        while piece := await loop.sock_recv(reader, 1 << 20):
            got = (got + piece)[-100:]
    assert not got.endswith(b"0\r\n\r\n")  # broken off, so that the client knows
    reader.close()


async def test_who_may_listen_no_longer_hears_no_more(serve: Serve) -> None:
    allowed = True

    async def recheck() -> None:
        if not allowed:
            raise RevokedApiKey

    served = await serve(recheck)
    async with bytes_of(served) as pieces:
        for _ in range(3):
            await anext(pieces)
        allowed = False
        await asyncio.wait_for(_drained(pieces), 2)
    assert served.source.closed.is_set()


@pytest.mark.parametrize(("failures", "ends"), [(1, False), (2, True)])
async def test_an_authorization_service_may_fail_once(serve: Serve, failures: int, *, ends: bool) -> None:
    checks, later = itertools.count(1), asyncio.Event()

    async def recheck() -> None:
        number = next(checks)
        if number > 6:
            later.set()
        if number <= failures:
            raise AuthzError

    served = await serve(recheck)
    async with bytes_of(served) as pieces:
        draining = asyncio.create_task(_drained(pieces))
        waiting = asyncio.create_task(later.wait())
        await asyncio.wait({draining, waiting}, timeout=3, return_when=asyncio.FIRST_COMPLETED)
        assert draining.done() is ends
        assert waiting.done() is not ends
        for task in (draining, waiting):
            task.cancel()
        await asyncio.gather(draining, waiting, return_exceptions=True)


async def test_events_that_fail_break_the_stream_off(serve: Serve) -> None:
    served = await serve()
    async with bytes_of(served) as pieces:
        await anext(pieces)
        served.source.queue.put_nowait(NotAuthorized())
        with pytest.raises(httpx.HTTPError):
            await asyncio.wait_for(_drained(pieces), 2)
    assert served.source.closed.is_set()
