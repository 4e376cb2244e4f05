"""The parts of the OpenAPI document that are the same for every endpoint."""

from __future__ import annotations

from luxxon_core.http.guard import COOKIE
from luxxon_core.http.schema import UUID_PATTERN, Schema

BEARER = "access-token"
LINK = "link-token"
UUID: Schema = {"type": "string", "format": "uuid", "pattern": UUID_PATTERN}
LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The stream resumes after the event of this id.",
    "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"},
}
INTRODUCTION = """\
Live video of real places, paid per second in USDC.

Success is `{statusCode, message, data, timestamp}`, failure
`{statusCode, code, message, detail?, timestamp}`: branch on `code`. Unknown fields are ignored.
Money is µUSDC (1 USDC = 1,000,000 µUSDC) in decimal strings. A whole number may be written as `10.0`.
A POST that carries an `Idempotency-Key` can be repeated safely. How the calls fit together: `/llms.txt`."""
TAGS = {
    "Authentication": "Sign in with a wallet (EIP-4361)",
    "Me": "Who is calling",
    "Workspaces": "Tenants: consumers and suppliers, their coverage and availability",
    "API keys": "Keys for programs",
    "Pricing": "What a second costs",
    "Sessions": "From request to bill",
    "Observations": "One picture of a place, for a price known beforehand",
    "Links": "The page for phones: one side of one session, for whoever holds its link",
    "Events": "What happens, as it happens",
    "Wallet": "The prepaid pool on chain",
    "Settlements": "Payments on chain",
    "Health": "Whether the server works",
    "Config": "Chain and contracts of this deployment",
    "Webhooks": "What happens, sent to a server of yours; and calls from the media edge",
    "Coverage": "Where suppliers are, and where they are asked for",
    "Documents": "This document and its readers",
}
PARAMETERS: dict[str, Schema] = {
    "ConsistencyToken": {
        "name": "X-Lx-Consistency-Token",
        "in": "header",
        "description": "Opaque; from an earlier answer. Reads are at least as fresh. One that is not known is"
        " as good as none.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request is answered as the first time, for 24 hours.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Returned with the answer and written to the server's log.",
        "schema": {"type": "string"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "RFC 7240: `wait=SECONDS`, how long to wait for the end; `respond-async`, not at all.",
        "schema": {"type": "string"},
    },
    "WorkspaceId": {
        "name": "workspaceId",
        "in": "query",
        "description": "The workspace to act for; without it a key's own, or the one that the wallet picked.",
        "schema": UUID,
    },
}
HEADERS: dict[str, Schema] = {
    "ConsistencyToken": {
        "description": "Send it with later calls to read your own writes.",
        "schema": {"type": "string"},
    },
    "RequestId": {
        "description": "The request's own id, or the one it came with.",
        "schema": {"type": "string"},
    },
    "IdempotencyReplayed": {
        "description": "This is the answer that the same request got before.",
        "schema": {"type": "string", "const": "true"},
    },
    "RateLimit": {
        "description": "What is left (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
    },
    "RateLimitPolicy": {"description": "What is allowed.", "schema": {"type": "string"}},
    "Location": {
        "description": "Where to ask for it, absolute.",
        "schema": {"type": "string", "format": "uri"},
    },
    "PreferenceApplied": {
        "description": "The preference that was heeded (RFC 7240).",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}
ERROR: Schema = {
    "description": "Every failure. Branch on `code`; `detail` is `<domain>:<label>[:<qualifier>]`.",
    "type": "object",
    "properties": {
        "statusCode": {"type": "integer"},
        "code": {"type": "string"},
        "message": {"type": "string", "minLength": 1},
        "detail": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
    "required": ["statusCode", "code", "message", "timestamp"],
}
SECURITY_SCHEMES: dict[str, Schema] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT or lxxn_*",
        "description": "An API key of a workspace.",
    },
    COOKIE: {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A wallet session, set by `POST /auth/wallet/login`.",
    },
    LINK: {
        "type": "http",
        "scheme": "bearer",
        "description": "The last part of a link to the page for phones: one side of one session.",
    },
}
