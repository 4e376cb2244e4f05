"""What a session costs and how far it has been paid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.sessions.domain import Meter, Session, meter
from luxxon_core.sessions.usecases import SessionCases
from luxxon_core.settlement.domain import Settlement
from luxxon_core.settlement.ports import SettlementStore
from luxxon_core.telemetry.domain import Window


@dataclass(frozen=True, slots=True)
class GetSettlement:
    """Looks a settlement up."""

    uow: UnitOfWork
    store: SettlementStore

    async def __call__(self, session_id: UUID) -> Settlement | None:
        """A session's settlement; None while it is NOT_READY. Who may see it is settled before."""
        async with self.uow.read() as tx:
            return await self.store.get(tx, session_id)


@dataclass(frozen=True, slots=True)
class Bill:
    """All that a receipt says: the session, what it lost, its reading and its payment."""

    session: Session
    windows: list[Window]
    meter: Meter
    settlement: Settlement | None


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a session costs and how its payment goes, for either side of it."""

    uow: UnitOfWork
    store: SettlementStore
    sessions: SessionCases

    async def settlement_of(self, session_id: UUID, workspace_id: UUID) -> Settlement | None:
        """None while nothing is owed yet.

        Raises:
            SessionNotFound; NotAuthorized: neither side of it.
        """
        await self.sessions.get(session_id, workspace_id)
        return await GetSettlement(self.uow, self.store)(session_id)

    async def receipt_of(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Bill:
        """The bill: final when the session is over, the reading at ``now`` while it is LIVE."""
        session = await self.sessions.get(session_id, workspace_id)
        windows = await self.sessions.windows_of(session_id)
        settlement = await GetSettlement(self.uow, self.store)(session_id)
        return Bill(session, windows, meter(session, now, windows), settlement)
