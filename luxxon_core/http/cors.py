"""Cross-origin calls with credentials, for listed origins only (api-contract §1.7)."""

from __future__ import annotations

from collections.abc import MutableMapping

from aiohttp import web
from multidict import CIMultiDict

from luxxon_core.http.envelope import CONSISTENCY_HEADER

METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
ALLOWED = ", ".join(
    [
        "content-type",
        "authorization",
        "x-lx-consistency-token",
        "idempotency-key",
        "x-request-id",
        "last-event-id",
        "if-none-match",
        "prefer",
        "mcp-protocol-version",
        "mcp-session-id",
        "mcp-method",
        "mcp-name",
    ]
)
EXPOSED = ", ".join(
    [
        CONSISTENCY_HEADER,
        "X-Request-Id",
        "Idempotency-Replayed",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "ETag",
        "Age",
        "X-Luxxon-Captured-At",
        "X-Luxxon-Size",
        "Location",
        "Preference-Applied",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
    ]
)
MAX_AGE = "7200"


def preflight(request: web.Request, origins: frozenset[str]) -> web.Response | None:
    """The answer to a preflight of a listed origin, where no route answers by rules of its own."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    if request.headers.get("Origin") not in origins or request.match_info.http_exception is None:
        return None
    permission = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ALLOWED,
        "Access-Control-Max-Age": MAX_AGE,
    }
    return web.Response(status=204, headers=permission)


def permit(origin: str, headers: CIMultiDict[str] | MutableMapping[str, str]) -> None:
    """Let a listed origin read an answer."""
    if "Access-Control-Allow-Origin" in headers:  # the media edge has rules of its own
        return
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Allow-Credentials"] = "true"
    headers["Access-Control-Expose-Headers"] = EXPOSED
    vary = headers.get("Vary")
    headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
