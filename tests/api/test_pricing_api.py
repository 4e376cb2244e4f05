"""Quotes and the map of demand over the wire (api-contract §5.3, §5.8, §6.1, §6.6)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUOTE = "/pricing/quote"


def query(place: Place, **fields: object) -> dict[str, Any]:
    return {**place.json, "durationSeconds": 90, **fields}


async def test_a_quote_has_every_published_field(wire: Wire, consumer: Tenant, place: Place) -> None:
    answer = await wire("GET", QUOTE, auth=consumer, params=query(place))
    body = answer.json()
    quote = body["data"]
    assert quote == {
        "quoteId": quote["quoteId"],
        "ratePerSecondMicroUsdc": "1000",
        "estimatedTotalMicroUsdc": "90000",
        "supplyFactor": 1.0,
        "demandFactor": 1.0,
        "corridorMultiplier": 1.0,
        "baseRatePerSecondMicroUsdc": "1000",
        "expiresAt": quote["expiresAt"],
    }
    assert UUID(quote["quoteId"]).version == 4
    lives = datetime.fromisoformat(quote["expiresAt"]) - datetime.fromisoformat(body["timestamp"])
    assert lives == timedelta(seconds=30)
    other = await wire.data("GET", QUOTE, auth=consumer, params=query(place))
    assert other["quoteId"] != quote["quoteId"]


async def test_a_quote_is_for_the_workspace_that_is_named(wire: Wire, consumer: Tenant, place: Place) -> None:
    cookie = {"Cookie": f"lx_session={await wire.login(consumer.account)}"}
    found = await wire.refused("GET", QUOTE, auth=cookie, params=query(place))
    assert found == (403, "NOT_AUTHORIZED", "auth:noWorkspace")
    named = query(place, workspaceId=consumer.workspace_id)
    quote = await wire.data("GET", QUOTE, auth=cookie, params=named)
    await wire.create(consumer, place, quoteId=quote["quoteId"])


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"lat": "90.1"}, "quote:lat"),
        ({"lat": "north"}, "quote:lat"),
        ({"lat": "nan"}, "quote:lat"),
        ({"lng": "-180.5"}, "quote:lng"),
        ({"lng": ""}, "quote:lng"),
        ({"durationSeconds": "0"}, "quote:durationSeconds"),
        ({"durationSeconds": "86401"}, "quote:durationSeconds"),
        ({"durationSeconds": "1.5"}, "quote:durationSeconds"),
        ({"durationSeconds": "a minute"}, "quote:durationSeconds"),
        ({"workspaceId": "x"}, "auth:workspaceId"),
    ],
)
async def test_a_bad_question_is_refused_by_field(
    wire: Wire, consumer: Tenant, place: Place, fields: dict[str, str], detail: str
) -> None:
    found = await wire.refused("GET", QUOTE, auth=consumer, params=query(place, **fields))
    assert found == (400, "INVALID_INPUT", detail)


@pytest.mark.parametrize("field", ["lat", "lng", "durationSeconds"])
async def test_what_a_quote_must_know_cannot_be_left_out(
    wire: Wire, consumer: Tenant, place: Place, field: str
) -> None:
    asked = query(place)
    del asked[field]
    found = await wire.refused("GET", QUOTE, auth=consumer, params=asked)
    assert found == (400, "INVALID_INPUT", f"quote:{field}")


async def test_a_quote_takes_a_credential_and_its_scope(wire: Wire, consumer: Tenant, place: Place) -> None:
    assert (await wire.refused("GET", QUOTE, params=query(place)))[:2] == (401, "NOT_AUTHENTICATED")
    key = await wire.mint(consumer.cookie, consumer.workspace_id, "sessions:create")
    auth = {"Authorization": f"Bearer {key['plaintext']}"}
    found = await wire.refused("GET", QUOTE, auth=auth, params=query(place))
    assert found == (403, "INSUFFICIENT_SCOPE", "apiKey:scope:pricing:read")
    other = query(place, workspaceId=str(UUID(int=5)))
    assert (await wire.refused("GET", QUOTE, auth=consumer, params=other))[1] == "WORKSPACE_MISMATCH"


async def test_demand_is_public_and_anonymous(wire: Wire, consumer: Tenant) -> None:
    spot = Place(-63.1, 77.7)
    met = await wire.create(consumer, spot)
    await wire.data("DELETE", f"/sessions/{met['id']}", auth=consumer)
    await wire.create(consumer, spot)
    expected = {"lat": -63.1125, "lng": 77.6925, "requests": 2, "unmet": 1, "avgMaxPriceMicroUsdc": None}
    async with asyncio.timeout(20):  # it may have been counted a moment ago
        while not any(one["lng"] == expected["lng"] for one in await wire.data("GET", "/demand")):
            await asyncio.sleep(0.2)
    cells = await wire.data("GET", "/demand")
    assert expected in cells
    for one in cells:
        assert set(one) == set(expected)
        assert abs(one["lat"]) < 90
        assert abs(one["lng"]) < 180


async def test_a_duration_is_a_whole_number_however_it_is_written(wire: Wire, consumer: Tenant) -> None:
    query = {"lat": "1", "lng": "2", "durationSeconds": "60.0"}
    quote = await wire.data("GET", "/pricing/quote", auth=consumer, params=query)
    assert int(quote["estimatedTotalMicroUsdc"]) == 60 * int(quote["ratePerSecondMicroUsdc"])
    found = await wire.refused(
        "GET", "/pricing/quote", auth=consumer, params={**query, "durationSeconds": "1.5"}
    )
    assert found == (400, "INVALID_INPUT", "quote:durationSeconds")
