"""Sessions over the wire, from dispatch to receipt (api-contract §5.1, §6.7, §6.8, §10, §14.1)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")


def url(session: dict[str, Any], *more: str) -> str:
    return "/".join((f"/sessions/{session['id']}", *more))


# -- who sees what ----------------------------------------------------------------------------------------


async def test_neither_side_sees_nothing(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    _, started = await wire.live(consumer, place)
    session = started["session"]
    for path in ("", "frame", "viewer-token", "receipt"):
        found = await wire.refused("GET", url(session, path).rstrip("/"), auth=stranger)
        assert found == (403, "NOT_AUTHORIZED", "session:viewDenied"), path
    for method, path, detail in (
        ("GET", url(session, "producer-token"), "session:viewDenied"),
        ("GET", f"/settlements/{session['id']}", "session:viewDenied"),
        ("POST", url(session, "end"), "session:viewDenied"),
        ("POST", url(session, "start"), "session:notOperator"),
        ("POST", url(session, "dispatch"), "session:notConsumer"),
        ("DELETE", url(session), "session:notConsumer"),
    ):
        assert await wire.refused(method, path, auth=stranger) == (403, "NOT_AUTHORIZED", detail)
    assert session["id"] not in [one["id"] for one in await wire.data("GET", "/sessions", auth=stranger)]


@pytest.mark.parametrize("session_id", ["x", "00000000-0000-0000-0000-000000000000", "%00", "..%2Fhealth"])
async def test_what_does_not_exist_is_not_found(wire: Wire, consumer: Tenant, session_id: str) -> None:
    missing = (404, "SESSION_NOT_FOUND", None)
    for path in (f"/sessions/{session_id}", f"/settlements/{session_id}", f"/sessions/{session_id}/frame"):
        assert await wire.refused("GET", path, auth=consumer) == missing
    assert await wire.refused("DELETE", f"/sessions/{session_id}", auth=consumer) == missing


async def test_urls_are_there_when_live_and_the_publish_url_for_its_operator_alone(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier = await wire.supplier_at(place)
    session = await wire.create(consumer, place)
    told_consumer = [await wire("POST", url(session, "dispatch"), auth=consumer)]
    for path in ("viewer-token", "producer-token"):
        found = await wire.refused("GET", url(session, path), auth=supplier)
        assert found == (409, "INVALID_STATE", f"session:{camel(path)}:ASSIGNED")
    started = await wire.data("POST", url(session, "start"), auth=supplier)
    whip, whep, uid = started["whipUrl"], started["whepUrl"], started["videoBackendRef"]
    assert len(uid) == 32
    assert (started["session"]["state"], started["session"]["videoBackendRef"]) == ("ASSIGNED", uid)
    assert {"whipUrl", "whepUrl"}.isdisjoint(started["session"]), "before LIVE only start and tokens tell"
    tokens = [
        await wire.data("GET", url(session, path), auth=supplier)
        for path in ("viewer-token", "producer-token")
    ]
    assert tokens == [{"videoBackendRef": uid, "whepUrl": whep}, {"videoBackendRef": uid, "whipUrl": whip}]
    await wire.first_frame(started)
    live = await wire.data("GET", url(session), auth=supplier)
    assert (live["state"], live["whipUrl"], live["whepUrl"]) == ("LIVE", whip, whep)
    paths = [url(session), url(session, "viewer-token"), url(session, "receipt"), "/sessions"]
    told_consumer += [await wire("GET", path, auth=consumer) for path in paths]
    assert told_consumer[1].json()["data"]["whepUrl"] == whep
    told_consumer.append(await wire("GET", url(session, "producer-token"), auth=consumer))
    told_consumer.append(await wire("POST", url(session, "start"), auth=consumer))
    told_consumer.append(await wire("POST", url(session, "end"), auth=consumer))
    assert [answer.status_code for answer in told_consumer[-3:]] == [403, 403, 200]
    everything = "".join(answer.text for answer in told_consumer)
    assert whip not in everything
    assert "whipUrl" not in everything
    over = await wire.data("GET", url(session), auth=supplier)
    assert {"whipUrl", "whepUrl"}.isdisjoint(over)
    assert over["videoBackendRef"] is None, "torn down"
    for path in ("viewer-token", "producer-token"):
        found = await wire.refused("GET", url(session, path), auth=supplier)
        assert found == (409, "INVALID_STATE", f"session:{camel(path)}:ENDED")


def camel(path: str) -> str:
    first, second = path.split("-")
    return first + second.capitalize()


async def test_a_workspace_on_both_sides_sees_both_urls(wire: Wire, place: Place) -> None:
    both = await wire.tenant("CONSUMER", "SUPPLIER", funded=True)
    fields = {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 50}
    path = f"/workspaces/{both.workspace_id}"
    await wire.data("PATCH", path, auth=both, json={"availabilityState": "ONLINE", **fields})
    session = await wire.create(both, place)
    assigned = await wire.data("POST", url(session, "dispatch"), auth=both)
    assert assigned["operatorWorkspaceId"] == both.workspace_id, "its own workspace is a legal candidate"
    await wire.first_frame(await wire.data("POST", url(session, "start"), auth=both))
    live = await wire.data("GET", url(session), auth=both)
    assert live["whipUrl"] != live["whepUrl"]
    await wire.data("POST", url(session, "end"), auth=both)


async def test_before_a_picture_there_is_no_frame(wire: Wire, consumer: Tenant, place: Place) -> None:
    missing = (404, "FRAME_NOT_AVAILABLE", None)
    session = await wire.create(consumer, place)
    assert await wire.refused("GET", url(session, "frame"), auth=consumer) == missing
    await wire.data("DELETE", url(session), auth=consumer)
    assert await wire.refused("GET", url(session, "frame"), auth=consumer) == missing
    _, started = await wire.live(consumer, place)
    assert await wire.refused("GET", url(started["session"], "frame"), auth=consumer) == missing
    await wire.data("POST", url(started["session"], "end"), auth=consumer)


# -- dispatch and accept ----------------------------------------------------------------------------------


async def test_a_dispatch_that_nobody_covers_leaves_the_request_open(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    await wire.supplier_at(Place(place.lat + 0.00451, place.lng))  # 501 m away, with a circle of 500 m
    session = await wire.create(consumer, place)
    found = await wire.refused("POST", url(session, "dispatch"), auth=consumer)
    assert found == (503, "NO_COVERAGE", "session:dispatch")
    assert (await wire.data("GET", url(session), auth=consumer))["state"] == "REQUESTED"
    supplier = await wire.supplier_at(Place(place.lat + 0.00449, place.lng))
    assigned = await wire.data("POST", url(session, "dispatch"), auth=consumer)
    assert (assigned["state"], assigned["operatorWorkspaceId"]) == ("ASSIGNED", supplier.workspace_id)
    workspace = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    assert workspace["availabilityState"] == "BUSY"
    again = await wire.refused("POST", url(session, "dispatch"), auth=consumer)
    assert again == (409, "INVALID_STATE", "session:dispatch:ASSIGNED")


async def test_a_wallet_accepts_for_the_workspace_that_it_names(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    supplier, session = await wire.supplier_at(place), await wire.create(consumer, place)
    path, unpicked = url(session, "accept"), {"Cookie": f"lx_session={await wire.login(supplier.account)}"}
    found = await wire.refused("POST", path, auth=unpicked, json={})
    assert found == (403, "NOT_AUTHORIZED", "auth:noWorkspace")
    foreign = {"operatorWorkspaceId": stranger.workspace_id}
    found = await wire.refused("POST", path, auth=unpicked, json=foreign)
    assert found == (403, "NOT_AUTHORIZED", "auth:permission:operate")
    body = {"operatorWorkspaceId": supplier.workspace_id}
    accepted = await wire.data("POST", path, auth=unpicked, json=body)
    assert accepted["operatorWorkspaceId"] == supplier.workspace_id


async def test_accept_by_who_covers_the_place(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    session = await wire.create(consumer, place)
    path = url(session, "accept")
    found = await wire.refused("POST", path, auth=consumer, json={})
    assert found == (403, "NOT_AUTHORIZED", "session:notSupplier")
    found = await wire.refused("POST", path, auth=stranger, json={})
    assert found == (400, "OUTSIDE_COVERAGE", "session:outsideCoverage")
    supplier = await wire.supplier_at(place)
    found = await wire.refused(
        "POST", path, auth=supplier, json={"operatorWorkspaceId": stranger.workspace_id}
    )
    assert found == (403, "WORKSPACE_MISMATCH", "session:workspaceMismatch")
    body = {"operatorWorkspaceId": supplier.workspace_id.upper()}
    accepted = await wire.data("POST", path, auth=supplier, json=body)
    assert (accepted["state"], accepted["operatorWorkspaceId"]) == ("ASSIGNED", supplier.workspace_id)
    workspace = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    assert workspace["availabilityState"] == "ONLINE", "accept alone does not make BUSY"
    late = await wire.refused("POST", path, auth=await wire.supplier_at(place), content=b"")
    assert late == (409, "INVALID_STATE", "session:accept:ASSIGNED")


async def test_start_is_idempotent_and_only_for_its_operator(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.started(consumer, place)
    session = started["session"]
    again = await asyncio.gather(*(wire.data("POST", url(session, "start"), auth=supplier) for _ in range(5)))
    assert all(one == started for one in again)
    await wire.first_frame(started)
    live = await wire.data("POST", url(session, "start"), auth=supplier)
    assert (live["session"]["state"], live["whipUrl"]) == ("LIVE", started["whipUrl"])
    await wire.data("POST", url(session, "end"), auth=supplier)
    found = await wire.refused("POST", url(session, "start"), auth=supplier)
    assert found == (409, "INVALID_STATE", "session:start:ENDED")


async def test_cancelling_what_is_assigned(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, started = await wire.started(consumer, place)
    cancelled = await wire.data("DELETE", url(started["session"]), auth=consumer)
    assert cancelled["state"] == "CANCELLED"
    assert cancelled["endedAt"] is not None
    assert (await wire("POST", started["whipUrl"], content=b"")).status_code == 404, "its URLs are gone"
    again = await wire.refused("DELETE", url(started["session"]), auth=consumer)
    assert again == (409, "INVALID_STATE", "session:cancel:CANCELLED")
    workspace = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    assert workspace["availabilityState"] == "ONLINE"


async def test_an_operator_gives_everything_back_oldest_first(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    sessions = [await wire.create(consumer, place) for _ in range(3)]
    for session in sessions:
        await wire.data("POST", url(session, "accept"), auth=supplier, json={})
    path = "/sessions/cancel-all-assignments"
    expected = [session["id"] for session in sessions]
    assert await wire.data("POST", path, auth=supplier) == {"count": 3, "cancelled": expected}
    assert await wire.data("POST", path, auth=supplier) == {"count": 0, "cancelled": []}
    assert (await wire.data("GET", url(started["session"]), auth=supplier))["state"] == "LIVE"
    found = await wire.refused("DELETE", url(started["session"]), auth=consumer)
    assert found == (409, "INVALID_STATE", "session:cancel:LIVE")
    await wire.data("POST", url(started["session"], "end"), auth=supplier)


# -- the bill ---------------------------------------------------------------------------------------------


async def test_nothing_is_owed_before_it_was_live(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place)
    for step in ("REQUESTED", "CANCELLED"):
        view = await wire.data("GET", f"/settlements/{session['id']}", auth=consumer)
        assert view == {"sessionId": session["id"], "state": "NOT_READY"}
        receipt = await wire.data("GET", url(session, "receipt"), auth=consumer)
        assert receipt == receipt | {
            "state": step,
            "startedAt": None,
            "elapsedMilliseconds": 0,
            "cleanSeconds": 0,
            "chargedMicroUsdc": "0",
            "windows": [],
            "settlement": view,
        }
        if step == "REQUESTED":
            await wire.data("DELETE", url(session), auth=consumer)


async def test_a_receipt_runs_while_live_and_is_final_after(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    session = started["session"]
    await started_earlier(wire, session["id"], 20.5)
    await wire.rows(
        "insert into disconnect_window (id, session_id, reason, opened_at, closed_at)"
        " select gen_random_uuid(), id, 'NETWORK_ERROR',"
        " started_at + interval '5 s', started_at + interval '8 s' from session where id = $1",
        session["id"],
    )
    running = await wire.data("GET", url(session, "receipt"), auth=consumer)
    assert running["lostMilliseconds"] == 3000
    assert 17 <= running["cleanSeconds"] <= 25
    assert running["settlement"] == {"sessionId": session["id"], "state": "NOT_READY"}
    over = await wire.data("POST", url(session, "end"), auth=supplier)
    final = await wire.data("GET", url(session, "receipt"), auth=consumer)
    span = datetime.fromisoformat(final["endedAt"]) - datetime.fromisoformat(final["startedAt"])
    clean = (span - timedelta(seconds=3)) // timedelta(seconds=1)
    charged = clean * 1000
    to_amount = charged * 85 // 100
    assert (over["cleanSeconds"], over["chargedMicroUsdc"]) == (clean, str(charged))
    assert final == final | {
        "state": "ENDED",
        "asOf": over["endedAt"],
        "elapsedMilliseconds": span // timedelta(milliseconds=1),
        "cleanSeconds": clean,
        "chargedMicroUsdc": str(charged),
        "toAmountMicroUsdc": str(to_amount),
        "feeAmountMicroUsdc": str(charged - to_amount),
    }
    view = await settled(wire, consumer, session["id"])
    assert view["state"] == "CONFIRMED"
    assert view["payload"] == {
        "sessionId": session["id"],
        "consumerWalletAddress": consumer.account.address,
        "operatorWalletAddress": supplier.account.address,
        "ratePerSecondMicroUsdc": "1000",
        "chargeableSeconds": clean,
        "toAmountMicroUsdc": str(to_amount),
        "feeAmountMicroUsdc": str(charged - to_amount),
    }
    stored = await wire.data("GET", url(session), auth=consumer)
    assert stored["settlementTxHash"] == view["txHash"]
    found = await wire.refused("POST", url(session, "end"), auth=consumer)
    assert found == (409, "INVALID_STATE", "session:end:ENDED")


async def test_a_charge_of_zero_is_confirmed_without_a_transaction(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    over = await wire.data("POST", url(started["session"], "end"), auth=supplier)
    view = await wire.data("GET", f"/settlements/{over['id']}", auth=supplier)
    assert over["cleanSeconds"] == 0
    assert (view["state"], view["confirmedAt"]) == ("CONFIRMED", over["endedAt"])
    assert "txHash" not in view


async def started_earlier(wire: Wire, session_id: str, seconds: float) -> None:
    sql = "update session set started_at = started_at - make_interval(secs => $2) where id = $1"
    await wire.rows(sql, session_id, seconds)


async def settled(wire: Wire, tenant: Tenant, session_id: str) -> dict[str, Any]:
    """The settlement once it is CONFIRMED: the relayer and the chain are at work in the background."""
    async with asyncio.timeout(30):
        while True:
            view = await wire.data("GET", f"/settlements/{session_id}", auth=tenant)
            assert ("txHash" in view) == (view["state"] in ("SUBMITTED", "CONFIRMED"))
            assert ("confirmedAt" in view) == (view["state"] == "CONFIRMED")
            if view["state"] == "CONFIRMED":
                return dict(view)
            await asyncio.sleep(0.05)


async def test_the_sweep_expires_what_waited_too_long(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place, waitTimeoutSeconds=5)
    sql = "update session set created_at = created_at - interval '6 s' where id = $1"
    await wire.rows(sql, session["id"])
    async with asyncio.timeout(10):
        while (found := await wire.data("GET", url(session), auth=consumer))["state"] == "REQUESTED":
            await asyncio.sleep(0.05)
    assert (found["state"], found["startedAt"], found["chargedMicroUsdc"]) == ("EXPIRED", None, "0")
    assert (await wire.data("GET", f"/settlements/{session['id']}", auth=consumer))["state"] == "NOT_READY"
