"""Budgets of API keys on the wire: minted, shown, held, and in nobody's way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from api_wire import Place, Tenant, Wire

from luxxon_core.access.schemas import ApiKeyMe, KeyArea
from luxxon_core.adapters.postgres.access import PgApiKeys
from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import NotAuthorized

pytestmark = pytest.mark.asyncio(loop_scope="session")
BIG = "1000000000"


def keys(tenant: Tenant) -> str:
    return f"/workspaces/{tenant.workspace_id}/api-keys"


async def mint(wire: Wire, tenant: Tenant, budget: object) -> dict[str, Any]:
    body = {
        "label": "agent",
        "environment": "TEST",
        "scopes": ["sessions:create", "sessions:read"],
        "budget": budget,
    }
    return dict(await wire.data("POST", keys(tenant), auth=tenant.as_cookie(), json=body))


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['plaintext']}"}


def asking(place: Place, seconds: int = 60) -> dict[str, Any]:
    return {**place.json, "maxDurationSeconds": seconds}


async def rate(wire: Wire, consumer: Tenant, place: Place) -> int:
    session = await wire.data("POST", "/sessions", auth=consumer, json=asking(place))
    await wire.data("DELETE", f"/sessions/{session['id']}", auth=consumer)
    return int(session["ratePerSecondMicroUsdc"])


async def test_a_budget_is_shown_wherever_its_key_is(wire: Wire, consumer: Tenant, place: Place) -> None:
    area = {"lat": place.lat, "lng": place.lng, "radiusMeters": 2000.0, "name": "here"}
    key = await mint(wire, consumer, {"dailyCapMicroUsdc": BIG, "sessionCapMicroUsdc": "5", "areas": [area]})
    tomorrow = datetime.fromisoformat(key["budget"]["resetsAt"])
    assert timedelta(0) < tomorrow - utc_now() <= timedelta(days=1)
    assert (tomorrow.hour, tomorrow.minute, tomorrow.second) == (0, 0, 0)
    expected = {
        "dailyCapMicroUsdc": BIG,
        "sessionCapMicroUsdc": "5",
        "areas": [area],
        "spentTodayMicroUsdc": "0",
        "leftTodayMicroUsdc": BIG,
        "resetsAt": key["budget"]["resetsAt"],
    }
    me = await wire.data("GET", "/me", auth=bearer(key))
    listed = await wire.data("GET", keys(consumer), auth=consumer.as_cookie())
    (mine,) = [one for one in listed if one["id"] == key["id"]]
    assert key["budget"] == me["budget"] == mine["budget"] == expected
    revoked = await wire.data("POST", f"{keys(consumer)}/{key['id']}/revoke", auth=consumer.as_cookie())
    assert revoked["budget"] == expected


async def test_what_is_absent_is_not_limited(wire: Wire, consumer: Tenant) -> None:
    key = await mint(wire, consumer, {"sessionCapMicroUsdc": "0", "areas": None})
    found = key["budget"]
    assert (found["dailyCapMicroUsdc"], found["leftTodayMicroUsdc"], found["areas"]) == (None, None, [])
    for none in ({}, None, {"dailyCapMicroUsdc": None}):
        assert "budget" not in await mint(wire, consumer, none)


@pytest.mark.parametrize(
    "budget",
    [
        {"dailyCapMicroUsdc": 5},
        {"dailyCapMicroUsdc": "-1"},
        {"dailyCapMicroUsdc": "5.0"},
        {"sessionCapMicroUsdc": "1000000000000001"},
        {"areas": []},
        {"areas": [{"lat": 0, "lng": 0}]},
        {"areas": [{"lat": 91, "lng": 0, "radiusMeters": 5}]},
        {"areas": [{"lat": 0, "lng": 0, "radiusMeters": 0}]},
        {"areas": [{"lat": 0, "lng": 0, "radiusMeters": 21_000_000}]},
        {"areas": [{"lat": 0, "lng": 0, "radiusMeters": 5, "name": " "}]},
        {"areas": [{"lat": 0, "lng": 0, "radiusMeters": 5}] * 33},
        "5",
        [],
    ],
)
async def test_what_no_budget_can_be_is_refused(wire: Wire, consumer: Tenant, budget: object) -> None:
    body = {"label": "x", "environment": "TEST", "scopes": ["sessions:read"], "budget": budget}
    status, code, detail = await wire.refused("POST", keys(consumer), auth=consumer.as_cookie(), json=body)
    assert (status, code) == (400, "INVALID_INPUT")
    assert detail == "apiKey:radiusMeters" or (detail or "").startswith("apiKey:budget")


async def test_the_daily_cap_holds_and_says_what_is_left(wire: Wire, consumer: Tenant, place: Place) -> None:
    price = await rate(wire, consumer, place)
    key = await mint(wire, consumer, {"dailyCapMicroUsdc": str(price * 100)})
    auth = bearer(key)
    session = await wire.data("POST", "/sessions", auth=auth, json=asking(place, 60))
    response = await wire("POST", "/sessions", auth=auth, json=asking(place, 41))
    body = response.json()
    assert (response.status_code, body["code"], body["detail"]) == (
        403,
        "NOT_AUTHORIZED",
        "apiKey:dailyCap:40",
    )
    budget = (await wire.data("GET", "/me", auth=auth))["budget"]
    assert (int(budget["spentTodayMicroUsdc"]), int(budget["leftTodayMicroUsdc"])) == (price * 60, price * 40)
    assert budget["resetsAt"] in body["message"]
    assert "at most 40 s" in body["message"]
    await wire.data("POST", "/sessions", auth=consumer, json=asking(place, 41))  # another key of the same
    await wire.data("POST", "/sessions", auth=consumer.as_cookie(), json=asking(place, 41))
    await wire.data("DELETE", f"/sessions/{session['id']}", auth=auth)
    await wire.data("POST", "/sessions", auth=auth, json=asking(place, 100))


async def test_the_session_cap_and_the_areas_hold(wire: Wire, consumer: Tenant, place: Place) -> None:
    price = await rate(wire, consumer, place)
    area = {**place.json, "radiusMeters": 1000}
    key = await mint(wire, consumer, {"sessionCapMicroUsdc": str(price * 30), "areas": [area]})
    for body, detail in (
        (asking(place, 31), "apiKey:sessionCap:30"),
        (asking(Place(place.lat + 0.01, place.lng)), "apiKey:area"),
    ):
        refused = await wire.refused("POST", "/sessions", auth=bearer(key), json=body)
        assert refused == (403, "NOT_AUTHORIZED", detail)
    await wire.data("POST", "/sessions", auth=bearer(key), json=asking(place, 30))


async def test_a_replay_is_not_counted_twice(wire: Wire, consumer: Tenant, place: Place) -> None:
    price = await rate(wire, consumer, place)
    key = await mint(wire, consumer, {"dailyCapMicroUsdc": str(price * 60)})
    sent = {"auth": bearer(key), "json": asking(place), "headers": {"Idempotency-Key": key["id"]}}
    first = await wire.data("POST", "/sessions", **sent)
    again = await wire.data("POST", "/sessions", **sent)
    assert first["id"] == again["id"]
    me = await wire.data("GET", "/me", auth=bearer(key))
    assert me["budget"]["spentTodayMicroUsdc"] == str(price * 60)


async def test_what_was_refused_succeeds_when_there_is_something_left_again(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    price = await rate(wire, consumer, place)
    key = await mint(wire, consumer, {"dailyCapMicroUsdc": str(price * 60)})
    auth = bearer(key)
    first = await wire.data("POST", "/sessions", auth=auth, json=asking(place))
    sent = {"auth": auth, "json": asking(place)}
    assert (await wire.refused("POST", "/sessions", **sent))[2] == "apiKey:dailyCap:0"
    await wire.data("DELETE", f"/sessions/{first['id']}", auth=auth)
    await wire.data("POST", "/sessions", **sent)


async def test_no_key_gives_itself_more(wire: Wire, consumer: Tenant) -> None:
    key = await mint(wire, consumer, {"dailyCapMicroUsdc": "0"})
    minting = {"label": "x", "environment": "TEST", "scopes": ["sessions:create"]}
    for method, path, body in (
        ("POST", keys(consumer), minting),
        ("GET", keys(consumer), None),
        ("POST", f"{keys(consumer)}/{key['id']}/revoke", None),
    ):
        refused = await wire.refused(method, path, auth=bearer(key), json=body)
        assert refused == (403, "NOT_AUTHORIZED", "auth:walletOnly")
    for method in ("PATCH", "PUT", "POST"):
        response = await wire(method, f"{keys(consumer)}/{key['id']}", auth=consumer.as_cookie(), json={})
        assert response.status_code in (404, 405), "a budget is fixed when its key is minted"


async def test_keys_without_a_budget_cost_no_query(
    wire: Wire, consumer: Tenant, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await wire.tenant("CONSUMER")

    async def never(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(PgApiKeys, "spent", never)
    monkeypatch.setattr(PgApiKeys, "spent_alone", never)
    await wire.data("POST", "/sessions", auth=consumer, json=asking(place))
    await wire.data("GET", "/sessions", auth=consumer)
    assert "budget" not in await wire.data("GET", "/me", auth=consumer)
    (listed,) = await wire.data("GET", keys(other), auth=other.as_cookie())
    assert "budget" not in listed


async def test_the_client_mints_and_reads_budgets(wire: Wire, consumer: Tenant, place: Place) -> None:
    area = KeyArea(place.lat, place.lng, 500, "here")
    url = wire.server.api_url
    async with Luxxon(url, cookie=consumer.cookie) as owner:
        made = await owner.workspaces.create_api_key(
            consumer.workspace_id,
            label="agent",
            scopes=["sessions:create"],
            daily_cap_micro_usdc=7,
            session_cap_micro_usdc=0,
            areas=[area],
        )
    async with Luxxon(url, api_key=made.plaintext) as api:
        me = await api.me.get()
        assert isinstance(me, ApiKeyMe)
        assert me.budget == made.budget
        assert me.budget.areas == [area]  # type: ignore[union-attr]
        with pytest.raises(NotAuthorized, match="0 USDC on a session") as refused:
            await api.sessions.create(lat=place.lat, lng=place.lng, max_duration_seconds=1)
    assert refused.value.detail == "apiKey:sessionCap:0"
