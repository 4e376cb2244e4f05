"""From bytes to what an operation wants, or why not."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError
from multidict import MultiMapping

from luxxon_core.http.operation import Operation
from luxxon_core.kernel.errors import InvalidInput, PayloadTooLarge, RequestTimeout
from luxxon_core.kernel.wire import convert

MAX_BODY = 1 << 20
MAX_BRACKETS = 500
"""Deep nesting overflows the C stack where a library has lifted Python's recursion limit, and some do."""
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""

Decoded = dict[str, Any] | InvalidInput
"""A JSON object; or why it is none, to be told to those who pass the guard."""


async def read(request: web.Request) -> bytes | InvalidInput:
    """The body's bytes."""
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return PayloadTooLarge("body:size")
    except TimeoutError:
        return RequestTimeout("body:timeout")
    except (web.RequestPayloadError, ClientPayloadError, ContentEncodingError, ConnectionError):
        return InvalidInput("body:encoding")


def decode(text: bytes | InvalidInput) -> Decoded:
    """The body as a JSON object, an absent one as an empty object."""
    if isinstance(text, InvalidInput):
        return text
    if not text.strip():
        return {}
    if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
        return InvalidInput("body:json")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return InvalidInput("body:json")
    return found if isinstance(found, dict) else InvalidInput("body:object")


def body_of(decoded: Decoded, operation: Operation) -> msgspec.Struct | None:
    """The struct that the operation asks for.

    Raises:
        InvalidInput: ``<subject>:<field>``, or what :func:`decode` found.
    """
    if operation.body is None:
        return None
    if isinstance(decoded, InvalidInput):
        raise decoded
    try:
        found: msgspec.Struct = convert(decoded, cast("type[Any]", operation.body))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{operation.subject}:{field_of(str(error))}") from None
    return found


def query_of(query: MultiMapping[str], operation: Operation) -> msgspec.Struct | None:
    """The query string as the operation wants it: text that reads as a number is one, the word null is none.

    Raises:
        InvalidInput: ``<subject>:<field>``, also of a field that is there twice.
    """
    if operation.query is None:
        return None
    for name in operation.query.__struct_encode_fields__:
        values = query.getall(name, ())
        if len(values) > 1 or any(value.lower() == "null" for value in values):
            raise InvalidInput(f"{operation.subject}:{name}")
    try:
        return convert(dict(query), operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{operation.subject}:{field_of(str(error))}") from None


def field_of(message: str) -> str:
    """The field that a msgspec message speaks of: its path ``$.a.b``, a list's own name for its elements, or
    the missing field's name."""
    if "missing required field `" in message:
        return message.split("`")[1]
    return message.rpartition("`$.")[2].rstrip("`").partition("[")[0] if "`$." in message else "value"
