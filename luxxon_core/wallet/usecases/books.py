"""The ledger against the chain: a comparison of every row, and making it anew.

Both read the chain as the watcher does, from the contract's first block on, into a ledger in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from luxxon_core.kernel.errors import Conflict, ExternalError
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.wallet.domain import Block, Cursor, Entry
from luxxon_core.wallet.ports import ChainLogs, Ledger, PoolBalance
from luxxon_core.wallet.usecases.watching import REMEMBERED, Watch

LOCK_TRIES = 100
LOCK_SECONDS = 0.1
"""How long to wait for the watcher's step to end."""
LAG_TRIES = 20
LAG_SECONDS = 0.5
"""How long to wait for a node that lacks a block."""
AT_ONCE = 1000
"""Entries written, and pools read, together."""

Progress = Callable[[int, int], None]
"""Called with the blocks read so far and those there are."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes:
        block_number: the newest block that was compared or read; None while the ledger has none.
        entries: how many of them the chain has until there.
        wallets: those concerned.
        differences: one line each; none means that every row is as the chain says.
    """

    block_number: int | None
    entries: int
    wallets: int
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Books:
    """Compares the ledger with the chain, or makes it anew.

    Attributes:
        confirmations: how deep a block must lie to be consumed, as the watcher has it.
    """

    uow: UnitOfWork
    ledger: Ledger
    chain: ChainLogs
    confirmations: int

    async def rebuild(self, now: datetime, progress: Progress) -> Audit:
        """Read everything again and put it in place of what is there, in one transaction: nobody sees half.

        The watcher waits meanwhile and goes on where this ends.

        Raises:
            ExternalError: the chain could not be read; nothing has changed.
            Conflict: ``ledger:busy``, another rebuild is under way.
        """
        async with self.uow.begin() as tx:
            await self._locked(tx)
            last = await self.chain.head() + 1 - self.confirmations

            async def alive() -> None:
                await self.ledger.lock(tx)  # the database ends transactions that say nothing for long

            found = await _scanned(self.chain, last, now, progress, alive)
            sums = found.sums()
            pools = dict(sums)
            differences = []
            for wallet, amount in (await _pools_at(self.chain, sums, last, alive)).items():
                if amount is not None and amount != sums[wallet]:
                    pools[wallet] = amount
                    differences.append(_pool_line(wallet, "its entries add up to", sums[wallet], amount))
            await self.ledger.clear(tx)
            for at in range(0, len(found.entries), AT_ONCE):
                await self.ledger.add(tx, found.entries[at : at + AT_ONCE])
            await self.ledger.set_pools(tx, pools, last, now)
            await self.ledger.remember(tx, found.blocks, REMEMBERED)
            if found.last is not None:
                await self.ledger.move(tx, found.last, now)
        return Audit(found.last, len(found.entries), len(pools), tuple(differences))

    async def check(self, now: datetime, progress: Progress) -> Audit:
        """Compare every row with the chain, as far as the watcher has come, and the pools that the entries
        add up to with the contract's.

        Raises:
            ExternalError: the chain could not be read.
            Conflict: ``ledger:busy``, a rebuild is under way.
        """
        async with self.uow.begin() as tx:  # as of one moment: the watcher waits
            await self._locked(tx)
            cursor = await self.ledger.cursor(tx)
            rows, noted = await self.ledger.rows(tx), await self.ledger.pools(tx)
            remembered = await self.ledger.remembered(tx)
        if cursor is None:
            line = "rows without a cursor" if rows or noted else "the watcher has not read anything yet"
            return Audit(None, 0, 0, (line,))
        last = cursor.block_number
        if await self.chain.head() < last:
            raise ExternalError("chain:block", f"The chain's node has not come to block {last}")
        found = await _scanned(self.chain, last, now, progress, None)
        sums = _sums(rows)
        actual = await _pools_at(self.chain, {*found.sums(), *sums, *noted}, last, None)
        lines = (
            *await self._blocks(remembered),
            *_entry_lines(rows, found.entries),
            *_pool_lines(sums, noted, actual, found.sums()),
        )
        return Audit(last, len(found.entries), len(actual), lines)

    async def _locked(self, tx: Tx) -> None:
        for _ in range(LOCK_TRIES):
            if await self.ledger.lock(tx):
                return
            await asyncio.sleep(LOCK_SECONDS)
        raise Conflict("ledger:busy", "Somebody else holds the ledger: is a rebuild under way?")

    async def _blocks(self, remembered: Iterable[tuple[int, str]]) -> list[str]:
        lines = []
        for number, known in remembered:
            block = await self.chain.block(number)
            if block is None or block.hash != known:
                there = "none" if block is None else block.hash
                lines.append(f"block {number}: the ledger has {known}, the chain {there}")
        return lines


