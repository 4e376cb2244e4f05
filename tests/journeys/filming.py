"""Sessions with a picture, the people around them, and those who are told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from production import Production, Serve, until

from luxxon_core.client import Luxxon
from luxxon_core.client.events import StreamEvent
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party
from luxxon_core.events.schemas import SessionState, SettlementState, WindowClosed, WindowOpened
from luxxon_core.kernel.errors import FrameNotAvailable
from luxxon_core.kernel.geo import Point
from luxxon_core.sessions.schemas import SessionStarted
from luxxon_core.settlement.schemas import Receipt, Window

CONSUMER, SUPPLIER = ("CONSUMER", (*CONSUMER_SCOPES, "pricing:read")), ("SUPPLIER", SUPPLIER_SCOPES)
POOL = 50_000_000
"""µUSDC that every consumer has."""
OVER = ["ENDED", "PENDING", "SUBMITTED", "CONFIRMED"]
"""What is told of a session from its end on."""


@asynccontextmanager
async def cast(
    market: Production, servers: Sequence[Serve], consumers: int, suppliers: int
) -> AsyncIterator[tuple[list[Party], list[Party]]]:
    """Consumers, each with a pool, and suppliers, signed up at the servers in turn."""
    wanted = [("consumer", *CONSUMER)] * consumers + [("supplier", *SUPPLIER)] * suppliers
    step = len(servers)
    async with AsyncExitStack() as stack:
        signing = [
            stack.enter_async_context(market.parties(server.api_url, *wanted[number::step]))
            for number, server in enumerate(servers)
        ]
        groups = await asyncio.gather(*signing)
        everybody = [groups[number % step][number // step] for number in range(len(wanted))]
        first, second = everybody[:consumers], everybody[consumers:]
        await asyncio.gather(*(market.fund(servers[0].api_url, one, POOL) for one in first))
        yield first, second


def at(server: Serve, who: Party) -> Luxxon:
    """Somebody's client of a server."""
    return Luxxon(server.api_url, api_key=who.api_key)


async def online(supplier: Party, place: Point) -> None:
    await supplier.api.workspaces.set_availability(
        supplier.workspace_id, "ONLINE", lat=place.lat, lng=place.lng, radius_meters=300
    )


def moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


@dataclass
class Live:
    """A session with its people."""

    consumer: Party
    supplier: Party
    place: Point
    session_id: str
    begun: SessionStarted


async def assigned(consumer: Luxxon, supplier: Party, place: Point, **fields: int) -> str:
    """A session that the supplier has been given."""
    await online(supplier, place)
    wanted = {"max_duration_seconds": 600, **fields}
    session = await consumer.sessions.create(lat=place.lat, lng=place.lng, **wanted)
    assert (await consumer.sessions.dispatch(session.id)).operator_workspace_id == supplier.workspace_id
    return session.id


async def started(
    consumer: Party, supplier: Party, place: Point, server: Serve, clients: AsyncExitStack
) -> Live:
    """Assigned, with its stream on the edge of ``server``."""
    api = await clients.enter_async_context(at(server, consumer))
    session_id = await assigned(api, supplier, place)
    begun = await (await clients.enter_async_context(at(server, supplier))).sessions.start(session_id)
    assert begun.whip_url.startswith(server.url)
    return Live(consumer, supplier, place, session_id, begun)


async def picture(api: Luxxon, session_id: str) -> bytes | None:
    try:
        return await api.sessions.frame(session_id)
    except FrameNotAvailable:
        return None


async def windows(api: Luxxon, session_id: str, *, open_: bool) -> list[Window] | None:
    """Once there is one, and the last one is open, or is closed."""
    found = (await api.sessions.receipt(session_id)).windows
    return found if found and (found[-1].closed_at is None) == open_ else None


async def seconds_charged(api: Luxxon, session_id: str, more_than: int = 0) -> int | None:
    clean = (await api.sessions.receipt(session_id)).clean_seconds
    return clean if clean > more_than else None


async def paid(api: Luxxon, session_id: str) -> Receipt | None:
    receipt = await api.sessions.receipt(session_id)
    return receipt if receipt.settlement.state == "CONFIRMED" else None


async def settled_once(market: Production, api: Luxxon, session_id: str) -> Receipt:
    """The bill once it is paid; it is what the windows say, and the contract knows of one payment."""
    bill = await until(partial(paid, api, session_id), 30, "a payment")
    gaps = [moment(lost.closed_at) - moment(lost.opened_at) for lost in bill.windows]
    assert bill.lost_milliseconds == sum(gap // timedelta(milliseconds=1) for gap in gaps)
    assert bill.clean_seconds == (bill.elapsed_milliseconds - bill.lost_milliseconds) // 1000
    assert int(bill.charged_micro_usdc) == bill.clean_seconds * int(bill.rate_per_second_micro_usdc)
    assert await market.payments(session_id) == 1
    return bill


async def nothing_stuck(market: Production) -> None:
    busy = await market.rows(
        """
        select w.slug from workspace w
        where w.availability = 'BUSY' and not exists (
            select from session s where s.operator_workspace_id = w.id and s.state in ('ASSIGNED', 'LIVE')
        )
        """
    )
    assert not busy
    stuck = await market.rows(
        "select id, state from session where state in ('REQUESTED', 'ASSIGNED', 'LIVE')"
    )
    assert not stuck
    unpaid = await market.rows(
        """
        select s.id from session s left join settlement p on p.session_id = s.id
        where s.started_at is not null and p.state is distinct from 'CONFIRMED'
        """
    )
    assert not unpaid


@dataclass
class Follower:
    """Everything that a workspace is told at one server."""

    events: list[StreamEvent]
    ready: asyncio.Event
    task: asyncio.Task[None]

    @classmethod
    def of(cls, api: Luxxon) -> Follower:
        events: list[StreamEvent] = []
        ready = asyncio.Event()

        async def follow() -> None:
            async with api.events() as stream:
                async for event in stream:
                    events.append(event)
                    if event.name == "ready":
                        ready.set()

        return cls(events, ready, asyncio.create_task(follow()))

    def states(self) -> list[tuple[str, str]]:
        """The states of sessions in the order in which they were told, repetitions left out."""
        told: list[tuple[str, str]] = []
        for event in self.events:
            if isinstance(event.data, SessionState):
                one = (event.data.session_id, event.data.session.state)
                if one not in told[-1:]:
                    told.append(one)
        return told

    def of_session(self, session_id: str) -> list[str]:
        named = {WindowOpened: "opened", WindowClosed: "closed"}
        told: list[str] = []
        for event in self.events:
            data = event.data
            if getattr(data, "session_id", None) != session_id:
                continue
            if isinstance(data, SessionState):
                one = data.session.state
            elif isinstance(data, SettlementState):
                one = data.state
            elif type(data) in named and getattr(data, "reason", "") == "NETWORK_ERROR":
                one = named[type(data)]
            else:
                continue
            if one not in told[-1:]:
                told.append(one)
        return told

    async def told(self, history: list[tuple[str, str]]) -> bool | None:
        """Whether all of it has been told; it must be in order, none lost and none twice."""
        states = self.states()
        assert states == history[: len(states)]
        return True if len(states) == len(history) else None

    async def told_to_the_end(self, session_id: str) -> list[str] | None:
        told = self.of_session(session_id)
        return told if told[-1:] == OVER[-1:] else None

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
