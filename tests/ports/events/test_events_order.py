"""The order in which events are read, whoever commits when and in whichever process."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import asyncpg
from event_writing import break_lines, names, settle, unpublished, write
from newsroom import Heard, Newsroom

from luxxon_core.events.domain import Kind, Ready, Reset, Video
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import MediaEventKind
from luxxon_core.settlement.domain import SettlementState

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
