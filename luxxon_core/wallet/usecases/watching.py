"""The watcher: what the chain says goes into the ledger, and what it takes back out of it again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.wallet.domain import Block, Entry
from luxxon_core.wallet.ports import ChainLogs, Ledger

log = structlog.get_logger(__name__)

REMEMBERED = 128
"""Blocks whose hashes are kept; a deeper reorganisation has everything read again."""
TAIL = 64
"""So many of the newest blocks are read one by one, each by its hash; older ones in ranges."""
STEP = 16
"""Blocks of the tail for each step."""
HEARTBEAT = timedelta(seconds=5)
ALIVE_SECONDS = 5.0
"""Longest silence towards the database."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to go on reading; the hash is unknown before anything has been consumed."""

    number: int
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Reads the contract's logs into the ledger, in order, and takes back what the chain takes back.

    Any number of processes may watch: one at a time does, and what a step consumed commits with the cursor.
    Nothing is written before the node has answered everything: a slow one holds up no transaction id.

    Attributes:
        confirmations: how deep a block must lie to be consumed; the newest one has 1.
    """

    uow: UnitOfWork
    ledger: Ledger
    chain: ChainLogs
    confirmations: int

    async def watch(self, now: datetime) -> int:
        """Take one step; how many blocks it consumed, or 1 when it took some back.

        Raises:
            ExternalError: the chain could not be read; the next step takes up where this one began.
        """
        async with self.uow.begin() as tx:
            if not await self.ledger.lock(tx):
                return 0
            cursor, head = await self.ledger.cursor(tx), await self.chain.head()
            if cursor is None:
                place = _Place(await self._alive(tx, self.chain.first_block()) - 1)
            else:
                remembered = await self.ledger.remembered(tx)
                kept, replaced = await self._alive(tx, self._kept(remembered, head))
                if replaced:
                    return await self._rewind(tx, kept, now)
                if kept is None or kept.number != cursor.block_number:
                    return 0  # the node lags
                place = kept
            blocks, entries = await self._alive(tx, self._read(place, head + 1 - self.confirmations))
            if blocks:
                await self._consume(tx, blocks, entries, now)
                return blocks[-1].number - place.number
            if cursor is not None and now - cursor.updated_at >= HEARTBEAT:
                await self.ledger.move(tx, cursor.block_number, now)
            return 0

    async def _kept(self, remembered: Iterable[tuple[int, str]], head: int) -> tuple[_Place | None, bool]:
        """The newest consumed block that the node has, and whether it has others in place of newer ones.

        A node that merely does not know the newer ones lags, or its chain is shorter for now.
        """
        replaced = False
        for number, known in remembered:
            block = await self.chain.block(number) if number <= head else None
            if block is not None and block.hash == known:
                return _Place(number, known), replaced
            replaced = replaced or block is not None
        return None, replaced

    async def _read(self, place: _Place, target: int) -> tuple[list[Block], list[Entry]]:
        """Blocks after ``place`` up to ``target``, the last one read at least, and what happened there."""
        if target - place.number > TAIL:
            last, entries = await self.chain.entries_between(place.number + 1, target - TAIL)
            if (block := await self.chain.block(last)) is not None:
                return [block], entries
            # the head is higher than the blocks go that the node shows: as far as they do, one by one
        numbers = range(place.number + 1, min(target, place.number + STEP) + 1)
        blocks: list[Block] = []
        parent = place.hash
        for block in await asyncio.gather(*(self.chain.block(number) for number in numbers)):
            if block is None or parent not in (None, block.parent_hash):
                break  # the node lags, or its chain has just changed: the next step looks again
            blocks.append(block)
            parent = block.hash
        found = await asyncio.gather(*(self.chain.entries_of(block) for block in blocks))
        return blocks, [entry for entries in found for entry in entries]

    async def _consume(
        self, tx: Tx, blocks: Sequence[Block], entries: Sequence[Entry], now: datetime
    ) -> None:
        last = blocks[-1].number
        pools = await self._alive(tx, self._pools_at({entry.wallet for entry in entries}, last))
        await self.ledger.add(tx, entries)
        await self._note(tx, pools, last, now)
        await self.ledger.remember(tx, blocks, REMEMBERED)
        await self.ledger.move(tx, last, now)

    async def _rewind(self, tx: Tx, fork: _Place | None, now: datetime) -> int:
        """Take back what came after the fork, or everything when it lies deeper than we remember."""
        log.warning("chain reorganised", fork=fork and fork.number)
        if fork is None:
            await self.ledger.clear(tx)
            return 1
        wallets = await self.ledger.wallets_after(tx, fork.number)
        pools = await self._alive(tx, self._pools_at(wallets, fork.number))
        await self.ledger.rewind(tx, fork.number)
        await self._note(tx, pools, fork.number, now)
        await self.ledger.move(tx, fork.number, now)
        return 1

    async def _alive(self, tx: Tx, work: Coroutine[Any, Any, T]) -> T:
        """What comes of asking the chain for much. The database hears of us meanwhile, for it ends
        transactions that say nothing for long."""
        task = asyncio.create_task(work, name="watcher's questions")
        try:
            while not (await asyncio.wait({task}, timeout=ALIVE_SECONDS))[0]:
                await self.ledger.lock(tx)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pools_at(self, wallets: Iterable[str], block_number: int) -> dict[str, int | None]:
        named = sorted(wallets)
        amounts = await asyncio.gather(*(self.chain.pool_at(wallet, block_number) for wallet in named))
        return dict(zip(named, amounts, strict=True))

    async def _note(self, tx: Tx, pools: Mapping[str, int | None], block_number: int, now: datetime) -> None:
        """Write down pools as of a block. Where the node has lost that state the entries say the same; where
        the two differ, logs were withheld from us, and the contract has the last word."""
        entered = await self.ledger.balances(tx, pools)
        for wallet, amount in pools.items():
            if amount not in (None, entered[wallet]):
                log.error("ledger and chain differ", wallet=wallet, ledger=entered[wallet], chain=amount)
        amounts = {w: entered[w] if amount is None else amount for w, amount in pools.items()}
        await self.ledger.set_pools(tx, amounts, block_number, now)
