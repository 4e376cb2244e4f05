"""Two servers on one database, each with an edge of its own: what one leaves behind, the other carries on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from marketplace import NOON, RATE, Marketplace, MemoryEdge

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.sessions import PgSessions
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind
from luxxon_core.sessions.domain import Session, State


@dataclass
class Pair:
    one: Marketplace
    two: Marketplace

    async def live(self) -> Session:
        """A session whose stream is on the first server's edge, LIVE at noon."""
        consumer, supplier = await self.one.consumer(), await self.one.supplier()
        await self.one.sessions.stamp_alive(NOON)
        await self.two.sessions.stamp_alive(NOON)
        return await self.one.live(consumer, supplier)

    async def windows(self, session: Session) -> list[tuple[str, str | None]]:
        return [
            (iso(window.opened_at)[17:19], iso(window.closed_at)[17:19] if window.closed_at else None)
            for window in await self.two.sessions.windows_of(session.id)
        ]


@pytest.fixture
def pair(database: Database) -> Pair:
    return Pair(Marketplace(database, MemoryEdge("one")), Marketplace(database, MemoryEdge("two")))


def operator_of(session: Session) -> UUID:
    assert session.operator_workspace_id is not None
    return session.operator_workspace_id


async def test_a_dead_server_s_stream_moves_and_its_silence_is_not_charged(pair: Pair) -> None:
    session = await pair.live()
    await pair.one.sessions.stamp_alive(NOON + timedelta(seconds=10))
    assert await pair.two.sessions.sweep_abandoned(NOON + timedelta(seconds=14)) == 0
    assert await pair.two.sessions.sweep_abandoned(NOON + timedelta(seconds=16)) == 1
    assert await pair.two.sessions.sweep_abandoned(NOON + timedelta(seconds=17)) == 0
    assert await pair.windows(session) == [("10", None)]

    moved = await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=20))
    assert moved.live_input is not None
    assert session.live_input is not None
    assert moved.live_input.edge == "two"
    assert moved.live_input.whip_url != session.live_input.whip_url
    again = await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=21))
    assert again.live_input == moved.live_input

    back = MediaEvent(MediaEventKind.FIRST_FRAME, moved.live_input.uid, NOON + timedelta(seconds=30))
    await pair.two.sessions.on_media(back, back.at)
    ended = await pair.two.sessions.end(
        session.id, session.consumer_workspace_id, NOON + timedelta(seconds=40)
    )
    assert await pair.windows(session) == [("10", "30")]
    assert (ended.clean_seconds, ended.charged_uusdc) == (20, 20 * RATE)


async def test_a_stream_that_moves_before_anybody_swept_is_not_charged_for_the_gap(pair: Pair) -> None:
    session = await pair.live()
    moved = await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=6))
    assert moved.live_input is not None
    assert moved.live_input.edge == "two"
    assert await pair.two.sessions.sweep_abandoned(NOON + timedelta(seconds=6)) == 0
    assert await pair.windows(session) == [("00", None)]


@pytest.mark.parametrize(("seconds", "charged"), [(2, 2), (4, 0)])
async def test_a_bill_leaves_out_what_a_dead_server_had_not_vouched_for(
    pair: Pair, seconds: int, charged: int
) -> None:
    session = await pair.live()
    ended = await pair.two.sessions.end(
        session.id, session.consumer_workspace_id, NOON + timedelta(seconds=seconds)
    )
    assert ended.clean_seconds == charged


async def test_an_expiry_leaves_out_what_a_dead_server_had_not_vouched_for(pair: Pair) -> None:
    session = await pair.live()
    await pair.one.sessions.stamp_alive(NOON + timedelta(seconds=597))
    assert await pair.two.sessions.sweep(NOON + timedelta(seconds=601)) == 1
    assert (await pair.two.sessions.get(session.id, operator_of(session))).clean_seconds == 597


async def test_a_server_that_is_there_keeps_its_stream_whoever_is_asked(pair: Pair) -> None:
    session = await pair.live()
    same = await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=4))
    assert same.live_input == session.live_input
    assert pair.two.edge.minted == 0


async def test_a_stream_is_torn_down_by_the_server_that_has_it(pair: Pair) -> None:
    session = await pair.live()
    await pair.two.sessions.end(session.id, session.consumer_workspace_id, NOON + timedelta(seconds=5))
    assert pair.one.edge.served
    assert await pair.two.sessions.sweep_torn_down(NOON + timedelta(seconds=5)) == 0
    assert await pair.one.sessions.sweep_torn_down(NOON + timedelta(seconds=5)) == 1
    assert not pair.one.edge.served
    assert await pair.one.sessions.sweep_torn_down(NOON + timedelta(seconds=6)) == 0


async def test_what_a_dead_server_cannot_tear_down_is_forgotten(pair: Pair) -> None:
    session = await pair.live()
    await pair.two.sessions.end(session.id, session.consumer_workspace_id, NOON + timedelta(seconds=5))
    await pair.two.sessions.sweep_torn_down(NOON + timedelta(seconds=30))
    assert await pair.two.value("select count(*) from live_input where deleted_at is null") == 0


