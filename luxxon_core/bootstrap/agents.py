"""``/mcp``: the marketplace as tools for agents, beside the API and behind the same guard and limits."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from luxxon_core.http import decoding
from luxxon_core.http.envelope import failure
from luxxon_core.http.observe import EXCHANGE
from luxxon_core.http.principal import ApiKeyPrincipal
from luxxon_core.kernel.errors import InvalidInput, NotAuthenticated, NotAuthorized, NotReady

if TYPE_CHECKING:
    from luxxon_core.http.app import Frame
    from luxxon_core.http.context import Exchange
    from luxxon_core.http.guard import Authenticator
    from luxxon_core.mcp_server.endpoint import Endpoint

PATH = "/mcp"
METHODS = ("POST", "GET", "DELETE")


def mount(app: web.Application, frame: Frame, keys: Authenticator, public_url: str) -> None:
    """Serve MCP at :data:`PATH`, for the API keys that ``keys`` knows.

    The ``mcp`` package is imported by the first request: it takes a second, and a server may never need it.
    """
    agents = Agents(frame, keys, public_url)
    for method in METHODS:
        app.router.add_route(method, PATH, agents.serve)
    app[AGENTS] = agents


class Agents:
    """The endpoint, from the first request on."""

    def __init__(self, frame: Frame, keys: Authenticator, public_url: str) -> None:
        self._frame, self._keys = frame, keys
        address = urlsplit(public_url)
        self._origins = frame.origins | {f"{address.scheme}://{address.netloc}"}
        self._endpoint: Endpoint | None = None
        self._closed = False
        self._opening = asyncio.Lock()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        exchange = request[EXCHANGE]
        exchange.route, exchange.streamed = PATH, True  # how long it takes says nothing of the server
        try:
            key = await self._admitted(request, exchange)
        except NotAuthenticated as error:
            exchange.code = error.code
            response = failure(error, self._frame.clock())
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        body = await decoding.read(request)
        if isinstance(body, InvalidInput):
            raise body
        return await (await self._opened()).answer(request, key, body)

    async def _admitted(self, request: web.Request, exchange: Exchange) -> str:
        """The caller's key, if it is one and has quota left.

        Raises:
            NotAuthorized: ``auth:origin``: a page of a site that is not ours asks, or one that a rebound name
                (DNS rebinding) makes look like ours.
            NotAuthenticated: there is no key, or it is none of ours; RateLimited.
        """
        frame = self._frame
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            raise NotAuthorized("auth:origin")
        peer = request.remote or ""
        clients, limits = frame.clients, frame.limits
        said = request.headers.getall(clients.header, ()) if clients.trusts(peer) else ()
        client = clients.address(peer, said)
        exchange.credential = True
        limits.admit_proof(client, exchange.started, exchange)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated
        try:
            principal = await self._keys.by_bearer(token.strip(), frame.clock())
        except NotAuthenticated:
            limits.failed(client, exchange.started)
            raise
        if not isinstance(principal, ApiKeyPrincipal):
            raise NotAuthenticated
        exchange.principal = principal
        limits.admit(limits.key, str(principal.key_id), exchange.started, exchange)
        return token.strip()

    async def _opened(self) -> Endpoint:
        async with self._opening:
            if self._closed:
                raise NotReady("mcp:stopping")
            if self._endpoint is None:
                module = await asyncio.to_thread(import_module, "luxxon_core.mcp_server.endpoint")
                endpoint: Endpoint = module.Endpoint()
                await endpoint.open()
                self._endpoint = endpoint
        return self._endpoint

    async def close(self) -> None:
        """Undo what calls have begun; while the API still answers, which they need for that."""
        async with self._opening:
            self._closed = True
        if self._endpoint is not None:
            await self._endpoint.close()


AGENTS = web.AppKey("agents", Agents)
