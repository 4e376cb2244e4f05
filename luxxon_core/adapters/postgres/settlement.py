"""Settlements and the transactions that pay them, in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import (
    Fee,
    Payload,
    Settlement,
    SettlementState,
    Transaction,
    Version,
    Wait,
)
from luxxon_core.settlement.ports import Look

SQL = statements("settlement")
_COMMON = attrgetter(
    "state",
    "attempts",
    "next_attempt_at",
    "last_error",
    "waits_for",
    "short_at_block",
    "transaction_id",
    "tx_hash",
    "submitted_at",
    "confirmed_at",
    "block_number",
    "final_at",
)
"""What changes; mostly the same for all that one transaction pays."""
Told = tuple[str, str | None, bool]
"""State, transaction, and whether it is parked: a change of these is an event."""


class PgSettlementStore:
    """Implements :class:`~luxxon_core.settlement.ports.SettlementStore` and
    :class:`~luxxon_core.settlement.ports.SettlementDesk`."""

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
            settlement.final_at,
        )
        return added is not None

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None:
        row = await connection(tx).fetchrow(SQL["get"], session_id)
        return None if row is None else _settlement(row)

    async def lock(self, tx: Tx, session_id: UUID) -> Settlement | None:
        row = await connection(tx).fetchrow(SQL["lock"], session_id)
        return None if row is None else _settlement(row)

    async def many(self, tx: Tx, sessions: Sequence[UUID]) -> dict[UUID, Settlement]:
        """Those of these sessions that have a settlement."""
        rows = await connection(tx).fetch(SQL["many"], list(sessions))
        return {row["session_id"]: _settlement(row) for row in rows}

    async def unfinished(self, tx: Tx, *, parked: bool, limit: int) -> list[Settlement]:
        return [_settlement(row) for row in await connection(tx).fetch(SQL["unfinished"], parked, limit)]

    async def wake(self, tx: Tx, contract: str, now: datetime) -> None:
        await connection(tx).execute(SQL["wake"], now, contract)

    async def claim(self, tx: Tx, now: datetime, limit: int) -> list[Settlement]:
        return [_settlement(row) for row in await connection(tx).fetch(SQL["claim"], now, limit)]

    async def claim_transactions(self, tx: Tx, chain_id: int, now: datetime, limit: int) -> list[Transaction]:
        rows = await connection(tx).fetch(SQL["claim_transactions"], chain_id, now, limit)
        return await self._transactions(tx, rows)

    async def transaction_of(self, tx: Tx, settlement: Settlement) -> Transaction | None:
        rows = await connection(tx).fetch(SQL["transaction"], settlement.transaction_id)
        return next(iter(await self._transactions(tx, rows)), None)

    async def _transactions(self, tx: Tx, rows: Sequence[Mapping[str, Any]]) -> list[Transaction]:
        if not rows:
            return []
        versions: dict[int, list[Version]] = defaultdict(list)
        for row in await connection(tx).fetch(SQL["versions"], [row["id"] for row in rows]):
            fee = None if row["max_fee"] is None else Fee(row["max_fee"], row["priority_fee"])
            versions[row["tx_id"]].append(Version(row["tx_hash"], row["raw"], fee, row["cancels"]))
        return [
            Transaction(
                id=row["id"],
                signer=row["signer"],
                nonce=row["nonce"],
                versions=tuple(versions[row["id"]]),
                created_at=row["created_at"],
                signed_at=row["signed_at"],
                waiting_since=row["waiting_since"],
            )
            for row in rows
        ]

    async def paid_by(self, tx: Tx, transactions: Sequence[int]) -> list[Settlement]:
        return [_settlement(row) for row in await connection(tx).fetch(SQL["paid_by"], list(transactions))]

    async def free_nonces(self, tx: Tx, chain_id: int, signer: str, next_nonce: int, count: int) -> list[int]:
        held = connection(tx)
        # a statement of its own: the next one then sees what the previous holder of the lock committed
        await held.execute(SQL["lock_signer"], chain_id, signer)
        rows = await held.fetch(SQL["free_nonces"], chain_id, signer, next_nonce, count)
        return [row["nonce"] for row in rows]

    async def open_transactions(
        self,
        tx: Tx,
        chain_id: int,
        signer: str,
        signed: Sequence[tuple[int | None, Version]],
        now: datetime,
        look_at: datetime,
    ) -> list[int]:
        held = connection(tx)
        nonces = [nonce for nonce, _ in signed]
        rows = await held.fetch(SQL["open_transactions"], chain_id, signer, nonces, now, look_at)
        opened = [row["id"] for row in rows]
        columns = zip(*(_columns(version) for _, version in signed), strict=True)
        await held.execute(SQL["first_versions"], opened, *(list(column) for column in columns))
        return opened

    async def add_version(self, tx: Tx, transaction: int, version: Version, now: datetime) -> None:
        await connection(tx).execute(SQL["add_version"], transaction, now, *_columns(version))

    async def looked(self, tx: Tx, looks: Sequence[Look]) -> None:
        rows = [(look.transaction, look.next_at, look.waiting_since) for look in looks]
        await connection(tx).execute(SQL["looked"], *(list(column) for column in zip(*rows, strict=True)))

    async def look_now(self, tx: Tx, transaction: int, now: datetime) -> None:
        await connection(tx).execute(SQL["look_now"], transaction, now)

    async def close_transactions(self, tx: Tx, transactions: Sequence[int], now: datetime) -> None:
        await connection(tx).execute(SQL["close"], list(transactions), now)

    async def save(self, tx: Tx, settlements: Sequence[Settlement]) -> None:
        await self._saved(tx, settlements)

    async def _saved(self, tx: Tx, settlements: Sequence[Settlement]) -> dict[UUID, Told]:
        """What there is to tell of them as they were before."""
        if not settlements:
            return {}
        sessions: list[UUID] = []
        rows = []
        for common, run in groupby(settlements, _COMMON):
            first = len(sessions) + 1
            sessions += [one.payload.session_id for one in run]
            rows.append((first, len(sessions), *common))
        columns = (list(column) for column in zip(*rows, strict=True))
        found = await connection(tx).fetch(SQL["save"], sessions, *columns)
        return {
            session_id: (state, tx_hash, waits_for == Wait.OPERATOR)
            for session_id, state, tx_hash, waits_for in found
        }

    async def next_due(self, tx: Tx) -> datetime | None:
        due: datetime | None = await connection(tx).fetchval(SQL["next_due"])
        return due


def _columns(version: Version) -> tuple[object, ...]:
    fee = version.fee
    return (
        version.tx_hash,
        version.raw,
        None if fee is None else fee.max_fee,
        None if fee is None else fee.priority_fee,
        version.cancels,
    )


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
        waits_for=None if row["waits_for"] is None else Wait(row["waits_for"]),
        short_at_block=row["short_at_block"],
        transaction_id=row["tx_id"],
        tx_hash=row["tx_hash"],
        submitted_at=row["submitted_at"],
        confirmed_at=row["confirmed_at"],
        block_number=row["block_number"],
        final_at=row["final_at"],
    )
