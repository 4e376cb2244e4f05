"""The settlement rows in PostgreSQL, and the relayer over them with a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from eth_account import Account
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode, Refused
from web3 import AsyncHTTPProvider, AsyncWeb3

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import InvalidState, SessionNotFound
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import (
    Fee,
    Payload,
    Settlement,
    SettlementState,
    Version,
    Wait,
    compose,
    queued,
)
from luxxon_core.settlement.ports import Look
from luxxon_core.settlement.usecases import Desk, Policy, QueueSettlement, Relay

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


def version(number: int) -> Version:
    return Version(f"0x{number:064x}", b"\x02raw", Fee(30, 2))


async def submitted(tx: Tx, settlement: Settlement, nonce: int | None) -> Settlement:
    signed = version(nonce or 0)
    (opened,) = await STORE.open_transactions(tx, CHAIN_ID, SIGNER, [(nonce, signed)], NOW, NOW)
    after = replace(
        settlement,
        state=SettlementState.SUBMITTED,
        transaction_id=opened,
        tx_hash=signed.tx_hash,
        submitted_at=NOW,
    )
    await STORE.save(tx, [after])
    return after


async def test_what_is_saved_is_read_back(database: Database, dsn: str) -> None:
    one, other = await pending(database, dsn), await pending(database, dsn)
    async with database.begin() as tx:
        assert not await STORE.add(tx, replace(one, attempts=9))
        assert await STORE.get(tx, one.payload.session_id) == one
        changed = replace(
            await submitted(tx, one, 4),
            attempts=2,
            last_error="reverted",
            confirmed_at=NOW + timedelta(seconds=9),
            final_at=NOW + timedelta(seconds=99),
            block_number=77,
        )
        parked = replace(other, waits_for=Wait.DEPOSIT, short_at_block=5)
        await STORE.save(tx, [changed, parked])
    async with database.read() as tx:
        assert await STORE.get(tx, one.payload.session_id) == changed
        assert await STORE.get(tx, other.payload.session_id) == parked
        assert await STORE.get(tx, uuid4()) is None


async def test_the_longest_due_are_claimed_and_held(database: Database, dsn: str) -> None:
    late = await pending(database, dsn, NOW + timedelta(seconds=5))
    early = await pending(database, dsn, NOW)
    parked = replace(await pending(database, dsn, NOW), waits_for=Wait.OPERATOR)
    later = NOW + timedelta(seconds=9)
    async with database.begin() as tx:
        await STORE.save(tx, [parked])
        assert await STORE.next_due(tx) == NOW
    async with database.begin() as one, database.begin() as two, database.begin() as three:
        assert await STORE.claim(one, later, 1) == [early]
        assert await STORE.claim(two, NOW, 9) == []
        assert await STORE.claim(two, later, 9) == [late]
        assert await STORE.claim(three, later, 9) == []
        await STORE.save(one, [replace(early, state=SettlementState.CONFIRMED)])
        await STORE.save(two, [replace(late, state=SettlementState.CONFIRMED)])
    async with database.begin() as tx:
        assert await STORE.claim(tx, NOW + timedelta(days=1), 9) == []
        assert await STORE.next_due(tx) is None
        assert await STORE.unfinished(tx, parked=True, limit=9) == [parked]


async def test_a_transaction_is_followed_with_all_its_versions_until_it_is_closed(
    database: Database, dsn: str
) -> None:
    one, other = await pending(database, dsn), await pending(database, dsn)
    async with database.begin() as tx:
        one = await submitted(tx, one, 7)
        assert one.transaction_id is not None
        await STORE.save(tx, [replace(one, payload=other.payload)])  # a batch of two
        await STORE.add_version(tx, one.transaction_id, version(8), NOW + timedelta(seconds=30))
    async with database.begin() as tx, database.begin() as elsewhere:
        (found,) = await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)
        assert await STORE.claim_transactions(elsewhere, CHAIN_ID, NOW, 9) == []
        assert await STORE.claim_transactions(elsewhere, CHAIN_ID + 1, NOW, 9) == []
        assert (found.signer, found.nonce, found.versions) == (SIGNER, 7, (version(7), version(8)))
        assert found.signed_at == found.waiting_since == NOW + timedelta(seconds=30)
        assert len(await STORE.paid_by(tx, [found.id])) == 2
        await STORE.looked(tx, [Look(found.id, NOW + timedelta(seconds=60), None)])
    async with database.begin() as tx:
        assert await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9) == []
        await STORE.look_now(tx, found.id, NOW)
        assert len(await STORE.claim_transactions(tx, CHAIN_ID, NOW, 9)) == 1
        await STORE.close_transactions(tx, [found.id], NOW)
        assert await STORE.claim_transactions(tx, CHAIN_ID, NOW + timedelta(days=1), 9) == []
        closed = await STORE.transaction_of(tx, one)
    assert closed is not None
    assert [(each.tx_hash, each.raw) for each in closed.versions] == [
        (version(number).tx_hash, None) for number in (7, 8)
    ]


async def test_nonces_are_handed_out_one_after_the_other(database: Database, dsn: str) -> None:
    first, second = await pending(database, dsn), await pending(database, dsn)
    order: list[str] = []

    async def take(name: str, settlement: Settlement, begun: asyncio.Event, go_on: asyncio.Event) -> int:
        async with database.begin() as tx:
            (nonce,) = await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 3, 1)
            begun.set()
            await go_on.wait()
            order.append(name)
            await submitted(tx, settlement, nonce)
            return nonce

    held, free, unheeded = asyncio.Event(), asyncio.Event(), asyncio.Event()
    unheeded.set()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        one = group.create_task(take("one", first, held, free))
        await held.wait()
        two = group.create_task(take("two", second, asyncio.Event(), unheeded))
        async with database.begin() as tx:  # another account does not wait, nor another chain
            assert await STORE.free_nonces(tx, CHAIN_ID, "0x" + "Dd" * 20, 0, 2) == [0, 1]
            assert await STORE.free_nonces(tx, 1, SIGNER, 0, 1) == [0]
        free.set()
    assert (one.result(), two.result(), order) == (3, 4, ["one", "two"])


async def test_nonces_of_gaps_come_first_and_those_of_what_is_final_never_again(
    database: Database, dsn: str
) -> None:
    async with database.begin() as tx:
        signed: list[tuple[int | None, Version]] = [(nonce, version(nonce)) for nonce in (3, 4, 6)]
        _, fourth, _ = await STORE.open_transactions(tx, CHAIN_ID, SIGNER, signed, NOW, NOW)
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 3, 3) == [5, 7, 8]
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 9, 1) == [9]
        await STORE.close_transactions(tx, [fourth], NOW)
        # a node that lags tells of a nonce long used
        assert await STORE.free_nonces(tx, CHAIN_ID, SIGNER, 1, 2) == [5, 7]


async def test_a_deposit_in_the_ledger_wakes_what_waits_for_it(database: Database, dsn: str) -> None:
    waiting = [
        replace(
            await pending(database, dsn, NOW + timedelta(hours=1)),
            waits_for=Wait.DEPOSIT,
            short_at_block=short,
        )
        for short in (10, 20)
    ]
    ledger = PgLedger("1:0x")
    async with database.begin() as tx:
        await STORE.save(tx, waiting)
        await ledger.set_pools(tx, {waiting[0].payload.consumer_wallet: 59_999}, 15, NOW)
        other = PgLedger("2:0x")  # a chain that has come further, of which there was money before
        await other.set_pools(tx, {waiting[0].payload.consumer_wallet: 10**9}, 99, NOW)
        await STORE.wake(tx, "1:0x", NOW)
        assert await STORE.claim(tx, NOW, 9) == []  # still too little
        await ledger.set_pools(tx, {waiting[0].payload.consumer_wallet: 60_000}, 15, NOW)
        await STORE.wake(tx, "1:0x", NOW)
        claimed = await STORE.claim(tx, NOW, 9)
    # the other one was refused when that deposit had been made
    assert [one.payload.session_id for one in claimed] == [waiting[0].payload.session_id]


async def test_the_desk_retries_what_was_parked(database: Database, dsn: str) -> None:
    desk, parked = Desk(database, STORE), replace(await pending(database, dsn), waits_for=Wait.OPERATOR)
    other = await pending(database, dsn)
    async with database.begin() as tx:
        await STORE.save(tx, [replace(parked, attempts=9)])
        sent = await submitted(tx, other, 3)
    assert len(await desk.unfinished(parked=False, limit=9)) == 2
    assert [one.attempts for one in await desk.unfinished(parked=True, limit=9)] == [9]
    shown = await desk.show(sent.payload.session_id)
    assert shown.settlement == sent and shown.transaction and shown.transaction.nonce == 3
    later = NOW + timedelta(hours=1)
    again = await desk.retry(parked.payload.session_id, later)
    assert (again.waits_for, again.attempts, again.next_attempt_at) == (None, 0, later)
    async with database.begin() as tx:
        assert await STORE.claim(tx, later, 9) == [again]
        await STORE.save(tx, [replace(again, state=SettlementState.CONFIRMED)])
    with pytest.raises(InvalidState):
        await desk.retry(parked.payload.session_id, later)
    with pytest.raises(SessionNotFound):
        await desk.show(uuid4())


# ---------------------------------------------------------------- with a chain


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
