"""Event streams as clients see them: two server processes on one database, each with its own socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import pytest
from aiohttp import web
from api_wire import Place, Tenant, Wire, refusal
from httpx_sse import ServerSentEvent, aconnect_sse
from marketplace import GRAND_PLACE
from newsroom import Newsroom, newsroom

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.idempotency import PgAnswers
from luxxon_core.events import routes as events
from luxxon_core.events.schemas import EVENTS
from luxxon_core.http import sse
from luxxon_core.http.app import Frame, application
from luxxon_core.http.guard import Guard
from luxxon_core.http.idempotency import Idempotency
from luxxon_core.http.limits import Clients, Limits, Quotas
from luxxon_core.http.metrics import RequestMetrics
from luxxon_core.http.observe import Observer
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.wire import convert
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.sessions import routes as sessions
from luxxon_core.settlement.domain import SettlementState
from luxxon_core.telemetry.domain import Sample

CONSOLE = "https://console.luxxon.dev"
SCOPES = ["sessions:read", "sessions:create", "sessions:operate"]


@dataclass
class Process:
    """A server: its use cases, and where it listens."""

    room: Newsroom
    runner: web.AppRunner
    url: str


@asynccontextmanager
async def process(dsn: str) -> AsyncIterator[Process]:
    async with newsroom(dsn) as room:
        market = room.market
        frame = Frame(
            guard=Guard(market.access, market.access.authorizer),
            clock=utc_now,
            limits=Limits(Quotas()),
            clients=Clients(),
            observer=Observer(RequestMetrics()),
            idempotency=Idempotency(market.database, PgAnswers(), utc_now, [b"s" * 32]),
            origins=frozenset({CONSOLE}),
            secure=False,
        )
        rows = [*events.operations(room.streams, market.sessions), *sessions.operations(market.sessions)]
        app = application(frame, rows)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Process(room, runner, f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1")
        finally:
            await runner.cleanup()


@pytest.fixture
async def one(database: Database, dsn: str) -> AsyncIterator[Process]:
    async with process(dsn) as running:
        yield running


@pytest.fixture
async def two(database: Database, dsn: str) -> AsyncIterator[Process]:
    async with process(dsn) as running:
        yield running


async def key(room: Newsroom, workspace_id: UUID, *scopes: str) -> dict[str, str]:
    """The header of a new key."""
    _, plaintext = await room.market.access.mint(
        workspace_id, "0x" + "11" * 20, "test", "TEST", scopes or SCOPES, utc_now()
    )
    return {"Authorization": f"Bearer {plaintext}"}


@dataclass
class Listener:
    """A client of a stream."""

    url: str
    headers: dict[str, str]
    events: list[ServerSentEvent] = field(default_factory=list)
    answer: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._grown = asyncio.Event()
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=20) as http,
            aconnect_sse(http, "GET", self.url, headers=self.headers) as source,
        ):
            assert source.response.status_code == 200, await source.response.aread()
            self.answer = dict(source.response.headers)
            async for event in source.aiter_sse():
                if event.data:  # comments and the first line make an empty one with this client
                    convert(json.loads(event.data), EVENTS[event.event])
                    self.events.append(event)
                    self._grown.set()

    @property
    def names(self) -> list[str]:
        return [_name(event) for event in self.events if event.event != "session.meter"]

    def names_of(self, session_id: str) -> list[str]:
        """Of one session of a workspace: the others go their own way meanwhile."""
        of_it = [event for event in self.events if event.json().get("sessionId") == session_id]
        return [_name(event) for event in of_it if event.event != "session.meter"]

    def data(self, name: str) -> list[dict[str, Any]]:
        return [event.json() for event in self.events if event.event == name]

    async def until(self, true: Callable[[Listener], object], seconds: float = 60) -> Listener:
        async with asyncio.timeout(seconds):
            while not true(self):
                assert not self.task.done(), (self.task, self.names)
                self._grown.clear()
                await self._grown.wait()
        return self

    async def ready(self) -> Listener:
        return await self.until(lambda listener: "ready" in listener.names)

    async def end(self) -> list[str]:
        await asyncio.wait_for(self.task, 60)
        return self.names

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _name(event: ServerSentEvent) -> str:
    data = event.json()
    state = data.get("state") or data.get("reason") or data.get("session", {}).get("state")
    return f"{event.event}:{state}" if state else event.event


async def settled(room: Newsroom, session_id: UUID) -> None:
    """What the relayer stores."""
    for state in (SettlementState.SUBMITTED, SettlementState.CONFIRMED):
        async with room.uow.begin() as tx:
            found = await room.store.get(tx, session_id)
            assert found is not None
            now = utc_now()
            confirmed_at = now if state is SettlementState.CONFIRMED else None
            after = replace(found, state=state, tx_hash="0xab", submitted_at=now, confirmed_at=confirmed_at)
            await room.store.save(tx, [after])


def later(seconds: float) -> datetime:
    return utc_now() + timedelta(seconds=seconds)


async def test_both_sides_follow_a_session_to_its_payment(one: Process, two: Process) -> None:
    market = one.room.market
    consumer, supplier = await market.consumer(), await market.supplier()
    asks, works = await key(one.room, consumer), await key(one.room, supplier)
    session = await market.requested(consumer, now=utc_now())
    path = f"/sessions/{session.id}/events"
    wanting = await Listener(one.url + path, asks).ready()
    everything = await Listener(two.url + "/events", works).ready()
    await market.dispatch(session.id, consumer, utc_now())
    working = await Listener(two.url + path, works).ready()
    session = await two.room.market.sessions.start(session.id, supplier, utc_now())
    assert session.live_input is not None
    await one.room.media(MediaEvent(MediaEventKind.FIRST_FRAME, session.live_input.uid, utc_now()), utc_now())
    live = [await one_.until(lambda x: "session.state:LIVE" in x.names) for one_ in (wanting, working)]
    for room in (one.room, two.room):
        await room.feed.tick(later(2))
    for listener in live:
        await listener.until(lambda x: x.data("session.meter"))
    await market.media(MediaEventKind.DISCONNECTED, session, later(20))
    await market.telemetry.heartbeat(supplier, Sample(GRAND_PLACE, 5, 1, utc_now(), 1.5), None)
    await market.sessions.end(session.id, consumer, later(30))
    await settled(two.room, session.id)

    rest = [
        "session.state:ASSIGNED",
        "session.state:LIVE",
        "window.opened:NETWORK_ERROR",
        "telemetry.sample",
        "session.state:ENDED",
        "window.closed:NETWORK_ERROR",
        "settlement.state:PENDING",
        "settlement.state:SUBMITTED",
        "settlement.state:CONFIRMED",
    ]
    assert await wanting.end() == [
        "session.state:REQUESTED",
        "ready",
        "session.state:ASSIGNED",
        *rest,
        "end",
    ]
    assert await working.end() == ["session.state:ASSIGNED", "ready", *rest, "end"]
    await everything.until(lambda x: x.names[-1] == rest[-1])
    assert everything.names == ["ready", "session.state:ASSIGNED", *rest]
    await everything.leave()

    for listener, sees in ((wanting, {"whepUrl"}), (working, {"whepUrl", "whipUrl"}), (everything, None)):
        for told in listener.data("session.state"):
            urls = {name for name in ("whepUrl", "whipUrl") if told["session"].get(name)}
            assert told["sessionId"] == str(session.id)
            if sees is not None:
                assert urls == (sees if told["session"]["state"] == "LIVE" else set())
    assert wanting.data("session.state")[2]["session"]["videoBackendRef"] == session.live_input.uid
    (meter,) = wanting.data("session.meter")
    assert 1 <= meter["cleanSeconds"] <= 3
    assert meter["chargedMicroUsdc"] == str(meter["cleanSeconds"] * session.terms.rate_uusdc)
    assert meter["elapsedMilliseconds"] // 1000 == meter["cleanSeconds"]
    (sample,) = wanting.data("telemetry.sample")
    assert (sample["lat"], sample["lng"]) == (GRAND_PLACE.lat, GRAND_PLACE.lng)
    assert (sample["accuracyMeters"], sample["speedMps"]) == (5, 1.5)
    paid = wanting.data("settlement.state")[-1]
    assert (paid["state"], paid["txHash"]) == ("CONFIRMED", "0xab")
    assert int(paid["toAmountMicroUsdc"]) + int(paid["feeAmountMicroUsdc"]) == int(paid["chargedMicroUsdc"])


async def test_a_client_that_comes_back_misses_nothing(one: Process, two: Process) -> None:
    session_id, consumer, supplier = await one.room.live()
    asks = await key(one.room, consumer)
    before = await Listener(one.url + "/events", {**asks, "Last-Event-ID": "0"}).ready()
    await before.until(lambda x: "session.state:LIVE" in x.names)  # what is told of it has its place by now
    await before.leave()
    first = await Listener(one.url + "/events", asks).ready()
    market = one.room.market
    session = await market.sessions.get(session_id, consumer)
    for number in range(3):
        await market.media(MediaEventKind.DISCONNECTED, session, later(number))
        await market.media(MediaEventKind.CONNECTED, session, later(number + 0.5))
    await first.until(lambda x: len(x.names) >= 4)
    await first.leave()
    last = first.events[-1].id
    await market.sessions.end(session_id, supplier, later(30))
    by_header = await Listener(two.url + "/events", {**asks, "Last-Event-ID": last}).ready()
    by_query = await Listener(f"{two.url}/events?lastEventId={last}", asks).ready()
    both = await Listener(f"{two.url}/events?lastEventId=1", {**asks, "Last-Event-ID": last}).ready()
    opened, closed = "window.opened:NETWORK_ERROR", "window.closed:NETWORK_ERROR"
    whole = ["ready", *[opened, closed] * 3, "session.state:ENDED", "settlement.state:PENDING"]
    for listener in (by_header, by_query, both):
        assert first.names + [name for name in listener.names if name != "ready"] == whole
        await listener.leave()


async def test_what_is_refused_is_refused_in_an_envelope(one: Process) -> None:
    session_id, consumer, _ = await one.room.live()
    asks, stranger = await key(one.room, consumer), await key(one.room, await one.room.market.consumer())
    mine, unknown = f"/sessions/{session_id}/events", f"/sessions/{UUID(int=5)}/events"
    priced = await key(one.room, consumer, "pricing:read")
    async with httpx.AsyncClient(trust_env=False) as http:

        async def refused(path: str, headers: dict[str, str]) -> tuple[int, str, str | None]:
            return refusal(await http.get(one.url + path, headers=headers))

        for path in ("/events", mine):
            assert (await refused(path, {}))[1] == "NOT_AUTHENTICATED"
            assert (await refused(path, priced))[1] == "INSUFFICIENT_SCOPE"
            for bad in ("x", "-1", "1.5", "9" * 30):
                for asked in (
                    await refused(path, {**asks, "Last-Event-ID": bad}),
                    await refused(f"{path}?lastEventId={bad}", asks),
                ):
                    assert asked == (400, "INVALID_INPUT", "events:lastEventId")
        assert await refused(mine, stranger) == (403, "NOT_AUTHORIZED", "session:viewDenied")
        assert (await refused(unknown, asks))[:2] == (404, "SESSION_NOT_FOUND")
        assert (await refused("/sessions/nonsense/events", asks))[:2] == (404, "SESSION_NOT_FOUND")
    assert one.room.feed.followers == 0


async def test_an_id_that_is_no_longer_kept_resets_the_client(one: Process) -> None:
    session_id, consumer, _ = await one.room.live()
    asks = await key(one.room, consumer)
    for path, expected in (
        ("/events", ["reset", "ready"]),
        (f"/sessions/{session_id}/events", ["reset", "session.state:LIVE", "ready"]),
    ):
        listener = await Listener(one.url + path, {**asks, "Last-Event-ID": "123456789"}).ready()
        assert listener.names == expected
        assert "id" not in listener.events[0].data
        await listener.leave()


async def test_the_console_may_listen_from_its_origin(one: Process) -> None:
    _, consumer, _ = await one.room.live()
    asks = await key(one.room, consumer)
    listener = await Listener(one.url + "/events", {**asks, "Origin": CONSOLE}).ready()
    assert listener.answer["access-control-allow-origin"] == CONSOLE
    assert listener.answer["access-control-allow-credentials"] == "true"
    assert listener.answer["content-type"] == "text/event-stream"
    await listener.leave()


async def test_a_server_that_stops_ends_its_streams_at_once(one: Process, two: Process) -> None:
    session_id, consumer, _ = await one.room.live()
    asks = await key(one.room, consumer)
    listeners = [await Listener(one.url + path, asks).ready() for path in ("/events",) * 5]
    begin = monotonic()
    await one.runner.cleanup()
    for listener in listeners:
        await listener.end()
    assert monotonic() - begin < 1
    assert one.room.feed.followers == 0
    last = listeners[0].events[-1].id
    await two.room.market.sessions.end(session_id, consumer, later(5))
    on = await Listener(two.url + "/events", {**asks, "Last-Event-ID": last}).ready()
    await on.until(lambda x: "session.state:ENDED" in x.names)
    assert next(name for name in on.names if name != "ready") == "session.state:ENDED"
    await on.leave()


async def test_a_key_that_is_revoked_hears_no_more(one: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PACE", sse.Pace(look=0.02, recheck=0.05))
    _, consumer, supplier = await one.room.live()
    revoked = await Listener(one.url + "/events", await key(one.room, consumer)).ready()
    good = await Listener(one.url + "/events", await key(one.room, supplier)).ready()
    await one.room.market.rows(
        "update api_key set revoked_at = now(), grace_period_end = now() where workspace_id = $1", consumer
    )
    one.room.market.access.known_keys._keys.clear()  # where it would be for 5 s more
    assert (await revoked.end())[0] == "ready"
    assert not good.task.done()
    await good.leave()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_running_server_tells_up_to_the_payment_on_the_chain(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    everything = await Listener(wire.server.api_url + "/events", consumer.as_cookie()).ready()
    # Its events come before ours, as do those of sessions that other tests have left, when they will.
    other = await wire.create(consumer, place)
    await wire.data("DELETE", f"/sessions/{other['id']}", auth=consumer)
    supplier, started = await wire.live(consumer, place)
    session_id = started["session"]["id"]
    path = f"{wire.server.api_url}/sessions/{session_id}/events"
    listener = await Listener(path, supplier.as_key()).ready()
    await listener.until(
        lambda x: x.data("session.meter") and x.data("session.meter")[-1]["cleanSeconds"] >= 2
    )
    await wire.data("POST", f"/sessions/{session_id}/end", auth=consumer)
    names = await listener.end()
    assert names == [
        "session.state:LIVE",
        "ready",
        "session.state:ENDED",
        "settlement.state:PENDING",
        "settlement.state:SUBMITTED",
        "settlement.state:CONFIRMED",
        "end",
    ]
    session = await wire.data("GET", f"/sessions/{session_id}", auth=consumer)
    paid = listener.data("settlement.state")[-1]
    assert paid["txHash"] == session["settlementTxHash"]
    assert paid["chargedMicroUsdc"] == session["chargedMicroUsdc"]
    await everything.until(lambda x: "settlement.state:CONFIRMED" in x.names_of(session_id))
    told = [name for name in everything.names_of(session_id) if name.startswith("session.state")]
    assert told == [
        f"session.state:{state}" for state in ("REQUESTED", "ASSIGNED", "ASSIGNED", "LIVE", "ENDED")
    ]
    assert everything.names_of(other["id"]) == ["session.state:REQUESTED", "session.state:CANCELLED"]
    await everything.leave()
