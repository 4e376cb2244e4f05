"""Workspaces over the wire: creation, what may be changed, coverage, heartbeats (api-contract §6.4, §11)."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from api_wire import Place, Tenant, Wire
from eth_account import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def supplier(wire: Wire) -> Tenant:
    return await wire.tenant("SUPPLIER")


def circle(place: Place, **fields: Any) -> dict[str, Any]:
    return {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 500, **fields}


async def patch(wire: Wire, tenant: Tenant, **fields: Any) -> dict[str, Any]:
    return dict(await wire.data("PATCH", f"/workspaces/{tenant.workspace_id}", auth=tenant, json=fields))


async def patch_refused(wire: Wire, tenant: Tenant, **fields: Any) -> tuple[int, str, str | None]:
    return await wire.refused("PATCH", f"/workspaces/{tenant.workspace_id}", auth=tenant, json=fields)


# -- creation ---------------------------------------------------------------------------------------------


async def test_a_new_workspace_has_every_published_field(wire: Wire) -> None:
    account = Account.create()
    body = {"slug": "ab-3", "name": "  Famille\u00a0👨‍👩‍👧 ", "roles": ["SUPPLIER", "CONSUMER", "SUPPLIER"]}
    made = await wire.data("POST", "/workspaces", json={**body, **await wire.proof(account)})
    created_at, workspace_id = made.pop("createdAt"), made.pop("id")
    assert datetime.fromisoformat(created_at)
    assert base64.b64decode(made.pop("consistencyToken"), validate=True)
    assert made == {
        "slug": "ab-3",
        "name": "Famille\u00a0👨‍👩‍👧",
        "walletAddress": account.address,
        "roles": ["CONSUMER", "SUPPLIER"],
        "availabilityState": "OFFLINE",
        "coverageLat": None,
        "coverageLng": None,
        "coverageRadiusMeters": None,
        "deviceKind": None,
        "lastSeenAt": None,
        "createdByWallet": account.address,
        "deletedAt": None,
    }
    auth = {"Cookie": f"lx_session={await wire.login(account, workspace_id)}"}
    assert (await wire.data("GET", f"/workspaces/{workspace_id}", auth=auth))["slug"] == "ab-3"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"slug": "ab"}, "workspace:slug"),
        ({"slug": "a" * 41}, "workspace:slug"),
        ({"slug": "Upper"}, "workspace:slug"),
        ({"slug": "-abc"}, "workspace:slug"),
        ({"slug": "abc-"}, "workspace:slug"),
        ({"slug": "a_b_c"}, "workspace:slug"),
        ({"slug": "abc\n"}, "workspace:slug"),
        ({"name": " "}, "workspace:name"),
        ({"name": "x" * 81}, "workspace:name"),
        ({"name": "nul\0"}, "workspace:name"),
        ({"roles": []}, "workspace:roles"),
        ({"roles": ["OPERATOR"]}, "workspace:roles"),
        ({"roles": "CONSUMER"}, "workspace:roles"),
        ({"walletAddress": "0x"}, "auth:walletAddress"),
    ],
)
async def test_a_bad_workspace_is_refused_and_the_challenge_stays_good(
    wire: Wire, change: dict[str, object], detail: str
) -> None:
    slug = f"good-{uuid4().hex}"
    body = {"slug": slug, "name": "ok", "roles": ["CONSUMER"], **await wire.proof(Account.create())}
    assert await wire.refused("POST", "/workspaces", json={**body, **change}) == (
        400,
        "INVALID_INPUT",
        detail,
    )
    assert (await wire("POST", "/workspaces", json=body)).status_code == 200


async def test_a_slug_is_taken_once(wire: Wire, supplier: Tenant) -> None:
    body = {"slug": supplier.slug, "name": "x", "roles": ["CONSUMER"], **await wire.proof(Account.create())}
    assert await wire.refused("POST", "/workspaces", json=body) == (409, "CONFLICT", "workspace:slugTaken")


# -- patch ------------------------------------------------------------------------------------------------


async def test_going_online_shows_the_circle_to_everyone_and_offline_hides_it(
    wire: Wire, supplier: Tenant, place: Place
) -> None:
    entry = {"lat": place.lat, "lng": place.lng, "radiusMeters": 500, "deviceKind": "DRONE"}
    after = await patch(wire, supplier, **circle(place, availabilityState="ONLINE", deviceKind="DRONE"))
    assert (after["availabilityState"], after["deviceKind"]) == ("ONLINE", "DRONE")
    assert after["lastSeenAt"] is not None
    assert entry in await wire.data("GET", "/coverage")
    await patch(wire, supplier, availabilityState="OFFLINE")
    assert entry not in await wire.data("GET", "/coverage")
    await patch(wire, supplier, availabilityState="ONLINE")
    assert entry in await wire.data("GET", "/coverage"), "the circle was kept"


async def test_online_needs_the_whole_circle(wire: Wire, supplier: Tenant, place: Place) -> None:
    required = (400, "INVALID_INPUT", "workspace:coverageRequired")
    assert await patch_refused(wire, supplier, availabilityState="ONLINE") == required
    for missing in ("coverageLat", "coverageLng", "coverageRadiusMeters"):
        fields = circle(place, availabilityState="ONLINE")
        del fields[missing]
        assert await patch_refused(wire, supplier, **fields) == required
    await patch(wire, supplier, **circle(place))
    assert (await patch(wire, supplier, availabilityState="ONLINE"))["availabilityState"] == "ONLINE"


async def test_a_circle_may_be_told_in_parts(
    wire: Wire, consumer: Tenant, supplier: Tenant, place: Place
) -> None:
    path, whole = f"/workspaces/{supplier.workspace_id}", circle(place)
    told: dict[str, Any] = dict.fromkeys(whole)
    assert await patch_refused(wire, supplier, coverageLng=181) == (
        400,
        "INVALID_INPUT",
        "workspace:coverageLng",
    )
    for name in ("coverageRadiusMeters", "coverageLng", "coverageLat"):
        assert (await patch_refused(wire, supplier, availabilityState="ONLINE"))[2] == (
            "workspace:coverageRequired"
        )
        session = await wire.create(consumer, place)
        accept = f"/sessions/{session['id']}/accept"
        assert (await wire.refused("POST", accept, auth=supplier))[:2] == (400, "OUTSIDE_COVERAGE")
        told[name] = whole[name]
        after = await patch(wire, supplier, **{name: whole[name]})
        assert {one: after[one] for one in told} == told
        assert after == await wire.data("GET", path, auth=supplier)
    entry = {"lat": place.lat, "lng": place.lng, "radiusMeters": 500, "deviceKind": None}
    assert entry not in await wire.data("GET", "/coverage")
    await patch(wire, supplier, availabilityState="ONLINE")
    assert entry in await wire.data("GET", "/coverage")


async def test_null_leaves_a_field_as_it_is(wire: Wire, supplier: Tenant, place: Place) -> None:
    before = await patch(wire, supplier, **circle(place, availabilityState="ONLINE", deviceKind="PTZ"))
    nothing = dict.fromkeys([*circle(place), "availabilityState", "deviceKind", "name"])
    assert await patch(wire, supplier, **nothing) == before


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"coverageLat": 90.001}, "workspace:coverageLat"),
        ({"coverageLng": -180.001}, "workspace:coverageLng"),
        ({"coverageRadiusMeters": 0.99}, "workspace:coverageRadiusMeters"),
        ({"coverageRadiusMeters": 50_001}, "workspace:coverageRadiusMeters"),
        ({"coverageRadiusMeters": "500"}, "workspace:coverageRadiusMeters"),
        ({"deviceKind": "CAMERA"}, "workspace:deviceKind"),
        ({"availabilityState": "BUSY"}, "workspace:availabilityState"),
        ({"availabilityState": "online"}, "workspace:availabilityState"),
    ],
)
async def test_a_bad_patch_changes_nothing(
    wire: Wire, supplier: Tenant, place: Place, fields: dict[str, object], detail: str
) -> None:
    before = await patch(wire, supplier, **circle(place))
    assert await patch_refused(wire, supplier, **circle(place, **fields)) == (400, "INVALID_INPUT", detail)
    assert await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier) == before


async def test_only_suppliers_are_available(wire: Wire, consumer: Tenant, place: Place) -> None:
    found = await patch_refused(wire, consumer, **circle(place, availabilityState="ONLINE"))
    assert found == (403, "NOT_AUTHORIZED", "session:notSupplier")


async def test_a_key_may_not_rename_and_a_wallet_may(wire: Wire, supplier: Tenant) -> None:
    path = f"/workspaces/{supplier.workspace_id}"
    found = await wire.refused("PATCH", path, auth=supplier, json={"name": "Renamed"})
    assert found == (403, "NOT_AUTHORIZED", "workspace:name")
    after = await wire.data("PATCH", path, auth=supplier.as_cookie(), json={"name": " Renamed "})
    assert after["name"] == "Renamed"


async def test_slug_roles_and_wallet_never_change(wire: Wire, supplier: Tenant) -> None:
    before = await wire.data("GET", f"/workspaces/{supplier.workspace_id}", auth=supplier)
    fields = {"slug": "other", "roles": ["CONSUMER"], "walletAddress": "0x" + "1" * 40, "id": "x"}
    assert await patch(wire, supplier, **fields) == before


async def test_a_busy_supplier_stays_busy_and_its_wish_is_kept(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.started(consumer, place)
    for wish in ("ONLINE", "OFFLINE"):
        assert (await patch(wire, supplier, availabilityState=wish))["availabilityState"] == "BUSY"
    await wire.data("DELETE", f"/sessions/{started['session']['id']}", auth=consumer)
    path = f"/workspaces/{supplier.workspace_id}"
    assert (await wire.data("GET", path, auth=supplier))["availabilityState"] == "OFFLINE"


# -- heartbeat --------------------------------------------------------------------------------------------


def beat(place: Place, sequence: object, **fields: Any) -> dict[str, Any]:
    return {**place.json, "accuracyMeters": 5, "sequence": sequence, **fields}


async def test_a_sequence_only_rises(wire: Wire, supplier: Tenant, place: Place) -> None:
    path = f"/workspaces/{supplier.workspace_id}/location"
    milliseconds = 1_700_000_000_000
    for sequence in (0, "7", milliseconds, str(milliseconds + 1), 2**63 - 1):
        after = await wire.data("POST", path, auth=supplier, json=beat(place, sequence))
        assert after["lastSeenAt"] is not None
        assert (after["coverageLat"], after["coverageLng"]) == (None, None), "the circle is left alone"
        for again in (sequence, 0):
            found = await wire.refused("POST", path, auth=supplier, json=beat(place, again))
            assert found == (409, "CONFLICT", "heartbeat:sequence")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"lat": 91}, "heartbeat:lat"),
        ({"lng": 181}, "heartbeat:lng"),
        ({"accuracyMeters": -1}, "heartbeat:accuracyMeters"),
        ({"accuracyMeters": 1e300}, "heartbeat:accuracyMeters"),
        ({"speedMps": 1e300}, "heartbeat:speedMps"),
        ({"sequence": -1}, "heartbeat:sequence"),
        ({"sequence": 2**63}, "heartbeat:sequence"),
        ({"sequence": "x"}, "heartbeat:sequence"),
        ({"sequence": 1.5}, "heartbeat:sequence"),
        ({"sequence": "1_0"}, "heartbeat:sequence"),
        ({"sequence": " ١٢ "}, "heartbeat:sequence"),
        ({"sessionId": "x"}, "heartbeat:sessionId"),
        ({"accuracyMeters": None}, "heartbeat:accuracyMeters"),
    ],
)
async def test_a_bad_heartbeat_names_its_field(
    wire: Wire, supplier: Tenant, place: Place, fields: dict[str, object], detail: str
) -> None:
    path = f"/workspaces/{supplier.workspace_id}/location"
    found = await wire.refused("POST", path, auth=supplier, json=beat(place, 1) | fields)
    assert found == (400, "INVALID_INPUT", detail)


async def test_a_consumer_has_no_heartbeat(wire: Wire, consumer: Tenant, place: Place) -> None:
    path = f"/workspaces/{consumer.workspace_id}/location"
    found = await wire.refused("POST", path, auth=consumer, json=beat(place, 1))
    assert found == (403, "NOT_AUTHORIZED", "session:notSupplier")


async def test_a_heartbeat_outside_the_geofence_stops_the_meter_and_one_inside_starts_it(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    path, session_id = f"/workspaces/{supplier.workspace_id}/location", started["session"]["id"]
    far = Place(place.lat + 0.0046, place.lng)  # 511 m to the north; the fence is at 500
    near = Place(place.lat + 0.0044, place.lng)  # 489 m

    async def open_windows() -> list[str]:
        receipt = await wire.data("GET", f"/sessions/{session_id}/receipt", auth=consumer)
        return [window["reason"] for window in receipt["windows"] if window["closedAt"] is None]

    for sequence, (where, accuracy, expected) in enumerate(
        [
            (near, 5, []),
            (far, 100.5, []),
            (far, 100, ["OUTSIDE_GEOFENCE"]),
            (near, 200, ["OUTSIDE_GEOFENCE"]),
            (near, 5, []),
        ]
    ):
        body = {**where.json, "accuracyMeters": accuracy, "sequence": sequence, "sessionId": session_id}
        await wire.data("POST", path, auth=supplier, json=body)
        assert await open_windows() == expected
    await wire.data("POST", f"/sessions/{session_id}/end", auth=supplier)
