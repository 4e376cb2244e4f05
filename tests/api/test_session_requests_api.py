"""Requests over the wire: what is asked for, at which price, and who may pay for it (api-contract §6.7)."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from api_wire import Place, Tenant, Wire
from contract_tables import SESSION_FIELDS

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_new_session_has_every_published_field(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place, maxDurationSeconds=90)
    assert set(session) == SESSION_FIELDS
    assert session == session | {
        "consumerWorkspaceId": consumer.workspace_id,
        "operatorWorkspaceId": None,
        "state": "REQUESTED",
        "maxDurationSeconds": 90,
        "waitTimeoutSeconds": 300,
        "ratePerSecondMicroUsdc": "1000",
        "holdMicroUsdc": "90000",
        "startedAt": None,
        "endedAt": None,
        "cleanSeconds": 0,
        "chargedMicroUsdc": "0",
        "settlementTxHash": None,
        "videoBackendRef": None,
        "requestedLat": place.lat,
        "requestedLng": place.lng,
        "authorized": False,
    }
    assert await wire.data("GET", f"/sessions/{session['id']}", auth=consumer) == session
    assert (await wire.data("GET", "/sessions", auth=consumer))[0] == session


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(4, 5), (-7, 5), (5, 5), (77.9, 77), (3600, 3600), (3601, 3600), (1e18, 3600), (None, 300)],
)
async def test_a_wait_is_clamped_not_refused(
    wire: Wire, consumer: Tenant, place: Place, asked: float | None, kept: int
) -> None:
    session = await wire.create(consumer, place, waitTimeoutSeconds=asked)
    assert session["waitTimeoutSeconds"] == kept


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"lat": 90.1}, "session:lat"),
        ({"lng": -180.1}, "session:lng"),
        ({"maxDurationSeconds": 0}, "session:maxDurationSeconds"),
        ({"maxDurationSeconds": -60}, "session:maxDurationSeconds"),
        ({"maxDurationSeconds": 86_401}, "session:maxDurationSeconds"),
        ({"maxDurationSeconds": 10**30}, "session:maxDurationSeconds"),
        ({"maxDurationSeconds": 60.5}, "session:maxDurationSeconds"),
        ({"maxDurationSeconds": True}, "session:maxDurationSeconds"),
        ({"waitTimeoutSeconds": "5"}, "session:waitTimeoutSeconds"),
        ({"quoteId": "x"}, "session:quoteId"),
        ({"quoteId": ""}, "session:quoteId"),
        ({"quoteId": 7}, "session:quoteId"),
        ({"workspaceId": "x"}, "auth:workspaceId"),
    ],
)
async def test_a_bad_request_is_refused_by_field(
    wire: Wire, consumer: Tenant, place: Place, fields: dict[str, object], detail: str
) -> None:
    body = {**place.json, "maxDurationSeconds": 60, **fields}
    assert await wire.refused("POST", "/sessions", auth=consumer, json=body) == (400, "INVALID_INPUT", detail)


async def test_a_place_as_small_as_a_number_can_be_is_still_a_place(wire: Wire, consumer: Tenant) -> None:
    session = await wire.create(consumer, Place(5e-324, -1e-300))
    found = await wire.refused("POST", f"/sessions/{session['id']}/dispatch", auth=consumer)
    assert found == (503, "NO_COVERAGE", "session:dispatch")


async def test_only_consumers_request(wire: Wire, place: Place) -> None:
    supplier = await wire.tenant("SUPPLIER")
    body = {**place.json, "maxDurationSeconds": 60}
    found = await wire.refused("POST", "/sessions", auth=supplier, json=body)
    assert found == (403, "NOT_AUTHORIZED", "session:notConsumer")


async def test_the_pool_must_hold_the_most_it_can_cost_and_a_deposit_counts_at_once(
    wire: Wire, place: Place
) -> None:
    tenant = await wire.tenant("CONSUMER")
    body = {**place.json, "maxDurationSeconds": 60}
    short = (400, "INSUFFICIENT_CREDIT", "session:insufficientCredit")
    assert await wire.refused("POST", "/sessions", auth=tenant, json=body) == short
    await wire.fund(tenant.account, 59_999)
    assert await wire.refused("POST", "/sessions", auth=tenant, json=body) == short
    await wire.fund(tenant.account, 1)
    assert (await wire("POST", "/sessions", auth=tenant, json=body)).status_code == 200
    async with asyncio.timeout(20):  # the watcher follows
        while (wallet := await wire.data("GET", "/wallet", auth=tenant))["trackedBalance"] != "60000":
            await asyncio.sleep(0.05)
    assert wallet == wallet | {
        "workspaceId": tenant.workspace_id,
        "walletAddress": tenant.account.address,
    }
    assert wallet["lastSyncBlock"].isdigit()


async def test_a_new_session_carries_the_token_of_the_check_that_allowed_it(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    body = {**place.json, "maxDurationSeconds": 60}
    answer = await wire("POST", "/sessions", auth=consumer.as_cookie(), json=body)
    token = answer.headers.get("x-lx-consistency-token")
    assert answer.json()["data"].get("consistencyToken") == token
    assert token != ""


async def test_a_duration_may_be_written_as_a_float(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place, maxDurationSeconds=60.0, quoteId=None)
    assert session["maxDurationSeconds"] == 60


# -- quotes -----------------------------------------------------------------------------------------------


async def quoted(wire: Wire, tenant: Tenant, place: Place, seconds: int = 60) -> str:
    query = {**place.json, "durationSeconds": seconds}
    return str((await wire.data("GET", "/pricing/quote", auth=tenant, params=query))["quoteId"])


async def refusal_with(
    wire: Wire, tenant: Tenant, place: Place, quote_id: str
) -> tuple[int, str, str | None]:
    body = {**place.json, "maxDurationSeconds": 60, "quoteId": quote_id}
    return await wire.refused("POST", "/sessions", auth=tenant, json=body)


async def test_a_quote_is_good_for_one_session(wire: Wire, consumer: Tenant, place: Place) -> None:
    quote_id = await quoted(wire, consumer, place, 10)
    session = await wire.create(consumer, place, quoteId=quote_id)
    assert session["ratePerSecondMicroUsdc"] == "1000"
    found = await refusal_with(wire, consumer, place, quote_id)
    assert found == (409, "QUOTE_EXPIRED", "quote:consumed")


async def test_a_quote_of_nobody_or_of_others_is_not_found(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    missing = (404, "QUOTE_NOT_FOUND", "quote:id")
    for quote_id in (str(UUID(int=0)), await quoted(wire, stranger, place)):
        assert await refusal_with(wire, consumer, place, quote_id) == missing


async def test_a_quote_is_for_its_place_and_time(wire: Wire, consumer: Tenant, place: Place) -> None:
    quote_id = await quoted(wire, consumer, place)
    beside = Place(place.lat, place.lng + 0.0002)
    assert await refusal_with(wire, consumer, beside, quote_id) == (400, "INVALID_INPUT", "quote:point")
    await wire.rows("update quote set expires_at = now() where id = $1", UUID(quote_id))
    found = await refusal_with(wire, consumer, place, quote_id)
    assert found == (409, "QUOTE_EXPIRED", "quote:expired")


async def test_a_quote_outlives_a_create_that_fails(wire: Wire, place: Place) -> None:
    tenant = await wire.tenant("CONSUMER")
    quote_id = await quoted(wire, tenant, place)
    short = (400, "INSUFFICIENT_CREDIT", "session:insufficientCredit")
    assert await refusal_with(wire, tenant, place, quote_id) == short
    await wire.fund(tenant.account, 60_000)
    await wire.create(tenant, place, quoteId=quote_id)
