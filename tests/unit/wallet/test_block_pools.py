"""Pools remembered for a block: what many requests at once cost, and that nobody sees an old one for long."""

from __future__ import annotations

import asyncio

import pytest

from luxxon_core.adapters.chain import pools as module
from luxxon_core.adapters.chain.pools import HEAD_SECONDS, BlockPools
from luxxon_core.adapters.chain.rpc import NodeError
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.wallet.ports import PoolBalance

WALLET = "0x" + "aB" * 20
OTHER = "0x" + "cd" * 20


class CountingNode:
    """A chain in which everybody's pool is what was last set, with a count of what was asked."""

    def __init__(self) -> None:
        self.number = 10
        self.amounts = {10: 500}
        self.heads = self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False
        self.lost = False
        self.missing: set[int] = set()

    def mine(self, amount: int) -> None:
        self.number += 1
        self.amounts[self.number] = amount

    async def head(self) -> int:
        self.heads += 1
        await self._answer()
        return self.number

    async def deposits(self, wallet: str, block_number: int) -> int:
        self.reads += 1
        await self._answer()
        if self.lost or block_number in self.missing:
            self.lost = False
            raise NodeError(-32000, "header not found", None)
        return self.amounts[block_number]

    async def _answer(self) -> None:
        await self.gate.wait()
        if self.broken:
            raise ExternalError("chain:rpc")


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def node() -> CountingNode:
    return CountingNode()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def pools(node: CountingNode, hand: Hand) -> BlockPools:
    return BlockPools(node, hand)


async def test_many_requests_at_once_cost_one_question_each(node: CountingNode, pools: BlockPools) -> None:
    node.gate.clear()
    asked = [asyncio.create_task(pools.pool(wallet)) for wallet in (WALLET, WALLET.lower(), OTHER) * 30]
    await asyncio.sleep(0)
    node.gate.set()
    assert set(await asyncio.gather(*asked)) == {PoolBalance(500, 10)}
    assert (node.heads, node.reads) == (1, 2)


async def test_a_block_is_asked_about_once(node: CountingNode, hand: Hand, pools: BlockPools) -> None:
    for _ in range(20):
        await pools.pool(WALLET)
        hand.seconds += HEAD_SECONDS
    assert (node.heads, node.reads) == (20, 1)


async def test_a_new_block_is_seen_within_a_quarter_of_a_second(
    node: CountingNode, hand: Hand, pools: BlockPools
) -> None:
    await pools.pool(WALLET)
    node.mine(900)
    hand.seconds += HEAD_SECONDS - 0.01
    assert await pools.pool(WALLET) == PoolBalance(500, 10)
    hand.seconds += 0.01
    assert await pools.pool(WALLET) == PoolBalance(900, 11)


async def test_fresh_means_now_and_is_remembered(node: CountingNode, pools: BlockPools) -> None:
    await pools.pool(WALLET)
    node.mine(900)
    assert await pools.pool(WALLET, fresh=True) == PoolBalance(900, 11)
    node.mine(0)
    assert await pools.pool(WALLET) == PoolBalance(900, 11)
    assert (node.heads, node.reads) == (2, 2)


async def test_who_leaves_does_not_end_it_for_the_others(node: CountingNode, pools: BlockPools) -> None:
    node.gate.clear()
    first, second = asyncio.create_task(pools.pool(WALLET)), asyncio.create_task(pools.pool(WALLET))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    node.gate.set()
    assert await second == PoolBalance(500, 10)
    assert node.heads == 1


async def test_a_failure_is_not_remembered(node: CountingNode, pools: BlockPools) -> None:
    node.broken = True
    for _ in range(2):
        with pytest.raises(ExternalError):
            await pools.pool(WALLET)
    node.broken = False
    assert await pools.pool(WALLET) == PoolBalance(500, 10)


async def test_a_node_that_lacks_the_block_it_told_of_is_asked_again(
    node: CountingNode, pools: BlockPools
) -> None:
    node.lost = True
    assert await pools.pool(WALLET) == PoolBalance(500, 10)
    assert node.reads == 2


async def test_memory_is_bounded(
    node: CountingNode, pools: BlockPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WALLETS", 8)
    for number in range(100):
        await pools.pool(f"0x{number:040x}")
    assert len(pools._pools) <= 8


async def test_closing_ends_what_is_under_way(node: CountingNode, pools: BlockPools) -> None:
    node.gate.clear()
    asked = asyncio.create_task(pools.pool(WALLET))
    await asyncio.sleep(0)
    await pools.close()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_where_the_newest_state_is_not_there_yet_the_one_before_serves(
    node: CountingNode, hand: Hand, pools: BlockPools
) -> None:
    node.mine(900)
    node.missing = {11}
    assert await pools.pool(WALLET) == PoolBalance(500, 10)
    assert await pools.pool(WALLET, fresh=True) == PoolBalance(500, 10)
    node.missing = set()
    assert await pools.pool(WALLET) == PoolBalance(900, 11)
    node.missing = {10, 11}
    with pytest.raises(NodeError):
        await pools.pool(OTHER)
    assert await pools.pool(WALLET) == PoolBalance(900, 11)


async def test_a_pool_of_blocks_that_are_no_more_is_forgotten(
    node: CountingNode, hand: Hand, pools: BlockPools
) -> None:
    node.number, node.amounts[310] = 310, 900
    assert await pools.pool(WALLET) == PoolBalance(900, 310)
    node.number = 10
    hand.seconds += HEAD_SECONDS
    assert await pools.pool(WALLET) == PoolBalance(500, 10)
