"""The success and error envelopes (api-contract §1.1, §1.2)."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from luxxon_core.http.operation import Answer, Binary, Call
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import (
    InvalidInput,
    LuxxonError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
)
from luxxon_core.kernel.wire import encode

CONSISTENCY_HEADER = "X-Lx-Consistency-Token"


def _respond(status: int, body: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=encode(body), content_type="application/json")


def success(data: object, now: datetime, status: int = 200) -> web.Response:
    """``data``, which is never null: clients take a null for "no envelope here"."""
    if data is None:
        raise TypeError("data must not be null")
    return _respond(
        status, {"statusCode": status, "message": "Request successful", "data": data, "timestamp": iso(now)}
    )


def answered(result: object, call: Call[object, object], *, secure: bool) -> web.Response:
    """What an operation gave, as an answer; a cookie for https alone where ``secure``."""
    if isinstance(result, Binary):
        headers = {"Content-Type": result.content_type, **result.headers}
        return web.Response(status=result.status, body=result.body, headers=headers)
    if not isinstance(result, Answer):
        result = Answer(result)
    response = success(result.data, call.now, result.status)
    response.headers.update(result.headers)
    token = result.consistency_token or call.token
    if token is not None:
        response.headers[CONSISTENCY_HEADER] = token
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


def failure(error: LuxxonError, now: datetime) -> web.Response:
    """The error's own status with code, message and, where there is one, detail."""
    body: dict[str, object] = {"statusCode": error.status, "code": error.code, "message": error.message}
    if error.detail is not None:
        body["detail"] = error.detail
    body["timestamp"] = iso(now)
    return _respond(error.status, body)


def refused_by_aiohttp(error: web.HTTPException, now: datetime) -> web.Response:
    """The envelope for what aiohttp itself refuses."""
    response = failure(in_our_words(error), now)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return response


def in_our_words(error: web.HTTPException) -> LuxxonError:
    """What aiohttp itself refuses, as an error of the tree."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed()
    if error.status == 404:
        return NotFound()
    if error.status == 413:
        return PayloadTooLarge("body:size")
    return InvalidInput("request:expect" if error.status == 417 else "request:headers")
