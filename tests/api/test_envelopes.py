"""What every answer looks like, whatever was asked (api-contract §1, §2)."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_wire import Place, Tenant, Wire, refusal

from luxxon_core.media.schemas import CAPTURED_AT, SIZE

pytestmark = pytest.mark.asyncio(loop_scope="session")

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def instants(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Every field that holds a time, by the name that the contract gives such fields."""
    if isinstance(value, dict):
        return [found for name, one in value.items() for found in instants(one, name)]
    if isinstance(value, list):
        return [found for one in value for found in instants(one, key)]
    return [(key, value)] if key.endswith("At") or key in ("timestamp", "asOf", "gracePeriodEnd") else []


async def test_success_has_exactly_four_fields_and_never_a_null(wire: Wire, consumer: Tenant) -> None:
    for path in ("/health", "/config", "/coverage", "/sessions", "/wallet", "/me"):
        response = await wire("GET", path, auth=consumer)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("application/json")
        body = response.json()
        assert set(body) == {"statusCode", "message", "data", "timestamp"}
        assert (body["statusCode"], body["message"]) == (200, "Request successful")
        assert body["data"] is not None
        moment = datetime.fromisoformat(body["timestamp"])
        assert abs(moment - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_create_is_200_too(wire: Wire, consumer: Tenant, place: Place) -> None:
    body = {**place.json, "maxDurationSeconds": 5}
    assert (await wire("POST", "/sessions", auth=consumer, json=body)).status_code == 200


async def test_instants_have_milliseconds_and_z_ids_are_uuids_money_is_strings(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    session_id = started["session"]["id"]
    await wire.data("POST", f"/sessions/{session_id}/end", auth=supplier)
    answers = [
        (await wire("GET", path, auth=auth)).json()
        for path, auth in (
            (f"/sessions/{session_id}", consumer),
            (f"/sessions/{session_id}/receipt", consumer),
            (f"/settlements/{session_id}", consumer),
            (f"/workspaces/{supplier.workspace_id}", supplier),
            ("/wallet", consumer),
        )
    ]
    answers.append(
        (await wire("GET", f"/workspaces/{consumer.workspace_id}/api-keys", auth=consumer.as_cookie())).json()
    )
    found = instants(answers)
    assert {"timestamp", "createdAt", "startedAt", "endedAt", "lastSeenAt", "updatedAt"} <= {
        name for name, _ in found
    }
    assert [one for one in found if one[1] is not None and not INSTANT.fullmatch(one[1])] == []
    session = answers[0]["data"]
    assert UUID_FORM.fullmatch(session["id"])
    for name in ("ratePerSecondMicroUsdc", "holdMicroUsdc", "chargedMicroUsdc"):
        assert isinstance(session[name], str)
        assert session[name].isdigit()
    assert session["holdMicroUsdc"] == str(60 * int(session["ratePerSecondMicroUsdc"]))


@pytest.mark.parametrize("path", ["/nothing", "/sessions/x/y/z", "/api/v2/health", "/health/"])
async def test_an_unknown_route_is_an_envelope(wire: Wire, path: str) -> None:
    assert await wire.refused("GET", path) == (404, "NOT_FOUND", None)


async def test_a_wrong_method_is_an_envelope_that_names_the_right_ones(wire: Wire) -> None:
    response = await wire("DELETE", "/health")
    assert refusal(response) == (405, "NOT_FOUND", None)
    assert response.headers["allow"] == "GET, HEAD"


async def test_head_is_get_without_the_body(wire: Wire, consumer: Tenant) -> None:
    for path in ("/health", "/me"):
        get, head = await wire("GET", path, auth=consumer), await wire("HEAD", path, auth=consumer)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{", "body:json"),
        (b"not json", "body:json"),
        (b"{}}", "body:json"),
        (b'{"lat": NaN}', "body:json"),
        (b'{"lat": 1e999}', "body:json"),
        (b"\xff\xfe", "body:json"),
        (b'"\xed\xa0\x80"', "body:json"),
        (b"[" * 100_000, "body:json"),
        (b'{"a":' * 50_000, "body:json"),
        (b"[]", "body:object"),
        (b"7", "body:object"),
        (b"null", "body:object"),
        (b"{}", "auth:walletAddress"),
        (b"", "auth:walletAddress"),
        (b'{"walletAddress": null}', "auth:walletAddress"),
        (b'{"walletAddress": 5}', "auth:walletAddress"),
        (b'{"walletAddress": ["0x"]}', "auth:walletAddress"),
    ],
)
async def test_a_malformed_body_is_refused_and_the_field_named(
    wire: Wire, content: bytes, detail: str
) -> None:
    found = await wire.refused("POST", "/auth/wallet/challenge", content=content)
    assert found == (400, "INVALID_INPUT", detail)


async def test_too_large_a_body_is_413_in_an_envelope(wire: Wire) -> None:
    content = json.dumps({"walletAddress": "0" * (1 << 20)}).encode()
    found = await wire.refused("POST", "/auth/wallet/challenge", content=content)
    assert found == (413, "INVALID_INPUT", "body:size")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", "50.8"),
        ("lat", None),
        ("lng", True),
        ("maxDurationSeconds", "60"),
        ("maxDurationSeconds", 1.5),
        ("waitTimeoutSeconds", "soon"),
        ("quoteId", 7),
        ("workspaceId", 7),
    ],
)
async def test_a_wrong_type_names_its_field(
    wire: Wire, consumer: Tenant, place: Place, field: str, value: object
) -> None:
    body = {**place.json, "maxDurationSeconds": 60, field: value}
    status, code, detail = await wire.refused("POST", "/sessions", auth=consumer, json=body)
    assert (status, code) == (400, "INVALID_INPUT")
    assert detail is not None
    assert detail.endswith(f":{field}")


