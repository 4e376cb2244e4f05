"""An operator's bad day: the API away or refusing, the edge gone, a camera or a clock that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from agent_market import BRUSSELS, ME, Marketplace, Run, Session, Until
from structlog.testing import capture_logs

from luxxon_core.client import ApiError
from luxxon_core.kernel.errors import (
    Conflict,
    InvalidInput,
    LuxxonError,
    RevokedApiKey,
    Unavailable,
    WorkspaceNotFound,
)
from luxxon_core.operator import serving
from luxxon_core.operator.agent import AgentState, OperatorAgent
from luxxon_core.operator.feed import SourceLost
from luxxon_core.source import FixType, GeoPose, Health, HealthState, SourceConfigError
from luxxon_core.testing import FakeSource


async def test_a_clock_that_was_set_back_does_not_stop_heartbeats(
    market: Marketplace, run: Run, until: Until
) -> None:
    market.last_sequence = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    await run()
    await until(lambda: market.beats)


async def test_an_api_that_is_away_is_waited_for(market: Marketplace, run: Run, until: Until) -> None:
    market.down = True
    agent = await run()
    await until(lambda: agent.status.last_error)
    assert agent.status.state is AgentState.STARTING
    market.down = False
    await until(lambda: market.beats and agent.status.state is AgentState.WAITING)


async def test_publishing_goes_on_while_the_api_is_away(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    market.assign(Session("one"), await edge.create())
    agent = await run()
    await until(lambda: agent.status.publish.frames > 3)
    market.down = True
    frames = agent.status.publish.frames
    await until(lambda: agent.status.publish.frames > frames + 20)
    assert agent.status.session_id == "one"


async def test_a_refused_credential_ends_it(market: Marketplace, camera: FakeSource) -> None:
    market.refusal = RevokedApiKey()
    with pytest.raises(RevokedApiKey):
        await asyncio.wait_for(OperatorAgent(market, camera, ME, BRUSSELS).run(), 5)


async def test_a_credential_revoked_later_ends_it(
    market: Marketplace, camera: FakeSource, until: Until
) -> None:
    agent = OperatorAgent(market, camera, ME, BRUSSELS, heartbeat_seconds=0.05)
    task = asyncio.create_task(agent.run())
    await until(lambda: agent.status.state is AgentState.WAITING)
    market.refusal = RevokedApiKey()
    with pytest.raises(RevokedApiKey):
        await asyncio.wait_for(task, 5)


@pytest.mark.parametrize(
    "refusal", [InvalidInput(), WorkspaceNotFound(), ApiError(422, "UNPROCESSABLE", "no", None)]
)
async def test_a_refusal_for_good_ends_it(
    market: Marketplace, camera: FakeSource, refusal: LuxxonError
) -> None:
    market.refusal = refusal
    with pytest.raises(type(refusal)):
        await asyncio.wait_for(OperatorAgent(market, camera, ME, BRUSSELS).run(), 5)


@pytest.mark.parametrize(
    "refusal", [Conflict(), ApiError(429, "RATE_LIMITED", "slow down", None), Unavailable()]
)
async def test_a_refusal_that_passes_is_waited_for(
    market: Marketplace, run: Run, until: Until, refusal: LuxxonError
) -> None:
    market.refusal = refusal
    agent = await run()
    await until(lambda: agent.status.last_error)
    market.refusal = None
    await until(lambda: agent.status.state is AgentState.WAITING)


async def test_a_camera_that_cannot_work_does_not_end_the_agent(
    market: Marketplace, camera: FakeSource, edge: Any, run: Run, until: Until
) -> None:
    camera.frame_error = SourceConfigError("fake:lens", "the lens cap is on")
    market.assign(Session("one"), await edge.create())
    agent = await run()
    await until(lambda: "the lens cap is on" in (agent.status.last_error or ""))
    camera.frame_error = None
    await until(lambda: agent.status.publish.frames > 3)


async def test_a_camera_that_fails_while_nobody_watches_is_taken_off_the_market(
    market: Marketplace, camera: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else people would ask for it, and wait in vain."""
    agent = OperatorAgent(market, camera, ME, BRUSSELS, source_patience=0.2)
    running = asyncio.create_task(agent.run())
    await asyncio.wait_for(agent.online.wait(), 5)
    state = HealthState.OK
    monkeypatch.setattr(camera, "health", lambda: Health(state, last_error="no heartbeat for 5 s"))
    await asyncio.sleep(0.5)
    assert not running.done()
    state = HealthState.FAILED
    with pytest.raises(SourceLost, match="no heartbeat"):
        await asyncio.wait_for(running, 5)
    assert [one for one, _ in market.availability] == ["ONLINE", "OFFLINE"]


