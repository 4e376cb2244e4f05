"""What the events need from outside: the log, and a line on which it can be heard growing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.events.domain import Event, Facts, Kind, Standing
from luxxon_core.kernel.uow import Tx
from luxxon_core.sessions.domain import Session
from luxxon_core.telemetry.domain import Window


class Journal(Protocol):
    """Writes the log."""

    async def add(self, tx: Tx, kind: Kind, session_id: UUID, facts: Facts, at: datetime | None) -> None:
        """Add an event to the transaction of the change it tells of; ``at`` None is the transaction's time.

        Of the samples of one session and second only the first is kept.
        """
        ...


class Log(Protocol):
    """Reads the log. Positions count from 1 without gaps, in the order in which readers can see events: none
    ever appears behind one that has been read, however late its transaction commits."""

    async def bounds(self, tx: Tx) -> tuple[int, int]:
        """The positions that a follower may resume after: from the last one purged to the last one given."""
        ...

    async def of_session(self, tx: Tx, session_id: UUID, position: int, limit: int) -> list[Event]:
        """The events of a session after ``position``, in order."""
        ...

    async def of_workspace(self, tx: Tx, workspace_id: UUID, position: int, limit: int) -> list[Event]:
        """The events of sessions with the workspace on either side after ``position``, in order; those before
        the operator was assigned are not the operator's."""
        ...

    async def standing(self, tx: Tx, session_id: UUID) -> Standing | None:
        """How things stand with a session, read in one moment."""
        ...

    async def live(
        self, tx: Tx, sessions: Collection[UUID], workspaces: Collection[UUID]
    ) -> list[tuple[Session, list[Window]]]:
        """Those of the sessions that are LIVE, and the LIVE sessions of the workspaces; with windows."""
        ...

    async def purge(self, tx: Tx, before: datetime, limit: int) -> int:
        """Delete events older than ``before`` from the log's beginning; returns how many."""
        ...


class Line(Protocol):
    """A connection of its own, so that news travel when the pool is busy."""

    async def wait(self) -> bool:
        """Return when the log may have grown, at the latest after a second; True on a new connection.

        Raises:
            DatabaseError: the connection is gone; the next call makes a new one.
        """
        ...

    async def tip(self) -> int:
        """The last position of the log."""
        ...

    async def after(self, position: int, limit: int) -> list[Event]:
        """The events after ``position``, in order."""
        ...
