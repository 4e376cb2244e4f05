"""Webhooks on the wire: every operation, from the first secret to the last delivery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire
from webhook_receiver import Receiver, receiving

from luxxon_core.client import Luxxon
from luxxon_core.events.domain import Kind

pytestmark = pytest.mark.asyncio(loop_scope="session")

USUAL = sorted(kind.value for kind in Kind if kind is not Kind.TELEMETRY_SAMPLE)


@pytest_asyncio.fixture(loop_scope="session")
async def owner(wire: Wire) -> AsyncIterator[Tenant]:
    """A consumer whose key may do everything, webhooks too."""
    made = await wire.tenant("CONSUMER", funded=True)
    scopes = "sessions:read", "sessions:create", "webhooks:write"
    key = (await wire.mint(made.cookie, made.workspace_id, *scopes))["plaintext"]
    yield replace(made, key=key)
    for one in await wire.data("GET", "/webhooks", auth=made.as_cookie()):
        await wire.data("DELETE", f"/webhooks/{one['id']}", auth=made.as_cookie())


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def created(wire: Wire, owner: Tenant, url: str, **fields: Any) -> dict[str, Any]:
    return dict(await wire.data("POST", "/webhooks", auth=owner, json={"url": url, **fields}))


async def finished(wire: Wire, owner: Tenant, webhook: str, delivery: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            found = await wire.data("GET", f"/webhooks/{webhook}/deliveries/{delivery}", auth=owner)
            if found["state"] != "PENDING":
                return dict(found)
            await asyncio.sleep(0.05)


async def test_a_webhook_from_its_creation_to_its_end(wire: Wire, owner: Tenant, receiver: Receiver) -> None:
    made = await created(wire, owner, receiver.url, description="our ledger")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert sorted(made.pop("events")) == USUAL
    assert made == {
        "id": made["id"],
        "workspaceId": owner.workspace_id,
        "url": receiver.url,
        "description": "our ledger",
        "createdAt": made["createdAt"],
        "enabled": True,
        "disabledAt": None,
        "disabledReason": None,
        "failingSince": None,
        "lastSuccessAt": None,
        "heldUntil": None,
        "formerSecretUntil": None,
    }
    path = f"/webhooks/{made['id']}"
    shown = await wire("GET", path, auth=owner)
    assert secret not in shown.text
    assert "secret" not in shown.json()["data"]
    changed = await wire.data("PATCH", path, auth=owner, json={"events": ["session.state"]})
    assert (changed["events"], changed["description"]) == (["session.state"], "our ledger")
    rotated = await wire.data("POST", path + "/rotate", auth=owner)
    assert rotated["secret"] != secret
    assert rotated["formerSecretUntil"] is not None
    off = await wire.data("PATCH", path, auth=owner, json={"enabled": False})
    assert (off["enabled"], off["disabledReason"]) == (False, "disabled by its owner")
    refused = await wire.refused("POST", path + "/test", auth=owner)
    assert refused == (409, "CONFLICT", "webhook:disabled")
    assert (await wire.data("PATCH", path, auth=owner, json={"enabled": True}))["enabled"]
    assert [one["id"] for one in await wire.data("GET", "/webhooks", auth=owner)] == [made["id"]]
    assert await wire.data("DELETE", path, auth=owner) == {"ok": True, "id": made["id"]}
    assert await wire.refused("GET", path, auth=owner) == (404, "NOT_FOUND", "webhook:id")
    assert await wire.data("GET", "/webhooks", auth=owner) == []


async def test_sessions_are_told_and_each_delivery_can_be_looked_up(
    wire: Wire, owner: Tenant, receiver: Receiver, place: Place
) -> None:
    made = await created(wire, owner, receiver.url)
    session = await wire.create(owner, place)
    await wire.data("DELETE", f"/sessions/{session['id']}", auth=owner)
    await receiver.until(lambda: len(receiver.taken) == 2, 30)
    first, second = receiver.taken
    assert [hit.payload["type"] for hit in (first, second)] == ["session.state", "session.state"]
    assert [hit.payload["data"]["session"]["state"] for hit in (first, second)] == ["REQUESTED", "CANCELLED"]
    assert first.session == session["id"]
    assert first.signed_by(made["secret"])
    whole = await finished(wire, owner, made["id"], first.id)
    assert whole["state"] == "SUCCEEDED"
    assert whole["eventId"] == first.event
    assert whole["body"].encode() == first.body
    assert [(one["status"], one["fault"]) for one in whole["attempts"]] == [(200, None)]
    await finished(wire, owner, made["id"], second.id)
    path = f"/webhooks/{made['id']}/deliveries"
    listed = await wire.data("GET", path, auth=owner)
    assert [one["id"] for one in listed] == [second.id, first.id]
    assert all("body" not in one for one in listed)
    page = await wire.data("GET", path, auth=owner, params={"limit": "1", "cursor": second.id})
    assert [one["id"] for one in page] == [first.id]
    assert await wire.data("GET", path, auth=owner, params={"state": "FAILED"}) == []
    refused = await wire.refused("GET", path, auth=owner, params={"cursor": str(uuid4())})
    assert refused == (400, "INVALID_INPUT", "webhook:cursor")
    replayed = await wire.data(
        "POST", f"/webhooks/{made['id']}/replay", auth=owner, json={"deliveryId": first.id}
    )
    assert replayed == {"count": 1, "complete": True}
    await receiver.until(lambda: len(receiver.taken) == 3, 30)
    assert receiver.taken[2].event == first.event
    since = await wire.data(
        "POST", f"/webhooks/{made['id']}/replay", auth=owner, json={"since": session["createdAt"]}
    )
    assert since == {"count": 0, "complete": True}


async def test_a_test_says_how_it_went(wire: Wire, owner: Tenant, receiver: Receiver) -> None:
    made = await created(wire, owner, receiver.url)
    receiver.behave = lambda _: 500
    sent = await wire.data("POST", f"/webhooks/{made['id']}/test", auth=owner)
    assert (sent["state"], sent["type"], sent["cause"]) == ("PENDING", "webhook.test", "TEST")
    found = await finished(wire, owner, made["id"], sent["id"])
    assert (found["state"], found["attempts"][0]["fault"]) == ("FAILED", "HTTP 500")


async def test_the_same_request_makes_one_webhook(wire: Wire, owner: Tenant, receiver: Receiver) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"url": receiver.url}
    first = await wire.data("POST", "/webhooks", auth=owner, json=body, headers=headers)
    again = await wire.data("POST", "/webhooks", auth=owner, json=body, headers=headers)
    assert first == again
    assert len(await wire.data("GET", "/webhooks", auth=owner)) == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "webhook:url"),
        ({"url": 7}, "webhook:url"),
        ({"url": "ftp://hooks.example/"}, "webhook:url"),
        ({"url": "https://10.0.0.1/"}, "webhook:url"),
        ({"url": "https://169.254.169.254/latest"}, "webhook:url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "webhook:url"),
        ({"url": "https://hooks.example:22/"}, "webhook:url"),
        ({"url": "https://hooks.example/", "events": []}, "webhook:events"),
        ({"url": "https://hooks.example/", "events": ["everything"]}, "webhook:events"),
        ({"url": "https://hooks.example/", "description": "x" * 201}, "webhook:description"),
    ],
)
async def test_what_is_refused(wire: Wire, owner: Tenant, body: dict[str, Any], detail: str) -> None:
    answer = await wire.refused("POST", "/webhooks", auth=owner, json=body)
    assert answer == (400, "INVALID_INPUT", detail)


async def test_strangers_see_and_change_nothing(
    wire: Wire, owner: Tenant, stranger: Tenant, receiver: Receiver
) -> None:
    made = await created(wire, owner, receiver.url)
    key = (await wire.mint(stranger.cookie, stranger.workspace_id, "webhooks:write"))["plaintext"]
    auth = {"Authorization": f"Bearer {key}"}
    path = f"/webhooks/{made['id']}"
    for method, url, body in (
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("POST", path + "/rotate", None),
        ("POST", path + "/test", None),
        ("POST", path + "/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", path + "/deliveries", None),
        ("GET", f"{path}/deliveries/{uuid4()}", None),
    ):
        request = {} if body is None else {"json": body}
        assert await wire.refused(method, url, auth=auth, **request) == (404, "NOT_FOUND", "webhook:id")
    assert await wire.data("GET", "/webhooks", auth=auth) == []


async def test_the_sdk_does_all_of_it(wire: Wire, owner: Tenant, receiver: Receiver) -> None:
    async with Luxxon(wire.server.api_url, api_key=owner.key) as api:
        made = await api.webhooks.create(receiver.url, events=["session.state"], description="sdk")
        assert made.secret not in repr(made)
        assert [one.id for one in await api.webhooks.list()] == [made.id]
        sent = await api.webhooks.test(made.id)
        await receiver.until(lambda: receiver.taken, 30)
        await finished(wire, owner, made.id, sent.id)
        assert [one.id async for one in api.webhooks.iterate(made.id)] == [sent.id]
        assert (await api.webhooks.replay(made.id, delivery_id=sent.id)).count == 1
        assert (await api.webhooks.replay(made.id, since=made.created_at)).count == 0
        assert (await api.webhooks.update(made.id, enabled=False)).enabled is False
        assert (await api.webhooks.rotate(made.id)).secret != made.secret
        assert (await api.webhooks.get(made.id)).description == "sdk"
        assert (await api.webhooks.deliveries(made.id, state="PENDING")) == []
        assert (await api.webhooks.delete(made.id)).ok
