"""Dispatch: claim a supplier and assign the session in one transaction (api-contract §10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.dispatch.ports import Suppliers
from luxxon_core.kernel.errors import (
    InvalidState,
    NoCoverage,
    NotAuthorized,
    SessionNotFound,
    Unavailable,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.sessions.domain import Session, State, assign
from luxxon_core.sessions.ports import Sessions


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Gives a requested session to a supplier."""

    uow: UnitOfWork
    sessions: Sessions
    suppliers: Suppliers

    async def __call__(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Assign the longest-idle covering supplier.

        Raises:
            InvalidState: the session is not REQUESTED (any more).
            NoCoverage: no ONLINE supplier covers the point.
            Unavailable: those that do were all being taken by others.
        """
        async with self.uow.begin() as tx:
            before = await self.sessions.get(tx, session_id, lock=True)
            if before is None:
                raise SessionNotFound
            if before.consumer_workspace_id != workspace_id:
                raise NotAuthorized("session:notConsumer")
            if before.state is not State.REQUESTED:
                raise InvalidState(f"session:dispatch:{before.state}")
            operator = await self._claim(tx, before.requested)
            after = assign(before, operator, now, operation="dispatch")
            if not await self.sessions.swap(tx, before.state, after):
                raise InvalidState(f"session:dispatch:{before.state}")
        return after

    async def _claim(self, tx: Tx, point: Point) -> UUID:
        operator = await self.suppliers.claim(tx, point)
        if operator is not None:
            return operator
        if not await self.suppliers.covered(tx, point):
            raise NoCoverage("session:dispatch")
        operator = await self.suppliers.claim(tx, point, wait=True)
        if operator is None:
            raise Unavailable("session:dispatch")
        return operator
