"""The log of events on PostgreSQL: what is written, in which order it is read, and who hears of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest
from marketplace import GRAND_PLACE
from newsroom import Heard, Newsroom, newsroom

from luxxon_core.adapters.postgres.database import Database, statements
from luxxon_core.adapters.postgres.telling import TellingBeacons
from luxxon_core.events.domain import Event, Kind, Reading, Ready, Reset, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Fault, MediaEvent, MediaEventKind, PictureFault
from luxxon_core.sessions.domain import Session
from luxxon_core.settlement.domain import SettlementState
from luxxon_core.telemetry.domain import Beacon, Sample, Window


@pytest.fixture
async def room(database: Database, dsn: str) -> AsyncIterator[Newsroom]:
    async with newsroom(dsn) as opened:
        yield opened


@pytest.fixture
async def other(database: Database, dsn: str) -> AsyncIterator[Newsroom]:
    """A second server process on the same database."""
    async with newsroom(dsn) as opened:
        yield opened


async def write(room: Newsroom, session_id: UUID, name: str) -> None:
    """An event that can be told apart."""
    async with room.uow.begin() as tx:
        await room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video(name), utc_now())


def names(heard: Heard | list[Event]) -> list[str]:
    """Those events, in the order they came."""
    events = heard.events if isinstance(heard, Heard) else heard
    return [event.facts.uid for event in events if isinstance(event.facts, Video)]


async def break_lines(dsn: str) -> None:
    """End the connections that listen, whatever they are doing."""
    admin = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(5):
            while not await admin.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'luxxon events'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await admin.close()


async def settle(room: Newsroom, session_id: UUID, state: SettlementState) -> None:
    """What the relayer stores when it has sent the payment, and when that is final."""
    async with room.uow.begin() as tx:
        settlement = await room.store.get(tx, session_id)
        assert settlement is not None
        confirmed = utc_now() if state is SettlementState.CONFIRMED else None
        moved = replace(
            settlement,
            state=state,
            tx_hash="0x" + "ab" * 32,
            submitted_at=utc_now(),
            confirmed_at=confirmed,
        )
        await room.store.save(tx, [moved])


# -- what is told -----------------------------------------------------------------------------------------


async def test_a_session_is_told_from_the_request_to_the_payment(room: Newsroom) -> None:
    market = room.market
    consumer, supplier = await market.consumer(), await market.supplier()
    wanting = await Heard(room.streams.of_workspace(consumer, None)).ready()
    working = await Heard(room.streams.of_workspace(supplier, None)).ready()
    now = utc_now()
    session = await market.requested(consumer, now=now)
    watched = await Heard(room.streams.of_session(session.id, None)).ready()
    await market.dispatch(session.id, consumer, now)
    session = await market.sessions.start(session.id, supplier, now)
    assert session.live_input is not None
    for kind, seconds in (
        (MediaEventKind.CONNECTED, 1),
        (MediaEventKind.FIRST_FRAME, 2),
        (MediaEventKind.DISCONNECTED, 5),
        (MediaEventKind.CONNECTED, 7),
        (MediaEventKind.DISCONNECTED, 8),
    ):
        then = now + timedelta(seconds=seconds)
        await room.media(MediaEvent(kind, session.live_input.uid, then), then)
    sample = Sample(GRAND_PLACE, 5, 1, now + timedelta(seconds=9))
    await market.telemetry.heartbeat(supplier, sample, None)
    await market.sessions.end(session.id, consumer, now + timedelta(seconds=60))
    await settle(room, session.id, SettlementState.SUBMITTED)
    await settle(room, session.id, SettlementState.SUBMITTED)  # a poll that found nothing new
    await settle(room, session.id, SettlementState.CONFIRMED)

    expected = [
        "session.state:ASSIGNED",
        "session.state:ASSIGNED",
        "video.connected",
        "session.state:LIVE",
        "window.opened:NETWORK_ERROR",
        "video.disconnected",
        "window.closed:NETWORK_ERROR",
        "video.connected",
        "window.opened:NETWORK_ERROR",
        "video.disconnected",
        "telemetry.sample",
        "session.state:ENDED",
        "window.closed:NETWORK_ERROR",
        "settlement.state:PENDING",
        "settlement.state:SUBMITTED",
        "settlement.state:CONFIRMED",
    ]
    await watched.end()
    assert watched.kinds == ["session.state:REQUESTED", "ready", *expected, "end"]
    for heard, before in ((wanting, ["session.state:REQUESTED"]), (working, [])):
        await heard.until(lambda one: one.kinds[-1] == expected[-1])
        assert heard.kinds == ["ready", *before, *expected]
        assert [event.position for event in heard.events] == sorted(
            {event.position for event in heard.events if event.position}
        )
        await heard.leave()
    ended = next(e.facts for e in working.events if isinstance(e.facts, Session) and e.facts.metered)
    assert ended.clean_seconds == 60 - 2 - 2 - 52


async def test_faults_of_the_picture_are_told_and_cost_nothing(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    market = room.market
    session = await market.sessions.get(session_id, consumer)
    assert session.live_input is not None and session.started_at is not None
    watched = await Heard(room.streams.of_session(session_id, None)).ready()

    async def tell(kind: MediaEventKind, fault: Fault | None, seconds: int) -> None:
        assert session.live_input is not None and session.started_at is not None
        then = session.started_at + timedelta(seconds=seconds)
        await room.media(MediaEvent(kind, session.live_input.uid, then, fault), then)

    await tell(MediaEventKind.FAULT_BEGAN, Fault.BLACK, 10)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.BLACK, 11)  # said again, as after a lapse
    latecomer = await Heard(room.streams.of_session(session_id, None)).ready()
    assert "quality.degraded" in latecomer.kinds[: latecomer.kinds.index("ready")], (
        "it is told how things stand"
    )
    await latecomer.leave()
    await tell(MediaEventKind.FAULT_ENDED, Fault.BLACK, 20)
    await tell(MediaEventKind.FAULT_ENDED, Fault.BLACK, 21)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.FROZEN, 22)
    await tell(MediaEventKind.DISCONNECTED, None, 30)
    await tell(MediaEventKind.CONNECTED, None, 33)
    await tell(MediaEventKind.FAULT_BEGAN, Fault.UNDECODED, 40)
    ended = await market.sessions.end(session_id, consumer, session.started_at + timedelta(seconds=50))
    assert ended.clean_seconds == 50 - 3, "only the time without media is not charged"

    await watched.until(lambda heard: "session.state:ENDED" in heard.kinds)
    await watched.until(lambda heard: heard.kinds.count("quality.restored") == 3)
    told = [
        (
            event.kind.value.removeprefix("quality."),
            event.facts.fault.value,
            (event.facts.opened_at - session.started_at).total_seconds(),
            event.facts.closed_at and (event.facts.closed_at - session.started_at).total_seconds(),
            (event.at - session.started_at).total_seconds(),
        )
        for event in watched.events
        if isinstance(event.facts, PictureFault)
    ]
    assert told == [
        ("degraded", "BLACK", 10, None, 10),
        ("restored", "BLACK", 10, 20, 20),
        ("degraded", "FROZEN", 22, None, 22),
        ("restored", "FROZEN", 22, 30, 30),
        ("degraded", "UNDECODED", 40, None, 40),
        ("restored", "UNDECODED", 40, 50, 50),
    ]
    await watched.leave()


async def test_what_is_kept_holds_no_url_and_no_raw_transaction(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    await room.market.sessions.end(session_id, consumer, utc_now() + timedelta(seconds=9))
    await settle(room, session_id, SettlementState.SUBMITTED)
    kept = " ".join(row["data"] for row in await room.market.rows("select data::text from event"))
    assert '"LIVE"' in kept
    assert "SUBMITTED" in kept
    for secret in ("http", "raw", "nonce", "signer"):
        assert secret not in kept


async def test_urls_come_with_a_session_that_is_live_when_it_is_told(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    heard = Heard(room.streams.of_workspace(consumer, 0))
    await heard.until(lambda one: "session.state:LIVE" in one.kinds)
    assert [event for event in heard.events if event.live_input is not None]
    await heard.leave()
    await room.market.sessions.end(session_id, consumer, utc_now())
    heard = Heard(room.streams.of_workspace(consumer, 0))
    await heard.until(lambda one: "session.state:ENDED" in one.kinds)
    assert "session.state:LIVE" in heard.kinds
    assert [event for event in heard.events if event.live_input is not None] == []
    await heard.leave()


async def test_a_window_that_begins_before_an_older_one_is_told_as_what_it_is(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    market, began = room.market, utc_now()
    session = await market.sessions.get(session_id, consumer)
    for kind, seconds in (
        (MediaEventKind.DISCONNECTED, 5),
        (MediaEventKind.CONNECTED, 8),
        (MediaEventKind.DISCONNECTED, 3),  # the edge learns late since when nothing came
        (MediaEventKind.CONNECTED, 9),
    ):
        await market.media(kind, session, began, happened=began + timedelta(seconds=seconds))
    heard = Heard(room.streams.of_session(session_id, 0))
    await heard.until(lambda heard: sum(isinstance(one.facts, Window) for one in heard.events) == 4)
    await heard.leave()

    def second(moment: datetime | None) -> int | None:
        return None if moment is None else (moment - began).seconds

    told = [
        (one.kind, second(one.facts.opened_at), second(one.facts.closed_at))
        for one in heard.events
        if isinstance(one.facts, Window)
    ]
    assert told == [
        (Kind.WINDOW_OPENED, 5, None),
        (Kind.WINDOW_CLOSED, 5, 8),
        (Kind.WINDOW_OPENED, 3, None),
        (Kind.WINDOW_CLOSED, 3, 9),
    ]


async def test_what_is_rolled_back_is_not_told(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    with pytest.raises(RuntimeError):
        async with room.uow.begin() as tx:
            await room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video("never"), utc_now())
            raise RuntimeError
    await write(room, session_id, "after")
    await heard.until(names)
    assert names(heard) == ["after"]
    await heard.leave()


async def test_one_sample_a_second_is_told(room: Newsroom) -> None:
    session_id, _, supplier = await room.live()
    begin = utc_now().replace(microsecond=0) + timedelta(seconds=1)
    for number in range(35):
        sample = Sample(GRAND_PLACE, 5, number, begin + timedelta(milliseconds=100 * number))
        await room.market.telemetry.heartbeat(supplier, sample, None)
    for tenths in (34, 35, 45):  # of the same operator, but signed, and for this session only
        moment = begin + timedelta(milliseconds=100 * tenths)
        beacon = Beacon(session_id, "", moment, GRAND_PLACE, 5, "gps", "0x")
        async with room.uow.begin() as tx:
            await TellingBeacons(room.journal).add(tx, beacon, True, moment)
    await write(room, session_id, "last")
    heard = Heard(room.streams.of_session(session_id, 0))
    await heard.until(names)
    samples = [event.at for event in heard.events if event.kind is Kind.TELEMETRY_SAMPLE]
    seconds = [*map(float, range(4)), 4.5]
    assert samples == [begin + timedelta(seconds=second) for second in seconds]
    await heard.leave()


async def test_a_workspace_hears_of_its_own_sessions_only(room: Newsroom) -> None:
    session_id, _, supplier = await room.live()
    stranger = await room.market.consumer()
    foreign = await Heard(room.streams.of_workspace(stranger, 0)).ready()
    served = await Heard(room.streams.of_workspace(supplier, 0)).ready()
    await write(room, session_id, "x")
    await served.until(names)
    await room.market.requested(stranger)
    await foreign.until(lambda heard: heard.events)
    assert foreign.kinds == ["ready", "session.state:REQUESTED"]
    assert next(kind for kind in served.kinds if kind != "ready") == "session.state:ASSIGNED"
    for heard in (foreign, served):
        await heard.leave()


# -- order, whoever commits when --------------------------------------------------------------------------


async def test_who_commits_late_is_told_late_and_not_passed_over(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    async with room.uow.begin() as slow:
        await room.journal.add(slow, Kind.VIDEO_CONNECTED, session_id, Video("late"), utc_now())
        await write(room, session_id, "early")
        await heard.until(names)
        assert names(heard) == ["early"]
        position = heard.position
    await heard.until(lambda one: len(names(one)) == 2)
    assert names(heard) == ["early", "late"]
    await heard.leave()
    resumed = await Heard(room.streams.of_workspace(consumer, position)).ready()
    assert names(resumed) == ["late"]
    await resumed.leave()


async def test_a_transaction_that_stays_open_keeps_nothing_back(room: Newsroom, dsn: str) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    writing, reading = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        long_write, long_read = writing.transaction(), reading.transaction(isolation="repeatable_read")
        await long_write.start()
        await long_read.start()
        await writing.execute("update workspace set name = name where id <> $1", consumer)
        await reading.fetchval("select count(*) from event")
        for number in range(200):
            await write(room, session_id, str(number))
            await heard.until(lambda one, count=number + 1: len(names(one)) == count, 1)
        await long_write.rollback()
        await long_read.rollback()
    finally:
        await writing.close()
        await reading.close()
    await heard.leave()


async def test_eight_writers_and_followers_that_come_and_go(room: Newsroom, other: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    total = 8 * 40

    async def writer(number: int) -> None:
        chance = random.Random(number)
        where = (room, other)[number % 2]
        for one in range(40):
            async with where.uow.begin() as tx:
                name = f"{number}-{one}"
                await where.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video(name), utc_now())
                await asyncio.sleep(chance.random() * 0.01)

    async def follower(where: Newsroom, seed: int) -> list[str]:
        chance, heard_so_far, position = random.Random(seed), list[str](), 0
        while len(heard_so_far) < total:
            follow = where.streams.of_session if seed % 2 else where.streams.of_workspace
            heard = Heard(follow(session_id if seed % 2 else consumer, position))
            await heard.ready()
            more = min(1 + chance.randrange(60), total - len(heard_so_far))
            await heard.until(lambda one, more=more: len(names(one)) >= more)
            await heard.leave()
            heard_so_far += names(heard)
            position = heard.position
        return heard_so_far

    followers = [asyncio.create_task(follower((room, other)[n % 2], n // 2)) for n in range(8)]
    await asyncio.gather(*map(writer, range(8)))
    told = await asyncio.gather(*followers)
    assert len(set(told[0])) == len(told[0]) == total
    assert all(one == told[0] for one in told)
    for number in range(8):
        mine = [name for name in told[0] if name.startswith(f"{number}-")]
        assert mine == [f"{number}-{one}" for one in range(40)]


@asynccontextmanager
async def unpublished(dsn: str) -> AsyncIterator[None]:
    """What is committed inside the block is published only after it."""
    publisher = await asyncpg.connect(dsn)
    try:
        async with publisher.transaction():
            await publisher.execute(statements("events")["lock_publisher"])
            yield
    finally:
        await publisher.close()


async def test_a_stream_begins_with_how_things_stand_and_tells_no_older_state_after(
    room: Newsroom, dsn: str
) -> None:
    """Also while the latest changes are committed and not yet published."""
    market = room.market
    consumer, supplier = await market.consumer(), await market.supplier()
    async with room.feed.followed(workspace_id=consumer):
        pass  # the feed has begun: it cannot while nobody may publish
    async with unpublished(dsn):
        session = await market.live(consumer, supplier, now=utc_now())
        heard = await Heard(room.streams.of_session(session.id, None)).ready()
        await market.media(MediaEventKind.DISCONNECTED, session, utc_now())
        assert await market.value("select count(*) from event where position is not null") == 0
    await heard.until(lambda one: one.kinds[-1].startswith("window"))
    assert heard.kinds == ["session.state:LIVE", "ready", "window.opened:NETWORK_ERROR"]
    await heard.leave()
    again = await Heard(room.streams.of_session(session.id, None)).ready()
    assert again.kinds == ["session.state:LIVE", "window.opened:NETWORK_ERROR", "ready"]
    await again.leave()


async def test_a_stream_that_is_resumed_does_not_end_before_it_has_told_the_end(
    room: Newsroom, dsn: str
) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_session(session_id, 0)).ready()
    await heard.until(lambda one: "session.state:LIVE" in one.kinds)
    await heard.leave()
    async with unpublished(dsn):
        await room.market.sessions.end(session_id, consumer, utc_now() + timedelta(seconds=5))
        await settle(room, session_id, SettlementState.CONFIRMED)
        resumed = await Heard(room.streams.of_session(session_id, heard.position)).ready()
    await resumed.end()
    assert resumed.kinds == [
        "ready",
        "session.state:ENDED",
        "settlement.state:PENDING",
        "settlement.state:CONFIRMED",
        "end",
    ]


# -- several processes ------------------------------------------------------------------------------------


async def test_each_process_hears_what_the_other_writes(room: Newsroom, other: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    here = await Heard(room.streams.of_workspace(consumer, None)).ready()
    there = await Heard(other.streams.of_workspace(consumer, None)).ready()
    for number in range(20):
        await write((room, other)[number % 2], session_id, str(number))
        for heard in (here, there):
            await heard.until(lambda one, count=number + 1: len(names(one)) == count, 0.9)
    assert names(here) == names(there) == [str(number) for number in range(20)]
    for heard in (here, there):
        await heard.leave()


async def test_what_a_process_wrote_before_it_died_is_told_by_the_others(
    room: Newsroom, other: Newsroom
) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(other.streams.of_workspace(consumer, None)).ready()
    async with room.market.database.begin() as tx:  # nobody rings
        await room.journal.add(tx, Kind.VIDEO_CONNECTED, session_id, Video("last words"), utc_now())
    await heard.until(names, 3)
    await heard.leave()


async def test_a_line_that_breaks_loses_nothing(room: Newsroom, other: Newsroom, dsn: str) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    for number in range(5):
        await break_lines(dsn)
        await write(other, session_id, str(number))
    await heard.until(lambda one: len(names(one)) == 5)
    assert names(heard) == ["0", "1", "2", "3", "4"]
    await heard.leave()


async def test_a_log_that_was_restored_from_an_older_copy_sends_followers_away(
    room: Newsroom, dsn: str
) -> None:
    session_id, consumer, _ = await room.live()
    heard = await Heard(room.streams.of_workspace(consumer, None)).ready()
    await write(room, session_id, "lost")
    await heard.until(names)
    position = heard.position
    await room.market.rows("delete from event")
    await room.market.rows("update event_tip set position = 0")
    await break_lines(dsn)
    await heard.end()
    again = await Heard(room.streams.of_workspace(consumer, position)).ready()
    assert [type(one) for one in again.news] == [Reset, Ready]
    await write(room, session_id, "on")
    await again.until(names)
    await again.leave()


# -- resuming ---------------------------------------------------------------------------------------------


async def test_what_is_too_old_or_unknown_is_not_resumed(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    for name in "abc":
        await write(room, session_id, name)
    heard = Heard(room.streams.of_workspace(consumer, 0))
    await heard.until(lambda one: len(names(one)) == 3)
    await heard.leave()
    told = {event.facts.uid: event.position for event in heard.events if isinstance(event.facts, Video)}
    later = utc_now() + timedelta(days=7)
    await room.market.rows("update event set at = $1 where position > $2", later, told["b"])
    assert await room.purge(utc_now()) == 0
    assert await room.purge(later + timedelta(seconds=1)) == told["b"]
    first = told["b"]

    async def kinds(position: int) -> list[str]:
        workspace = await Heard(room.streams.of_workspace(consumer, position)).ready()
        session = await Heard(room.streams.of_session(session_id, position)).ready()
        for one in (workspace, session):
            await one.leave()
        assert ("reset" in workspace.kinds) == ("reset" in session.kinds)
        return workspace.kinds

    assert first is not None
    assert await kinds(first) == ["video.connected", "ready"]
    assert await kinds(first - 1) == ["reset", "ready"]
    assert await kinds(first + 1) == ["ready"]
    assert await kinds(first + 2) == ["reset", "ready"]
    assert await room.purge(later + timedelta(days=8)) == 1
    assert await kinds(first + 1) == ["ready"]
    assert await kinds(first) == ["reset", "ready"]


async def test_a_session_that_is_over_and_paid_ends_its_stream(room: Newsroom) -> None:
    session_id, consumer, _ = await room.live()
    await room.market.sessions.end(session_id, consumer, utc_now() + timedelta(seconds=5))
    heard = await Heard(room.streams.of_session(session_id, None)).ready()
    assert not heard.ended
    await settle(room, session_id, SettlementState.CONFIRMED)
    await heard.end()
    assert heard.kinds == [
        "session.state:ENDED",
        "settlement.state:PENDING",
        "ready",
        "settlement.state:CONFIRMED",
        "end",
    ]
    for position, expected in (
        (None, ["session.state:ENDED", "settlement.state:CONFIRMED", "ready", "end"]),
        (heard.position, ["ready", "end"]),
        (heard.position - 1, ["settlement.state:CONFIRMED", "ready", "end"]),
    ):
        again = Heard(room.streams.of_session(session_id, position))
        await again.end()
        assert again.kinds == expected
    unmetered = await room.market.requested(consumer, now=utc_now())
    heard = await Heard(room.streams.of_session(unmetered.id, None)).ready()
    await room.market.sessions.cancel(unmetered.id, consumer, utc_now())
    await heard.end()
    assert heard.kinds == ["session.state:REQUESTED", "ready", "session.state:CANCELLED", "end"]


# -- followers --------------------------------------------------------------------------------------------


async def test_the_meter_is_read_for_those_who_follow_a_live_session(room: Newsroom) -> None:
    session_id, consumer, supplier = await room.live()
    found = await room.market.sessions.get(session_id, consumer)
    assert found.started_at is not None
    await room.market.media(MediaEventKind.DISCONNECTED, found, found.started_at + timedelta(seconds=3))
    stranger = await room.market.consumer()
    assert await room.feed.tick(utc_now()) == 0
    streams = room.streams
    mine = [streams.of_session(session_id, None), streams.of_workspace(supplier, None)]
    heard = [await Heard(one).ready() for one in mine]
    foreign = await Heard(streams.of_workspace(stranger, None)).ready()
    for second in (1, 2, 5):
        assert await room.feed.tick(found.started_at + timedelta(seconds=second)) == 1
    for one in heard:
        await one.until(lambda h: sum(isinstance(n, Reading) for n in h.news) == 3)
        meters = [n.meter for n in one.news if isinstance(n, Reading)]
        assert [meter.clean_seconds for meter in meters] == [1, 2, 3]
        assert [meter.lost_ms for meter in meters] == [0, 0, 2000]
        assert meters[-1].charged_uusdc == 3 * found.terms.rate_uusdc
    await room.market.sessions.end(session_id, consumer, found.started_at + timedelta(seconds=9))
    assert await room.feed.tick(utc_now()) == 0
    assert foreign.kinds == ["ready"]
    for one in (*heard, foreign):
        await one.leave()
    assert room.feed.followers == 0


async def test_who_cannot_keep_up_is_let_go_and_resumes(database: Database, dsn: str) -> None:
    async with newsroom(dsn, most_behind=50) as room:
        session_id, consumer, _ = await room.live()
        slow = room.streams.of_workspace(consumer, None)
        first = await anext(slow)
        quick = await Heard(room.streams.of_workspace(consumer, None)).ready()
        for number in range(60):
            await write(room, session_id, str(number))
            await quick.until(lambda one, count=number + 1: len(names(one)) == count)
        assert [one async for one in slow] == []
        assert isinstance(first, Ready)
        assert room.feed.followers == 1
        resumed = await Heard(room.streams.of_workspace(consumer, first.position)).ready()
        assert names(resumed) == [str(number) for number in range(60)]
        for heard in (quick, resumed):
            await heard.leave()


async def test_the_seconds_come_once_a_second(room: Newsroom) -> None:
    session_id, _, _ = await room.live()
    heard = await Heard(room.streams.of_session(session_id, None)).ready()

    async def seconds() -> None:
        while True:
            await room.feed.second(utc_now())

    ticking = asyncio.create_task(seconds())
    await heard.until(lambda one: sum(isinstance(n, Reading) for n in one.news) == 3)
    ticking.cancel()
    elapsed = [n.meter.elapsed_ms for n in heard.news if isinstance(n, Reading)]
    assert all(900 <= b - a <= 1300 for a, b in pairwise(elapsed)), elapsed
    await heard.leave()
