"""The sink for an outside video edge's notifications, over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from api_wire import Place, Tenant, Wire

from luxxon_core.kernel.clock import iso, utc_now

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/video/events/path-secret-of-the-tests"
HEADERS = {"cf-webhook-auth": "header-secret-of-the-tests"}
"""As conftest.py sets them."""


def told(uid: str, kind: str, **data: Any) -> dict[str, Any]:
    return {
        "name": "Live input",
        "text": "something happened",
        "data": {
            "notification_name": "Stream Live Input",
            "input_id": uid,
            "event_type": f"live_input.{kind}",
            "updated_at": iso(utc_now()),
            **data,
        },
        "ts": 1,
    }


async def test_a_notification_opens_and_closes_a_window(wire: Wire, consumer: Tenant, place: Place) -> None:
    _, started = await wire.live(consumer, place)
    uid, session_id = started["videoBackendRef"], UUID(started["session"]["id"])
    statement = "select reason, closed_at from disconnect_window where session_id = $1"
    for kind, closed in (("disconnected", False), ("connected", True)):
        assert await wire.data("POST", PATH, headers=HEADERS, json=told(uid, kind)) == {"ok": True}
        (row,) = await wire.rows(statement, session_id)
        assert row["reason"] == "NETWORK_ERROR" and (row["closed_at"] is not None) == closed


async def test_unknown_inputs_and_kinds_are_fine(wire: Wire) -> None:
    for body in (told("00" * 16, "disconnected"), told("00" * 16, "recorded"), told("x", "connected")):
        assert await wire.data("POST", PATH, headers=HEADERS, json=body) == {"ok": True}


async def test_a_message_about_no_input_is_fine(wire: Wire) -> None:
    tried = {"name": "luxxon", "text": "Hello World! This is a test message", "ts": 1}
    for body in ({}, tried, {"data": {}}, {"data": {"input_id": "00", "event_type": "live_input.connected"}}):
        assert await wire.data("POST", PATH, headers=HEADERS, json=body) == {"ok": True}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {}),
        (PATH, {"cf-webhook-auth": "wrong"}),
        ("/video/events/wrong", HEADERS),
        ("/video/events/header-secret-of-the-tests", {"cf-webhook-auth": "path-secret-of-the-tests"}),
    ],
)
@pytest.mark.parametrize("body", [{}, told("00" * 16, "connected")])
async def test_both_secrets_are_needed(
    wire: Wire, path: str, headers: dict[str, str], body: dict[str, Any]
) -> None:
    found = await wire.refused("POST", path, headers=headers, json=body)
    assert found[:2] == (401, "MISSING_TOKEN")


async def test_a_key_is_no_secret_of_the_webhook(wire: Wire, consumer: Tenant) -> None:
    found = await wire.refused("POST", PATH, auth=consumer, json=told("00" * 16, "connected"))
    assert found[:2] == (401, "MISSING_TOKEN")


@pytest.mark.parametrize(
    "body",
    [
        {"data": None},
        {"data": []},
        told("00", "connected", updated_at="now"),
        told("00", "connected", updated_at="2026-05-13T12:00:00"),
        told("00", "connected", updated_at="0001-01-01T00:00:00+14:00"),
        told("00", "connected", updated_at="9999-12-31T00:00:00Z"),
        told("0\u00000", "connected"),
        told("00", "connected", event_type=7),
    ],
)
async def test_what_makes_no_sense_is_refused(wire: Wire, body: dict[str, Any]) -> None:
    found = await wire.refused("POST", PATH, headers=HEADERS, json=body)
    assert found[:2] == (400, "INVALID_INPUT")
