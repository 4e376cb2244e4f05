"""The documents about the API: the OpenAPI document, a page that shows it, and a text for agents."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Any

from luxxon_core.http.guide import guide
from luxxon_core.http.openapi import document
from luxxon_core.http.openapi_30 import as_3_0
from luxxon_core.http.operation import Access, Binary, Call, Media, Operation
from luxxon_core.kernel.errors import NotFound

BASE = "/api/v1"
CSP = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True)
class Document:
    """Bytes that change with the version only; clients may ask for news of them (RFC 9110 §13.1.2)."""

    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    def answer(self, known: str | None) -> Binary:
        """The document, or 304 where ``known``, an ``If-None-Match``, names it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", **self.headers}
        tags = [one.strip().removeprefix("W/") for one in (known or "").split(",")]
        if self.etag in tags or "*" in tags:
            return Binary(b"", self.content_type, headers, status=304)
        return Binary(self.body, self.content_type, headers)


def openapi_json(operations: Sequence[Operation], *, version: str, server_url: str) -> bytes:
    """The OpenAPI document as it is served and committed: stable, readable, one line break at the end."""
    return _text(document(operations, version=version, server_url=server_url))


def _text(made: dict[str, Any]) -> bytes:
    return (json.dumps(made, indent=2, ensure_ascii=False) + "\n").encode()


def operations(others: Sequence[Operation], *, version: str, public_url: str) -> list[Operation]:
    """Rows for the documents about ``others`` and about these rows themselves; made when first asked for.

    Args:
        public_url: where clients reach the server, without the base path; empty where nobody knows.
    """
    base = public_url.rstrip("/") + BASE

    @cache
    def described() -> Document:
        text = openapi_json([*others, *documented], version=version, server_url=base)
        return Document(text, "application/json")

    @cache
    def described_3_0() -> Document:
        made = document([*others, *documented], version=version, server_url=base)
        return Document(_text(as_3_0(made)), "application/json")

    @cache
    def text_for_agents() -> Document:
        text = guide([*others, *documented], version=version, base=base)
        return Document(text.encode(), "text/plain; charset=utf-8")

    published = Media("application/json", "The OpenAPI 3.0 document, in no envelope", revalidates=True)
    usual = Media("application/json", "The OpenAPI 3.1 document, in no envelope", revalidates=True)
    documented = [
        _row("/docs-json", described_3_0, "This document in OpenAPI 3.0", published),
        _row("/openapi.json", described, "This document", usual),
        _row(
            "/docs", _page, "A page to read and try the API on", Media("text/html", "HTML", revalidates=True)
        ),
        _row(
            "/llms.txt",
            text_for_agents,
            "The API told to agents, in Markdown",
            Media("text/plain", "Markdown", revalidates=True),
        ),
    ]
    return documented


def _row(path: str, made: Callable[[], Document], summary: str, media: Media) -> Operation:
    async def get(call: Call[Any]) -> Binary:
        return made().answer(call.headers.get("If-None-Match"))

    return Operation(
        method="GET",
        path=path,
        handler=get,
        access=Access.PUBLIC,
        out=Annotated[Binary, media],
        tag="Documents",
        summary=summary,
    )


def viewer_files() -> Operation:
    """What the page at /docs loads; no part of the API, so no part of its document."""

    async def get(call: Call[Any]) -> Binary:
        name = call.path["asset"]
        if name not in ASSETS:
            raise NotFound
        plain = "gzip" not in call.headers.get("Accept-Encoding", "")
        return _asset(name, plain=plain).answer(call.headers.get("If-None-Match"))

    return Operation(
        method="GET",
        path="/docs/{asset}",
        handler=get,
        access=Access.PUBLIC,
        out=Binary,
        tag="Documents",
        summary="A file of the page at /docs",
    )


@cache
def _page() -> Document:
    headers = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}
    return Document(
        _file("index.html"), "text/html; charset=utf-8", {**headers, "Referrer-Policy": "no-referrer"}
    )


@cache
def _asset(name: str, *, plain: bool) -> Document:
    headers = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if name == "start.js":
        return Document(_file(name), ASSETS[name], headers)
    packed = _file(name + ".gz")
    if plain:
        return Document(gzip.decompress(packed), ASSETS[name], headers)
    return Document(packed, ASSETS[name], {**headers, "Content-Encoding": "gzip"})


def _file(name: str) -> bytes:
    return (files("luxxon_core.http") / "viewer" / name).read_bytes()
