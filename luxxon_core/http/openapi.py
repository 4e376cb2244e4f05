"""The OpenAPI 3.1 document, read from the rows that also route, guard and decode."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any, get_args, get_origin

from luxxon_core.http.components import (
    BEARER,
    ERROR,
    HEADERS,
    INTRODUCTION,
    LAST_EVENT_ID,
    LINK,
    PARAMETERS,
    SECURITY_SCHEMES,
    TAGS,
    UUID,
)
from luxxon_core.http.guard import COOKIE
from luxxon_core.http.operation import Access, Binary, EventStream, Media, Operation
from luxxon_core.http.refusals import ACTS, PARAMETER, names_workspace, refusals
from luxxon_core.http.schema import Schema, schemas
from luxxon_core.kernel.errors import LuxxonError

PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""What RFC 9110 §15.5 calls them; Python does from 3.13 on."""
MOMENT = "2026-05-13T12:00:00.000Z"
JPEG = Media("image/jpeg", "A JPEG picture")
EVENTS = Media("text/event-stream", "Server-sent events (WHATWG HTML §9.2) until the client leaves")


def document(operations: Iterable[Operation], *, version: str, server_url: str) -> dict[str, Any]:
    """The OpenAPI document of ``operations``; the same rows give the same document.

    Raises:
        ValueError: two operations would have one ``operationId``.
    """
    rows = sorted(operations, key=lambda row: (row.path, METHODS.index(row.method)))
    inputs = [row.body for row in rows if row.body] + [row.query for row in rows if row.query]
    outputs = [kind for row in rows for kind in _wire_types(row.out)]
    wire = schemas(inputs, outputs)
    by_input = dict(zip(inputs, wire.inputs, strict=True))
    answers = iter(wire.outputs)
    queries = {row.query for row in rows if row.query} - {row.body for row in rows if row.body}
    builder = _Builder(wire.components, by_input)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        kinds = _wire_types(row.out)
        item = builder.operation(row, [next(answers) for _ in kinds])
        paths.setdefault(shown_path(row), {})[row.method.lower()] = item
    ids = [item["operationId"] for one in paths.values() for item in one.values()]
    if len(ids) != len(set(ids)):
        raise ValueError(f"operationId given twice: {sorted(one for one in ids if ids.count(one) > 1)}")
    hidden = {by_input[query]["$ref"].rpartition("/")[2] for query in queries}
    used = {row.tag for row in rows}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Luxxon API",
            "version": version,
            "description": INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server_url}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
        + [{"name": name} for name in sorted(used - set(TAGS))],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": ERROR,
                **{name: one for name, one in wire.components.items() if name not in hidden},
            },
            "responses": {name: builder.responses[name] for name in sorted(builder.responses)},
            "examples": {name: builder.examples[name] for name in sorted(builder.examples)},
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