class _Scan:
    """Implements :class:`~luxxon_core.wallet.ports.Ledger` and the unit of work around it in memory, for one
    watcher and nobody else: what it needs, and no pools."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.blocks: list[Block] = []
        self._cursor: Cursor | None = None

    @property
    def last(self) -> int | None:
        return None if self._cursor is None else self._cursor.block_number

    def sums(self) -> dict[str, int]:
        return _sums(self.entries)

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        return nullcontext(cast("Tx", self))

    def read(self) -> AbstractAsyncContextManager[Tx]:
        return self.begin()

    async def lock(self, tx: Tx) -> bool:
        return True

    async def cursor(self, tx: Tx) -> Cursor | None:
        return self._cursor

    async def move(self, tx: Tx, block_number: int, now: datetime) -> None:
        self._cursor = Cursor(block_number, now)

    async def remembered(self, tx: Tx) -> list[tuple[int, str]]:
        return [(block.number, block.hash) for block in reversed(self.blocks)]

    async def remember(self, tx: Tx, blocks: Sequence[Block], keep: int) -> None:
        self.blocks = [*self.blocks, *blocks][-keep:]

    async def add(self, tx: Tx, entries: Sequence[Entry]) -> None:
        self.entries += entries

    async def wallets_after(self, tx: Tx, block_number: int) -> set[str]:
        return set()

    async def rewind(self, tx: Tx, block_number: int) -> None:
        self.entries = [entry for entry in self.entries if entry.block_number <= block_number]
        self.blocks = [block for block in self.blocks if block.number <= block_number]

    async def clear(self, tx: Tx) -> None:
        await self.rewind(tx, -1)
        self._cursor = None

    async def rows(self, tx: Tx) -> list[Entry]:
        return self.entries

    async def balances(self, tx: Tx, wallets: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(wallets, 0)

    async def set_pools(
        self, tx: Tx, balances: Mapping[str, int], block_number: int, now: datetime
    ) -> None: ...

    async def pools(self, tx: Tx) -> dict[str, int]:
        return {}

    async def pool(self, tx: Tx, wallet: str) -> PoolBalance | None:
        return None

    async def page(
        self, tx: Tx, wallet: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Entry]] | None:
        return None


@dataclass(frozen=True, slots=True)
class _Until:
    """A chain that ends at a block and keeps no old state."""

    chain: ChainLogs
    last: int

    async def head(self) -> int:
        return min(await self.chain.head(), self.last)

    async def block(self, number: int) -> Block | None:
        return await self.chain.block(number)

    async def first_block(self) -> int:
        return await self.chain.first_block()

    async def entries_of(self, block: Block) -> list[Entry]:
        return await self.chain.entries_of(block)

    async def entries_between(self, first: int, last: int) -> tuple[int, list[Entry]]:
        return await self.chain.entries_between(first, last)

    async def pool_at(self, wallet: str, block_number: int) -> int | None:
        return None


async def _scanned(
    chain: ChainLogs,
    last: int,
    now: datetime,
    progress: Progress,
    alive: Callable[[], Awaitable[None]] | None,
) -> _Scan:
    """Everything up to block ``last``."""
    scan = _Scan()
    watch = Watch(scan, scan, _Until(chain, last), 1)
    first, waited = await chain.first_block(), 0
    while last >= first and (scan.last is None or scan.last < last):
        if not await watch.watch(now):
            waited += 1
            if waited > LAG_TRIES:
                raise ExternalError("chain:block", "The chain's node lacks blocks that it has told of")
            await asyncio.sleep(LAG_SECONDS)
        if scan.last is not None:
            progress(scan.last - first + 1, last - first + 1)
        if alive is not None:
            await alive()
    return scan


async def _pools_at(
    chain: ChainLogs, wallets: Iterable[str], block_number: int, alive: Callable[[], Awaitable[None]] | None
) -> dict[str, int | None]:
    """The contract's pools after a block; None where the node has lost that state."""
    named = sorted(wallets)
    pools: dict[str, int | None] = {}
    for at in range(0, len(named), AT_ONCE):
        part = named[at : at + AT_ONCE]
        amounts = await asyncio.gather(*(chain.pool_at(wallet, block_number) for wallet in part))
        pools.update(zip(part, amounts, strict=True))
        if alive is not None:
            await alive()
    return pools


def _sums(entries: Iterable[Entry]) -> dict[str, int]:
    """Pools as entries add up."""
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry.wallet] = sums.get(entry.wallet, 0) + entry.pool_change_uusdc
    return sums


def _entry_lines(rows: Iterable[Entry], found: Iterable[Entry]) -> list[str]:
    def keyed(entries: Iterable[Entry]) -> dict[tuple[str, int, str], Entry]:
        return {(entry.tx_hash, entry.log_index, entry.wallet): entry for entry in entries}

    ours, theirs = keyed(rows), keyed(found)
    missing = [f"missing: {_shown(theirs[key])}" for key in theirs if key not in ours]
    extra = [f"not on the chain: {_shown(ours[key])}" for key in ours if key not in theirs]
    other = [
        f"different: {_shown(ours[key])}, on the chain {_shown(theirs[key])}"
        for key in ours
        if key in theirs and ours[key] != theirs[key]
    ]
    return [*missing, *extra, *other]


def _shown(entry: Entry) -> str:
    return (
        f"{entry.kind} of {entry.amount_uusdc} µUSDC ({entry.pool_change_uusdc:+d}) for {entry.wallet}, "
        f"block {entry.block_number} at {entry.at:%Y-%m-%dT%H:%M:%SZ}, {entry.tx_hash} log {entry.log_index}"
    )


def _pool_lines(
    sums: Mapping[str, int],
    noted: Mapping[str, int],
    actual: Mapping[str, int | None],
    scanned: Mapping[str, int],
) -> list[str]:
    """Where the pools that the ledger adds up to, or has noted, are not the contract's.

    Args:
        scanned: what the chain's own entries add up to, where the node has lost the state itself.
    """
    lines = []
    for wallet, told in actual.items():
        amount = scanned.get(wallet, 0) if told is None else told
        if sums.get(wallet, 0) != amount:
            lines.append(_pool_line(wallet, "its rows add up to", sums.get(wallet, 0), amount))
        if noted.get(wallet, 0) != amount:
            lines.append(_pool_line(wallet, "noted is", noted.get(wallet, 0), amount))
    return lines


def _pool_line(wallet: str, what: str, amount: int, actual: int) -> str:
    return f"pool of {wallet}: {what} {amount} µUSDC, the contract has {actual}"
