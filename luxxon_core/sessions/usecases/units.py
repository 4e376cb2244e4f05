"""Sessions that are sold as a unit: delivered and charged in one transaction, or let go for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import NotAuthorized
from luxxon_core.kernel.uow import Tx
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session, Sight, State
from luxxon_core.sessions.usecases.steps import Steps

Keep = Callable[[Tx, Session], Awaitable[None]]
"""Stores what belongs to a session in the transaction that changes it."""


@dataclass(frozen=True, slots=True)
class Units(Steps):
    """What the use cases that sell units ask of their sessions."""

    async def deliver(self, session_id: UUID, keep: Keep, now: datetime) -> Session:
        """End a LIVE session as delivered: the unit is charged if, and only if, ``keep`` has stored what its
        consumer pays for.

        Raises:
            SessionNotFound; InvalidState: it is not LIVE, or a window is open.
        """
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            after = domain.deliver(before, now, await self._billable(tx, before, now))
            await self._store(tx, before, after, now)
            await keep(tx, after)
        return await self._tear_down(after, now)

    async def let_go(self, session_id: UUID, now: datetime) -> Session:
        """Cancel or end a session that has not been delivered, whichever it takes, for nothing; one that is
        over stays as it is."""
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if before.state in domain.TERMINAL:
                return before
            if before.state is State.LIVE:
                after = domain.end(before, now, await self._billable(tx, before, now))
            else:
                after = domain.cancel(before, now)
            await self._store(tx, before, after, now)
        return await self._tear_down(after, now)


def check_watched(session: Session | Sight, workspace_id: UUID) -> None:
    """Whether the workspace may watch the session live.

    Raises:
        NotAuthorized: ``session:unit``: it was sold as a unit, and there is no more in it for its consumer.
    """
    unit = session.terms.unit if isinstance(session, Session) else session.unit
    if unit and session.operator_workspace_id != workspace_id:
        raise NotAuthorized("session:unit", "Sold as one frame: it cannot be watched")
