"""Every row of the API has a method of the SDK, and every method calls a row in the way the row wants."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from luxxon_core.access.schemas import KeyArea
from luxxon_core.client import Luxxon
from luxxon_core.client.events import EventStream
from luxxon_core.client.transport import IDEMPOTENCY_HEADER, Resource
from luxxon_core.controls.domain import Outcome
from luxxon_core.controls.schemas import Order, PtzPosition, PtzPreset, PtzResult, PtzStatus
from luxxon_core.http.operation import Access, Operation
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.wire import convert
from luxxon_core.rows import described
from luxxon_core.wallet.schemas import DepositAuthorization

ONE, OTHER = UUID(int=1), UUID(int=2)
WALLET = "0x" + "11" * 20
NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
EVERYTHING = PtzResult(
    Outcome.EXECUTED, "label", PtzStatus(False, PtzPosition(0, 0, 0)), [PtzPreset("1", "gate")], "1"
)

Call = Callable[[Luxxon], Awaitable[object]]


async def drained(stream: Any) -> None:
    async for _ in stream:
        pass


CALLS: dict[str, tuple[str, Call]] = {
    "auth.challenge": ("POST /auth/wallet/challenge", lambda api: api.auth.challenge(WALLET)),
    "auth.login": ("POST /auth/wallet/login", lambda api: api.auth.login(WALLET, "00" * 16, "0x11")),
    "auth.select_workspace": ("POST /auth/workspace/select", lambda api: api.auth.select_workspace(ONE)),
    "auth.logout": ("POST /auth/logout", lambda api: api.auth.logout()),
    "me.get": ("GET /me", lambda api: api.me.get()),
    "config.get": ("GET /config", lambda api: api.config.get()),
    "health.get": ("GET /health", lambda api: api.health.get()),
    "health.ready": ("GET /ready", lambda api: api.health.ready()),
    "documents.openapi": ("GET /openapi.json", lambda api: api.documents.openapi()),
    "documents.docs_json": ("GET /docs-json", lambda api: api.documents.docs_json()),
    "documents.page": ("GET /docs", lambda api: api.documents.page()),
    "documents.llms_txt": ("GET /llms.txt", lambda api: api.documents.llms_txt()),
    "webhooks.create": (
        "POST /webhooks",
        lambda api: api.webhooks.create("https://a.example", events=["session.state"], description="d"),
    ),
    "webhooks.list": ("GET /webhooks", lambda api: api.webhooks.list()),
    "webhooks.get": ("GET /webhooks/{webhook_id}", lambda api: api.webhooks.get(ONE)),
    "webhooks.update": (
        "PATCH /webhooks/{webhook_id}",
        lambda api: api.webhooks.update(
            ONE, url="https://a.example", events=["session.state"], description="d", enabled=True
        ),
    ),
    "webhooks.delete": ("DELETE /webhooks/{webhook_id}", lambda api: api.webhooks.delete(ONE)),
    "webhooks.rotate": ("POST /webhooks/{webhook_id}/rotate", lambda api: api.webhooks.rotate(ONE)),
    "webhooks.test": ("POST /webhooks/{webhook_id}/test", lambda api: api.webhooks.test(ONE)),
    "webhooks.replay": (
        "POST /webhooks/{webhook_id}/replay",
        lambda api: api.webhooks.replay(ONE, delivery_id=OTHER, since=NOW),
    ),
    "webhooks.deliveries": (
        "GET /webhooks/{webhook_id}/deliveries",
        lambda api: api.webhooks.deliveries(ONE, state="FAILED", cursor=OTHER, limit=5),
    ),
    "webhooks.delivery": (
        "GET /webhooks/{webhook_id}/deliveries/{delivery_id}",
        lambda api: api.webhooks.delivery(ONE, OTHER),
    ),
    "webhooks.video_event": (
        "POST /video/events/{token}",
        lambda api: api.webhooks.video_event(
            "t", webhook_auth="a", input_id="i", event_type="live_input.connected", updated_at=NOW
        ),
    ),
    "observations.create": (
        "POST /observations",
        lambda api: api.observations.create(
            lat=1,
            lng=2,
            max_price_micro_usdc=10_000,
            max_wait_seconds=30,
            max_width=640,
            wait=5,
            workspace_id=ONE,
        ),
    ),
    "observations.get": (
        "GET /observations/{observation_id}",
        lambda api: api.observations.get(ONE, wait=5),
    ),
    "observations.frame": (
        "GET /observations/{observation_id}/frame",
        lambda api: api.observations.frame(ONE),
    ),
    "coverage.list": ("GET /coverage", lambda api: api.coverage.list()),
    "demand.heatmap": ("GET /demand", lambda api: api.demand.heatmap()),
    "pricing.quote": (
        "GET /pricing/quote",
        lambda api: api.pricing.quote(lat=0, lng=-180.0, duration_seconds=60, workspace_id=ONE),
    ),
    "workspaces.challenge": ("POST /workspaces/challenge", lambda api: api.workspaces.challenge(WALLET)),
    "workspaces.create": (
        "POST /workspaces",
        lambda api: api.workspaces.create(
            slug="a-slug",
            name="A name",
            wallet_address=WALLET,
            signature="0x11",
            nonce="00" * 16,
            roles=["CONSUMER"],
        ),
    ),
    "workspaces.list": ("GET /workspaces", lambda api: api.workspaces.list()),
    "workspaces.get": ("GET /workspaces/{workspace_id}", lambda api: api.workspaces.get(ONE)),
    "workspaces.update": (
        "PATCH /workspaces/{workspace_id}",
        lambda api: api.workspaces.update(
            ONE,
            name="n",
            availability_state="ONLINE",
            coverage_lat=1,
            coverage_lng=2.5,
            coverage_radius_meters=300,
            device_kind="FIXED",
        ),
    ),
    "workspaces.heartbeat": (
        "POST /workspaces/{workspace_id}/location",
        lambda api: api.workspaces.heartbeat(ONE, 1, 2.5, 3, 4, OTHER, 0.5),
    ),
    "workspaces.members": ("GET /workspaces/{workspace_id}/members", lambda api: api.workspaces.members(ONE)),
    "workspaces.put_member": (
        "POST /workspaces/{workspace_id}/members",
        lambda api: api.workspaces.put_member(ONE, WALLET, "ADMIN"),
    ),
    "workspaces.remove_member": (
        "DELETE /workspaces/{workspace_id}/members/{wallet_address}",
        lambda api: api.workspaces.remove_member(ONE, WALLET),
    ),
    "workspaces.api_keys": (
        "GET /workspaces/{workspace_id}/api-keys",
        lambda api: api.workspaces.api_keys(ONE),
    ),
    "workspaces.create_api_key": (
        "POST /workspaces/{workspace_id}/api-keys",
        lambda api: api.workspaces.create_api_key(
            ONE, label="l", scopes=["sessions:read"], daily_cap_micro_usdc=5, areas=[KeyArea(1, 2.5, 9)]
        ),
    ),
    "workspaces.revoke_api_key": (
        "POST /workspaces/{workspace_id}/api-keys/{key_id}/revoke",
        lambda api: api.workspaces.revoke_api_key(ONE, OTHER),
    ),
    "sessions.create": (
        "POST /sessions",
        lambda api: api.sessions.create(
            lat=1,
            lng=2.5,
            max_duration_seconds=60,
            wait_timeout_seconds=30,
            quote_id=OTHER,
            workspace_id=ONE,
        ),
    ),
    "sessions.list": (
        "GET /sessions",
        lambda api: api.sessions.list(
            ONE, state=("ASSIGNED", "LIVE"), side="operator", cursor=OTHER, limit=20
        ),
    ),
    "sessions.open": (
        "GET /sessions/open",
        lambda api: api.sessions.open(cursor=OTHER, limit=5, workspace_id=ONE),
    ),
    "sessions.get": ("GET /sessions/{session_id}", lambda api: api.sessions.get(ONE)),
    "sessions.dispatch": ("POST /sessions/{session_id}/dispatch", lambda api: api.sessions.dispatch(ONE)),
    "sessions.accept": ("POST /sessions/{session_id}/accept", lambda api: api.sessions.accept(ONE, OTHER)),
    "sessions.start": (
        "POST /sessions/{session_id}/start",
        lambda api: api.sessions.start(ONE, controls=["ptz"], policy={"masks": 2}),
    ),
    "sessions.ptz": (
        "POST /sessions/{session_id}/ptz",
        lambda api: api.sessions.ptz(ONE, "continuous_move", pan=0.5, tilt=0, zoom=0, timeout=1),
    ),
    "sessions.ptz_result": (
        "POST /sessions/{session_id}/ptz/{command_id}/result",
        lambda api: api.sessions.ptz_result(ONE, OTHER, EVERYTHING),
    ),
    "sessions.end": ("POST /sessions/{session_id}/end", lambda api: api.sessions.end(ONE)),
    "sessions.cancel": ("DELETE /sessions/{session_id}", lambda api: api.sessions.cancel(ONE)),
    "sessions.cancel_all_assignments": (
        "POST /sessions/cancel-all-assignments",
        lambda api: api.sessions.cancel_all_assignments(),
    ),
    "sessions.frame": (
        "GET /sessions/{session_id}/frame",
        lambda api: api.sessions.frame(ONE, etag='"tag"', max_width=320),
    ),
    "sessions.viewer_token": (
        "GET /sessions/{session_id}/viewer-token",
        lambda api: api.sessions.viewer_token(ONE),
    ),
    "sessions.producer_token": (
        "GET /sessions/{session_id}/producer-token",
        lambda api: api.sessions.producer_token(ONE),
    ),
    "sessions.telemetry": (
        "POST /sessions/{session_id}/telemetry",
        lambda api: api.sessions.telemetry(
            ONE,
            captured_at=NOW,
            lat=1,
            lng=2.5,
            accuracy_meters=3,
            source="gnss",
            signature="0x11",
            sensors={"accel": [0.0, 0.0, 9.8]},
        ),
    ),
    "sessions.link": (
        "POST /sessions/{session_id}/link",
        lambda api: api.sessions.link(ONE, side="operator", workspace_id=OTHER),
    ),
    "link.get": ("GET /link", lambda api: api.link.get()),
    "link.start": ("POST /link/start", lambda api: api.link.start()),
    "link.stop": ("POST /link/stop", lambda api: api.link.stop()),
    "link.locate": (
        "POST /link/location",
        lambda api: api.link.locate(lat=1, lng=2.5, accuracy_meters=3, speed_mps=4),
    ),
    "sessions.receipt": ("GET /sessions/{session_id}/receipt", lambda api: api.sessions.receipt(ONE)),
    "sessions.events": (
        "GET /sessions/{session_id}/events",
        lambda api: drained(api.sessions.events(ONE, last_event_id="7")),
    ),
    "wallet.get": ("GET /wallet", lambda api: api.wallet.get(ONE)),
    "wallet.events": (
        "GET /wallet/events",
        lambda api: api.wallet.events(cursor=OTHER, limit=5, workspace_id=ONE),
    ),
    "wallet.deposit": (
        "POST /wallet/deposits",
        lambda api: api.wallet.deposit(
            DepositAuthorization(WALLET, "1000000", 0, 1_800_000_000, "0x" + "22" * 32, "0x" + "33" * 65)
        ),
    ),
    "settlements.get": ("GET /settlements/{session_id}", lambda api: api.settlements.get(ONE)),
    "events": ("GET /events", lambda api: drained(api.events(last_event_id="7"))),
}
"""Each method of the SDK that is one operation: the row, and a call that gives every argument."""

COMBINED = {
    "workspaces.set_availability",
    "observations.give_up",
    "observations.observe",
    "sessions.iterate",
    "sessions.wait_for",
    "wallet.iterate",
    "webhooks.iterate",
    "request_live_view",
    "json",
    "raw",
}
"""Methods made of others, or of whatever the caller says."""
ROWS = {f"{row.method} {row.path}": row for row in described()}
OPEN_ENDED = {"POST /video/events/{token}": "data"}
"""What the row takes as it comes."""


@dataclass
class Network:
    """Takes requests down and refuses them."""

    requests: list[httpx.Request]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = {"statusCode": 404, "code": "SESSION_NOT_FOUND", "message": "No"}
        return httpx.Response(404, json=body)


async def sent(call: Call) -> httpx.Request:
    network = Network([])
    async with Luxxon("http://server.test/api/v1", transport=httpx.MockTransport(network)) as api:
        with suppress(LuxxonError):
            await call(api)
    (request,) = network.requests
    return request


def methods(api: Luxxon) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Everything that can be called over the wire."""
    for name, found in [*inspect.getmembers(api, inspect.ismethod)]:
        if not name.startswith("_") and name not in ("close", "with_retry", "set_consistency_token"):
            yield name, found
    for name, resource in vars(api).items():
        if isinstance(resource, Resource):
            for own, found in inspect.getmembers(resource, inspect.ismethod):
                if not own.startswith("_"):
                    yield f"{name}.{own}", found


