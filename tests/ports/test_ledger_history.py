"""What workspaces see of their wallets' history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from ledger_chains import (
    CONSUMER,
    OTHER,
    caught_up,
    watcher,
)
from ledger_node import ForkingNode, deposit
from marketplace import NOON, Marketplace, at

from luxxon_core.adapters.chain.pools import BlockPools
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.wallet.domain import Cursor, Entry, seen_by
from luxxon_core.wallet.usecases import Wallets
from luxxon_core.workspaces.domain import Role, new_workspace


async def joined(market: Marketplace, wallet: str) -> UUID:
    made = new_workspace(
        workspace_id=uuid4(),
        slug=f"w-{uuid4().hex[:12]}",
        name="w",
        wallet_address=wallet,
        roles=[Role.CONSUMER],
        now=NOON,
    )
    async with market.database.begin() as tx:
        assert await market.workspaces.add(tx, made)
    return made.id


@pytest.fixture
async def wallets(marketplace: Marketplace, ports: RpcChain) -> AsyncIterator[Wallets]:
    pools = BlockPools(ports)
    yield Wallets(marketplace.database, marketplace.workspaces, pools, PgLedger(ports.contract))
    await pools.close()


async def test_a_workspace_has_the_history_of_its_wallet_from_before_it_existed(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    first = await joined(marketplace, CONSUMER)
    node.mine(deposit(CONSUMER, 5))
    await caught_up(watcher(marketplace.database, ports))
    second = await joined(marketplace, CONSUMER)
    pages = [await wallets.events(workspace, None, 50) for workspace in (first, second)]
    assert [[entry.amount_uusdc for _, entry in page] for page in pages] == [[5], [5]]
    ids = [page[0][0] for page in pages]
    assert ids[0] != ids[1]
    assert await wallets.events(first, ids[0], 50) == []
    with pytest.raises(InvalidInput, match="wallet:cursor"):
        await wallets.events(first, ids[1], 50)  # another workspace's
    assert await wallets.events(await joined(marketplace, OTHER), None, 50) == []


async def test_pages_stay_whole_while_new_events_arrive(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    workspace, watch = await joined(marketplace, CONSUMER), watcher(marketplace.database, ports)
    for number in range(10):
        node.mine(*(deposit(CONSUMER, 10 * number + each + 1) for each in range(3)))
    await caught_up(watch)
    seen: list[tuple[UUID, Entry]] = []
    cursor = None
    while page := await wallets.events(workspace, cursor, 4):
        seen += page
        cursor = page[-1][0]
        node.mine(deposit(CONSUMER, 999))
        await caught_up(watch)
    amounts = [entry.amount_uusdc for _, entry in seen]
    assert amounts == sorted((10 * n + each + 1 for n in range(10) for each in range(3)), reverse=True)
    assert len({event_id for event_id, _ in seen}) == 30
    assert len(await wallets.events(workspace, None, 10**9)) == len(seen) + len(seen) // 4 + 1


async def test_the_balance_is_the_watchers_or_for_a_stranger_the_chains(
    node: ForkingNode, ports: RpcChain, marketplace: Marketplace, wallets: Wallets
) -> None:
    workspace, stranger = await joined(marketplace, CONSUMER), await joined(marketplace, OTHER)
    node.mine(deposit(CONSUMER, 5))
    _, balance, cursor = await wallets.get(workspace, at(9))
    assert (balance, cursor) == (5, Cursor(1, at(9)))  # nobody has watched yet
    await caught_up(watcher(marketplace.database, ports))
    node.mine(deposit(CONSUMER, 1), deposit(OTHER, 3))
    await asyncio.sleep(0.3)
    for who, expected in ((workspace, 5), (stranger, 3)):
        _, balance, cursor = await wallets.get(who, at(9))
        assert (balance, cursor) == (expected, Cursor(1, NOON))


def test_ids_can_be_turned_back() -> None:
    for _ in range(100):
        entry, workspace = uuid4(), uuid4()
        seen = seen_by(workspace, entry)
        assert seen.version == 4 and seen.variant == entry.variant
        assert seen_by(workspace, seen) == entry != seen
