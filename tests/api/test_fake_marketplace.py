"""The kit's fake marketplace answers an agent as the real server does, through the real client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from api_wire import Place, Tenant, Wire

from luxxon_core.client import Luxxon
from luxxon_core.events.schemas import Ready, SessionState
from luxxon_core.kernel.clock import iso, utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.marketplace import MarketplaceApi, SessionsApi, WorkspacesApi
from luxxon_core.testing import FakeMarketplace

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass
class Market:
    """An operator's workspace, and how a test gives it a session and ends that."""

    api: Any
    workspace_id: str
    place: Place
    assign: Callable[[], Awaitable[str]]
    cancel: Callable[[str], Awaitable[None]]


@asynccontextmanager
async def fake(place: Place) -> AsyncIterator[Market]:
    market = FakeMarketplace()

    async def assign() -> str:
        return market.assign().id

    async def cancel(session_id: str) -> None:
        market.move(session_id, "CANCELLED")

    yield Market(market, market.workspace_id, place, assign, cancel)


@asynccontextmanager
async def real(wire: Wire, consumer: Tenant, place: Place) -> AsyncIterator[Market]:
    supplier = await wire.tenant("SUPPLIER")

    async def assign() -> str:
        created: str = (await wire.create(consumer, place))["id"]
        await wire.data("POST", f"/sessions/{created}/dispatch", auth=consumer)
        return created

    async def cancel(session_id: str) -> None:
        await wire.data("DELETE", f"/sessions/{session_id}", auth=consumer)

    async with Luxxon(wire.server.api_url, api_key=supplier.key) as api:
        yield Market(api, supplier.workspace_id, place, assign, cancel)


async def refused(call: Awaitable[object]) -> tuple[str, int, str | None]:
    with pytest.raises(LuxxonError) as error:
        await call
    return error.value.code, error.value.status, error.value.detail


async def online(market: Market) -> None:
    await market.api.workspaces.update(
        market.workspace_id,
        availability_state="ONLINE",
        coverage_lat=market.place.lat,
        coverage_lng=market.place.lng,
        coverage_radius_meters=1000,
        device_kind=None,
    )


async def story(market: Market) -> list[object]:
    """What an agent is told in a day, in words that are the same everywhere."""
    api, me, told = market.api, market.workspace_id, list[object]()

    async def beat(sequence: int, whose: str = me) -> object:
        lat, lng = market.place.lat, market.place.lng
        sample = {"lat": lat, "lng": lng, "accuracy_meters": 5.0, "sequence": sequence, "session_id": None}
        return await api.workspaces.heartbeat(whose, **sample)

    async def measured(session_id: str, at: datetime) -> object:
        lat, lng = market.place.lat, market.place.lng
        sample = {
            "lat": lat,
            "lng": lng,
            "accuracy_meters": 5.0,
            "source": "gnss",
            "signature": "0x" + "00" * 65,
        }
        return await api.sessions.telemetry(session_id, captured_at=iso(at), **sample)

    await online(market)
    await beat(5)
    told.append(await refused(beat(5)))
    told.append((await refused(beat(6, str(uuid4()))))[:2])
    async with aclosing(api.events(reconnect=False)) as events:
        first = await asyncio.wait_for(anext(aiter(events)), 10)
        told.append(isinstance(first.data, Ready))
        session_id = await market.assign()
        async with asyncio.timeout(10):
            async for event in events:
                if isinstance(event.data, SessionState) and event.data.session_id == session_id:
                    told.append(event.data.session.state)
                    break
    listed = await api.sessions.list(me, state=("ASSIGNED", "LIVE"), side="operator")
    told.append([(one.id == session_id, one.state, one.operator_workspace_id == me) for one in listed])
    told.append(await refused(measured(session_id, utc_now())))  # nothing to publish to yet
    started = await api.sessions.start(session_id)
    now = utc_now()
    await measured(session_id, now)
    told.append(await refused(measured(session_id, now)))
    told.append(await refused(measured(session_id, now + timedelta(minutes=2))))
    told.append((started.session.state, started.whip_url.startswith("http")))
    told.append((await api.sessions.start(session_id)).whip_url == started.whip_url)
    told.append((await refused(api.sessions.start(str(uuid4()))))[:2])
    await market.cancel(session_id)
    told.append(await refused(api.sessions.start(session_id)))
    told.append(await refused(measured(session_id, utc_now())))
    told.append(await api.sessions.list(me, state=("ASSIGNED", "LIVE"), side="operator"))
    return told


async def test_an_agent_is_told_the_same(wire: Wire, consumer: Tenant, place: Place) -> None:
    async with fake(place) as market:
        by_the_fake = await story(market)
    async with real(wire, consumer, place) as market:
        by_the_server = await story(market)
    assert by_the_fake == by_the_server


@pytest.mark.parametrize("resource", ["sessions", "workspaces"])
async def test_it_has_what_the_agent_calls_and_takes_what_the_client_takes(resource: str) -> None:
    protocol = {"sessions": SessionsApi, "workspaces": WorkspacesApi}[resource]
    client = getattr(Luxxon("http://127.0.0.1:1"), resource)
    market: MarketplaceApi = FakeMarketplace()
    for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        parameters = list(inspect.signature(wanted).parameters.values())[1:]
        positional = [one.name for one in parameters if one.kind is one.POSITIONAL_ONLY]
        named = {one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY}
        for other in (client, getattr(market, resource)):
            inspect.signature(getattr(other, name)).bind(*positional, **named)
