"""What one follower is told: what it missed, how things stand, and what happens from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.events.domain import (
    End,
    Event,
    Kind,
    News,
    Payment,
    Ready,
    Reset,
    Standing,
    Video,
    over,
    told,
)
from luxxon_core.events.ports import Journal, Log
from luxxon_core.events.usecases.feed import BATCH, Feed, Follower
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import SessionNotFound
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.sessions.domain import TERMINAL, Session
from luxxon_core.sessions.ports import Sessions

PURGE_BATCH = 1000
VIDEO = {
    MediaEventKind.CONNECTED: Kind.VIDEO_CONNECTED,
    MediaEventKind.DISCONNECTED: Kind.VIDEO_DISCONNECTED,
}
"""A first frame is told by the state that it brings about."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The news of a session or a workspace, for as long as somebody listens."""

    uow: UnitOfWork
    log: Log
    feed: Feed
    clock: Clock

    async def of_workspace(self, workspace_id: UUID, after: int | None) -> AsyncIterator[News]:
        """Everything about the sessions of a workspace: from now on, or after a position.

        Ends when the follower cannot keep up; it resumes after the last position it was told.
        """
        async with self.feed.followed(workspace_id=workspace_id) as follower:
            async with self.uow.read() as tx:
                first, reached = await self.log.bounds(tx)
            if after is not None and first <= after <= reached:
                async for event in self._missed(self.log.of_workspace, workspace_id, after):
                    yield event
                    reached = max(reached, event.position or 0)
            elif after is not None:
                yield Reset(self.clock())
            yield Ready(reached, self.clock())
            while (news := await follower.next()) is not None:
                if not isinstance(news, Event) or (news.position or 0) > reached:
                    yield news

    async def of_session(self, session_id: UUID, after: int | None) -> AsyncIterator[News]:
        """Everything about a session: how it stands and what follows, or what came after a position.

        Ends with :class:`End` when nothing more will happen, and when the follower cannot keep up.
        """
        async with self.feed.followed(session_id=session_id) as follower:
            async with self.uow.read() as tx:
                first, _ = await self.log.bounds(tx)
                standing = await self.log.standing(tx, session_id)
            if standing is None:
                raise SessionNotFound
            known = _Known(standing)
            if after is not None and first <= after <= standing.tip:
                async for event in self._missed(self.log.of_session, session_id, after):
                    if known.take(event):
                        yield event
            else:
                if after is not None:
                    yield Reset(self.clock())
                for event in told(standing):
                    yield event
                known.waiting.clear()
                known.told.update(standing.waiting)
            yield Ready(known.reached, self.clock())
            async for news in known.rest(follower):
                yield news
        if known.over:
            yield End(session_id, self.clock())

    async def _missed(
        self, read: Callable[[Tx, UUID, int, int], Awaitable[list[Event]]], subject: UUID, after: int
    ) -> AsyncIterator[Event]:
        while True:
            async with self.uow.read() as tx:
                events = await read(tx, subject, after, BATCH)
            for event in events:
                yield event
                after = event.position or after
            if len(events) < BATCH:
                return


class _Known:
    """What the follower of a session has been told, and so when there is nothing more to tell."""

    def __init__(self, standing: Standing) -> None:
        self.reached = standing.tip
        self.told: set[int] = set()
        """Events after ``reached`` of which it knows already."""
        self.waiting = set(standing.waiting)
        """Events on which what we know of the session rests, and which it is still to be told."""
        self._session, self._payment = standing.session, standing.payment

    @property
    def over(self) -> bool:
        return not self.waiting and over(self._session, self._payment)

    def take(self, event: Event) -> bool:
        """Note an event; False when the follower need not be told."""
        if event.id in self.told:
            self.told.discard(event.id)
            return False
        self.reached = max(self.reached, event.position or 0)
        self.waiting.discard(event.id)
        if isinstance(event.facts, Session) and self._session.state not in TERMINAL:
            self._session = event.facts
        elif isinstance(event.facts, Payment) and not (self._payment and self._payment.settled):
            self._payment = event.facts
        return True

    async def rest(self, follower: Follower) -> AsyncIterator[News]:
        reached = self.reached
        while not self.over and (news := await follower.next()) is not None:
            if not isinstance(news, Event):
                if self._session.state not in TERMINAL:
                    yield news
            elif (news.position or 0) > reached and self.take(news):
                yield news


@dataclass(frozen=True, slots=True)
class TellMedia:
    """Tells that media flow or have stopped, after ``then`` has drawn its consequences."""

    uow: UnitOfWork
    sessions: Sessions
    journal: Journal
    then: Callable[[MediaEvent, datetime], Awaitable[None]]

    async def __call__(self, event: MediaEvent, now: datetime) -> None:
        await self.then(event, now)
        kind = VIDEO.get(event.kind)
        if kind is None:
            return
        async with self.uow.begin() as tx:
            session_id = await self.sessions.live_input_of(tx, event.uid)
            session = None if session_id is None else await self.sessions.get(tx, session_id)
            if session is not None:  # both sides are told the same, and of a unit its consumer sees no video
                uid = None if session.terms.unit else event.uid
                await self.journal.add(tx, kind, session.id, Video(uid), event.at)


@dataclass(frozen=True, slots=True)
class Purge:
    """Takes old events out of the log."""

    uow: UnitOfWork
    log: Log
    retention: timedelta

    async def __call__(self, now: datetime) -> int:
        """Delete a batch of events older than the retention; returns how many."""
        async with self.uow.begin() as tx:
            return await self.log.purge(tx, now - self.retention, PURGE_BATCH)
