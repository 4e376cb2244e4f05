"""Balance and history of a wallet over HTTP, from a real chain through the watcher."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from api_wire import POOL, Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 20.0


async def test_a_top_up_shows_as_approval_and_deposit(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER", funded=True)
    newest, oldest = await wire.wallet_events(tenant, 2)
    assert (newest["kind"], oldest["kind"]) == ("DEPOSIT", "APPROVAL")
    for event in (newest, oldest):
        assert set(event) == {
            "id",
            "workspaceId",
            "kind",
            "txHash",
            "blockNumber",
            "confirmedAt",
            "amountUsdc",
            "relatedSession",
        }
        assert event["workspaceId"] == tenant.workspace_id
        assert event["amountUsdc"] == str(POOL)
        assert event["relatedSession"] is None
        assert event["txHash"].startswith("0x") and event["confirmedAt"].endswith("Z")
    assert int(newest["blockNumber"]) > int(oldest["blockNumber"]), "others' blocks may lie between"
    state = await wire.data("GET", "/wallet", auth=tenant)
    assert state["trackedBalance"] == str(POOL)
    assert int(state["lastSyncBlock"]) >= int(newest["blockNumber"])
    assert state["walletAddress"] == tenant.account.address


async def test_a_settlement_shows_on_both_sides(wire: Wire, place: Place) -> None:
    consumer = await wire.tenant("CONSUMER", funded=True)
    supplier, started = await wire.live(consumer, place)
    session_id = started["session"]["id"]
    async with asyncio.timeout(SECONDS):
        while (await wire.data("GET", f"/sessions/{session_id}/receipt", auth=consumer))["cleanSeconds"] < 1:
            await asyncio.sleep(0.1)
    ended = await wire.data("POST", f"/sessions/{session_id}/end", auth=consumer)
    paid, *_ = await wire.wallet_events(consumer, 3)
    (earned,) = await wire.wallet_events(supplier, 1)
    assert paid["kind"] == earned["kind"] == "SETTLE"
    assert paid["relatedSession"] == earned["relatedSession"] == session_id
    assert paid["txHash"] == earned["txHash"] and paid["id"] != earned["id"]
    view = await wire.data("GET", f"/settlements/{session_id}", auth=consumer)
    assert paid["amountUsdc"] == ended["chargedMicroUsdc"]
    assert earned["amountUsdc"] == view["payload"]["toAmountMicroUsdc"]
    balance = (await wire.data("GET", "/wallet", auth=consumer))["trackedBalance"]
    assert int(balance) == POOL - int(ended["chargedMicroUsdc"])


async def test_pages_follow_one_another(wire: Wire) -> None:
    tenant = await wire.tenant("CONSUMER", funded=True)
    for _ in range(2):
        await wire.fund(tenant.account, 1_000_000)
    every = await wire.wallet_events(tenant, 6)
    cursor: dict[str, str] = {}
    paged = []
    while page := await wire.data("GET", "/wallet/events", auth=tenant, params={"limit": 2, **cursor}):
        assert len(page) <= 2
        paged += page
        cursor = {"cursor": page[-1]["id"]}
    assert paged == every
    assert await wire.data("GET", "/wallet/events", auth=tenant, params={"limit": 10**12}) == every


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"limit": "0"}, "wallet:limit"),
        ({"limit": "-1"}, "wallet:limit"),
        ({"limit": "many"}, "wallet:limit"),
        ({"limit": "2.5"}, "wallet:limit"),
        ({"limit": ""}, "wallet:limit"),
        ({"cursor": "not-an-id"}, "wallet:cursor"),
        ({"cursor": ""}, "wallet:cursor"),
        ({"cursor": str(uuid4())}, "wallet:cursor"),
    ],
)
async def test_a_bad_page_is_refused(
    wire: Wire, consumer: Tenant, query: dict[str, str], detail: str
) -> None:
    found = await wire.refused("GET", "/wallet/events", auth=consumer, params=query)
    assert found == (400, "INVALID_INPUT", detail)


async def test_anothers_event_is_no_cursor(wire: Wire, consumer: Tenant, stranger: Tenant) -> None:
    first, *_ = await wire.wallet_events(consumer, 2)
    found = await wire.refused("GET", "/wallet/events", auth=stranger, params={"cursor": first["id"]})
    assert found == (400, "INVALID_INPUT", "wallet:cursor")


async def test_a_deposit_mined_just_now_pays_for_a_session_at_once(wire: Wire, place: Place) -> None:
    tenant = await wire.tenant("CONSUMER")
    body = {**place.json, "maxDurationSeconds": 60}
    assert (await wire.refused("POST", "/sessions", auth=tenant, json=body))[1] == "INSUFFICIENT_CREDIT"
    await wire.fund(tenant.account, POOL)
    await wire.data("POST", "/sessions", auth=tenant, json=body)