def test_every_operation_has_a_method_and_every_method_an_operation() -> None:
    assert {row for row, _ in CALLS.values()} == set(ROWS)
    assert len(CALLS) == len(ROWS)
    named = {name for name, _ in methods(Luxxon("http://server.test"))}
    assert named == set(CALLS) | COMBINED


@pytest.mark.parametrize("name", CALLS)
async def test_a_method_sends_what_its_operation_takes(name: str) -> None:
    key, call = CALLS[name]
    row, request = ROWS[key], await sent(call)
    assert request.method == row.method
    pattern = re.sub(r"\{\w+\}", "[^/]+", row.path)
    assert re.fullmatch("/api/v1" + pattern, request.url.path)
    check_query(row, request)
    check_body(row, key, request)
    one_try_each = {
        "workspaces.heartbeat",
        "sessions.telemetry",
        "link.locate",
        "sessions.ptz",
        "sessions.ptz_result",
    }
    keyed = row.method == "POST" and name not in one_try_each
    assert (IDEMPOTENCY_HEADER in request.headers) == keyed


def check_query(row: Operation, request: httpx.Request) -> None:
    asked = dict(request.url.params)
    if row.query is None:
        # Which workspace a wallet acts for may be said in the query of any row.
        assert set(asked) <= ({"workspaceId"} if row.access is Access.WORKSPACE else set())
        return
    convert(asked, row.query, strict=False)
    # A stream's place goes by header.
    assert set(asked) == set(row.query.__struct_encode_fields__) - {"lastEventId"}
    assert request.headers.get("Last-Event-ID") == ("7" if "lastEventId" in fields(row.query) else None)


