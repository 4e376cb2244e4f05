"""The chain takes blocks back while sessions are being paid: the rows follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from anvil import Anvil, anvil_chain
from relaying import Books, opened, policy

from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import LAST_POLL, SettlementState
from luxxon_core.settlement.usecases import Relay

CONFIRMATIONS = 3
FINAL = 14
DEEPEST = 10


class Forking:
    """A relayer by a clock of its own, on a chain that mines when told."""

    def __init__(self, books: Books, node: Anvil, relay: Relay) -> None:
        self.books, self.node, self.relay = books, node, relay
        self.now = utc_now()

    async def looks(self) -> None:
        """Everything that is or becomes due within the longest pause."""
        self.now += LAST_POLL
        while await self.relay.relay_once(self.now):
            pass

    async def mines(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.node.rpc("evm_mine")

    async def agrees(self) -> None:
        """Each row says what the chain says."""
        head = int(await self.node.rpc("eth_blockNumber"), 16)
        paid = await self.books.paid()
        for session_id, row in (await self.books.rows()).items():
            seen = [block for _, block in paid.get(session_id, ())]
            if seen and head - seen[0] + 1 >= CONFIRMATIONS:
                assert (row.state, row.block_number) == (SettlementState.CONFIRMED, seen[0])
            else:
                block = seen[0] if seen else None
                assert (row.state, row.block_number) == (SettlementState.SUBMITTED, block)


@pytest.fixture
async def forking(
    request: pytest.FixtureRequest, tmp_path: Path, database: Database, dsn: str
) -> AsyncIterator[Forking]:
    async with anvil_chain(tmp_path) as chain:
        books = Books(chain, database, dsn)
        await books.consumer(10**9)
        await chain.node.rpc("evm_setAutomine", False)
        view = opened(books.place)
        patient = timedelta(days=1)
        how = policy(
            request.param, confirmations=CONFIRMATIONS, final=FINAL, reprice_after=patient, fill_after=patient
        )
        relay = Relay(database, PgSettlementStore(), RpcSettlements(view), how)
        forking = Forking(books, chain.node, relay)
        await forking.mines(DEEPEST)
        yield forking
        await view.close()


@pytest.mark.parametrize("forking", [1, 100], ids=["one by one", "in batches"], indirect=True)
async def test_after_a_reorganisation_of_any_depth_the_rows_say_what_the_chain_says(forking: Forking) -> None:
    for depth in range(1, DEEPEST + 1):
        for _ in range(depth):
            await forking.books.owe(2)
            await forking.looks()
            await forking.mines()
        await forking.looks()
        await forking.agrees()
        await forking.node.rpc("anvil_rollback", depth)
        await forking.looks()
        await forking.agrees()
    await forking.mines(FINAL)
    await forking.looks()
    await forking.mines(FINAL)
    await forking.looks()
    assert await forking.books.all_final()
    await forking.books.balance()


@pytest.mark.parametrize("forking", [100], ids=["in batches"], indirect=True)
async def test_what_was_mined_and_never_happened_is_sent_again(forking: Forking) -> None:
    await forking.books.owe(3)
    before = await forking.node.rpc("evm_snapshot")
    await forking.looks()
    await forking.mines(CONFIRMATIONS)
    await forking.looks()
    hashes = {row.tx_hash for row in (await forking.books.rows()).values()}
    await forking.agrees()
    assert await forking.node.rpc("evm_revert", before)
    await forking.looks()
    await forking.agrees()
    await forking.mines(FINAL)
    await forking.looks()
    assert await forking.books.all_final()
    await forking.books.balance()
    assert {row.tx_hash for row in (await forking.books.rows()).values()} == hashes  # the same bytes
