"""Operations as an aiohttp application.

One middleware numbers, times and logs each request and turns every error into the envelope; one method per
operation does the rest: limits, guard, decoding, idempotency, handler, answer. Headers that every answer
gets, streams included, are set just before it goes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict, MultiDict, MultiDictProxy

from luxxon_core.http import cors, decoding, idempotency, sse
from luxxon_core.http.context import Exchange
from luxxon_core.http.decoding import MAX_BODY
from luxxon_core.http.envelope import CONSISTENCY_HEADER, answered, failure, in_our_words, refused_by_aiohttp
from luxxon_core.http.guard import COOKIE, Guard
from luxxon_core.http.idempotency import Idempotency, InProgress, Reply
from luxxon_core.http.limits import Clients, Limits
from luxxon_core.http.observe import EXCHANGE, REQUEST_ID_HEADER, Observer, new_request_id, pattern
from luxxon_core.http.operation import Access, Binary, Call, EventStream, Operation
from luxxon_core.http.polled import PATHS as POLLED_PATHS
from luxxon_core.http.polled import POLLED, Polled
from luxxon_core.http.principal import ApiKeyPrincipal, LinkPrincipal, Principal
from luxxon_core.http.routing import unambiguous
from luxxon_core.http.whole import Whole, takes_whole
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import InvalidInput, LuxxonError, NotAuthenticated, RequestTimeout

log = structlog.get_logger(__name__)

PREFIXES = ("/api/v1", "", "/api/v1/api/v1")
"""Published samples and bundles use all three (api-contract §22.1 row 23)."""
IN_PROGRESS_SECONDS = 1
"""When to ask again for an answer that is still being made."""
NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every operation.

    Args:
        origins: those that may call with credentials from a browser.
        secure: clients come by https.
    """

    guard: Guard
    clock: Clock
    limits: Limits
    clients: Clients
    observer: Observer
    idempotency: Idempotency
    origins: frozenset[str]
    secure: bool


def application(frame: Frame, operations: Iterable[Operation]) -> web.Application:
    """Every operation under each of :data:`PREFIXES`; what is GET is HEAD too (RFC 9110 §9.1).

    The router tries the paths of one beginning in turn: those asked for most come first, then short ones.
    """
    around = _around(frame)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[around])
    polled = app[POLLED] = Polled(app, around)
    app.on_response_prepare.append(_headers(frame))
    sse.install(app)
    rows = sorted(operations, key=lambda row: (row.path not in POLLED_PATHS, row.path.count("/"), row.path))
    for written, sharing in groupby(rows, key=lambda row: row.path):
        path = unambiguous(written, (row.path for row in rows))
        endpoints = [(row.method, _Endpoint(frame, row).serve) for row in sharing]
        for prefix in PREFIXES:
            resource = app.router.add_resource(prefix + path)
            for method, serve in endpoints:
                route = resource.add_route(method, serve)
                if method == "GET":
                    if prefix == PREFIXES[0]:
                        polled.add(written, route)
                    resource.add_route("HEAD", serve)
    return app


