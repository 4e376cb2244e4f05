"""Operations as an aiohttp application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.typedefs import Middleware

from luxxon_core.http.envelope import CONSISTENCY_HEADER, failure, success
from luxxon_core.http.guard import COOKIE, Guard
from luxxon_core.http.operation import Answer, Binary, Call, Operation
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import (
    InvalidInput,
    LuxxonError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
)
from luxxon_core.kernel.wire import convert

log = structlog.get_logger(__name__)

PREFIXES = ("/api/v1", "", "/api/v1/api/v1")
"""Published samples and bundles use all three (api-contract §22.1 row 23)."""
MAX_BODY = 1 << 20
MAX_BRACKETS = 500
"""Deep nesting overflows the C stack where a library has lifted Python's recursion limit, and some do."""
ALLOWED_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS = "content-type, authorization, x-lx-consistency-token"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def mount(
    app: web.Application, operations: Iterable[Operation], guard: Guard, clock: Clock, *, secure: bool
) -> None:
    """Route every operation under each of :data:`PREFIXES`; ``secure``: clients come by https."""
    for operation in operations:
        serve = _serve(operation, guard, clock, secure=secure)
        for prefix in PREFIXES:
            app.router.add_route(operation.method, prefix + operation.path, serve)


def _serve(operation: Operation, guard: Guard, clock: Clock, *, secure: bool) -> _Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        now = clock()
        authorization, cookie = request.headers.get("Authorization"), request.cookies.get(COOKIE)
        principal = await guard.principal(operation, authorization, cookie, now)
        raw = await _json(request) if operation.body is not None else {}
        named = [request.query.get("workspaceId")]
        if isinstance(raw, dict):
            named.append(raw.get("workspaceId"))
        workspace = await guard.workspace(operation, principal, request.match_info, named)
        body = _decode(raw, operation.body) if operation.body is not None else None
        call = Call(principal, workspace, body, request.match_info, request.query, now)
        return _answer(await operation.handler(call), call, secure=secure)

    return serve


async def _json(request: web.Request) -> dict[str, Any] | InvalidInput:
    """The body as a JSON object, an absent one as an empty object; or why it is none, to be told to those who
    pass the guard."""
    try:
        text = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return PayloadTooLarge("body:size")
    except (web.RequestPayloadError, ClientPayloadError, ContentEncodingError):
        return InvalidInput("body:encoding")
    if not text.strip():
        return {}
    if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
        return InvalidInput("body:json")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return InvalidInput("body:json")
    return found if isinstance(found, dict) else InvalidInput("body:object")


def _decode(raw: dict[str, Any] | InvalidInput, kind: type[msgspec.Struct]) -> msgspec.Struct:
    if isinstance(raw, InvalidInput):
        raise raw
    try:
        return convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"body:{field_of(str(error))}") from None


def field_of(message: str) -> str:
    """The field that a msgspec message speaks of: its path ``$.a.b``, a list's own name for its elements, or
    the missing field's name."""
    if "missing required field `" in message:
        return message.split("`")[1]
    return message.rpartition("`$.")[2].rstrip("`").partition("[")[0] if "`$." in message else "value"


def _answer(result: object, call: Call[object], *, secure: bool) -> web.Response:
    if isinstance(result, Binary):
        return web.Response(body=result.body, headers={"Content-Type": result.content_type, **result.headers})
    if not isinstance(result, Answer):
        return success(result, call.now)
    response = success(result.data, call.now)
    if result.consistency_token is not None:
        response.headers[CONSISTENCY_HEADER] = result.consistency_token
    if (cookie := result.cookie) is not None:
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age_s,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=secure,
        )
    return response


def errors_middleware(clock: Clock) -> Middleware:
    """Turns every exception of an operation into the error envelope; the only place that does."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except LuxxonError as error:
            if error.status >= 500:
                log.warning("request failed", route=_route(request), code=error.code, cause=_cause(error))
            return failure(error, clock())
        except web.HTTPMethodNotAllowed as error:
            response = failure(MethodNotAllowed(), clock())
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return failure(_of_aiohttp(error), clock())
        except Exception:
            log.exception("request failed", route=_route(request))
            return failure(LuxxonError(), clock())

    return middleware


def _of_aiohttp(error: web.HTTPException) -> LuxxonError:
    """What aiohttp itself refuses, in our words."""
    if error.status == 404:
        return NotFound()
    return PayloadTooLarge("body:size") if error.status == 413 else InvalidInput("request:headers")


def cors_middleware(origins: frozenset[str]) -> Middleware:
    """Lets the listed origins call with credentials (api-contract §1.7); others get no header at all."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is None or origin not in origins:
            return await handler(request)
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        preflight = preflight and request.match_info.http_exception is not None
        response = web.Response(status=204) if preflight else await handler(request)
        if "Access-Control-Allow-Origin" in response.headers:  # the media edge has rules of its own
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = CONSISTENCY_HEADER
        response.headers.add("Vary", "Origin")
        if preflight:
            response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        return response

    return middleware


def _route(request: web.Request) -> str:
    """The route's pattern, never the path itself: paths of the media edge are secrets."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource is not None else '?'}"


def _cause(error: BaseException) -> str | None:
    return type(error.__cause__).__name__ if error.__cause__ is not None else None
