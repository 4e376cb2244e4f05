"""The process's one reader of the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import structlog

from luxxon_core.controls.domain import Command
from luxxon_core.events.domain import Event, Reading, reading
from luxxon_core.events.ports import Line, Log
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.sessions.domain import TERMINAL, Session

log = structlog.get_logger(__name__)

BATCH = 500
QUEUE = 1000
"""How far a follower may fall behind; one further back is let go and resumes from the log."""


class Follower:
    """Somebody who follows a session, or all sessions of a workspace."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[Event | Reading | Command] = deque()
        self._stirred = asyncio.Event()
        self._let_go = False

    def put(self, news: Event | Reading | Command) -> None:
        """Add to the queue; when that is full, let the follower go."""
        if len(self._queue) >= self._most:
            self.let_go()
        elif not self._let_go:
            self._queue.append(news)
            self._stirred.set()

    def let_go(self) -> None:
        """Tell nothing more: too far behind, or the log is not the one that was followed."""
        self._let_go = True
        self._queue.clear()
        self._stirred.set()

    async def next(self) -> Event | Reading | Command | None:
        """What comes next, in order; None when the follower has been let go."""
        while not self._queue:
            if self._let_go:
                return None
            self._stirred.clear()
            await self._stirred.wait()
        return self._queue.popleft()


class Feed:
    """Reads what is new in the log and the meters, once for all followers of this process."""

    def __init__(
        self, line: Line, uow: UnitOfWork, entries: Log, clock: Clock, *, most_behind: int = QUEUE
    ) -> None:
        self._line = line
        self._uow = uow
        self._log = entries
        self._clock = clock
        self._most = most_behind
        self._sessions: dict[UUID, set[Follower]] = {}
        self._workspaces: dict[UUID, set[Follower]] = {}
        self._position = -1
        self._begun = asyncio.Event()
        self._over: set[UUID] = set()
        self._next_second = 0.0

    @property
    def followers(self) -> int:
        """How many there are in this process."""
        return sum(map(len, (*self._sessions.values(), *self._workspaces.values())))

    @asynccontextmanager
    async def followed(
        self, *, session_id: UUID | None = None, workspace_id: UUID | None = None
    ) -> AsyncIterator[Follower]:
        """Enter a follower of a session or of a workspace while the block runs.

        Of what has a position after the log's tip at any moment inside the block, nothing passes it by.
        """
        await self._begun.wait()
        subject = session_id or workspace_id
        assert subject is not None
        group = self._sessions if session_id is not None else self._workspaces
        follower = Follower(self._most)
        group.setdefault(subject, set()).add(follower)
        try:
            yield follower
        finally:
            group[subject].discard(follower)
            if not group[subject]:
                del group[subject]

    async def turn(self, _: datetime) -> None:
        """Wait for the log to grow and hand on what is new: to be called again and again.

        Raises:
            DatabaseError: the line broke; the next call goes on where this one stopped.
        """
        if await self._line.wait():
            await self._begin()
        if not self.followers:
            tip = await self._line.tip()
            if not self.followers:  # whoever came while we asked may count on what lies before the answer
                self._position = tip
                return
        while events := await self._line.after(self._position, BATCH):
            for event in events:
                if isinstance(event.facts, Session) and event.facts.state in TERMINAL:
                    self._over.add(event.session_id)
                self._hand_on(event)
                self._position = event.position or self._position

    async def _begin(self) -> None:
        tip = await self._line.tip()
        if tip < self._position:  # restored from an older copy: positions are given a second time
            log.error("events.log_went_back", position=self._position, tip=tip)
            for group in (*self._sessions.values(), *self._workspaces.values()):
                for follower in group:
                    follower.let_go()
            self._position = tip
        if not self._begun.is_set():
            self._position = tip
            self._begun.set()

    async def second(self, _: datetime) -> None:
        """Wait for the next second and hand on the meters: to be called again and again."""
        loop = asyncio.get_running_loop()
        self._next_second = max(self._next_second + 1, loop.time())
        await asyncio.sleep(self._next_second - loop.time())
        await self.tick(self._clock())

    async def tick(self, now: datetime) -> int:
        """Hand on the meters of all followed LIVE sessions, read at once; returns how many there are."""
        if not self.followers:
            return 0
        self._over.clear()
        async with self._uow.read() as tx:
            found = await self._log.live(tx, self._sessions.keys(), self._workspaces.keys())
        for session, windows in found:
            if session.id not in self._over:  # its end has been handed on since
                self._hand_on(reading(session, windows, now))
        return len(found)

    def commanded(self, command: Command) -> None:
        """Hand on a command, to the operator's followers alone."""
        for follower in self._workspaces.get(command.operator_workspace_id, ()):
            follower.put(command)

    def _hand_on(self, news: Event | Reading) -> None:
        concerned = set(self._sessions.get(news.session_id, ()))
        concerned.update(self._workspaces.get(news.consumer_workspace_id, ()))
        if news.operator_workspace_id is not None:
            concerned.update(self._workspaces.get(news.operator_workspace_id, ()))
        for follower in concerned:
            follower.put(news)
