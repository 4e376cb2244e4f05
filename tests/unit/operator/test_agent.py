"""An operator's day: online, heartbeats, an assignment, publishing, the end of it, the next one, offline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luxxon_core.client import ApiError, ConnectionFailed, Luxxon
from luxxon_core.events.schemas import Ready, SessionMeter, SessionState
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import (
    Conflict,
    InvalidInput,
    InvalidState,
    LuxxonError,
    RevokedApiKey,
    Unavailable,
    WorkspaceNotFound,
)
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.media.domain import LiveInput
from luxxon_core.operator import serving
from luxxon_core.operator.agent import AgentState, Location, OperatorAgent
from luxxon_core.operator.feed import SourceLost
from luxxon_core.operator.marketplace import MarketplaceApi, SessionLike
from luxxon_core.source import FixType, GeoPose, Health, HealthState, SourceConfigError
from luxxon_core.testing import FakeSource

Until = Callable[..., Awaitable[None]]
ME, OTHER = "workspace-me", "workspace-other"
BRUSSELS = Location(50.846, 4.352, 5.0)


@dataclass(frozen=True)
class Session:
    id: str
    state: str = "ASSIGNED"
    operator_workspace_id: str | None = ME
    requested_lat: float | None = 50.846
    requested_lng: float | None = 4.352
    max_duration_seconds: int = 600
    rate_per_second_micro_usdc: str = "1000"


@dataclass(frozen=True)
class Started:
    whip_url: str


@dataclass(frozen=True)
class Told:
    data: object


@dataclass
class Marketplace:
    """The API as the agent sees it: the server's rules for heartbeats, and sessions that the test moves."""

    stored: dict[str, Session] = field(default_factory=dict)
    inputs: dict[str, LiveInput] = field(default_factory=dict)
    availability: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    last_sequence: int = 0
    down: bool = False
    refusal: LuxxonError | None = None
    started: list[str] = field(default_factory=list)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: int = 0
    listeners: list[asyncio.Queue[Told | None]] = field(default_factory=list)

    @property
    def sessions(self) -> Marketplace:
        return self

    @property
    def workspaces(self) -> Marketplace:
        return self

    def assign(self, session: Session, live_input: LiveInput | None = None) -> None:
        self.stored = {session.id: session} | self.stored  # newest first, as the server lists them
        if live_input is not None:
            self.inputs[session.id] = live_input
        self._tell(session)

    def move(self, session_id: str, state: str) -> None:
        self.stored[session_id] = replace(self.stored[session_id], state=state)
        self._tell(self.stored[session_id])

    def _tell(self, session: Session) -> None:
        at = Timestamp.of(utc_now())
        state = SessionState(session.id, at, session)  # type: ignore[arg-type]
        for listener in self.listeners:
            listener.put_nowait(Told(SessionMeter(session.id, at, 1, "1000", 1000, 0)))
            listener.put_nowait(Told(state))

    def cut(self) -> None:
        """Break every stream; the SDK comes back by itself."""
        for listener in self.listeners:
            listener.put_nowait(None)

    async def events(self, *, reconnect: bool) -> AsyncGenerator[Told, None]:
        while True:
            self._answering()
            queue: asyncio.Queue[Told | None] = asyncio.Queue()
            self.listeners.append(queue)
            try:
                yield Told(Ready(Timestamp.of(utc_now())))
                while (told := await queue.get()) is not None:
                    self._answering()
                    yield told
            finally:
                self.listeners.remove(queue)

    def _answering(self) -> None:
        if self.down:
            raise ConnectionFailed("ConnectError")
        if self.refusal is not None:
            raise self.refusal

    async def list(self, workspace_id: str, /, *, state: Iterable[str], side: str) -> list[Session]:
        self._answering()
        self.listed += 1
        return [*self.stored.values()]

    async def start(self, session_id: str, /, **said: Any) -> Started:
        self._answering()
        self.started.append(session_id)
        self.said[session_id] = said
        if self.stored[session_id].state not in ("ASSIGNED", "LIVE"):
            raise InvalidState("session:start:CANCELLED")
        return Started(self.inputs[session_id].whip_url)

    async def update(self, workspace_id: str, /, *, availability_state: str, **coverage: Any) -> None:
        self._answering()
        self.availability.append((availability_state, coverage))

    async def set_availability(self, workspace_id: str, availability_state: str, /) -> None:
        self._answering()
        self.availability.append((availability_state, {}))

    async def heartbeat(self, workspace_id: str, /, **sample: Any) -> None:
        self._answering()
        if sample["sequence"] <= self.last_sequence:
            raise Conflict("workspace:sequence")
        self.last_sequence = sample["sequence"]
        self.beats.append(sample)


@pytest.fixture
def market() -> Marketplace:
    return Marketplace()


@pytest.fixture
async def camera() -> AsyncIterator[FakeSource]:
    async with FakeSource() as source:
        yield source


Run = Callable[..., Awaitable[OperatorAgent]]


@pytest.fixture
async def run(market: Marketplace, camera: FakeSource) -> AsyncIterator[Run]:
    tasks: list[asyncio.Task[None]] = []

    async def start(**options: Any) -> OperatorAgent:
        agent = OperatorAgent(market, camera, ME, BRUSSELS, heartbeat_seconds=0.05, **options)
        tasks.append(asyncio.create_task(agent.run()))
        return agent

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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


async def test_a_camera_that_knows_its_place_moves_the_heartbeat(
    market: Marketplace, camera: FakeSource, run: Run, until: Until
) -> None:
    await run()
    now = datetime.now(UTC)
    camera.pose.put_nowait(GeoPose(0.0, 0.0, now, 9999.0, fix_type=FixType.NO_FIX))
    camera.pose.put_nowait(GeoPose(48.858, 2.294, now, 3.5))
    await until(lambda: market.beats and market.beats[-1]["lat"] == 48.858)
    assert market.beats[-1]["accuracy_meters"] == 3.5
    assert not any(beat["lat"] == 0.0 for beat in market.beats)


def test_the_sdk_is_an_api_for_it() -> None:
    api: MarketplaceApi = Luxxon("http://127.0.0.1:1")
    assert callable(api.workspaces.heartbeat)


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
        camera.pose.put_nowait(GeoPose(48.858, 2.294, datetime.now(UTC), 3.5))
        await until(lambda: market.beats and market.beats[-1]["lat"] == 48.858)
        assert market.availability[-1][0] == "ONLINE"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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
