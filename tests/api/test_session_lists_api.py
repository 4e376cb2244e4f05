"""Lists of sessions over the wire: the own ones, and those that a supplier could take."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPEN = "/sessions/open"


async def listed(wire: Wire, tenant: Tenant, **query: object) -> list[str]:
    found = await wire.data("GET", "/sessions", auth=tenant, params=query)
    return [one["id"] for one in found]


async def test_sessions_are_filtered_and_paged(wire: Wire, place: Place) -> None:
    both = await wire.tenant("CONSUMER", "SUPPLIER", funded=True)
    circle = {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 50}
    await wire.data("PATCH", f"/workspaces/{both.workspace_id}", auth=both, json=circle)
    other = await wire.tenant("CONSUMER", funded=True)
    asked = [(await wire.create(both, place))["id"] for _ in range(3)]
    taken = (await wire.create(other, place))["id"]
    await wire.data("POST", f"/sessions/{taken}/accept", auth=both, json={})
    own = (await wire.create(both, place))["id"]
    await wire.data("POST", f"/sessions/{own}/accept", auth=both, json={})
    await wire.data("DELETE", f"/sessions/{asked[1]}", auth=both)
    everything = [own, taken, *reversed(asked)]
    assert await listed(wire, both) == everything
    assert await listed(wire, both, side="consumer") == [own, *reversed(asked)]
    assert await listed(wire, both, side="operator") == [own, taken]
    assert await listed(wire, both, state="ASSIGNED") == [own, taken]
    assert await listed(wire, both, state="CANCELLED,ASSIGNED") == [own, taken, asked[1]]
    assert await listed(wire, both, state="REQUESTED", side="operator") == []
    assert await listed(wire, both, state="LIVE") == []
    pages: list[str] = []
    while page := await listed(wire, both, limit=2, **({"cursor": pages[-1]} if pages else {})):
        assert len(page) <= 2
        pages += page
    assert pages == everything
    assert await listed(wire, both, cursor=taken, state="REQUESTED", limit=1) == [asked[2]]
    assert await listed(wire, other) == [taken]


async def test_pages_are_whole_where_sessions_are_of_one_moment(wire: Wire, place: Place) -> None:
    tenant = await wire.tenant("CONSUMER", funded=True)
    made = {(await wire.create(tenant, place))["id"] for _ in range(5)}
    sql = "update session set created_at = date_trunc('second', now()) where consumer_workspace_id = $1"
    await wire.rows(sql, tenant.workspace_id)
    pages: list[str] = []
    while page := await listed(wire, tenant, limit=2, **({"cursor": pages[-1]} if pages else {})):
        pages += page
    assert (len(pages), set(pages)) == (5, made)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"state": "OVER"}, "session:state"),
        ({"state": "LIVE,"}, "session:state"),
        ({"state": ""}, "session:state"),
        ({"state": "live"}, "session:state"),
        ({"side": "both"}, "session:side"),
        ({"limit": "0"}, "session:limit"),
        ({"limit": "201"}, "session:limit"),
        ({"limit": "ten"}, "session:limit"),
        ({"cursor": "x"}, "session:cursor"),
        ({"cursor": "00000000-0000-0000-0000-000000000000"}, "session:cursor"),
    ],
)
async def test_a_bad_filter_is_refused_by_field(
    wire: Wire, consumer: Tenant, query: dict[str, str], detail: str
) -> None:
    found = await wire.refused("GET", "/sessions", auth=consumer, params=query)
    assert found == (400, "INVALID_INPUT", detail)


async def test_a_cursor_of_others_is_none(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    session = await wire.create(consumer, place)
    found = await wire.refused("GET", "/sessions", auth=stranger, params={"cursor": session["id"]})
    assert found == (400, "INVALID_INPUT", "session:cursor")


# -- open requests ----------------------------------------------------------------------------------------


async def requests(wire: Wire, tenant: Tenant, **query: object) -> list[dict[str, Any]]:
    return list(await wire.data("GET", OPEN, auth=tenant, params=query))


async def test_suppliers_see_what_they_could_accept(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier = await wire.supplier_at(place)
    inside, edge = await wire.create(consumer, place), Place(place.lat + 0.00449, place.lng)
    other = await wire.create(consumer, edge, maxDurationSeconds=7, waitTimeoutSeconds=60)
    await wire.create(consumer, Place(place.lat + 0.00451, place.lng))  # 501 m away
    found = await requests(wire, supplier)
    assert [one["id"] for one in found] == [inside["id"], other["id"]]
    created = datetime.fromisoformat(other["createdAt"])
    assert found[1] == {
        "id": other["id"],
        "lat": edge.lat,
        "lng": edge.lng,
        "maxDurationSeconds": 7,
        "waitTimeoutSeconds": 60,
        "ratePerSecondMicroUsdc": "1000",
        "createdAt": other["createdAt"],
        "expiresAt": (created + timedelta(seconds=60)).isoformat(timespec="milliseconds")[:-6] + "Z",
    }
    assert consumer.workspace_id not in str(found)
    await wire.data("POST", f"/sessions/{inside['id']}/accept", auth=supplier, json={})
    assert [one["id"] for one in await requests(wire, supplier)] == [other["id"]]
    await wire.data("DELETE", f"/sessions/{other['id']}", auth=consumer)
    assert await requests(wire, supplier) == []


async def test_open_requests_are_paged_oldest_first(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier = await wire.supplier_at(place)
    made = [(await wire.create(consumer, place))["id"] for _ in range(3)]
    first = [one["id"] for one in await requests(wire, supplier, limit=2)]
    rest = [one["id"] for one in await requests(wire, supplier, limit=2, cursor=first[-1])]
    assert [first, rest] == [made[:2], made[2:]]
    assert await requests(wire, supplier, cursor=made[2]) == []
    new = (await wire.create(consumer, place))["id"]
    assert [one["id"] for one in await requests(wire, supplier, cursor=made[2])] == [new]


async def test_only_suppliers_list_open_requests(wire: Wire, consumer: Tenant, nowhere: str) -> None:
    found = await wire.refused("GET", OPEN, auth=consumer)
    assert found == (403, "NOT_AUTHORIZED", "session:notSupplier")
    supplier = await wire.tenant("SUPPLIER")
    assert await requests(wire, supplier) == [], "it covers nothing"
    for query, detail in (({"limit": "x"}, "limit"), ({"cursor": nowhere}, "cursor")):
        found = await wire.refused("GET", OPEN, auth=supplier, params=query)
        assert found == (400, "INVALID_INPUT", f"session:{detail}")
    key = await wire.mint(supplier.cookie, supplier.workspace_id, "sessions:read")
    auth = {"Authorization": f"Bearer {key['plaintext']}"}
    found = await wire.refused("GET", OPEN, auth=auth)
    assert found == (403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:operate")


async def test_a_workspace_of_both_roles_sees_its_own_requests(wire: Wire, place: Place) -> None:
    both = await wire.tenant("CONSUMER", "SUPPLIER", funded=True)
    circle = {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 50}
    await wire.data("PATCH", f"/workspaces/{both.workspace_id}", auth=both, json=circle)
    session = await wire.create(both, place)
    assert [one["id"] for one in await requests(wire, both)] == [session["id"]]