async def test_a_wrong_element_names_its_list(wire: Wire, consumer: Tenant) -> None:
    body = {"label": "x", "environment": "TEST", "scopes": ["sessions:read", 5]}
    path = f"/workspaces/{consumer.workspace_id}/api-keys"
    found = await wire.refused("POST", path, auth=consumer.as_cookie(), json=body)
    assert found == (400, "INVALID_INPUT", "apiKey:scopes")


DETAIL = re.compile(r"[a-z][A-Za-z]*(:[A-Za-z][A-Za-z0-9]*)+(:[A-Za-z]+)*")


async def test_details_follow_one_grammar(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    """``<domain>:<label>[:<qualifier>]``, lower-camel labels, a state or scope as the qualifier."""
    session = await wire.create(consumer, place)
    path = f"/sessions/{session['id']}"
    refusals = [
        await wire.refused("GET", path, auth=stranger),
        await wire.refused("POST", f"{path}/end", auth=consumer),
        await wire.refused("POST", f"{path}/start", auth=stranger),
        await wire.refused("POST", f"{path}/dispatch", auth=consumer),
        await wire.refused("POST", f"{path}/accept", auth=consumer, json={}),
        await wire.refused("GET", f"{path}/viewer-token", auth=consumer),
        await wire.refused(
            "POST", "/sessions", auth=consumer, json={"lat": 91, "lng": 0, "maxDurationSeconds": 1}
        ),
        await wire.refused("POST", "/auth/wallet/challenge", json={"walletAddress": "0x12"}),
    ]
    details = [detail for _, _, detail in refusals]
    assert all(detail is not None and DETAIL.fullmatch(detail) for detail in details), details
    assert "session:end:REQUESTED" in details
    assert "session:viewDenied" in details


async def test_no_operation_needs_a_content_type_or_a_body_it_does_not_have(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """As plain clients send them: POST and DELETE with nothing at all, over a raw socket."""
    session = await wire.create(consumer, place)
    server = wire.server.url.removeprefix("http://")
    host, port = server.split(":")

    async def raw(method: str, path: str) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n"
            f"Authorization: Bearer {consumer.key}\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert b'"code":"NO_COVERAGE"' in await raw("POST", f"/api/v1/sessions/{session['id']}/dispatch")
    assert b'"state":"CANCELLED"' in await raw("DELETE", f"/api/v1/sessions/{session['id']}")
    assert b'"ok":true' in await raw("POST", "/api/v1/auth/logout")
    assert b'"count":0' in await raw("POST", "/api/v1/sessions/cancel-all-assignments")


@pytest.mark.parametrize("prefix", ["/api/v1", "", "/api/v1/api/v1"])
async def test_every_published_prefix_is_served(wire: Wire, consumer: Tenant, prefix: str) -> None:
    base = wire.server.url + prefix
    assert (await wire.data("GET", f"{base}/health"))["ok"] is True
    assert (await wire.data("GET", f"{base}/me", auth=consumer))["workspaceId"] == consumer.workspace_id
    assert (await wire.refused("GET", f"{base}/sessions/x", auth=consumer))[1] == "SESSION_NOT_FOUND"


@pytest.mark.parametrize("token", ["", "garbage", "=" * 4000, "null", "AAAA==", "' or 1=1 --"])
async def test_a_consistency_token_never_hurts(wire: Wire, consumer: Tenant, token: str) -> None:
    for path in ("/sessions", "/health", f"/workspaces/{consumer.workspace_id}"):
        response = await wire("GET", path, auth=consumer, headers={"X-Lx-Consistency-Token": token})
        assert response.status_code == 200


@pytest.mark.parametrize(
    "name", ["Authorization: Bearer lxxn_test_\xff\xfe", "Cookie: lx_session=\xff\xfe.\xfa", "Cookie: \xff"]
)
async def test_bytes_that_are_no_text_are_no_credential(wire: Wire, name: str) -> None:
    server = wire.server.url.removeprefix("http://")
    host, port = server.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET /api/v1/me HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{name}\r\n\r\n"
    writer.write(head.encode("latin-1"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401"), answer


# -- cross-origin -----------------------------------------------------------------------------------------

CONSOLE = "https://console.luxxon.dev"


async def test_the_console_may_call_with_its_cookie(wire: Wire) -> None:
    for path, status in (("/health", 200), ("/me", 401), ("/nothing", 404)):
        response = await wire("GET", path, headers={"Origin": CONSOLE})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == CONSOLE
        assert response.headers["access-control-allow-credentials"] == "true"
        exposed = response.headers["access-control-expose-headers"]
        of_all = ("X-Lx-Consistency-Token", "X-Request-Id", "RateLimit")
        of_pictures = ("ETag", "Age", CAPTURED_AT, SIZE)
        assert {*of_all, *of_pictures} <= set(exposed.split(", "))
        assert "Origin" in response.headers["vary"]


async def test_a_preflight_allows_what_the_contract_lists(wire: Wire) -> None:
    headers = {
        "Origin": CONSOLE,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "content-type",
    }
    response = await wire("OPTIONS", "/workspaces/x", headers=headers)
    assert response.status_code == 204
    allowed = response.headers["access-control-allow-methods"]
    assert all(method in allowed for method in ("GET", "POST", "PATCH", "DELETE", "OPTIONS"))
    named = response.headers["access-control-allow-headers"].lower()
    listed = ("content-type", "authorization", "x-lx-consistency-token")
    ours = ("idempotency-key", "x-request-id", "last-event-id", "if-none-match")
    assert all(name in named for name in (*listed, *ours))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://console.luxxon.dev.evil.example"]
)
async def test_other_origins_get_no_permission(wire: Wire, origin: str) -> None:
    for method, extra in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "GET"})):
        response = await wire(method, "/health", headers={"Origin": origin, **extra})
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_the_console_reaches_the_media_edge_by_the_edges_own_rules(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    """WHEP needs headers of its own; the middleware of the API must not replace them."""
    _, started = await wire.started(consumer, place)
    preflight = {"Origin": CONSOLE, "Access-Control-Request-Method": "DELETE"}
    response = await wire("OPTIONS", started["whepUrl"], headers=preflight)
    assert response.is_success
    assert "If-Match" in response.headers["access-control-allow-headers"]
    response = await wire("POST", started["whepUrl"], headers={"Origin": CONSOLE}, content=b"no sdp")
    assert "Location" in response.headers["access-control-expose-headers"]
    assert response.headers["access-control-allow-origin"] in ("*", CONSOLE)
