"""MCP by Streamable HTTP, inside the API's server: the package's ASGI application driven by aiohttp.

A revision with a handshake (2025-11-25 and before) has sessions, which this process remembers and which
belong to the key that opened them; from 2026-07-28 on every request stands for itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any, cast

import httpx
import structlog
from aiohttp import web
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from multidict import CIMultiDict

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import RateLimited
from luxxon_core.mcp_server.calls import Calls
from luxxon_core.mcp_server.server import Caller, made

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]

CALLER = "luxxon"
SESSION, REVISION = "Mcp-Session-Id", "MCP-Protocol-Version"
OLDEST = HANDSHAKE_PROTOCOL_VERSIONS[0]
IDLE_SECONDS = 15 * 60
MOST_SESSIONS = 1000
MOST_SESSIONS_OF_KEY = 100
"""Sessions that one key may have opened and neither ended nor left idle for long enough to be forgotten."""
MOST_AT_ONCE = 32
"""Requests of one key that are answered at the same time, streams included."""
LOOK_SECONDS = 0.25
STUCK_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class Endpoint:
    """Answers requests whose key has been checked, between :meth:`open` and :meth:`close`."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._network = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20)
        )
        self._manager = StreamableHTTPSessionManager(
            made(_opened, self._calls),
            max_request_body_size=1 << 20,
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MOST_SESSIONS,
        )
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._under_way: Counter[str] = Counter()
        self._gone: set[asyncio.Event] = set()
        self._sessions: dict[str, dict[str, float]] = {}

    async def open(self) -> None:
        self._running = asyncio.create_task(self._run(), name="mcp-endpoint")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, self._running), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    async def close(self) -> None:
        """Cancel every call, which ends what it has begun, and every stream."""
        await self._calls.close(CLOSE_SECONDS)
        for gone in self._gone:
            gone.set()
        self._stop.set()
        if self._running is not None:
            await asyncio.wait((self._running,), timeout=CLOSE_SECONDS)
        await self._network.aclose()

    async def _run(self) -> None:
        """The package's task group begins and ends in one task."""
        async with self._manager.run():
            self._ready.set()
            await self._stop.wait()

    async def answer(self, request: web.Request, api_key: str, body: bytes) -> web.StreamResponse:
        """Answer a request.

        Raises:
            RateLimited: ``mcp:atOnce``, ``mcp:sessions``: the key has as many requests under way, or sessions
                open, as one may have.
        """
        owner = sha256(api_key.encode()).hexdigest()
        self._admit(owner, request)
        if self._under_way[owner] >= MOST_AT_ONCE:
            raise RateLimited("mcp:atOnce", "Too many requests of this key are under way")
        gone = asyncio.Event()
        if self._stop.is_set():
            gone.set()
        self._under_way[owner] += 1
        self._gone.add(gone)
        looking = asyncio.create_task(_look_after(request, gone), name="mcp-client")
        api = Luxxon(_own_url(request), api_key=api_key, transport=_Shared(self._network))
        reply = _Reply(request)
        scope = _scope(request, owner, Caller(api, gone))
        try:
            await self._manager.asgi_app(scope, _Request(body, gone).receive, reply.send)
            return await reply.finish()
        finally:
            self._note(owner, request, reply)
            looking.cancel()
            self._gone.discard(gone)
            self._under_way[owner] -= 1
            if not self._under_way[owner]:
                del self._under_way[owner]

    def _admit(self, owner: str, request: web.Request) -> None:
        """One key's sessions leave room for those of others.

        Raises:
            RateLimited
        """
        if request.method != "POST" or SESSION in request.headers:
            return
        if request.headers.get(REVISION, OLDEST) not in HANDSHAKE_PROTOCOL_VERSIONS:
            return
        forgotten = asyncio.get_running_loop().time() - IDLE_SECONDS
        for key, sessions in list(self._sessions.items()):
            for session_id, used in list(sessions.items()):
                if used < forgotten:
                    del sessions[session_id]
            if not sessions:
                del self._sessions[key]
        if len(self._sessions.get(owner, ())) >= MOST_SESSIONS_OF_KEY:
            raise RateLimited("mcp:sessions", "Too many sessions of this key are open: end some with DELETE")

    def _note(self, owner: str, request: web.Request, reply: _Reply) -> None:
        """Keep in mind which sessions a key has, and when each was last used."""
        session_id = reply.headers.get(SESSION) or request.headers.get(SESSION)
        if session_id is None:
            return
        if reply.status == 404 or (request.method == "DELETE" and reply.status == 200):
            self._sessions.get(owner, {}).pop(session_id, None)
        elif reply.status is not None and reply.status < 400:
            self._sessions.setdefault(owner, {})[session_id] = asyncio.get_running_loop().time()


