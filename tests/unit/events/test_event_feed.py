"""The feed between its line and its followers, at the moments that are hard to hit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from test_news import CONSUMER, ENDED, LIVE, NOON, SESSION, event

from luxxon_core.events.domain import Event, Kind, Reading, Video
from luxxon_core.events.usecases import Feed, Follower
from luxxon_core.kernel.uow import Tx
from luxxon_core.sessions.domain import Session
from luxxon_core.telemetry.domain import Window


class Line:
    """A log that a test appends to; ``asked`` is awaited while it answers."""

    def __init__(self) -> None:
        self.entries: list[Event] = []
        self.asked: Any = None
        self.fresh = True

    def append(self, kind: Kind = Kind.VIDEO_CONNECTED, facts: Any = None) -> None:
        position = len(self.entries) + 1
        entry = event(kind, facts or Video(str(position)))
        self.entries.append(replace(entry, id=position, position=position))

    async def wait(self) -> bool:
        fresh, self.fresh = self.fresh, False
        return fresh

    async def tip(self) -> int:
        tip = len(self.entries)
        if self.asked is not None:
            await self.asked()
        return tip

    async def after(self, position: int, limit: int) -> list[Event]:
        return self.entries[position : position + limit]


class Log:
    """Reads one LIVE session."""

    def __init__(self) -> None:
        self.asked: Any = None

    async def live(
        self, tx: Tx, sessions: Collection[UUID], workspaces: Collection[UUID]
    ) -> list[tuple[Session, list[Window]]]:
        if self.asked is not None:
            await self.asked()
        return [(LIVE, [])]


class NoDatabase:
    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        yield None


def feed(line: Line, log: Log | None = None, **options: Any) -> Feed:
    return Feed(line, NoDatabase(), log or Log(), lambda: NOON, **options)  # type: ignore[arg-type]


async def told(follower: Follower, count: int) -> list[Event | Reading | None]:
    async with asyncio.timeout(2):
        return [await follower.next() for _ in range(count)]


async def test_whoever_comes_while_nobody_listened_misses_nothing() -> None:
    line = Line()
    one = feed(line)
    await one.turn(NOON)
    async with AsyncExitStack() as stack:
        followers: list[Follower] = []

        async def somebody_comes() -> None:
            line.asked = None
            line.append()  # before the answer, and before the newcomer has read the log
            followers.append(await stack.enter_async_context(one.followed(workspace_id=CONSUMER)))

        line.append()
        line.asked = somebody_comes
        await one.turn(NOON)
        line.append()
        await one.turn(NOON)
        events = await told(followers[0], 3)
        assert [event.position for event in events if isinstance(event, Event)] == [1, 2, 3]


async def test_nobody_follows_before_the_feed_knows_where_it_is() -> None:
    line = Line()
    one = feed(line)
    entering = one.followed(session_id=SESSION)
    coming = asyncio.create_task(entering.__aenter__())
    await asyncio.sleep(0)
    assert not coming.done()
    line.append()
    await one.turn(NOON)
    follower = await coming
    line.append()
    await one.turn(NOON)
    (found,) = await told(follower, 1)
    assert isinstance(found, Event)
    assert found.position == 2
    await entering.__aexit__(None, None, None)
    assert one.followers == 0


async def test_no_meter_comes_after_the_end() -> None:
    line, log = Line(), Log()
    one = feed(line, log)
    await one.turn(NOON)

    async def it_ends() -> None:
        line.append(Kind.SESSION_STATE, ENDED)
        await one.turn(NOON)

    async with one.followed(session_id=SESSION) as follower:
        await one.tick(NOON + timedelta(seconds=3))
        log.asked = it_ends
        await one.tick(NOON + timedelta(seconds=4))
        line.append()
        await one.turn(NOON)
        kinds = [type(news) for news in await told(follower, 3)]
        assert kinds == [Reading, Event, Event]
        follower.let_go()
        assert await told(follower, 1) == [None]


async def test_who_falls_behind_is_let_go_and_keeps_nothing() -> None:
    line = Line()
    one = feed(line, most_behind=3)
    await one.turn(NOON)
    async with one.followed(session_id=SESSION) as slow, one.followed(session_id=SESSION) as quick:
        for number in range(1, 6):
            line.append()
            await one.turn(NOON)
            (found,) = await told(quick, 1)
            assert isinstance(found, Event)
            assert found.position == number
        assert await told(slow, 1) == [None]
