"""The log of events in SQL.

An event is inserted in the transaction of the change it tells of, without a position. Whoever publishes gives
positions to all that have been committed, one publisher at a time: so positions appear in their order, and a
transaction that is open for long keeps no other's event back. Other processes are told by one NOTIFY for a
batch, outside of the transactions that clients wait for: those never queue for PostgreSQL's notification
lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.adapters.postgres.faults import PgPictureFaults
from luxxon_core.adapters.postgres.sessions import PgSessions, _live_input, _session
from luxxon_core.adapters.postgres.telemetry import PgWindows
from luxxon_core.events.domain import FACTS, Event, Facts, Fix, Kind, Payment, Standing, without_urls
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.sessions.domain import Session
from luxxon_core.telemetry.domain import Reason, Window

if TYPE_CHECKING:
    import asyncpg

SQL = statements("events")
CHANNEL = "luxxon_event"
PUBLISHED_AT_ONCE = 500
"""The limit of the statement ``publish``."""
GATHER_SECONDS = 0.01
"""Publishing pauses so long, and what is committed in the meantime is published together."""
LOOK_SECONDS = 1.0
"""The log is looked at so often even if nobody rings: a writer may die between its commit and the ring."""
ANSWER_SECONDS = 5.0


class PgJournal:
    """Implements :class:`~luxxon_core.events.ports.Journal`."""

    def __init__(self) -> None:
        self._written: set[int] = set()

    async def add(self, tx: Tx, kind: Kind, session_id: UUID, facts: Facts, at: datetime | None) -> None:
        await connection(tx).execute(SQL["add"], kind, session_id, encoded(facts), at)
        self.wrote(tx)

    async def add_all(
        self, tx: Tx, kind: Kind, events: Collection[tuple[UUID, Facts, datetime | None]]
    ) -> None:
        """Events of one kind about several sessions."""
        if events:
            rows = [(session_id, encoded(facts), at) for session_id, facts, at in events]
            columns = (list(column) for column in zip(*rows, strict=True))
            await connection(tx).execute(SQL["add_all"], kind, *columns)
            self.wrote(tx)

    async def add_samples(self, tx: Tx, workspace_id: UUID, fix: Fix, at: datetime) -> None:
        """A sample of an operator, for each of its LIVE sessions."""
        added = await connection(tx).execute(SQL["add_samples"], workspace_id, encoded(fix), at)
        if added != "INSERT 0 0":
            self.wrote(tx)

    def wrote(self, tx: Tx) -> None:
        """Events were written in the transaction."""
        self._written.add(id(tx))

    def ended(self, tx: Tx) -> bool:
        """The transaction is over: whether anything was written in it."""
        if id(tx) not in self._written:
            return False
        self._written.discard(id(tx))
        return True


class AnnouncingUnitOfWork:
    """A unit of work that rings the line after each commit that wrote events."""

    def __init__(self, uow: UnitOfWork, journal: PgJournal, line: PgEventLine) -> None:
        self._uow = uow
        self._journal = journal
        self._line = line

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        return _Announced(self._uow.begin(), self._journal, self._line)

    def read(self) -> AbstractAsyncContextManager[Tx]:
        return self._uow.read()


class _Announced:
    """One transaction; a class and not a generator, as every request opens some."""

    __slots__ = ("_block", "_journal", "_line", "_tx")

    def __init__(self, block: AbstractAsyncContextManager[Tx], journal: PgJournal, line: PgEventLine) -> None:
        self._block = block
        self._journal = journal
        self._line = line

    async def __aenter__(self) -> Tx:
        self._tx = await self._block.__aenter__()
        return self._tx

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        written = self._journal.ended(self._tx)
        await self._block.__aexit__(kind, error, trace)
        if written and error is None:
            self._line.ring()


class PgEventLog:
    """Implements :class:`~luxxon_core.events.ports.Log`."""

    def __init__(self) -> None:
        self._sessions = PgSessions()
        self._windows = PgWindows()
        self._faults = PgPictureFaults()

    async def bounds(self, tx: Tx) -> tuple[int, int]:
        first, last = await connection(tx).fetchrow(SQL["bounds"])
        return first, last

    async def of_session(self, tx: Tx, session_id: UUID, position: int, limit: int) -> list[Event]:
        rows = await connection(tx).fetch(SQL["of_session"], session_id, position, limit)
        return [_event(row) for row in rows]

    async def of_workspace(self, tx: Tx, workspace_id: UUID, position: int, limit: int) -> list[Event]:
        rows = await connection(tx).fetch(SQL["of_workspace"], workspace_id, position, limit)
        return [_event(row) for row in rows]

    async def standing(self, tx: Tx, session_id: UUID) -> Standing | None:
        held = connection(tx)
        async with held.transaction(isolation="repeatable_read", readonly=True):
            session = await self._sessions.get(tx, session_id)
            if session is None:
                return None
            payment = await held.fetchrow(SQL["payment"], session_id)
            return Standing(
                session=session,
                windows=await self._windows.of_session(tx, session_id),
                payment=Payment(**payment) if payment is not None else None,
                tip=await held.fetchval(SQL["tip"]),
                waiting=frozenset(row["id"] for row in await held.fetch(SQL["waiting"], session_id)),
                faults=await self._faults.of_session(tx, session_id),
            )

    async def live(
        self, tx: Tx, sessions: Collection[UUID], workspaces: Collection[UUID]
    ) -> list[tuple[Session, list[Window]]]:
        rows = await connection(tx).fetch(SQL["live"], list(sessions), list(workspaces))
        found = []
        for _, group in groupby(rows, itemgetter("id")):
            of_one = list(group)
            windows = [
                Window(Reason(row["reason"]), row["opened_at"], row["closed_at"])
                for row in of_one
                if row["reason"] is not None
            ]
            found.append((_session(of_one[0]), windows))
        return found

    async def purge(self, tx: Tx, before: datetime, limit: int) -> int:
        return int(await connection(tx).fetchval(SQL["purge"], before, limit))


class PgEventLine:
    """Implements :class:`~luxxon_core.events.ports.Line` on a connection outside the pool.

    It publishes when this process has written or, once a second, in case another could not; and it listens
    for what the others publish.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: asyncpg.Connection[Any] | None = None
        self._stirred = asyncio.Event()
        self._fresh = False
        """A connection has been made of which nobody was told yet."""
        self._rung = False
        self._told = 0
        """The last position that a notification named."""
        self._seen = 0
        """The last position that was asked for."""
        self._free_at = 0.0

    def ring(self) -> None:
        """Events have been committed in this process."""
        self._rung = True
        self._stirred.set()

    async def wait(self) -> bool:
        await self._connect()
        while not self._fresh and not self._rung and self._told <= self._seen:
            self._stirred.clear()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stirred.wait()
            except TimeoutError:
                self._rung = True
            await self._connect()
        if self._rung or self._fresh:
            await self._publish()
        fresh, self._fresh = self._fresh, False
        return fresh

    async def tip(self) -> int:
        self._seen = int(await self._ask("fetchval", SQL["tip"]))
        return self._seen

    async def after(self, position: int, limit: int) -> list[Event]:
        told = self._told
        events = [_event(row) for row in await self._ask("fetch", SQL["after"], position, limit)]
        self._seen = max(self._seen, told, *(event.position or 0 for event in events[-1:]))
        return events

    async def close(self) -> None:
        """To be called when nobody waits any more."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(*_failures()):
                await held.close(timeout=1)

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        if (pause := self._free_at - loop.time()) > 0:
            await asyncio.sleep(pause)
        self._rung, begun_at = False, loop.time()
        async with self._asking() as held:
            while True:
                async with held.transaction():
                    await held.execute(SQL["lock_publisher"])
                    row = await held.fetchrow(SQL["publish"])
                if row is None or row["published"] < PUBLISHED_AT_ONCE:
                    break
        # where old snapshots keep dead entries of the index alive, publishing takes longer: then less often
        self._free_at = loop.time() + max(GATHER_SECONDS, 2 * (loop.time() - begun_at))

    async def _connect(self) -> None:
        import asyncpg

        if self._held is not None and not self._held.is_closed():
            return
        try:
            self._held = await asyncpg.connect(
                self._dsn,
                timeout=ANSWER_SECONDS,
                command_timeout=ANSWER_SECONDS,
                server_settings={"application_name": "luxxon events"},
            )
            # a process that is frozen while it publishes must not hold up the others
            await self._held.execute(SQL["abandon"], f"{round(ANSWER_SECONDS * 1000)}ms")
        except _failures() as error:
            raise DatabaseError("events:connect") from error
        async with self._asking() as held:
            held.add_termination_listener(self._broken)
            await held.add_listener(CHANNEL, self._notified)
        self._fresh, self._told, self._seen = True, 0, 0

    def _broken(self, _: object) -> None:
        self._stirred.set()

    def _notified(self, *notification: object) -> None:
        self._told = max(self._told, int(str(notification[-1])))
        self._stirred.set()

    async def _ask(self, method: str, *arguments: object) -> Any:
        async with self._asking() as held:
            return await getattr(held, method)(*arguments)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """The connection for a question; one that fails is given up."""
        held = self._held
        if held is None or held.is_closed():
            raise DatabaseError("events:line")
        try:
            yield held
        except _failures() as error:
            self._held = None
            held.terminate()
            raise DatabaseError("events:line") from error


def _failures() -> tuple[type[Exception], ...]:
    """What a connection that breaks at any moment raises; the last is asyncpg's own confusion about it."""
    import asyncpg

    return OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError


def encoded(facts: Facts) -> str:
    """Facts as they are kept: JSON, of a session without URLs."""
    return msgspec.json.encode(without_urls(facts) if isinstance(facts, Session) else facts).decode()


def _event(row: Mapping[str, Any]) -> Event:
    kind = Kind(row["kind"])
    return Event(
        id=row["id"],
        position=row["position"],
        kind=kind,
        session_id=row["session_id"],
        consumer_workspace_id=row["consumer_workspace_id"],
        operator_workspace_id=row["operator_workspace_id"],
        at=row["at"],
        facts=msgspec.json.decode(row["data"], type=FACTS[kind]),
        live_input=_live_input(row) if row["uid"] is not None else None,
    )