@asynccontextmanager
async def _opened(context: Any) -> AsyncIterator[Caller]:
    """Who makes the request at hand; its client holds nothing that would have to be closed."""
    yield context.request.scope[CALLER]


class _Shared(httpx.AsyncBaseTransport):
    """Connections that outlive the client which uses them."""

    def __init__(self, network: httpx.AsyncBaseTransport) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        return


class _Request:
    """The ASGI side of a body that has been read, and of a client that may leave."""

    def __init__(self, body: bytes, gone: asyncio.Event) -> None:
        self._body: bytes | None = body
        self._gone = gone

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}


class _Reply:
    """The answer: at once where it comes as one piece, else as a stream."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._head: tuple[int, list[tuple[str, str]]] | None = None
        self._stream: web.StreamResponse | None = None
        self._whole: web.Response | None = None

    @property
    def status(self) -> int | None:
        return None if self._head is None else self._head[0]

    @property
    def headers(self) -> CIMultiDict[str]:
        return CIMultiDict(() if self._head is None else self._head[1])

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.decode("latin-1"), text.decode("latin-1")) for name, text in message["headers"]]
            own = ("content-length", "connection", "transfer-encoding", "date")
            self._head = message["status"], [one for one in headers if one[0].lower() not in own]
            if self.headers.get("Content-Type", "").startswith("text/event-stream"):
                await self._begin()  # its first event may be a long time coming
            return
        if message["type"] != "http.response.body" or self._head is None:
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._stream is None and not more:
            self._whole = web.Response(status=self._head[0], headers=self._head[1], body=body)
            return
        stream = self._stream or await self._begin()
        with suppress(ConnectionError):  # the client has left: the application is told so by receive
            await self._write(stream, body)
            if not more:
                await stream.write_eof()

    async def _begin(self) -> web.StreamResponse:
        assert self._head is not None
        self._stream = web.StreamResponse(status=self._head[0], headers=self._head[1])
        with suppress(ConnectionError):
            await self._stream.prepare(self._request)
        return self._stream

    async def _write(self, stream: web.StreamResponse, body: bytes) -> None:
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await stream.write(body)
        except TimeoutError:
            log.info("stream cut: its client takes nothing")
            if self._request.transport is not None:
                self._request.transport.abort()

    async def finish(self) -> web.StreamResponse:
        if self._stream is not None:
            return self._stream
        return self._whole if self._whole is not None else web.Response(status=499)


async def _look_after(request: web.Request, gone: asyncio.Event) -> None:
    """Set ``gone`` when the client's connection is."""
    while (transport := request.transport) is not None and not transport.is_closing():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK_SECONDS)
    gone.set()


def _own_url(request: web.Request) -> str:
    """The API at the address where this request came in: that of this very server, whatever is in front."""
    assert request.transport is not None
    host, port = request.transport.get_extra_info("sockname")[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1"


def _scope(request: web.Request, owner: str, caller: Caller) -> dict[str, Any]:
    """The ASGI scope; the key itself is no part of it."""
    headers = [
        (name.lower(), text)
        for name, text in request.raw_headers
        if name.lower() not in (b"authorization", b"cookie")
    ]
    token = AccessToken(token="", client_id=owner, scopes=[])
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.raw_path.encode(),
        "query_string": request.query_string.encode(),
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "user": AuthenticatedUser(cast("Any", token)),
        CALLER: caller,
    }
