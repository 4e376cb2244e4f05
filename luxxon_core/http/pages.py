"""The page for phones: the same bytes for every link, under a policy that lets it do nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from luxxon_core.http.documents import Document
from luxxon_core.http.operation import Binary
from luxxon_core.kernel.errors import NotFound

ASSETS = {
    "page.js": "text/javascript; charset=utf-8",
    "whip.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(self), screen-wake-lock=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def policy(media: Iterable[str]) -> str:
    """The Content-Security-Policy of the page.

    Args:
        media: the WHIP and WHEP URLs of its session, which may be of another server's edge.
    """
    connect = " ".join(["'self'", *sorted({origin_of(url) for url in media})])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src {connect}",
            "media-src 'self' blob: mediastream:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def phone_page(media: Iterable[str]) -> Binary:
    """The page, allowed to reach ``media`` beside the server that it comes from."""
    headers = {**HEADERS, "Content-Security-Policy": policy(media)}
    return Binary(_file("index.html"), "text/html; charset=utf-8", headers)


def phone_page_file(name: str, known: str | None) -> Binary:
    """What the page loads, or 304 where ``known``, an ``If-None-Match``, names it.

    Raises:
        NotFound: there is no such file.
    """
    if name not in ASSETS:
        raise NotFound
    return _asset(name).answer(known)


@cache
def _asset(name: str) -> Document:
    return Document(_file(name), ASSETS[name], {"X-Content-Type-Options": "nosniff"})


@cache
def _file(name: str) -> bytes:
    return (files("luxxon_core.http") / "page" / name).read_bytes()
