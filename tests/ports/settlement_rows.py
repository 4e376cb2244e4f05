"""Rows of settlements in PostgreSQL, of sessions that have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
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
    session_id, workspace_id = uuid4(), uuid4()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "insert into workspace (id, slug, name, wallet_address, roles, created_at, created_by_wallet)"
            " values ($1, $2, 'w', '0x', '{CONSUMER}', $3, '0x')",
            workspace_id,
            str(workspace_id),
            NOW,
        )
        await connection.execute(
            "insert into session (id, consumer_workspace_id, state, requested_lat, requested_lng,"
            " geofence_radius_m, max_duration_s, wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps,"
            " created_at, ended_at, clean_seconds, charged_uusdc)"
            " values ($1, $2, 'ENDED', 0, 0, 500, 600, 300, $3, $4, 1500, $5, $5, $6, $7)",
            session_id,
            workspace_id,
            rate,
            rate * 600,
            NOW,
            seconds,
            rate * seconds,
        )
    finally:
        await connection.close()
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
