"""The operator's desk: what has not been paid, why, and trying it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from luxxon_core.kernel.errors import InvalidState, SessionNotFound
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.settlement.domain import Settlement, SettlementState, Transaction
from luxxon_core.settlement.ports import SettlementDesk

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """A settlement and the transaction that is to pay it, or has."""

    settlement: Settlement
    transaction: Transaction | None


@dataclass(frozen=True, slots=True)
class Desk:
    """For who runs the server: asks nobody who they are."""

    uow: UnitOfWork
    store: SettlementDesk

    async def unfinished(self, *, parked: bool, limit: int) -> list[Settlement]:
        """Settlements that are not CONFIRMED, oldest first; with ``parked`` those that were given up."""
        async with self.uow.read() as tx:
            return await self.store.unfinished(tx, parked=parked, limit=limit)

    async def show(self, session_id: UUID) -> Shown:
        """Everything about one.

        Raises:
            SessionNotFound: the session has no settlement.
        """
        async with self.uow.read() as tx:
            settlement = await self.store.get(tx, session_id)
            if settlement is None:
                raise SessionNotFound
            return Shown(settlement, await self.store.transaction_of(tx, settlement))

    async def retry(self, session_id: UUID, now: datetime) -> Settlement:
        """Have the relayer try it now, parked or not; of a SUBMITTED one it looks at the transaction.

        Raises:
            SessionNotFound: the session has no settlement.
            InvalidState: it is paid.
        """
        async with self.uow.begin() as tx:
            settlement = await self.store.get(tx, session_id)
            if settlement is None:
                raise SessionNotFound
            if settlement.transaction_id is not None and settlement.state is not SettlementState.CONFIRMED:
                # no lock: who follows locks the transaction first, and its settlements after it
                await self.store.look_now(tx, settlement.transaction_id, now)
                # that has waited for who followed it, and who may have given the settlement back
                settlement = await self.store.get(tx, session_id)
                assert settlement is not None
            if settlement.transaction_id is None:
                settlement = await self.store.lock(tx, session_id)
                assert settlement is not None
            if settlement.state is SettlementState.CONFIRMED:
                raise InvalidState("settlement:confirmed", "The settlement is confirmed")
            if settlement.transaction_id is not None:
                return settlement
            again = replace(settlement, waits_for=None, attempts=0, next_attempt_at=now)
            await self.store.save(tx, [again])
        _log.info("settlement.retried", session_id=str(session_id), reason=settlement.last_error)
        return again
