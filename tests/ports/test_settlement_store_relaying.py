"""The relayer over the settlement rows in PostgreSQL, with a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from eth_account import Account
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode, Refused
from relayer_chain import relayer_chain
from settlement_rows import NOW, STORE, finished_session, payload
from web3 import AsyncHTTPProvider, AsyncWeb3

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import Settlement, SettlementState
from luxxon_core.settlement.usecases import Policy, QueueSettlement, Relay


class Market:
    """A consumer with a pool, an operator, and relayers over one database and one chain."""

    def __init__(self, chain: EmbeddedChain, ports: RpcChain, database: Database, dsn: str) -> None:
        self.chain, self.ports, self.database, self.dsn = chain, ports, database, dsn
        self.relaying = RpcSettlements(ports)
        self.consumer, self.operator = Account.create(), Account.create().address

    async def fill_pool(self, amount: int) -> None:
        w3 = AsyncWeb3(AsyncHTTPProvider(self.chain.rpc_url))
        await self.chain.faucet(self.consumer.address, 10**18, amount)
        usdc = w3.eth.contract(address=self.chain.usdc_address, abi=artifact("TestUSDC").abi)
        pool = w3.eth.contract(address=self.chain.settlement_address, abi=artifact("LuxxonSettlement").abi)
        steps = (usdc.functions.approve(pool.address, amount), pool.functions.deposit(amount))
        for nonce, step in enumerate(steps):
            fields = await step.build_transaction({"from": self.consumer.address, "nonce": nonce})
            await w3.eth.send_raw_transaction(self.consumer.sign_transaction(fields).raw_transaction)
        await w3.provider.disconnect()

    def relay(self, **policy: Any) -> Relay:
        return Relay(self.database, STORE, self.relaying, Policy(confirmations=1, final=1, **policy))

    async def finish_session(self) -> UUID:
        session_id = await finished_session(self.dsn)
        async with self.database.begin() as tx:
            owed = payload(session_id, self.consumer.address, self.operator)
            await QueueSettlement(STORE)(tx, owed, NOW, NOW)
        return session_id

    async def settlement(self, session_id: UUID) -> Settlement:
        async with self.database.read() as tx:
            found = await STORE.get(tx, session_id)
        assert found is not None
        return found


@pytest.fixture
async def market(database: Database, dsn: str) -> AsyncIterator[Market]:
    chain = await EmbeddedChain.start(None)
    ports = relayer_chain(chain)
    yield Market(chain, ports, database, dsn)
    await ports.close()
    await chain.close()


async def drain(relay: Relay, ahead: timedelta = timedelta()) -> None:
    """Pass until nothing is due, by a clock that runs ahead."""
    async with asyncio.timeout(30):
        while await relay.relay_once(utc_now() + ahead):
            pass


async def test_a_finished_session_is_paid_and_confirmed(market: Market) -> None:
    await market.fill_pool(10**6)
    session_id = await market.finish_session()
    await drain(market.relay())
    settled = await market.settlement(session_id)
    assert settled.state is SettlementState.CONFIRMED and settled.tx_hash
    receipt = (await market.relaying.receipts([settled.tx_hash]))[settled.tx_hash]
    assert receipt.succeeded
    assert (settled.block_number, settled.confirmed_at) == (receipt.block_number, receipt.timestamp)
    assert await market.ports.usdc_balance(market.operator) == 51_000
    assert await market.ports.usdc_balance(market.chain.platform_wallet) == 9_000


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_many_relayers_pay_each_session_once(market: Market, batch: int) -> None:
    await market.fill_pool(10**6)
    sessions = [await market.finish_session() for _ in range(8)]
    await asyncio.gather(*(drain(market.relay(batch=batch)) for _ in range(4)))
    paid = [await market.settlement(session_id) for session_id in sessions]
    assert all(settlement.state is SettlementState.CONFIRMED for settlement in paid)
    assert len({settlement.tx_hash for settlement in paid}) >= 8 / batch
    assert await market.ports.usdc_balance(market.operator) == 8 * 51_000
    assert (await market.ports.pool(market.consumer.address)).amount_uusdc == 10**6 - 8 * 60_000


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("method", ["simulate", "nonce", "sign", "broadcast_all", "receipts", "nonces_used"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_around_any_call_pays_once(
    market: Market, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    await market.fill_pool(10**6)
    session_id = await market.finish_session()
    original = getattr(market.relaying, method)

    async def dying(*arguments: object, **options: object) -> object:
        if after:
            await original(*arguments, **options)
        raise Died

    monkeypatch.setattr(market.relaying, method, dying)
    with pytest.raises(Died):
        await drain(market.relay())
    monkeypatch.undo()
    for seconds in (0, 30, 60):  # one to see that nothing was broadcast, one to broadcast, one to confirm
        await drain(market.relay(), timedelta(seconds=seconds))
    settled = await market.settlement(session_id)
    assert settled.state is SettlementState.CONFIRMED
    found = await market.relaying.find_settlement(session_id, NOW)
    assert found and found.tx_hash == settled.tx_hash
    assert await market.ports.usdc_balance(market.operator) == 51_000


async def test_an_empty_pool_is_paid_from_after_the_deposit(market: Market) -> None:
    session_id = await market.finish_session()
    await drain(market.relay())
    waiting = await market.settlement(session_id)
    assert waiting.state is SettlementState.PENDING and waiting.attempts == 1
    assert waiting.last_error == "The consumer's pool holds less than the charge"
    await market.fill_pool(10**6)
    await drain(market.relay(), timedelta(seconds=30))
    assert (await market.settlement(session_id)).state is SettlementState.CONFIRMED


@pytest.mark.parametrize("said", ["a\0b", "half \ud83d", "<html>" * 100_000])
async def test_whatever_a_node_says_one_payment_keeps_no_other_waiting(
    database: Database, dsn: str, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(said)

    queue = QueueSettlement(STORE)
    async with database.begin() as tx:
        for _ in range(2):
            await queue(tx, payload(await finished_session(dsn)), NOW, NOW)
    async with ForkingNode.serving() as node:
        node.eth_call = node.eth_estimateGas = refuse  # type: ignore[assignment,attr-defined,method-assign]
        signer = LocalSigner(b"\x01" * 32)
        chain = RpcChain(node.url, SETTLEMENT, USDC, signer, chain_id=CHAIN_ID)
        relay = Relay(database, STORE, RpcSettlements(chain), Policy(confirmations=1, final=1))
        assert [await relay.relay_once(NOW) for _ in range(2)] == [True, False]
        await chain.close()
    async with database.read() as tx:
        rows = await connection(tx).fetch("select attempts, last_error from settlement")
    assert [row["attempts"] for row in rows] == [1, 1]
    assert all(0 < len(row["last_error"]) < 1000 for row in rows)
