"""The ledger of a settlement contract in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.uow import Tx
from luxxon_core.wallet.domain import Block, Cursor, Entry, EventKind
from luxxon_core.wallet.ports import PoolBalance

SQL = statements("ledger")
_PAST_EVERYTHING = ((1 << 63) - 1, (1 << 31) - 1)


class PgLedger:
    """Implements :class:`~luxxon_core.wallet.ports.Ledger`.

    Args:
        contract: names chain and contract; ledgers of several share the tables.
    """

    def __init__(self, contract: str) -> None:
        self._contract = contract

    async def lock(self, tx: Tx) -> bool:
        return bool(await connection(tx).fetchval(SQL["lock"], self._contract))

    async def cursor(self, tx: Tx) -> Cursor | None:
        row = await connection(tx).fetchrow(SQL["cursor"], self._contract)
        return None if row is None else Cursor(row["block_number"], row["updated_at"])

    async def move(self, tx: Tx, block_number: int, now: datetime) -> None:
        await connection(tx).execute(SQL["move"], self._contract, block_number, now)

    async def remembered(self, tx: Tx) -> list[tuple[int, str]]:
        rows = await connection(tx).fetch(SQL["remembered"], self._contract)
        return [(row["number"], row["hash"]) for row in rows]

    async def remember(self, tx: Tx, blocks: Sequence[Block], keep: int) -> None:
        numbers, hashes = [block.number for block in blocks], [block.hash for block in blocks]
        await connection(tx).execute(SQL["remember"], self._contract, numbers, hashes)
        await connection(tx).execute(SQL["forget"], self._contract, keep)

    async def add(self, tx: Tx, entries: Sequence[Entry]) -> None:
        rows = [
            (
                entry.id(self._contract),
                self._contract,
                entry.wallet,
                entry.kind,
                entry.tx_hash,
                entry.log_index,
                entry.block_number,
                entry.at,
                Decimal(entry.amount_uusdc),
                Decimal(entry.pool_change_uusdc),
                entry.related_session,
            )
            for entry in entries
        ]
        await connection(tx).executemany(SQL["add"], rows)

    async def rows(self, tx: Tx) -> list[Entry]:
        return [_entry(row) for row in await connection(tx).fetch(SQL["rows"], self._contract)]

    async def wallets_after(self, tx: Tx, block_number: int) -> set[str]:
        rows = await connection(tx).fetch(SQL["wallets_after"], self._contract, block_number)
        return {row["wallet_address"] for row in rows}

    async def rewind(self, tx: Tx, block_number: int) -> None:
        await connection(tx).execute(SQL["rewind_events"], self._contract, block_number)
        await connection(tx).execute(SQL["rewind_blocks"], self._contract, block_number)

    async def clear(self, tx: Tx) -> None:
        await self.rewind(tx, -1)
        await connection(tx).execute(SQL["clear_pools"], self._contract)
        await connection(tx).execute(SQL["clear_cursor"], self._contract)

    async def balances(self, tx: Tx, wallets: Iterable[str]) -> dict[str, int]:
        rows = await connection(tx).fetch(SQL["balances"], self._contract, list(wallets))
        return {row["wallet"]: int(row["balance"]) for row in rows}

    async def set_pools(self, tx: Tx, balances: Mapping[str, int], block_number: int, now: datetime) -> None:
        wallets, amounts = list(balances), [Decimal(amount) for amount in balances.values()]
        await connection(tx).execute(SQL["set_pools"], self._contract, wallets, amounts, block_number, now)

    async def pools(self, tx: Tx) -> dict[str, int]:
        rows = await connection(tx).fetch(SQL["pools"], self._contract)
        return {row["wallet_address"]: int(row["balance_uusdc"]) for row in rows}

    async def pool(self, tx: Tx, wallet: str) -> PoolBalance | None:
        row = await connection(tx).fetchrow(SQL["pool"], self._contract, wallet)
        return None if row is None else PoolBalance(int(row["balance_uusdc"]), row["block_number"])

    async def page(
        self, tx: Tx, wallet: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Entry]] | None:
        block_number, log_index = _PAST_EVERYTHING
        if after is not None:
            place = await connection(tx).fetchrow(SQL["place"], after, self._contract, wallet)
            if place is None:
                return None
            block_number, log_index = place
        rows = await connection(tx).fetch(SQL["page"], self._contract, wallet, block_number, log_index, limit)
        return [(row["id"], _entry(row)) for row in rows]


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        kind=EventKind(row["kind"]),
        wallet=row["wallet_address"],
        tx_hash=row["tx_hash"],
        log_index=row["log_index"],
        block_number=row["block_number"],
        at=row["confirmed_at"],
        amount_uusdc=int(row["amount_uusdc"]),
        pool_change_uusdc=int(row["pool_change_uusdc"]),
        related_session=row["related_session"],
    )
