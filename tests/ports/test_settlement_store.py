"""The settlement rows in PostgreSQL, and the relayer over them with a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from eth_account import Account
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode, Refused
from web3 import AsyncHTTPProvider, AsyncWeb3

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import Payload, Settlement, SettlementState, compose, queued
from luxxon_core.settlement.usecases import QueueSettlement, Relay

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
STORE = PgSettlementStore()
SIGNER = "0x" + "Cc" * 20


async def finished_session(dsn: str, *, rate: int = 1000, seconds: int = 60) -> UUID:
    """A session row that a settlement may refer to."""
    session_id, workspace_id = uuid4(), uuid4()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "insert into workspace (id, slug, name, wallet_address, roles, created_at, created_by_wallet)"
            " values ($1, $2, 'w', '0x', '{CONSUMER}', $3, '0x')",
            workspace_id,
            str(workspace_id),
            NOW,
        )
        await connection.execute(
            "insert into session (id, consumer_workspace_id, state, requested_lat, requested_lng,"
            " geofence_radius_m, max_duration_s, wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps,"
            " created_at, ended_at, clean_seconds, charged_uusdc)"
            " values ($1, $2, 'ENDED', 0, 0, 500, 600, 300, $3, $4, 1500, $5, $5, $6, $7)",
            session_id,
            workspace_id,
            rate,
            rate * 600,
            NOW,
            seconds,
            rate * seconds,
        )
    finally:
        await connection.close()
    return session_id


def payload(session_id: UUID, consumer: str = "0x" + "Aa" * 20, operator: str = "0x" + "Bb" * 20) -> Payload:
    return compose(
        session_id=session_id,
        consumer_wallet=consumer,
        operator_wallet=operator,
        rate_uusdc=1000,
        clean_seconds=60,
        fee_bps=1500,
    )


async def pending(database: Database, dsn: str, due: datetime = NOW) -> Settlement:
    settlement = queued(payload(await finished_session(dsn)), NOW, due)
    async with database.begin() as tx:
        assert await STORE.add(tx, settlement)
    return settlement


def submitted(settlement: Settlement, nonce: int) -> Settlement:
    return replace(
        settlement,
        state=SettlementState.SUBMITTED,
        signer=SIGNER,
        nonce=nonce,
        raw_tx=b"\x02raw",
        tx_hash=f"0x{nonce:064x}",
        submitted_at=NOW,
    )


async def test_what_is_saved_is_read_back(database: Database, dsn: str) -> None:
    settlement = await pending(database, dsn)
    changed = replace(
        submitted(settlement, 4),
        attempts=2,
        last_error="reverted",
        confirmed_at=NOW + timedelta(seconds=9),
        block_number=77,
    )
    async with database.begin() as tx:
        assert not await STORE.add(tx, replace(settlement, attempts=9))
        assert await STORE.get(tx, settlement.payload.session_id) == settlement
        await STORE.save(tx, changed)
    async with database.read() as tx:
        assert await STORE.get(tx, settlement.payload.session_id) == changed
        assert await STORE.get(tx, uuid4()) is None


async def test_the_longest_due_is_claimed_and_held(database: Database, dsn: str) -> None:
    late = await pending(database, dsn, NOW + timedelta(seconds=5))
    early = await pending(database, dsn, NOW)
    async with database.read() as tx:
        assert await STORE.next_due(tx) == NOW
    async with database.begin() as one, database.begin() as two, database.begin() as three:
        assert await STORE.claim(one, NOW + timedelta(seconds=9)) == early
        assert await STORE.claim(two, NOW) is None
        assert await STORE.claim(two, NOW + timedelta(seconds=9)) == late
        assert await STORE.claim(three, NOW + timedelta(seconds=9)) is None
        await STORE.save(one, replace(early, state=SettlementState.CONFIRMED))
        await STORE.save(two, replace(late, state=SettlementState.CONFIRMED))
    async with database.begin() as tx:
        assert await STORE.claim(tx, NOW + timedelta(days=1)) is None
        assert await STORE.next_due(tx) is None


async def test_nonces_are_handed_out_one_after_the_other(database: Database, dsn: str) -> None:
    first, second = await pending(database, dsn), await pending(database, dsn)
    order: list[str] = []

    async def take(name: str, settlement: Settlement, begun: asyncio.Event, go_on: asyncio.Event) -> int:
        async with database.begin() as tx:
            nonce = await STORE.next_nonce(tx, SIGNER, 3)
            begun.set()
            await go_on.wait()
            order.append(name)
            await STORE.save(tx, submitted(settlement, nonce))
            return nonce

    held, free, unheeded = asyncio.Event(), asyncio.Event(), asyncio.Event()
    unheeded.set()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        one = group.create_task(take("one", first, held, free))
        await held.wait()
        two = group.create_task(take("two", second, asyncio.Event(), unheeded))
        async with database.begin() as tx:  # another account does not wait
            assert await STORE.next_nonce(tx, "0x" + "Dd" * 20, 0) == 0
        free.set()
    assert (one.result(), two.result(), order) == (3, 4, ["one", "two"])
    async with database.begin() as tx:
        assert await STORE.next_nonce(tx, SIGNER, 9) == 9


# ---------------------------------------------------------------- with a chain


class Market:
    """A consumer with a pool, an operator, and relayers over one database and one chain."""

    def __init__(self, chain: EmbeddedChain, ports: RpcChain, database: Database, dsn: str) -> None:
        self.chain, self.ports, self.database, self.dsn = chain, ports, database, dsn
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

    def relay(self) -> Relay:
        return Relay(self.database, STORE, self.ports, confirmations=1)

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
    ports = RpcChain(
        chain.rpc_url, chain.settlement_address, chain.usdc_address, chain.relayer, chain_id=chain.chain_id
    )
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
    receipt = await market.ports.receipt(settled.tx_hash)
    assert receipt and receipt.succeeded
    assert (settled.block_number, settled.confirmed_at) == (receipt.block_number, receipt.timestamp)
    assert await market.ports.usdc_balance(market.operator) == 51_000
    assert await market.ports.usdc_balance(market.chain.platform_wallet) == 9_000


async def test_many_relayers_pay_each_session_once(market: Market) -> None:
    await market.fill_pool(10**6)
    sessions = [await market.finish_session() for _ in range(8)]
    await asyncio.gather(*(drain(market.relay()) for _ in range(4)))
    paid = [await market.settlement(session_id) for session_id in sessions]
    assert all(settlement.state is SettlementState.CONFIRMED for settlement in paid)
    assert sorted(settlement.nonce or 0 for settlement in paid) == list(range(8))
    assert await market.ports.usdc_balance(market.operator) == 8 * 51_000
    assert (await market.ports.pool(market.consumer.address)).amount_uusdc == 10**6 - 8 * 60_000


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("method", ["settled", "account_nonce", "sign", "broadcast", "receipt"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_around_any_call_pays_once(
    market: Market, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    await market.fill_pool(10**6)
    session_id = await market.finish_session()
    original = getattr(market.ports, method)

    async def dying(*arguments: object, **options: object) -> object:
        if after:
            await original(*arguments, **options)
        raise Died

    monkeypatch.setattr(market.ports, method, dying)
    with pytest.raises(Died):
        await drain(market.relay())
    monkeypatch.undo()
    for seconds in (0, 30, 60):  # one to see that nothing was broadcast, one to broadcast, one to confirm
        await drain(market.relay(), timedelta(seconds=seconds))
    settled = await market.settlement(session_id)
    assert settled.state is SettlementState.CONFIRMED
    found = await market.ports.find_settlement(session_id)
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
        node.eth_call = refuse  # type: ignore[assignment,method-assign]
        chain = RpcChain(node.url, SETTLEMENT, USDC, chain_id=CHAIN_ID)
        relay = Relay(database, STORE, chain, 1)
        assert [await relay.relay_once(NOW) for _ in range(3)] == [True, True, False]
        await chain.close()
    async with database.read() as tx:
        rows = await connection(tx).fetch("select attempts, last_error from settlement")
    assert [row["attempts"] for row in rows] == [1, 1]
    assert all(0 < len(row["last_error"]) < 1000 for row in rows)
