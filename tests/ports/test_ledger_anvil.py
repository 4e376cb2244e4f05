"""The watcher on a real node that takes blocks back, while it watches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from anvil import AnvilChain, anvil_chain, call
from ledger_chains import caught_up, chain_of, ledger_of, watcher
from marketplace import NOON
from paying import pay
from relayer_chain import relayer_chain

from luxxon_core.adapters.chain.external import open_chain
from luxxon_core.adapters.chain.heads import NewHeads
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.bootstrap import deployed, work
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settings import load
from luxxon_core.settlement.domain import Payload
from luxxon_core.wallet.usecases import Books, Watch


class Town:
    """Three funded wallets of anvil's, which use the contract at random."""

    def __init__(self, chain: AnvilChain, wallets: list[str], ports: RpcChain) -> None:
        self.chain, self.wallets, self.ports = chain, wallets, ports
        self.relayer = RpcSettlements(ports)
        self.dice = random.Random(7)

    async def act(self) -> None:
        """One block with something in it."""
        contract, wallet = self.chain.settlement_address, self.dice.choice(self.wallets)
        match self.dice.randrange(4):
            case 0 | 1:
                data = call("deposit(uint256)", self.dice.randrange(1, 10**6))
            case 2:
                data = call("withdraw(uint256)", self.dice.randrange(1, 10**5))
            case 3:
                payload = Payload(uuid4(), wallet, self.dice.choice(self.wallets), 100, 10, 850, 150)
                await pay(self.relayer, payload)
                return
        await self.chain.node.send(**{"from": wallet}, to=contract, data=data)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with anvil_chain(tmp_path) as chain:
        wallets = (await chain.node.rpc("eth_accounts"))[1:4]
        ports = relayer_chain(chain)
        for wallet in wallets:
            await chain.faucet(wallet, 0, 10**12)
            approve = call("approve(address,uint256)", chain.settlement_address, 2**256 - 1)
            await chain.node.send(**{"from": wallet}, to=chain.usdc_address, data=approve)
            data = call("deposit(uint256)", 10**9)
            await chain.node.send(**{"from": wallet}, to=chain.settlement_address, data=data)
        yield Town(chain, wallets, ports)
        await ports.close()


@pytest.mark.parametrize("confirmations", [1, 3])
async def test_reorganisations_of_each_depth_while_watching(
    town: Town, database: Database, confirmations: int
) -> None:
    watch = watcher(database, town.ports, confirmations)

    async def watching() -> None:
        while True:
            with suppress(ExternalError):  # as a worker does: the next step takes up where this one began
                await watch.watch(NOON)
            await asyncio.sleep(0.01)

    following = asyncio.create_task(watching())
    for _ in range(12):
        await town.act()
    for depth in range(1, 11):
        await town.chain.node.rpc("anvil_rollback", depth)
        for _ in range(town.dice.randrange(depth + 3)):  # shorter and longer than what went
            await town.act()
        while await town.ports.head() < 20:
            await town.act()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    for _ in range(confirmations + 2):
        await town.act()
    await caught_up(watch)
    entries, pools = await ledger_of(database, town.ports)
    last = await town.ports.head() + 1 - confirmations
    expected, at_last = await chain_of(town.ports, last)
    assert entries == expected
    assert pools == at_last
    books = Books(database, PgLedger(town.ports.contract), RpcLogs(town.ports), confirmations)
    found = await books.check(NOON, lambda _read, _of: None)
    assert (found.differences, found.block_number) == ((), last)


async def test_a_chain_is_opened_over_a_websocket_behind_a_node_that_is_down(town: Town) -> None:
    socket = town.chain.rpc_url.replace("http", "ws")
    chain = await open_chain(["http://127.0.0.1:9/", socket], town.chain.settlement_address)
    try:
        assert (chain.usdc_address, chain.chain_id) == (town.chain.usdc_address, town.chain.chain_id)
        assert await chain.head() == await town.ports.head()
    finally:
        await chain.close()


async def test_a_deposit_is_seen_without_looking(town: Town, database: Database) -> None:
    """anvil's own subscription wakes the watcher: there is no pause that would do."""
    watch: Watch = watcher(database, town.ports)
    await caught_up(watch)
    heads = NewHeads([town.chain.rpc_url.replace("http", "ws")], town.chain.settlement_address)
    running = asyncio.create_task(heads.run())
    try:
        async with asyncio.timeout(10):
            while not heads.subscribed:
                await heads.wait(1)
            for _ in range(3):
                waiting = asyncio.create_task(heads.wait(60))
                await town.act()
                await waiting
                await caught_up(watch)
                assert await ledger_of(database, town.ports) == await chain_of(town.ports)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("setting", ["rpc_url", "rpc_ws_url"])
async def test_a_server_is_woken_by_the_node(
    town: Town, database: Database, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setitem(work.CHAIN_SECONDS, "external", (60.0, 60.0))  # nobody will look
    url = town.chain.rpc_url
    socket = url.replace("http", "ws")
    given = {"rpc_url": f"{url},{socket}"} if setting == "rpc_url" else {"rpc_url": url, "rpc_ws_url": socket}
    settings = load(
        data_dir=tmp_path / "server",
        database_url=dsn,
        settlement_address=town.chain.settlement_address,
        public_rpc_url=url,
        confirmations=1,
        **given,
    )
    async with deployed(settings, "http://127.0.0.1:1", utc_now), asyncio.timeout(30):
        for _ in range(3):
            await town.act()
            expected = await chain_of(town.ports)
            while await ledger_of(database, town.ports) != expected:
                await asyncio.sleep(0.05)
