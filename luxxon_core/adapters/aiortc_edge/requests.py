"""What WHIP and WHEP requests carry: bodies, entity tags, bearer tokens; and how they are refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_BODY = 64 * 1024
BODY_TIMEOUT = 10.0
ENCODINGS = ("", "identity", "gzip", "deflate")
"""Content codings that are undone before the body is measured."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_TAG = re.compile(r'(W/)?("[!#-~\x80-\xff]*")')


class Refused(Exception):
    """Answered with a status and a line for people; clients go by the status.

    Args:
        hang_up: the connection cannot carry another request.
    """

    def __init__(
        self, status: int, text: str, headers: Mapping[str, str] | None = None, *, hang_up: bool = False
    ) -> None:
        super().__init__(text)
        self.status, self.text, self.headers, self.hang_up = status, text, dict(headers or {}), hang_up


def check_type(request: web.Request, media_type: str, told: str) -> None:
    """Refuse other media types, whose parameters do not matter, and unknown codings.

    Args:
        told: name of the header that tells what would have been taken.
    """
    if request.content_type.lower() != media_type:
        raise Refused(415, f"Content-Type must be {media_type}", {told: media_type})
    if request.headers.get("Content-Encoding", "").strip().lower() not in ENCODINGS:
        raise Refused(415, "Content-Encoding must be gzip or deflate", {"Accept-Encoding": "gzip, deflate"})
    if (request.content_length or 0) > MAX_BODY:
        raise Refused(413, "The body exceeds 64 KiB")


async def read_text(request: web.Request) -> str:
    """The body, at most 64 KiB of it once decompressed."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise Refused(413, "The body exceeds 64 KiB")
        return body.decode()
    except TimeoutError as error:
        raise Refused(408, "The body did not arrive in time", hang_up=True) from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        request.content.feed_eof()  # else aiohttp reads on when we have answered, and fails aloud
        raise Refused(400, "The body is not what its headers say", hang_up=True) from error
    except UnicodeDecodeError as error:
        raise Refused(400, "The body is not UTF-8") from error


class Condition:
    """``If-Match`` (RFC 9110 §13.1.1)."""

    def __init__(self, value: str) -> None:
        # RFC 9725 writes the wildcard with quotes in its example of a restart.
        self.any = value.strip() in ("*", '"*"')
        self._tags = {tag for weak, tag in _TAG.findall(value) if not weak}

    def holds(self, etag: str) -> bool:
        """By strong comparison, which no weak tag survives."""
        return self.any or etag in self._tags


def condition(request: web.Request) -> Condition:
    """Raises Refused: the request is not conditional (RFC 6585 §3)."""
    values = request.headers.getall("If-Match", ())
    if not values:
        raise Refused(428, "If-Match is required: the session's ETag, or *")
    return Condition(", ".join(values))


def bearer(request: web.Request) -> str | None:
    """The token of ``Authorization: Bearer`` (RFC 6750 §2.1), None for anything else."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None
