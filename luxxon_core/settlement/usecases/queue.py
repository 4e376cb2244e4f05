"""A finished session's payment is queued in the transaction that finishes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.uow import Tx
from luxxon_core.sessions.domain import Session
from luxxon_core.settlement.domain import Payload, compose, queued
from luxxon_core.settlement.ports import SettlementStore


@dataclass(frozen=True, slots=True)
class QueueSettlement:
    """Runs inside the transaction that finalises a session, so that both happen or neither."""

    store: SettlementStore

    async def __call__(self, tx: Tx, payload: Payload, ended_at: datetime, now: datetime) -> None:
        """Store a finalised session's payment; a second call for the session changes nothing."""
        await self.store.add(tx, queued(payload, ended_at, now))


@dataclass(frozen=True, slots=True)
class SettleSession:
    """Implements the sessions' port ``Settlements``."""

    store: SettlementStore

    async def queue(
        self, tx: Tx, session: Session, consumer_wallet: str, operator_wallet: str, now: datetime
    ) -> None:
        """Compose the payload from the stored meter and queue it in the finalising transaction."""
        payload = compose(
            session_id=session.id,
            consumer_wallet=consumer_wallet,
            operator_wallet=operator_wallet,
            rate_uusdc=session.terms.rate_uusdc,
            clean_seconds=session.clean_seconds,
            fee_bps=session.terms.platform_fee_bps,
        )
        assert session.ended_at is not None
        await QueueSettlement(self.store)(tx, payload, session.ended_at, now)
