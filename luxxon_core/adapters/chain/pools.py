"""Pool balances remembered for the length of a block.

Many sessions may be asked for at once; together they cost one ``eth_blockNumber`` every quarter of a second,
and each wallet one ``eth_call`` a block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from luxxon_core.adapters.chain.wire import NodeError
from luxxon_core.wallet.ports import PoolBalance

HEAD_SECONDS = 0.25
MAX_WALLETS = 10_000
NEAR = 5
"""Blocks by which the head may be lower than a moment ago, told by another node behind the same address."""

T = TypeVar("T")


class Node(Protocol):
    async def head(self) -> int: ...
    async def deposits(self, wallet: str, block_number: int) -> int: ...


class BlockPools:
    """Implements :class:`~luxxon_core.wallet.ports.Pools`.

    Args:
        monotonic: seconds that only grow.
    """

    def __init__(self, node: Node, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._monotonic = monotonic
        self._head: tuple[int, float] | None = None
        self._pools: dict[str, PoolBalance] = {}
        self._flights = _Flights()

    async def close(self) -> None:
        await self._flights.close()

    async def pool(self, wallet: str, *, fresh: bool = False) -> PoolBalance:
        wallet = wallet.lower()
        if fresh:
            return await self._read(wallet, await self._ask_head())
        head = await self._newest()
        known = self._pools.get(wallet)
        if known is not None and known.block_number >= head:
            return known
        return await self._flights.join((wallet, head), lambda: self._read(wallet, head))

    async def _newest(self) -> int:
        if self._head is not None and self._monotonic() - self._head[1] < HEAD_SECONDS:
            return self._head[0]
        return await self._flights.join("head", self._ask_head)

    async def _ask_head(self) -> int:
        asked = self._monotonic()  # before the question: the answer may be as old as that
        number = await self._node.head()
        if self._head is None or not self._head[0] - NEAR <= number <= self._head[0]:
            self._pools.clear()  # they are of an older block, or of more blocks than there are
        if self._head is None or asked >= self._head[1]:
            self._head = (number, asked)
        return number

    async def _read(self, wallet: str, head: int) -> PoolBalance:
        try:
            balance = PoolBalance(await self._node.deposits(wallet, head), head)
        except NodeError:  # another node than the one that told the number, a block behind
            head = await self._ask_head()
            balance = await self._read_near(wallet, head)
        known = self._pools.get(wallet)
        if known is None or known.block_number <= balance.block_number:
            if len(self._pools) >= MAX_WALLETS:
                self._pools.clear()
            self._pools[wallet] = balance
        return balance

    async def _read_near(self, wallet: str, head: int) -> PoolBalance:
        """The pool after the newest block, or the one before: the newest one's state may not be there yet."""
        try:
            return PoolBalance(await self._node.deposits(wallet, head), head)
        except NodeError:
            if head == 0:
                raise
            return PoolBalance(await self._node.deposits(wallet, head - 1), head - 1)


class _Flights:
    """Work that is under way, by key: who wants the same joins, and who leaves does not end it for others."""

    def __init__(self) -> None:
        self._flying: dict[object, asyncio.Task[Any]] = {}

    async def join(self, key: object, start: Callable[[], Awaitable[T]]) -> T:
        task: asyncio.Task[T] | None = self._flying.get(key)
        if task is None:
            task = self._flying[key] = asyncio.create_task(_flown(start))
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: object, task: asyncio.Task[Any]) -> None:
        self._flying.pop(key, None)
        if not task.cancelled():
            task.exception()  # taken note of, even if everybody who waited has left

    async def close(self) -> None:
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def _flown(start: Callable[[], Awaitable[T]]) -> T:
    return await start()
