"""The history of a contract and the ledger made of it: on a real chain, and on a node made up for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from ledger_chains import (
    CONSUMER,
    OPERATOR,
    OTHER,
    AnyChain,
    caught_up,
    chain_of,
    ledger_of,
    story,
    watcher,
)
from ledger_node import CHAIN_ID, USDC, ForkingNode, approval, deposit, settlement
from marketplace import NOON

from luxxon_core.adapters.chain import logs
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.wallet.domain import Block, Cursor, Entry, EventKind
from luxxon_core.wallet.usecases import HEARTBEAT, TAIL, Watch, watching


async def test_every_event_is_told_to_whom_it_concerns(chain: AnyChain) -> None:
    consumer, operator, session = await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    _, entries = await logs.entries_between(0, head)
    told = [
        (entry.kind, entry.wallet, entry.amount_uusdc, entry.pool_change_uusdc, entry.related_session)
        for entry in entries
    ]
    assert told == [
        (EventKind.APPROVAL, consumer, 5_000_000, 0, None),
        (EventKind.DEPOSIT, consumer, 3_000_000, 3_000_000, None),
        (EventKind.WITHDRAWAL, consumer, 1_000_000, -1_000_000, None),
        (EventKind.SETTLE, consumer, 100_000, -100_000, session),
        (EventKind.SETTLE, operator, 85_000, 0, session),
        (EventKind.DEPOSIT, consumer, 7, 7, None),
    ]
    by_block = []
    for number in range(head + 1):
        block = await logs.block(number)
        assert block is not None and block.number == number
        by_block += await logs.entries_of(block)
    assert by_block == entries


async def test_blocks_are_linked_and_end_at_the_head(chain: AnyChain) -> None:
    await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    below, newest = await logs.block(head - 1), await logs.block(head)
    assert below is not None and newest is not None
    assert newest.parent_hash == below.hash != newest.hash
    assert newest.at >= below.at
    assert await logs.block(head + 1) is None
    unknown = Block(head, "0x" + "ab" * 32, below.hash, newest.at)
    with pytest.raises(ExternalError):
        await logs.entries_of(unknown)


async def test_history_begins_where_the_contract_was_deployed(chain: AnyChain) -> None:
    await story(chain)
    first = await RpcLogs(chain.ports).first_block()
    code = [
        await chain.ports.request("eth_getCode", chain.ports.settlement_address, hex(number))
        for number in (first - 1, first)
    ]
    assert code[0] == "0x" != code[1]


async def test_pools_of_the_past_are_known(chain: AnyChain) -> None:
    consumer, _, _ = await story(chain)
    logs = RpcLogs(chain.ports)
    head = await logs.head()
    pools = [await logs.pool_at(consumer, head - back) for back in range(5)]
    assert pools == [1_900_007, 1_900_000, 2_000_000, 3_000_000, 0]
    assert (await chain.ports.pool(consumer)).amount_uusdc == 1_900_007


# ---------------------------------------------------------------- keeping the ledger


async def test_the_ledger_suffices_to_rebuild_balances(chain: AnyChain, database: Database) -> None:
    consumer, operator, _ = await story(chain)
    await caught_up(watcher(database, chain.ports))
    entries, pools = await ledger_of(database, chain.ports)
    assert (entries, pools) == await chain_of(chain.ports)
    sign = {EventKind.DEPOSIT: 1, EventKind.WITHDRAWAL: -1, EventKind.SETTLE: -1, EventKind.APPROVAL: 0}
    mine = [entry for entry in entries if entry.wallet == consumer]
    assert sum(sign[entry.kind] * entry.amount_uusdc for entry in mine) == pools[consumer] == 1_900_007
    assert pools[operator] == 0


async def test_a_block_is_consumed_when_it_is_deep_enough(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    watch = watcher(database, ports, confirmations=3)
    number = node.mine(deposit(CONSUMER, 5))
    node.mine()
    await caught_up(watch)
    assert await ledger_of(database, ports) == ([], {})
    node.mine()
    assert await watch.watch(NOON) == 1
    (entry,), pools = await ledger_of(database, ports)
    assert entry.block_number == number and pools == {CONSUMER: 5}


async def test_a_long_history_is_read_in_ranges_that_the_node_grants(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.max_range = 10
    for number in range(300):
        node.mine(*([deposit(CONSUMER, number + 1)] if number % 7 == 0 else []))
    assert await caught_up(watcher(database, ports)) == node.head + 1
    assert await ledger_of(database, ports) == await caught_with(node, ports)
    asked = [params for method, params in node.asked if method == "eth_getLogs"]
    assert any("blockHash" in where for (where,) in asked)  # the newest ones, each by its hash
    granted = [where for (where,) in asked if "toBlock" in where]
    assert len(granted) < 150


async def caught_with(node: ForkingNode, ports: RpcChain) -> tuple[list[Entry], dict[str, int]]:
    node.max_range = 10**9
    return await chain_of(ports)


async def test_a_node_that_keeps_refusing_is_an_error_and_loses_nothing(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for _ in range(TAIL + 20):
        node.mine(deposit(CONSUMER, 1))
    watch = watcher(database, ports)
    for answers in range(40):
        node.fails_at = answers
        with pytest.raises(ExternalError):
            await caught_up(watch)
    node.fails_at = None
    await caught_up(watch)
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_of_many_watchers_one_watches(node: ForkingNode, ports: RpcChain, database: Database) -> None:
    for number in range(200):
        node.mine(deposit(CONSUMER, number + 1))
    watchers = [watcher(database, ports) for _ in range(6)]
    while sum(await asyncio.gather(*(watch.watch(NOON) for watch in watchers))):
        pass
    await caught_up(watchers[0])
    assert await ledger_of(database, ports) == await chain_of(ports)
    async with database.begin() as tx:
        assert await PgLedger(ports.contract).lock(tx)
        node.mine(deposit(CONSUMER, 1))
        assert await watchers[1].watch(NOON) == 0
    assert await watchers[1].watch(NOON) == 1


async def test_a_node_without_old_states_is_enough(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for number in range(150):
        node.mine(deposit(CONSUMER, number + 1), settlement(uuid4(), CONSUMER, OPERATOR, 0, 1))
    node.state_from, node.deployed = node.head - 8, 20
    await caught_up(watcher(database, ports))
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_the_contract_has_the_last_word_where_logs_are_missing(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(CONSUMER, 40))
    second = node.mine()
    node.blocks[second].pools[CONSUMER.lower()] = 100  # by a log that the node withholds
    node.mine(deposit(CONSUMER, 1))
    await caught_up(watcher(database, ports))
    _, pools = await ledger_of(database, ports)
    assert pools == {CONSUMER: 101}


async def test_a_pool_may_hold_whatever_the_contract_counts(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(OTHER, 2**255), approval(OTHER, 2**256 - 1))  # anybody mints the test token
    node.mine(deposit(CONSUMER, 7))
    await caught_up(watcher(database, ports))
    _, pools = await ledger_of(database, ports)
    assert pools == {OTHER: 2**255, CONSUMER: 7}


@pytest.mark.parametrize("answer", [None, "", "0x", [], 7, "0x" + "f" * 20])
async def test_a_node_that_answers_nonsense_is_an_error_of_the_chain(
    node: ForkingNode, ports: RpcChain, database: Database, answer: object
) -> None:
    node.mine(deposit(CONSUMER, 7))
    await caught_up(watcher(database, ports))
    node.eth_blockNumber = lambda: answer  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ExternalError):
        await ports.head()
    with pytest.raises(ExternalError):
        await watcher(database, ports).watch(NOON)


async def test_who_pays_itself_has_one_entry_about_the_pool(node: ForkingNode, ports: RpcChain) -> None:
    session = uuid4()
    node.mine(deposit(CONSUMER, 100), settlement(session, CONSUMER, CONSUMER, 85, 15))
    _, (_, paid) = await RpcLogs(ports).entries_between(0, 1)
    assert (paid.amount_uusdc, paid.pool_change_uusdc) == (100, -100)


async def test_the_cursor_is_a_heartbeat(node: ForkingNode, ports: RpcChain, database: Database) -> None:
    watch, ledger = watcher(database, ports), PgLedger(ports.contract)
    node.mine()
    await caught_up(watch)
    later = NOON + HEARTBEAT
    for now, expected in ((later - timedelta(seconds=1), NOON), (later, later)):
        assert await watch.watch(now) == 0
        async with database.read() as tx:
            assert await ledger.cursor(tx) == Cursor(node.head, expected)


async def test_ledgers_of_two_contracts_share_the_tables(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.mine(deposit(CONSUMER, 5))
    await caught_up(watcher(database, ports))
    other = RpcChain(node.url, "0x" + "77" * 20, USDC, chain_id=CHAIN_ID)
    await caught_up(watcher(database, other))
    assert await ledger_of(database, other) == ([], {})
    assert await ledger_of(database, ports) == await chain_of(ports)
    await other.close()


async def test_a_limit_on_ranges_is_found_by_few_refusals(
    node: ForkingNode, ports: RpcChain, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_SPAN", 300)
    node.max_range = 20
    for _ in range(2000):
        node.mine()
    watch = watcher(database, ports)
    assert await caught_up(watch) == node.head + 1
    queries = [params[0] for method, params in node.asked if method == "eth_getLogs"]
    asked = [where for where in queries if "toBlock" in where]
    sizes = [int(one["toBlock"], 16) - int(one["fromBlock"], 16) + 1 for one in asked]
    refused = sum(size > node.max_range for size in sizes) // 2  # one query each for contract and token
    assert refused <= 12 and len(sizes) // 2 - refused <= 1.2 * 2000 / node.max_range


async def test_a_distant_node_keeps_the_watcher_longer_than_the_database_waits(
    node: ForkingNode, ports: RpcChain, dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends transactions in which nothing is said for long."""
    monkeypatch.setattr(watching, "ALIVE_SECONDS", 0.1)
    for number in range(TAIL + 40):
        node.mine(deposit("0x" + f"{number:040x}", 1))

    async def slow(_: str) -> None:
        await asyncio.sleep(0.05)

    node.fault = slow  # type: ignore[assignment]
    impatient = await Database.connect(dsn, min_size=1, abandoned_s=0.3)
    ranges = RpcLogs(ports)
    ranges._slots = asyncio.Semaphore(2)
    try:
        assert await Watch(impatient, PgLedger(ports.contract), ranges, 1).watch(NOON) == 41
    finally:
        await impatient.close()
