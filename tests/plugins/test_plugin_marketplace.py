"""The fake marketplace is one that an agent can work with, and a test can see what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from luxxon_core.client import ConnectionFailed
from luxxon_core.events.schemas import SessionMeter
from luxxon_core.kernel.errors import RevokedApiKey
from luxxon_core.operator.agent import AgentState, Location, OperatorAgent
from luxxon_core.testing import FakeMarketplace, FakeSource
from tests.running_edge import edge, until

pytestmark = pytest.mark.alone

__all__ = ["edge", "until"]

Until = Callable[..., Awaitable[None]]
BRUSSELS = Location(50.846, 4.352, 5.0)


@pytest.fixture
def market() -> FakeMarketplace:
    return FakeMarketplace()


@asynccontextmanager
async def working(market: FakeMarketplace) -> AsyncIterator[tuple[OperatorAgent, asyncio.Task[None]]]:
    async with FakeSource() as camera:
        agent = OperatorAgent(market, camera, market.workspace_id, BRUSSELS, heartbeat_seconds=0.05)
        task = asyncio.create_task(agent.run())
        try:
            yield agent, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_an_agents_day(market: FakeMarketplace, edge: Any, until: Until) -> None:
    live_input = await edge.create()
    async with working(market) as (agent, _):
        await until(lambda: agent.status.state is AgentState.WAITING)
        assert market.availability_state == "ONLINE"
        session = market.assign(live_input.whip_url, live_input.whep_url)
        await until(lambda: edge.publishers)
        assert [one["session_id"] for one in market.called("sessions.start")] == [session.id]
        assert market.move(session.id, "LIVE").started_at is not None
        market.meter(session.id, 1)
        await until(
            lambda: any(one["session_id"] == session.id for one in market.called("workspaces.heartbeat"))
        )
        market.move(session.id, "ENDED")
        await until(lambda: agent.status.sessions_served == 1)
    sequences = [one["sequence"] for one in market.called("workspaces.heartbeat")]
    assert sequences == sorted(set(sequences))
    assert market.availability_state == "OFFLINE"
    assert market.listeners == 0


async def test_a_server_that_is_away_is_waited_for(market: FakeMarketplace, until: Until) -> None:
    market.failure = ConnectionFailed("ConnectError")
    async with working(market) as (agent, task):
        await until(lambda: len(market.calls) >= 1)
        assert market.availability_state == "OFFLINE"
        market.failure = None
        await until(lambda: agent.status.state is AgentState.WAITING)
        await until(lambda: market.listeners == 1)
        market.cut()
        await until(lambda: len(market.called("events")) >= 2 and market.listeners == 1)
        assert not task.done()


async def test_a_key_that_is_good_no_more_ends_it(market: FakeMarketplace) -> None:
    market.failure = RevokedApiKey()
    async with working(market) as (_, task):
        with pytest.raises(RevokedApiKey):
            await asyncio.wait_for(task, 10)


async def test_meter_and_sessions_are_of_the_wire(market: FakeMarketplace) -> None:
    session = market.assign(max_duration_seconds=7)
    assert (await market.sessions.list(market.workspace_id, state=["ASSIGNED"], side="operator")) == [session]
    assert session.max_duration_seconds == 7
    events = market.events()
    assert (await anext(events)).name == "ready"
    market.meter(session.id, 3)
    tick = (await anext(events)).data
    await events.aclose()
    assert isinstance(tick, SessionMeter)
    assert (tick.charged_micro_usdc, tick.clean_seconds) == ("3000", 3)
