"""Rows of settlements in PostgreSQL, of sessions that have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from ended_sessions import end_sessions
from ledger_node import CHAIN_ID

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Fee, Payload, Settlement, SettlementState, Version, compose, queued

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
STORE = PgSettlementStore()
SIGNER = "0x" + "Cc" * 20


async def finished_session(dsn: str, *, rate: int = 1000, seconds: int = 60) -> UUID:
    """A session row that a settlement may refer to."""
    session_id = uuid4()
    await end_sessions(dsn, [(session_id, rate, seconds)], NOW)
    return session_id


def payload(session_id: UUID, consumer: str = "0x" + "Aa" * 20, operator: str = "0x" + "Bb" * 20) -> Payload:
    return compose(
        session_id=session_id,
        consumer_wallet=consumer,
        operator_wallet=operator,
        rate_uusdc=1000,
        clean_seconds=60,
        fee_bps=1500,
    )


async def pending(database: Database, dsn: str, due: datetime = NOW) -> Settlement:
    settlement = queued(payload(await finished_session(dsn)), NOW, due)
    async with database.begin() as tx:
        assert await STORE.add(tx, settlement)
    return settlement


def version(number: int) -> Version:
    return Version(f"0x{number:064x}", b"\x02raw", Fee(30, 2))


async def submitted(tx: Tx, settlement: Settlement, nonce: int | None) -> Settlement:
    signed = version(nonce or 0)
    (opened,) = await STORE.open_transactions(tx, CHAIN_ID, SIGNER, [(nonce, signed)], NOW, NOW)
    after = replace(
        settlement,
        state=SettlementState.SUBMITTED,
        transaction_id=opened,
        tx_hash=signed.tx_hash,
        submitted_at=NOW,
    )
    await STORE.save(tx, [after])
    return after