SUCCESS = {200: "Request successful", 201: "Finished", 202: "Under way: ask at `Location`"}
SHARED = (401, 408, 413, 429, 500)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class _Builder:
    """Builds operation objects and gathers the examples that they refer to."""

    def __init__(self, components: dict[str, Schema], by_input: dict[Any, Schema]) -> None:
        self._components = components
        self._by_input = by_input
        self.examples: dict[str, Schema] = {}
        self.responses: dict[str, Schema] = {}

    def operation(self, row: Operation, answers: Sequence[Schema]) -> dict[str, Any]:
        item: dict[str, Any] = {
            "operationId": operation_id(row),
            "tags": [row.tag],
            "summary": row.summary,
            "description": admits(row),
            "security": _security(row),
            "parameters": [*self._parameters(row)],
        }
        if row.body is not None:
            schema = self._by_input[row.body]
            one = schema if "$ref" in schema else schema["anyOf"][0]  # of several, each needs its tag
            needed = self._components[one["$ref"].rpartition("/")[2]].get("required")
            item["requestBody"] = {
                "required": bool(needed),
                "content": {"application/json": {"schema": schema}},
            }
        statuses = (201, 202) if row.creates else (200,)
        item["responses"] = {str(one): self._success(row, answers, one) for one in statuses}
        item["responses"] |= self._failures(row)
        if (media := media_of(row.out)) is not None and media.revalidates:
            item["responses"]["304"] = {"description": "Not Modified"}
        return item

    def _parameters(self, row: Operation) -> Iterator[Schema]:
        for name in PARAMETER.findall(row.path):
            yield {"name": _camel(name), "in": "path", "required": True, "schema": _path_schema(name)}
        if row.query is not None:
            struct = self._components[self._by_input[row.query]["$ref"].rpartition("/")[2]]
            for name, schema in struct["properties"].items():
                needed = {"required": True} if name in struct.get("required", ()) else {}
                yield {"name": name, "in": "query", **needed, "schema": _not_null(schema)}
        if names_workspace(row):
            yield {"$ref": "#/components/parameters/WorkspaceId"}
        for name in row.headers:
            yield {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        if row.access is not Access.PUBLIC:
            yield {"$ref": "#/components/parameters/ConsistencyToken"}
        if row.method == "POST":
            yield {"$ref": "#/components/parameters/IdempotencyKey"}
        if row.waits:
            yield {"$ref": "#/components/parameters/Prefer"}
        if (media := media_of(row.out)) is not None and media.events:
            yield LAST_EVENT_ID
        yield {"$ref": "#/components/parameters/RequestId"}

    def _success(self, row: Operation, answers: Sequence[Schema], status: int) -> Schema:
        headers = _headers("RequestId", "RateLimit", "RateLimitPolicy")
        if row.access in ACTS:
            headers |= _headers("ConsistencyToken")
        if row.method == "POST":
            headers |= _headers("IdempotencyReplayed")
        if row.waits:
            headers |= _headers("PreferenceApplied")
        if row.creates:
            headers |= _headers("Location")
        if (media := media_of(row.out)) is not None:
            schema = _event_schema(media, answers) if media.events else _media_schema(media)
            return {
                "description": media.description,
                "headers": headers,
                "content": {media.content_type: {"schema": schema}},
            }
        envelope = {
            "type": "object",
            "properties": {
                "statusCode": {"const": status},
                "message": {"type": "string"},
                "data": answers[0],
                "timestamp": {"type": "string", "format": "date-time"},
            },
            "required": ["statusCode", "message", "data", "timestamp"],
        }
        return {
            "description": SUCCESS[status],
            "headers": headers,
            "content": {"application/json": {"schema": envelope}},
        }

    def _failures(self, row: Operation) -> dict[str, Schema]:
        by_status: dict[int, list[LuxxonError]] = {}
        for error in refusals(row):
            by_status.setdefault(error.status, []).append(error)
        return {
            str(status): self._shared(row, status, self._failure(status, by_status[status]))
            for status in sorted(by_status)
        }

    def _shared(self, row: Operation, status: int, response: Schema) -> Schema:
        """A reference to a response that most endpoints have; itself where another one has its name."""
        if status not in SHARED:
            return response
        name = ("Public" if row.access is Access.PUBLIC else "") + _phrase(status).replace(" ", "")
        same = self.responses.setdefault(name, response) == response
        return {"$ref": f"#/components/responses/{name}"} if same else response

    def _failure(self, status: int, errors: Sequence[LuxxonError]) -> Schema:
        codes = sorted({error.code for error in errors})
        own = {"properties": {"statusCode": {"const": status}, "code": {"enum": codes}}}
        names = [self._example(error) for error in errors]
        return {
            "description": _phrase(status),
            "headers": _headers("RequestId", *(["RetryAfter"] if status == 429 else [])),
            "content": {
                "application/json": {
                    "schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, own]},
                    "examples": {name: {"$ref": f"#/components/examples/{name}"} for name in names},
                }
            },
        }

    def _example(self, error: LuxxonError) -> str:
        """The name of the error's example; a detail makes it one of its own."""
        name = error.code if error.status not in (408, 413) else f"{error.code}.{error.status}"
        value: Schema = {"statusCode": error.status, "code": error.code, "message": error.message}
        if error.detail is not None:
            name += "." + re.sub(r"[^\w.-]", ".", error.detail)
            value["detail"] = error.detail
        self.examples[name] = {
            "summary": error.detail or error.code,
            "value": {**value, "timestamp": MOMENT},
        }
        return name


def operation_id(row: Operation) -> str:
    """``GET /workspaces/{workspace_id}/api-keys`` → ``getWorkspaceApiKeys``: as stable as the path is."""
    parts = [part for part in re.split(r"[/.]", row.path) if part]
    words = [row.method.lower()]
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part.startswith("{"):
            continue
        one = part.removesuffix("s") if following.startswith("{") else part
        words += [word[:1].upper() + word[1:] for word in re.split(r"[-_]", one)]
    return "".join(words)


def admits(row: Operation) -> str:
    """Who may call, in a sentence."""
    scopes = " or ".join(f"`{scope}`" for scope in row.scopes)
    key = f"An API key with the scope {scopes}" if scopes else "Any API key"
    match row.access:
        case Access.PUBLIC:
            secrets = " and ".join(f"`{name}`" for name in row.headers)
            return (
                f"Who knows the secrets in its path and in {secrets}." if secrets else "No credential needed."
            )
        case Access.IDENTIFIED:
            return f"{key}, or a wallet session."
        case Access.WALLET:
            return "A wallet session."
        case Access.WALLET_WORKSPACE:
            return f"A wallet session with the permission `{row.permission}` in the workspace."
        case Access.LINK:
            return "The token of a link that `POST /sessions/{sessionId}/link` made."
        case Access.WORKSPACE:
            return f"{key}, or a wallet session with the permission `{row.permission}` in the workspace."


def media_of(out: Any) -> Media | None:
    """What an answer is that is no envelope; None for one that is."""
    said = next((one for one in get_args(out)[1:] if isinstance(one, Media)), None)
    kind = get_args(out)[0] if get_origin(out) is Annotated else out
    if kind is Binary:
        return said or JPEG
    return (said or EVENTS) if kind is EventStream else None


def _wire_types(out: Any) -> list[Any]:
    """The types of an answer that have a schema."""
    media = media_of(out)
    return [out] if media is None else list(media.events.values())


def _media_schema(media: Media) -> Schema:
    if media.content_type == "application/json":
        return {"type": "object"}
    text = media.content_type.startswith("text/")
    return {"type": "string"} if text else {"type": "string", "contentMediaType": media.content_type}


def _event_schema(media: Media, answers: Sequence[Schema]) -> Schema:
    """Of each event of a stream: before OpenAPI 3.2, ``schema`` of such a medium is taken for that."""
    kinds = [
        {
            "title": name,
            "properties": {
                "event": {"const": name},
                "data": {"contentMediaType": "application/json", "contentSchema": schema},
            },
        }
        for name, schema in zip(media.events, answers, strict=True)
    ]
    return {
        "type": "object",
        "properties": {"event": {"type": "string"}, "data": {"type": "string"}, "id": {"type": "string"}},
        "required": ["event", "data"],
        "oneOf": kinds,
    }


def _security(row: Operation) -> list[dict[str, list[str]]]:
    if row.access is Access.PUBLIC:
        return []
    if row.access in (Access.WALLET, Access.WALLET_WORKSPACE):
        return [{COOKIE: []}]
    if row.access is Access.LINK:
        return [{LINK: []}]
    keys: list[dict[str, list[str]]] = [{BEARER: [str(scope)]} for scope in row.scopes] or [{BEARER: []}]
    return [*keys, {COOKIE: []}]


def shown_path(row: Operation) -> str:
    """The path as the document writes it: ``/sessions/{sessionId}``."""
    return PARAMETER.sub(lambda found: "{" + _camel(found[1]) + "}", row.path)


def _path_schema(name: str) -> Schema:
    if name.endswith("_id"):
        return UUID
    if name.endswith(("address", "wallet")):
        return {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
    return {"type": "string", "minLength": 1}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _not_null(schema: Schema) -> Schema:
    """A query parameter is there or not; its text is never null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return {**schema, "type": next(one for one in kind if one != "null")}
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **options[0]} if len(options) == 1 else schema


def _phrase(status: int) -> str:
    return PHRASES.get(status) or HTTPStatus(status).phrase


def _headers(*names: str) -> dict[str, Schema]:
    wire = {
        "ConsistencyToken": "X-Lx-Consistency-Token",
        "RequestId": "X-Request-Id",
        "IdempotencyReplayed": "Idempotency-Replayed",
        "RateLimitPolicy": "RateLimit-Policy",
        "RetryAfter": "Retry-After",
        "PreferenceApplied": "Preference-Applied",
    }
    return {wire.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}
