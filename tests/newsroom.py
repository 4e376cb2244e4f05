"""One server process as far as events are concerned: a marketplace that tells, and its feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from marketplace import NOON, Marketplace

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.events import AnnouncingUnitOfWork, PgEventLine, PgEventLog, PgJournal
from luxxon_core.adapters.postgres.telling import (
    TellingHeartbeats,
    TellingPictureFaults,
    TellingSessions,
    TellingSettlementStore,
    TellingWindows,
)
from luxxon_core.events.domain import End, Event, News, Ready
from luxxon_core.events.usecases import Feed, Purge, Streams, TellMedia
from luxxon_core.events.usecases.feed import QUEUE
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.settlement.usecases import SettleSession


@dataclass
class Newsroom:
    market: Marketplace
    uow: AnnouncingUnitOfWork
    journal: PgJournal
    line: PgEventLine
    log: PgEventLog
    feed: Feed
    streams: Streams
    media: TellMedia
    store: TellingSettlementStore

    @property
    def purge(self) -> Purge:
        return Purge(self.uow, self.log, timedelta(days=7))

    async def live(self) -> tuple[UUID, UUID, UUID]:
        """A LIVE session: its id, its consumer, its operator."""
        consumer, supplier = await self.market.consumer(), await self.market.supplier()
        session = await self.market.live(consumer, supplier, now=utc_now())
        return session.id, consumer, supplier


@asynccontextmanager
async def newsroom(dsn: str, *, most_behind: int = QUEUE) -> AsyncIterator[Newsroom]:
    database = await Database.connect(dsn)
    journal, line, log = PgJournal(), PgEventLine(dsn), PgEventLog()
    uow = AnnouncingUnitOfWork(database, journal, line)
    feed = Feed(line, database, log, utc_now, most_behind=most_behind)
    sessions, windows, store = (
        TellingSessions(journal),
        TellingWindows(journal),
        TellingSettlementStore(journal),
    )
    market = Marketplace(database)
    market.sessions = replace(
        market.sessions,
        uow=uow,
        sessions=sessions,
        windows=windows,
        faults=TellingPictureFaults(journal),
        settlements=SettleSession(store),
    )
    market.dispatch = replace(market.dispatch, uow=uow, sessions=sessions)
    market.telemetry = replace(
        market.telemetry, uow=uow, windows=windows, heartbeats=TellingHeartbeats(journal)
    )
    media = TellMedia(uow, sessions, journal, market.sessions.on_media)
    streams = Streams(database, log, feed, utc_now)
    running = asyncio.create_task(_run(feed))
    try:
        yield Newsroom(market, uow, journal, line, log, feed, streams, media, store)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await line.close()
        await database.close()


async def _run(feed: Feed) -> None:
    while True:
        try:
            await feed.turn(NOON)
        except DatabaseError:
            await asyncio.sleep(0.05)


class Heard:
    """What a follower has been told so far, and waiting for more."""

    def __init__(self, stream: AsyncIterator[News]) -> None:
        self.news: list[News] = []
        self._stream = stream
        self._grown = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with aclosing(self._stream):  # type: ignore[type-var]
            async for one in self._stream:
                self.news.append(one)
                self._grown.set()
        self._grown.set()

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def events(self) -> list[Event]:
        """Those of the log, in the order they came."""
        return [one for one in self.news if isinstance(one, Event)]

    @property
    def position(self) -> int:
        """What it would resume after."""
        positions = [one.position for one in self.news if isinstance(one, Event | Ready)]
        return max(position for position in positions if position is not None)

    async def until(self, true: Callable[[Heard], object], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not true(self):
                assert not self._task.done(), (self._task, self.kinds)
                self._grown.clear()
                await self._grown.wait()

    async def ready(self) -> Heard:
        await self.until(lambda heard: any(isinstance(one, Ready) for one in heard.news))
        return self

    async def end(self, seconds: float = 10) -> None:
        """Until the stream is over."""
        async with asyncio.timeout(seconds):
            await asyncio.shield(self._task)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def kinds(self) -> list[str]:
        """What was told, shortly: kinds of events, with states; names of the rest."""
        return [_short(one) for one in self.news]


def _short(news: News) -> str:
    if not isinstance(news, Event):
        return type(news).__name__.lower() if not isinstance(news, End) else "end"
    state = getattr(news.facts, "state", None) or getattr(news.facts, "reason", None)
    return f"{news.kind}:{state}" if state else str(news.kind)