async def test_a_server_that_was_only_slow_says_that_media_flows(pair: Pair) -> None:
    session = await pair.live()
    assert session.live_input is not None
    pair.one.edge.flowing.add(session.live_input.uid)
    assert await pair.two.sessions.sweep_abandoned(NOON + timedelta(seconds=9)) == 1
    await pair.one.sessions.stamp_alive(NOON + timedelta(seconds=12))
    await pair.one.edge.close()
    async for event in pair.one.edge.events():
        await pair.one.sessions.on_media(event, NOON + timedelta(seconds=12))
    assert len(await pair.windows(session)) == 1
    assert all(closed is not None for _, closed in await pair.windows(session))


async def test_a_server_that_comes_back_drops_the_stream_that_has_moved(pair: Pair) -> None:
    session = await pair.live()
    await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=60))
    assert pair.one.edge.served
    await pair.one.sessions.sweep_torn_down(NOON + timedelta(seconds=61))
    assert not pair.one.edge.served
    assert await pair.one.sessions.restore(NOON + timedelta(seconds=62)) == 0
    assert (await pair.two.sessions.get(session.id, operator_of(session))).state is State.LIVE


async def test_a_server_that_stops_hands_its_streams_over_at_once(pair: Pair) -> None:
    session = await pair.live()
    assert await pair.one.sessions.retire(NOON + timedelta(seconds=3)) == 1
    moved = await pair.two.sessions.start(session.id, operator_of(session), NOON + timedelta(seconds=3))
    assert moved.live_input is not None
    assert moved.live_input.edge == "two"
    assert await pair.windows(session) == [("03", None)]


async def test_a_server_that_stops_and_starts_again_keeps_its_streams(pair: Pair) -> None:
    session = await pair.live()
    await pair.one.sessions.retire(NOON + timedelta(seconds=3))
    pair.one.edge.served.clear()
    assert await pair.one.sessions.restore(NOON + timedelta(seconds=8)) == 1
    assert session.live_input is not None
    assert set(pair.one.edge.served) == {session.live_input.uid}
    assert await pair.windows(session) == [("03", None)]


# -- what happens between two statements ------------------------------------------------------------------


class SlowEdge(MemoryEdge):
    """Mints when it is let."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def create(self) -> LiveInput:
        self.asked.set()
        await self.let.wait()
        return await super().create()


class Interrupted(PgSessions):
    """Something else commits as soon as a list has been read."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._meanwhile = meanwhile

    async def abandoned(self, tx: Tx, silent: datetime) -> list[UUID]:
        found = await super().abandoned(tx, silent)
        await self._meanwhile()
        return found

    async def live_inputs(self, tx: Tx, edge: str) -> list[LiveInput]:
        found = await super().live_inputs(tx, edge)
        await self._meanwhile()
        return found


async def until_one_waits(market: Marketplace) -> None:
    """Until a transaction waits for a lock that another one holds."""
    async with asyncio.timeout(5):
        while not await market.value("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", [MediaEventKind.CONNECTED, MediaEventKind.FIRST_FRAME])
async def test_what_an_edge_says_of_a_stream_that_is_just_moving_is_ignored(
    pair: Pair, kind: MediaEventKind
) -> None:
    session = await pair.live()
    edge = SlowEdge("two")
    pair.two.sessions = replace(pair.two.sessions, edge=edge)
    later = NOON + timedelta(seconds=20)
    moving = asyncio.create_task(pair.two.sessions.start(session.id, operator_of(session), later))
    await edge.asked.wait()
    saying = asyncio.create_task(pair.one.media(kind, session, later))
    await until_one_waits(pair.one)
    edge.let.set()
    await asyncio.gather(moving, saying)
    assert await pair.windows(session) == [("00", None)]


async def test_a_server_that_is_back_before_its_silence_is_noted_loses_nothing(pair: Pair) -> None:
    session = await pair.live()
    later = NOON + timedelta(seconds=10)

    async def back() -> None:
        await pair.one.sessions.stamp_alive(later)
        await pair.one.media(MediaEventKind.CONNECTED, session, later)

    sweeping = replace(pair.two.sessions, sessions=Interrupted(back))
    assert await sweeping.sweep_abandoned(later) == 0
    assert await pair.windows(session) == []


async def test_a_stream_that_moves_while_its_former_server_starts_is_not_that_server_s(pair: Pair) -> None:
    session = await pair.live()
    later = NOON + timedelta(seconds=10)

    async def moved() -> None:
        there = await pair.two.sessions.start(session.id, operator_of(session), later)
        await pair.two.media(MediaEventKind.FIRST_FRAME, there, later)

    starting = replace(pair.one.sessions, sessions=Interrupted(moved))
    assert await starting.restore(later) == 0
    assert await pair.windows(session) == [("00", "10")]


async def test_a_server_that_hangs_inside_a_transaction_keeps_nobody_out(
    dsn: str, database: Database
) -> None:
    market = Marketplace(database)
    session = await market.requested(await market.consumer())
    hanging = await Database.connect(dsn, abandoned_s=0.3)
    try:
        with pytest.raises(DatabaseError):
            async with hanging.begin() as tx:
                await PgSessions().get(tx, session.id, lock=True)
                async with asyncio.timeout(10):
                    cancelled = await market.sessions.cancel(
                        session.id, session.consumer_workspace_id, NOON + timedelta(seconds=1)
                    )
        assert cancelled.state is State.CANCELLED
        async with hanging.read() as tx:
            assert await PgSessions().get(tx, session.id) is not None, "it goes on"
    finally:
        await hanging.close()
