"""The ledger against the chain: what a comparison finds, and a ledger made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ledger_chains import (
    CONSUMER,
    OPERATOR,
    OTHER,
    AnyChain,
    RealChain,
    caught_up,
    chain_of,
    ledger_of,
    story,
    watcher,
)
from ledger_node import SETTLEMENT, ForkingNode, approval, deposit, settlement, withdrawal
from marketplace import NOON

from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.errors import Conflict, ExternalError
from luxxon_core.kernel.ids import new_id
from luxxon_core.wallet.usecases import TAIL, Audit, Books
from luxxon_core.wallet.usecases import books as module
from tests.journeys import conftest
from tests.journeys.conftest import Command, Run

luxxon = conftest.luxxon


def books(database: Database, ports: RpcChain, confirmations: int = 1) -> Books:
    return Books(database, PgLedger(ports.contract), RpcLogs(ports), confirmations)


def silent(_read: int, _of: int) -> None:
    """Progress that nobody looks at."""


async def check(database: Database, ports: RpcChain) -> Audit:
    return await books(database, ports).check(NOON, silent)


async def rebuild(database: Database, ports: RpcChain) -> Audit:
    return await books(database, ports).rebuild(NOON, silent)


async def sql(database: Database, text: str) -> None:
    async with database.begin() as tx:
        await connection(tx).execute(text)


async def tables(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the ledger's tables."""
    async with database.read() as tx:
        return {
            name: [tuple(row) for row in await connection(tx).fetch(f"select * from {name} order by 1, 2")]
            for name in ("chain_event", "chain_pool", "chain_block", "chain_cursor")
        }


async def test_what_the_watcher_kept_is_what_the_chain_says(chain: AnyChain, database: Database) -> None:
    await story(chain)
    await caught_up(watcher(database, chain.ports))
    found = await check(database, chain.ports)
    entries, pools = await chain_of(chain.ports)
    assert (found.differences, found.entries, found.wallets) == ((), len(entries), len(pools))


async def test_a_ledger_made_of_nothing_is_the_watchers(chain: AnyChain, database: Database) -> None:
    await story(chain)
    await caught_up(watcher(database, chain.ports))
    kept = await tables(database)
    await sql(database, "truncate chain_event, chain_pool, chain_block, chain_cursor")
    assert (await check(database, chain.ports)).differences == ("the watcher has not read anything yet",)
    assert (await rebuild(database, chain.ports)).differences == ()
    made = await tables(database)
    assert made["chain_event"] == kept["chain_event"]
    assert made["chain_cursor"] == kept["chain_cursor"]
    assert await ledger_of(database, chain.ports) == await chain_of(chain.ports)
    assert (await check(database, chain.ports)).differences == ()