def check_body(row: Operation, key: str, request: httpx.Request) -> None:
    if row.body is None:
        assert not request.content
        assert "content-type" not in request.headers
        return
    body = msgspec.json.decode(request.content)
    converted = convert(body, row.body)  # of a union the one that it is
    taken = fields(type(converted)) | ({"command"} if row.body is Order else set())
    if key in OPEN_ENDED:
        assert OPEN_ENDED[key] in set(body) <= taken
    else:
        assert set(body) == taken


def fields(kind: type[msgspec.Struct]) -> set[str]:
    return set(kind.__struct_encode_fields__)


ENVELOPED = [
    name for name, (row, _) in CALLS.items() if typing.get_origin(ROWS[row].out) is not typing.Annotated
]


@pytest.mark.parametrize("name", ENVELOPED)
def test_a_method_returns_what_its_operation_answers(name: str) -> None:
    row = ROWS[CALLS[name][0]]
    answered = row.out
    method = dict(methods(Luxxon("http://server.test")))[name]
    returned = typing.get_type_hints(method)["return"]
    assert returned == answered


def test_nothing_public_returns_any() -> None:
    for name, method in methods(Luxxon("http://server.test")):
        if name in ("raw", "json"):  # a response of httpx, and JSON, both known to type checkers only
            continue
        returned = typing.get_type_hints(method)["return"]
        assert "Any" not in str(returned), name
        if name.endswith("events") and name != "wallet.events":
            assert returned is EventStream
