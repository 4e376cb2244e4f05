"""Those who follow the log: resuming, the end of a stream, the meter, and who cannot keep up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

from event_writing import names, settle, write
from newsroom import Heard, Newsroom, newsroom

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.events.domain import Reading, Ready, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import MediaEventKind
from luxxon_core.settlement.domain import SettlementState

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