DAMAGE = {
    "a row is missing": ("delete from chain_event where kind = 'WITHDRAWAL'", ["missing", "its rows add up"]),
    "an amount is wrong": ("update chain_event set amount_uusdc = 1 where kind = 'APPROVAL'", ["different"]),
    "a time is wrong": ("update chain_event set confirmed_at = now() where kind = 'APPROVAL'", ["different"]),
    "a change is wrong": (
        "update chain_event set pool_change_uusdc = 9 where kind = 'WITHDRAWAL'",
        ["different", "its rows add up"],
    ),
    "a session is wrong": ("update chain_event set related_session = null", ["different", "different"]),
    "a balance is wrong": ("update chain_pool set balance_uusdc = balance_uusdc + 7", ["noted", "noted"]),
    "a balance is missing": ("delete from chain_pool where balance_uusdc > 0", ["noted"]),
    "a row is made up": (
        """insert into chain_event (id, contract, wallet_address, kind, tx_hash, log_index, block_number,
           confirmed_at, amount_uusdc, pool_change_uusdc)
           select gen_random_uuid(), contract, wallet_address, kind, tx_hash, 99, block_number, confirmed_at,
               5, 5 from chain_event where kind = 'WITHDRAWAL'""",
        ["not on the chain", "its rows add up"],
    ),
    "a block is another": (
        "update chain_block set hash = '0x' where number = (select max(number) from chain_block)",
        ["block"],
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
async def test_every_difference_is_told_and_mended(
    node: ForkingNode, ports: RpcChain, database: Database, kind: str
) -> None:
    session = new_id()
    node.mine(approval(CONSUMER, 50))
    node.mine(deposit(CONSUMER, 40), withdrawal(CONSUMER, 3), settlement(session, CONSUMER, OPERATOR, 8, 2))
    await caught_up(watcher(database, ports))
    damage, expected = DAMAGE[kind]
    await sql(database, damage)
    told = (await check(database, ports)).differences
    assert len(told) == len(expected)
    for line, words in zip(told, expected, strict=True):
        assert words in line
    assert (await rebuild(database, ports)).differences == ()
    assert (await check(database, ports)).differences == ()
    assert await ledger_of(database, ports) == await chain_of(ports)


async def test_readers_see_the_old_ledger_or_the_new_one(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    node.max_range = 20
    for number in range(TAIL + 200):
        node.mine(deposit(CONSUMER, number + 1), settlement(new_id(), CONSUMER, OPERATOR, 0, 1))
    await caught_up(watcher(database, ports))
    whole = await tables(database)
    await sql(database, "delete from chain_event where block_number % 2 = 0")
    damaged = await tables(database)
    seen, ended = [], asyncio.Event()

    async def look() -> None:
        while not ended.is_set():
            async with database.read() as tx:
                seen.append(await connection(tx).fetchval("select count(*) from chain_event"))

    looking = asyncio.create_task(look())
    await rebuild(database, ports)
    ended.set()
    await looking
    assert len(seen) > 2
    assert set(seen) <= {len(damaged["chain_event"]), len(whole["chain_event"])}
    assert (await tables(database))["chain_event"] == whole["chain_event"]


async def test_a_rebuild_that_fails_changes_nothing(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for number in range(TAIL + 20):
        node.mine(deposit(CONSUMER, number + 1))
    await caught_up(watcher(database, ports))
    await sql(database, "delete from chain_event where block_number = 5")
    before = await tables(database)
    for answers in range(0, 60, 7):
        node.fails_at = answers
        with pytest.raises(ExternalError):
            await rebuild(database, ports)
        assert await tables(database) == before


async def test_the_watcher_waits_for_a_rebuild_and_goes_on_behind_it(
    node: ForkingNode, ports: RpcChain, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        node.mine(deposit(CONSUMER, 3))
    watch, steps = watcher(database, ports), []

    async def step() -> None:
        steps.append(await watch.watch(NOON))

    def meanwhile(method: str) -> None:
        if method == "eth_getLogs" and not tasks:
            node.mine(deposit(OTHER, 2))
            tasks.append(asyncio.create_task(step()))

    tasks: list[asyncio.Task[None]] = []
    node.before = meanwhile
    assert (await rebuild(database, ports)).block_number == 5
    node.before = None
    await asyncio.gather(*tasks)
    assert steps in ([0], [1])  # it found the ledger locked, or came when all was done
    await caught_up(watch)
    assert await ledger_of(database, ports) == await chain_of(ports)
    async with database.begin() as tx:
        assert await PgLedger(ports.contract).lock(tx)
        monkeypatch.setattr(module, "LOCK_TRIES", 2)
        with pytest.raises(Conflict):
            await rebuild(database, ports)


@pytest.mark.parametrize("request_number", [2, 5, 9, 14])
async def test_a_chain_that_reorganises_meanwhile_is_read_as_it_is_then(
    node: ForkingNode, ports: RpcChain, database: Database, request_number: int
) -> None:
    for _ in range(10):
        node.mine(deposit(CONSUMER, 1))
    left = iter(range(request_number, -1, -1))

    def fork(_: str) -> None:
        if next(left, -1) == 0:
            node.fork(3)
            for _ in range(12):
                node.mine(deposit(OTHER, 2))

    node.before = fork
    await rebuild(database, ports)
    assert node.dropped
    await caught_up(watcher(database, ports))
    assert await ledger_of(database, ports) == await chain_of(ports)
    assert (await check(database, ports)).differences == ()


async def test_logs_that_a_node_withholds_are_found_out(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for _ in range(TAIL + 10):
        node.mine(deposit(CONSUMER, 1))
    node.withholds = {7}
    told = (await rebuild(database, ports)).differences
    assert told == (f"pool of {CONSUMER}: its entries add up to 73 µUSDC, the contract has 74",)
    node.withholds = set()
    missing, summed = (await check(database, ports)).differences
    assert missing.startswith("missing: DEPOSIT of 1 µUSDC")
    assert summed == f"pool of {CONSUMER}: its rows add up to 73 µUSDC, the contract has 74"


async def test_a_node_without_old_states_is_enough(
    node: ForkingNode, ports: RpcChain, database: Database
) -> None:
    for number in range(30):
        node.mine(deposit(CONSUMER, number + 1))
    await caught_up(watcher(database, ports))
    node.mine()
    node.state_from = node.head
    assert (await check(database, ports)).differences == ()
    await sql(database, "delete from chain_event where block_number = 5")
    assert len((await check(database, ports)).differences) == 2


# ---------------------------------------------------------------- as commands


@pytest.fixture
async def real() -> AsyncIterator[tuple[EmbeddedChain, RealChain]]:
    running = await EmbeddedChain.start(None)
    opened = RealChain(running)
    yield running, opened
    await opened.close()


async def test_the_commands_say_it_with_their_exit_codes(
    luxxon: Run, real: tuple[EmbeddedChain, RealChain], database: Database, dsn: str
) -> None:
    running, chain = real
    await story(chain)
    await caught_up(watcher(database, chain.ports))
    command = Command(
        luxxon,
        "ledger",
        LUXXON_DATABASE_URL=dsn,
        LUXXON_RPC_URL=f"http://127.0.0.1:9/hunter2,{running.rpc_url}",
        LUXXON_SETTLEMENT_ADDRESS=running.settlement_address,
        LUXXON_CONFIRMATIONS="1",
    )
    assert await command("check") == 0, command.err
    assert command.out.split()[:2] == ["contract", chain.ports.contract]
    assert "differences  none" in command.out
    await sql(database, "delete from chain_event where kind = 'WITHDRAWAL'")
    assert await command("check") == 1
    assert "missing: WITHDRAWAL of 1000000 µUSDC (-1000000)" in command.out
    assert await command("rebuild") == 0
    assert await command("check") == 0
    assert await ledger_of(database, chain.ports) == await chain_of(chain.ports)
    assert "hunter2" not in command.err
    nowhere = Command(
        luxxon,
        "ledger",
        LUXXON_DATABASE_URL=dsn,
        LUXXON_RPC_URL="http://127.0.0.1:9/hunter2",
        LUXXON_SETTLEMENT_ADDRESS=SETTLEMENT,
    )
    assert await nowhere("check") == 2
    assert nowhere.err.splitlines()[-1].startswith("luxxon: setting rpc_url: ")
    assert "hunter2" not in nowhere.err