async def test_a_camera_that_cannot_say_how_it_is_counts_as_failing(
    market: Marketplace, camera: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> Health:
        raise RuntimeError("rtsp://admin:hunter2@192.0.2.1/")

    agent = OperatorAgent(market, camera, ME, BRUSSELS, source_patience=0.2)
    running = asyncio.create_task(agent.run())
    await asyncio.wait_for(agent.online.wait(), 5)
    monkeypatch.setattr(camera, "health", raises)
    with pytest.raises(SourceLost, match=r"its plugin failed \(RuntimeError\)"):
        await asyncio.wait_for(running, 5)
    assert [one for one, _ in market.availability] == ["ONLINE", "OFFLINE"]


async def test_a_position_that_breaks_does_not_take_the_operator_offline(
    market: Marketplace, until: Until
) -> None:
    class Camera(FakeSource):
        async def poses(self) -> AsyncGenerator[GeoPose, None]:
            if not self.pose.qsize():
                raise ConnectionResetError("http://admin:hunter2@192.0.2.1/gps")
            yield self.pose.get_nowait()

    async with Camera() as camera:
        agent = OperatorAgent(market, camera, ME, BRUSSELS, heartbeat_seconds=0.05)
        task = asyncio.create_task(agent.run())
        await until(lambda: "ConnectionResetError" in (agent.status.last_error or ""))
        assert "hunter2" not in str(agent.status)
        camera.pose.put_nowait(GeoPose(48.858, 2.294, None, None, 3.5, FixType.FIX_3D, datetime.now(UTC)))
        await until(lambda: market.beats and market.beats[-1]["lat"] == 48.858)
        assert market.availability[-1][0] == "ONLINE"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("error", "told"),
    [(KeyError("hunter2"), "the telemetry task failed (KeyError)"), (RevokedApiKey(), "API key revoked")],
    ids=["a signer's own", "the marketplace's"],
)
async def test_telemetry_that_breaks_is_told_and_the_picture_goes_on(
    market: Marketplace, edge: Any, run: Run, until: Until, error: Exception, told: str
) -> None:
    def sign(text: str) -> str:
        raise error

    with capture_logs() as logs:
        agent = await run(sign=sign)
        market.assign(Session(str(uuid4()), state="LIVE"), await edge.create())
        await until(lambda: any(one["event"] == "agent.telemetry_ended" for one in logs))
    (ended,) = [one for one in logs if one["event"] == "agent.telemetry_ended"]
    assert told in ended["reason"]
    assert "hunter2" not in str(logs)
    frames = agent.status.publish.frames
    await until(lambda: agent.status.publish.frames > frames + 3)


async def test_a_stream_the_edge_does_not_know_is_not_asked_for_again_and_again(
    market: Marketplace, edge: Any, run: Run, until: Until
) -> None:
    live_input = await edge.create()
    await edge.delete(live_input)
    agent = await run()
    market.assign(Session("one", state="LIVE"), live_input)
    loop = asyncio.get_running_loop()
    await until(lambda: market.started)
    began = loop.time()
    await until(lambda: len(market.started) == 3)
    assert loop.time() - began > 1.4  # half a second, then a whole one
    assert agent.status.sessions_served == 0
    assert "before the session" in (agent.status.last_error or "")
    market.move("one", "ENDED")
    await until(lambda: agent.status.state is AgentState.WAITING)
    assert agent.status.sessions_served == 1


@pytest.mark.parametrize("loss", ["gone", "unreachable"])
async def test_when_the_edge_dies_it_asks_where_to_publish_and_moves_there(
    market: Marketplace,
    edge: Any,
    run: Run,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    unused_tcp_port: int,
) -> None:
    monkeypatch.setattr(serving, "RENEW", (0.3, 1.0))
    first, second = await edge.create(), await edge.create()
    if loss == "unreachable":
        nobody = f"http://127.0.0.1:{unused_tcp_port}/whip/dead"
        first = replace(first, whip_url=nobody)
    agent = await run()
    await until(lambda: market.listeners)
    market.assign(Session("one", state="LIVE"), first)
    if loss == "gone":
        await until(lambda: agent.status.publish.frames > 3)
        await edge.delete(first)
    else:
        await until(lambda: len(market.started) >= 2)  # the same URL again: it goes on trying there
        assert edge.publishers == 0
    frames = agent.status.publish.frames
    market.inputs["one"] = second
    await until(lambda: edge.publishers == 1 and agent.status.publish.frames > frames + 3)
    assert agent.status.session_id == "one"
    market.move("one", "ENDED")
    await until(lambda: agent.status.state is AgentState.WAITING and edge.publishers == 0)
    assert agent.status.sessions_served == 1


async def test_where_it_publishes_nothing_is_asked_for(
    market: Marketplace, edge: Any, run: Run, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RENEW", (1.0, 1.0))
    market.assign(Session("one"), await edge.create())
    agent = await run()
    await until(lambda: agent.status.publish.frames > 30)
    await until(lambda: agent.status.publish.frames > 60)
    assert market.started == ["one"]
