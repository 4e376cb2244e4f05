"""Settlement rows in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Payload, Settlement, SettlementState

SQL = statements("settlement")


class PgSettlementStore:
    """Implements :class:`~luxxon_core.settlement.ports.SettlementStore`."""

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        payload = settlement.payload
        added = await connection(tx).fetchval(
            SQL["add"],
            payload.session_id,
            settlement.state,
            payload.consumer_wallet,
            payload.operator_wallet,
            payload.rate_uusdc,
            payload.chargeable_seconds,
            payload.to_amount_uusdc,
            payload.fee_amount_uusdc,
            settlement.created_at,
            settlement.next_attempt_at,
            settlement.confirmed_at,
        )
        return added is not None

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None:
        row = await connection(tx).fetchrow(SQL["get"], session_id)
        return None if row is None else _settlement(row)

    async def claim(self, tx: Tx, now: datetime) -> Settlement | None:
        row = await connection(tx).fetchrow(SQL["claim"], now)
        return None if row is None else _settlement(row)

    async def next_nonce(self, tx: Tx, signer: str, account_nonce: int) -> int:
        held = connection(tx)
        # a statement of its own: the next one then sees what the previous holder of the lock committed
        await held.execute(SQL["lock_signer"], signer)
        return int(await held.fetchval(SQL["next_nonce"], signer, account_nonce))

    async def save(self, tx: Tx, settlement: Settlement) -> None:
        await connection(tx).execute(
            SQL["save"],
            settlement.payload.session_id,
            settlement.state,
            settlement.signer,
            settlement.nonce,
            settlement.raw_tx,
            settlement.tx_hash,
            settlement.attempts,
            settlement.next_attempt_at,
            settlement.last_error,
            settlement.submitted_at,
            settlement.confirmed_at,
            settlement.block_number,
        )

    async def next_due(self, tx: Tx) -> datetime | None:
        due: datetime | None = await connection(tx).fetchval(SQL["next_due"])
        return due


def _settlement(row: Mapping[str, Any]) -> Settlement:
    return Settlement(
        payload=Payload(
            session_id=row["session_id"],
            consumer_wallet=row["consumer_wallet"],
            operator_wallet=row["operator_wallet"],
            rate_uusdc=row["rate_uusdc"],
            chargeable_seconds=row["chargeable_seconds"],
            to_amount_uusdc=row["to_amount_uusdc"],
            fee_amount_uusdc=row["fee_amount_uusdc"],
        ),
        state=SettlementState(row["state"]),
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        attempts=row["attempts"],
        last_error=row["last_error"],
        signer=row["signer"],
        nonce=row["nonce"],
        raw_tx=row["raw_tx"],
        tx_hash=row["tx_hash"],
        submitted_at=row["submitted_at"],
        confirmed_at=row["confirmed_at"],
        block_number=row["block_number"],
    )
