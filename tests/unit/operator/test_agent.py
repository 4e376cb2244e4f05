"""An operator's day: online, heartbeats, an assignment, publishing, the end of it, the next one, offline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_market import BRUSSELS, ME, OTHER, Marketplace, Run, Session, Started, Until

from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.operator.agent import AgentState, OperatorAgent
from luxxon_core.operator.marketplace import MarketplaceApi, SessionLike
from luxxon_core.operator.rules import Rules
from luxxon_core.source import FixType, GeoPose
from luxxon_core.testing import FakeSource


async def test_it_goes_online_with_its_circle_and_offline_at_the_end(
    market: Marketplace, camera: FakeSource, until: Until
) -> None:
    agent = OperatorAgent(market, camera, ME, BRUSSELS, coverage_radius_meters=800, device_kind="PTZ")
    task = asyncio.create_task(agent.run())
    await until(lambda: agent.status.state is AgentState.WAITING)
    circle = {"coverage_lat": 50.846, "coverage_lng": 4.352, "coverage_radius_meters": 800}
    assert market.availability == [("ONLINE", circle | {"device_kind": "PTZ"})]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert market.availability[-1] == ("OFFLINE", {})
    assert agent.status.state is AgentState.STOPPED


async def test_an_assignment_is_published_until_it_is_over_and_then_the_next(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    first, second = await edge.create(), await edge.create()
    agent = await run()
    market.assign(Session("another", operator_workspace_id=OTHER))
    market.assign(Session("one"), first)
    await until(lambda: agent.status.publish.frames > 5)
    assert agent.status.session_id == "one"
    market.move("one", "LIVE")
    await until(lambda: agent.status.session_state == "LIVE")
    assert edge.publishers == 1

    market.assign(Session("two"), second)
    market.move("one", "ENDED")
    await until(lambda: agent.status.session_id == "two" and edge.publishers == 1)
    market.move("two", "CANCELLED")
    await until(lambda: agent.status.state is AgentState.WAITING and edge.publishers == 0)
    assert agent.status.sessions_served == 2
    assert set(market.started) == {"one", "two"}


async def test_a_live_session_is_taken_up_again_after_a_restart(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    market.assign(Session("one", state="LIVE"), await edge.create())
    agent = await run()
    await until(lambda: agent.status.publish.frames > 3)


async def test_heartbeats_rise_and_name_the_live_session(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    await run()
    await until(lambda: len(market.beats) >= 3)
    sequences = [beat["sequence"] for beat in market.beats]
    assert sequences == sorted(set(sequences))
    assert abs(sequences[0] / 1000 - datetime.now(UTC).timestamp()) < 60
    assert {beat["session_id"] for beat in market.beats} == {None}
    assert (market.beats[0]["lat"], market.beats[0]["accuracy_meters"]) == (50.846, 5.0)
    market.assign(Session("one", state="LIVE"), await edge.create())
    await until(lambda: market.beats[-1]["session_id"] == "one")


async def test_a_session_cancelled_before_the_start_is_let_go(
    market: Marketplace, run: Run, until: Until
) -> None:
    class Raced(Marketplace):
        async def start(self, session_id: str, /, **said: Any) -> Started:
            self.move(session_id, "CANCELLED")
            return await super().start(session_id)

    market.__class__ = Raced
    agent = await run()
    market.assign(Session("one"))
    await until(lambda: market.started == ["one"])
    await until(
        lambda: agent.status.state is AgentState.WAITING and "session:start:CANCELLED" in str(agent.status)
    )


async def test_an_assignment_can_be_turned_down(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    asked: list[str] = []

    async def approve(session: SessionLike) -> bool:
        asked.append(session.id)
        return session.id == "two"

    agent = await run(approve=approve)
    market.assign(Session("one"), await edge.create())
    await until(lambda: asked == ["one"])
    market.assign(Session("two"), await edge.create())
    await until(lambda: agent.status.publish.frames > 3)
    assert market.started == ["two"]
    assert asked == ["one", "two"]


async def test_an_approval_that_breaks_is_asked_for_again(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    asked: list[str] = []

    async def approve(session: SessionLike) -> bool:
        asked.append(session.id)
        if len(asked) == 1:
            raise OSError("no terminal")
        return True

    agent = await run(approve=approve)
    market.assign(Session("one"), await edge.create())
    await until(lambda: "OSError" in (agent.status.last_error or ""))
    await until(lambda: agent.status.publish.frames > 3)
    assert asked == ["one", "one"]


async def test_it_asks_once_for_what_it_is_told_and_again_after_each_lost_connection(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    agent = await run()
    await until(lambda: market.listeners)
    market.assign(Session("one"), await edge.create())
    await until(lambda: agent.status.publish.frames > 3)
    market.move("one", "LIVE")
    await until(lambda: agent.status.session_state == "LIVE")
    assert market.listed == 1
    market.stored["one"] = replace(market.stored["one"], state="ENDED")  # nobody tells
    market.assign(Session("another", operator_workspace_id=OTHER))
    market.cut()
    await until(lambda: agent.status.state is AgentState.WAITING and agent.status.sessions_served == 1)
    assert market.listed == 2


async def test_an_assignment_is_taken_up_at_once(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    await run()
    await until(lambda: market.listeners)
    live_input = await edge.create()
    began = asyncio.get_running_loop().time()
    market.assign(Session("one"), live_input)
    while not market.started:
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() - began < 0.1


async def test_a_camera_that_knows_its_place_moves_the_heartbeat(
    market: Marketplace, camera: FakeSource, run: Run, until: Until
) -> None:
    await run()
    now = datetime.now(UTC)
    camera.pose.put_nowait(GeoPose(0.0, 0.0, None, None, 9999.0, FixType.NO_FIX, now))
    camera.pose.put_nowait(GeoPose(48.858, 2.294, None, None, 3.5, FixType.FIX_3D, now))
    await until(lambda: market.beats and market.beats[-1]["lat"] == 48.858)
    assert market.beats[-1]["accuracy_meters"] == 3.5
    assert not any(beat["lat"] == 0.0 for beat in market.beats)


async def test_a_live_session_is_taken_up_before_the_camera_knows_its_place(
    market: Marketplace, camera: FakeSource, edge: Any, until: Until
) -> None:
    """After a restart people are watching; to be on offer, it has to say where it is."""
    agent = OperatorAgent(market, camera, ME, None, heartbeat_seconds=0.05)
    task = asyncio.create_task(agent.run())
    market.assign(Session("one", state="LIVE"), await edge.create())
    await until(lambda: agent.status.publish.frames > 3)
    assert (agent.status.state, agent.online.is_set()) == (AgentState.PUBLISHING, False)
    assert market.availability == market.beats == []

    camera.pose.put_nowait(GeoPose(48.858, 2.294, None, None, 3.5, FixType.FIX_3D, datetime.now(UTC)))
    await until(lambda: market.beats and market.beats[-1]["session_id"] == "one")
    assert market.availability[0][0] == "ONLINE"
    assert agent.status.state is AgentState.PUBLISHING
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [one for one, _ in market.availability] == ["ONLINE", "OFFLINE"]
    assert edge.publishers == 0


async def test_a_new_session_waits_for_the_place(
    market: Marketplace, camera: FakeSource, edge: Any, until: Until
) -> None:
    agent = OperatorAgent(market, camera, ME, None, rules=Rules(max_distance_meters=500))
    task = asyncio.create_task(agent.run())
    market.assign(Session("one", state="LIVE"), await edge.create())
    market.assign(Session("two"), await edge.create())
    await until(lambda: agent.status.session_id == "one")
    market.move("one", "ENDED")
    await until(lambda: agent.status.state is AgentState.STARTING)
    await asyncio.sleep(0.2)
    assert market.started == ["one"]
    camera.pose.put_nowait(GeoPose(50.846, 4.352, None, None, 3.5, FixType.FIX_3D, datetime.now(UTC)))
    await until(lambda: agent.status.session_id == "two")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refusal_to_go_online_ends_it_also_in_the_middle_of_a_session(
    market: Marketplace, camera: FakeSource, edge: Any, until: Until
) -> None:
    class Closed(Marketplace):
        async def update(self, workspace_id: str, /, *, availability_state: str, **coverage: Any) -> None:
            raise InvalidInput("workspace:coverage")

    market.__class__ = Closed
    agent = OperatorAgent(market, camera, ME, None)
    task = asyncio.create_task(agent.run())
    market.assign(Session("one", state="LIVE"), await edge.create())
    await until(lambda: agent.status.publish.frames > 3)
    camera.pose.put_nowait(GeoPose(50.846, 4.352, None, None, 3.5, FixType.FIX_3D, datetime.now(UTC)))
    with pytest.raises(InvalidInput, match="coverage"):
        await asyncio.wait_for(task, 5)
    assert edge.publishers == 0
    assert market.availability == [("OFFLINE", {})]


def test_the_sdk_is_an_api_for_it() -> None:
    api: MarketplaceApi = Luxxon("http://127.0.0.1:1")
    assert callable(api.workspaces.heartbeat)
