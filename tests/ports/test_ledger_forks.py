"""The ledger of a chain that takes blocks back, and of nodes that lag."""

from __future__ import annotations

import itertools
import random
from uuid import uuid4

import pytest
from ledger_chains import (
    CONSUMER,
    OPERATOR,
    OTHER,
    caught_up,
    chain_of,
    ledger_of,
    watcher,
)
from ledger_node import ForkingNode, approval, deposit, settlement, withdrawal
from marketplace import NOON

from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.wallet.domain import Entry
from luxxon_core.wallet.usecases import REMEMBERED, TAIL


@pytest.mark.parametrize("depth", range(1, 11))
async def test_a_reorganisation_is_followed(
    node: ForkingNode, ports: RpcChain, database: Database, depth: int
) -> None:
    watch = watcher(database, ports)
    for number in range(15):
        node.mine(deposit(CONSUMER, 100 + number), settlement(uuid4(), CONSUMER, OPERATOR, 8, 2))
    node.mine(deposit(OTHER, 9))  # never again on the other branch
    await caught_up(watch)
    node.fork(node.head - depth)
    for number in range(depth):
        node.mine(deposit(OPERATOR, 7 + number), withdrawal(CONSUMER, 1))
    await caught_up(watch)
    assert await ledger_of_known(database, ports) == await chain_of(ports)


async def ledger_of_known(database: Database, ports: RpcChain) -> tuple[list[Entry], dict[str, int]]:
    """A wallet that has nothing left must be noted with nothing."""
    async with database.read() as tx:
        other = await PgLedger(ports.contract).pool(tx, OTHER)
    assert other is not None and other.amount_uusdc == 0
    return await ledger_of(database, ports)


@pytest.mark.parametrize("request_number", range(1, 14))
async def test_a_reorganisation_in_the_middle_of_a_step_mixes_no_branches(
    node: ForkingNode, ports: RpcChain, database: Database, request_number: int
) -> None:
    watch = watcher(database, ports)
    node.mine(deposit(CONSUMER, 50))
    await caught_up(watch)
    for _ in range(10):
        node.mine(deposit(CONSUMER, 1))
    left = itertools.count(request_number, -1)

    def fork(_: str) -> None:
        if next(left) == 0:
            node.fork(3)
            for _ in range(12):
                node.mine(deposit(OTHER, 2))

    node.before = fork
    await caught_up(watch)
    assert node.dropped
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_a_reorganisation_deeper_than_what_is_remembered_has_all_read_again(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports)
    for _ in range(REMEMBERED + 40):
        node.mine(deposit(CONSUMER, 3))
    await caught_up(watch)
    node.fork(5)
    for _ in range(REMEMBERED + 50):
        node.mine(deposit(OTHER, 2))
    await caught_up(watch)
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_a_node_that_falls_behind_takes_nothing_back(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports)
    for number in range(6):
        node.mine(deposit(CONSUMER, 10 + number))
    await caught_up(watch)
    before = await ledger_of(database, ports)
    node.behind = 4
    assert await watch.watch(NOON) == 0
    assert await ledger_of(database, ports) == before
    node.behind = 0
    node.mine(deposit(CONSUMER, 1))
    assert await watch.watch(NOON) == 1
    assert await ledger_of(database, ports) == await chain_of(ports)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_node_does_the_ledger_becomes_what_the_chain_is(
    node: ForkingNode, ports: RpcChain, database: Database, seed: int
) -> None:
    dice, watch = random.Random(seed), watcher(database, ports, confirmations=2)
    node.mine(*(deposit(wallet, 10**9) for wallet in (CONSUMER, OPERATOR, OTHER)))
    for _ in range(60):
        wallet = dice.choice([CONSUMER, OPERATOR, OTHER])
        match dice.randrange(7):
            case 0 | 1:
                node.mine(deposit(wallet, dice.randrange(1, 1000)))
            case 2:
                node.mine(
                    settlement(uuid4(), wallet, dice.choice([OPERATOR, OTHER]), dice.randrange(50), 1),
                    approval(wallet, 2**256 - 1),
                )
            case 3:
                for _ in range(dice.randrange(3, TAIL + 40)):
                    node.mine()
            case 4:
                node.behind = 0
                node.fork(max(1, node.head - dice.randrange(20)))
            case 5:
                node.behind = dice.randrange(4)
            case 6:
                node.fails_at = dice.randrange(12)
        for _ in range(dice.randrange(4)):
            try:
                await watch.watch(NOON)
            except ExternalError:
                node.fails_at = None
        node.behind, node.fails_at = min(node.behind, node.head), None
    node.behind = 0
    for _ in range(3):
        node.mine()
    await caught_up(watch)
    entries, _ = await ledger_of(database, ports)
    expected, pools = await chain_of(ports, node.head - 1)
    assert entries == expected
    async with database.read() as tx:
        assert await PgLedger(ports.contract).balances(tx, pools) == pools