def _around(frame: Frame) -> Middleware:
    """Turns every exception into the error envelope; the only place that does."""
    clock, observer, origins = frame.clock, frame.observer, frame.origins

    @web.middleware
    async def around(request: web.Request, handler: _Handler) -> web.StreamResponse:
        exchange = observer.begin(request)
        status = 0
        try:
            try:
                permission = cors.preflight(request, origins) if request.method == "OPTIONS" else None
                response = permission if permission is not None else await handler(request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                exchange.code = in_our_words(error).code
                response = refused_by_aiohttp(error, clock())
            except Exception as error:  # noqa: BLE001 - logged and told
                response = _failed(request, exchange, error, clock())
            status = response.status
            return response
        finally:
            observer.end(request, exchange, status)

    return around


def _failed(request: web.Request, exchange: Exchange, error: Exception, now: datetime) -> web.Response:
    if not isinstance(error, LuxxonError):
        log.error("request failed", route=exchange.route or pattern(request), exc_info=error)
        error = LuxxonError()
    elif error.status >= 500:
        log.warning(
            "request failed",
            route=exchange.route or pattern(request),
            code=error.code,
            detail=error.detail,
            cause=type(error.__cause__).__name__ if error.__cause__ is not None else None,
        )
    exchange.code = error.code
    if request.writer.output_size > 0:  # an event stream: it breaks off, and its client resumes
        raise ConnectionResetError("An answer has been begun already")
    if isinstance(error, InProgress):
        exchange.retry_after = IN_PROGRESS_SECONDS
    response = failure(error, now)
    if isinstance(error, RequestTimeout):
        response.force_close()
    return response


def _headers(frame: Frame) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    origins = frame.origins

    async def headers(request: web.Request, response: web.StreamResponse) -> None:
        _tell(response.headers, request, request.get(EXCHANGE), origins)

    return headers


def _tell(
    told: MutableMapping[str, str],
    request: web.Request,
    exchange: Exchange | None,
    origins: frozenset[str],
) -> None:
    if exchange is None:  # refused before any of our code was asked
        told[REQUEST_ID_HEADER] = new_request_id()
    else:
        told[REQUEST_ID_HEADER] = exchange.request_id
        if exchange.policy is not None and exchange.standing is not None:
            told["RateLimit-Policy"] = exchange.policy
            told["RateLimit"] = exchange.standing
        if exchange.retry_after is not None:
            told["Retry-After"] = str(exchange.retry_after)
    origin = request.headers.get("Origin")
    if origin is not None and origin in origins:
        cors.permit(origin, told)


class _Endpoint:
    """One operation, with everything about it that can be known before a request."""

    __slots__ = (
        "_acts",
        "_frame",
        "_has_body",
        "_keyed",
        "_nothing_asked",
        "_operation",
        "_proves",
        "_public",
        "_takes",
    )

    def __init__(self, frame: Frame, operation: Operation) -> None:
        self._frame = frame
        self._operation = operation
        self._public = operation.access is Access.PUBLIC
        self._acts = operation.access in (Access.WORKSPACE, Access.WALLET_WORKSPACE)
        self._keyed = operation.method == "POST"
        self._has_body = operation.body is not None
        self._takes = operation.method not in ("GET", "OPTIONS")
        kinds = [one if isinstance(one, type) else type(one) for one in operation.errors]
        self._proves = self._public and any(issubclass(kind, NotAuthenticated) for kind in kinds)
        self._nothing_asked: msgspec.Struct | None = None
        with suppress(InvalidInput):  # a field that must be there
            self._nothing_asked = decoding.query_of(NO_QUERY, operation)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        frame, operation, exchange = self._frame, self._operation, request[EXCHANGE]
        path = request.match_info
        exchange.route, exchange.path = operation.path, path
        now = frame.clock()
        headers, client = request.headers, self._client(request)
        principal = await self._admitted(request, exchange, client, now)
        # one that asks for no body may be sent one that names the workspace
        text: bytes | InvalidInput = b""
        if self._takes:
            text = await decoding.read(request)
            now = frame.clock()  # of the whole request: who keeps its body back does not act in the past
        raw = decoding.decode(text) if text else {}
        query = request.query if request.rel_url.raw_query_string else NO_QUERY
        workspace, token = None, None
        if self._acts:
            named = [query.get("workspaceId")]
            if isinstance(raw, dict):
                named += [raw.get(field) for field in operation.workspace_fields]
            given = headers.get(CONSISTENCY_HEADER)
            acting = await frame.guard.acting(operation, principal, path, named, given)
            workspace, token = acting.workspace, acting.token
            exchange.workspace = workspace
        if isinstance(text, InvalidInput):  # also where no body is asked for: half a request is none
            raise text
        body = decoding.body_of(raw, operation) if self._has_body else None
        asked = self._nothing_asked
        if query is not NO_QUERY or asked is None:
            asked = decoding.query_of(query, operation)
        call = Call(principal, workspace, body, asked, path, headers, now, token)
        if self._keyed and idempotency.HEADER in headers:
            return await self._once(request, call, text, raw, exchange, client)
        try:
            result = await operation.handler(call)
        except NotAuthenticated:
            self._guessed(exchange, client)
            raise
        if isinstance(result, EventStream):
            return await self._streamed(request, result, exchange)
        if isinstance(result, Binary) and result.status == 200 and takes_whole(request):
            told = {"Content-Type": result.content_type, **result.headers}
            _tell(told, request, exchange, frame.origins)
            return Whole(result.body, told)
        return answered(result, call, secure=frame.secure)

    def _client(self, request: web.Request) -> str:
        clients, peer = self._frame.clients, request.remote or ""
        said = request.headers.getall(clients.header, ()) if clients.trusts(peer) else ()
        return clients.address(peer, said)

    async def _admitted(
        self, request: web.Request, exchange: Exchange, client: str, now: datetime
    ) -> Principal | None:
        """Who calls, if there is quota left for that."""
        limits = self._frame.limits
        if self._public:
            if self._proves:
                exchange.credential = True
                limits.admit_proof(client, exchange.started, exchange)
            limits.admit(limits.address, client, exchange.started, exchange)
            return None
        authorization, cookie = _credentials(request)
        if authorization is not None or cookie:
            exchange.credential = True
            limits.admit_proof(client, exchange.started, exchange)
        try:
            principal = await self._frame.guard.identified(self._operation, authorization, cookie, now)
        except NotAuthenticated:
            self._guessed(exchange, client)
            raise
        exchange.principal = principal
        if isinstance(principal, ApiKeyPrincipal):
            limits.admit(limits.key, str(principal.key_id), exchange.started, exchange)
        elif isinstance(principal, LinkPrincipal):
            limits.admit(limits.key, _caller(principal, client), exchange.started, exchange)
        elif principal is not None:
            limits.admit(limits.wallet, principal.wallet_address, exchange.started, exchange)
        self._frame.guard.admit(self._operation, principal)
        return principal

    def _guessed(self, exchange: Exchange, client: str) -> None:
        if exchange.credential:
            self._frame.limits.failed(client, exchange.started)

    async def _once(
        self,
        request: web.Request,
        call: Call[Any, Any],
        text: bytes,
        raw: decoding.Decoded,
        exchange: Exchange,
        client: str,
    ) -> web.Response:
        """Execute, or give the answer of who did so before."""
        key = idempotency.checked_key(request.headers.getall(idempotency.HEADER))
        caller = _caller(call.principal, client)
        print_ = self._fingerprint(request, call, text, raw)

        async def execute(id_: UUID) -> Reply:
            identified = msgspec.structs.replace(call, idempotent_id=id_)
            try:
                result = await self._operation.handler(identified)
            except LuxxonError as error:
                if error.status >= 500:
                    raise
                exchange.code = error.code
                if isinstance(error, NotAuthenticated):
                    self._guessed(exchange, client)
                return _reply(failure(error, call.now))
            return _reply(answered(result, identified, secure=self._frame.secure))

        reply, replayed = await self._frame.idempotency.once(caller, key, print_, execute)
        response = web.Response(status=reply.status, body=reply.body, headers=CIMultiDict(reply.headers))
        if replayed:
            response.headers[idempotency.REPLAYED] = "true"
            if reply.status >= 400:
                exchange.code = msgspec.json.decode(reply.body)["code"]
        return response

    def _fingerprint(
        self,
        request: web.Request,
        call: Call[Any, Any],
        text: bytes,
        raw: decoding.Decoded,
    ) -> bytes:
        """Of all that the answer depends on; the body as JSON, whatever its order and spaces."""
        body = msgspec.json.encode(raw, order="deterministic") if self._has_body else text.strip()
        operation, path = self._operation, request.match_info
        return idempotency.fingerprint(
            operation.method,
            operation.path,
            *(path[name] for name in sorted(path)),
            request.rel_url.raw_query_string,
            str(call.workspace),
            *(request.headers.get(name, "") for name in operation.headers),
            body,
        )

    async def _streamed(
        self, request: web.Request, result: EventStream, exchange: Exchange
    ) -> web.StreamResponse:
        exchange.streamed = True
        if request.method == "HEAD":
            if (close := getattr(result.events, "aclose", None)) is not None:
                await close()
            return web.Response(headers=sse.HEADERS)

        async def recheck() -> None:
            authorization, cookie = _credentials(request)
            guard, operation = self._frame.guard, self._operation
            principal = await guard.identified(operation, authorization, cookie, self._frame.clock())
            guard.admit(operation, principal)
            named = [request.query.get("workspaceId")]
            await guard.acting(operation, principal, request.match_info, named, None)

        return await sse.stream(request, result, None if self._public else recheck)


def _credentials(request: web.Request) -> tuple[str | None, str | None]:
    """The ``Authorization`` header and the session cookie."""
    headers = request.headers
    return headers.get("Authorization"), request.cookies.get(COOKIE) if "Cookie" in headers else None


def _caller(principal: Principal | None, client: str) -> str:
    """Whose Idempotency-Keys these are."""
    if principal is None:
        return f"address:{client}"
    if isinstance(principal, ApiKeyPrincipal):
        return f"key:{principal.key_id}"
    if isinstance(principal, LinkPrincipal):
        return f"link:{principal.session_id}:{principal.side}"
    return f"wallet:{principal.wallet_address}"


def _reply(response: web.Response) -> Reply:
    """What can be sent again."""
    if not isinstance(response.body, bytes):
        raise TypeError("only an answer of bytes can be kept")
    headers = [(str(name), value) for name, value in response.headers.items()]
    headers += _cookies(response.cookies)
    return Reply(response.status, headers, response.body)


def _cookies(cookies: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Set-Cookie", morsel.OutputString()) for morsel in cookies.values()]
