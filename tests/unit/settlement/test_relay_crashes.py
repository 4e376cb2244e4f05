"""The relayer pays every session exactly once, wherever the process dies.

The chain and the store are small models that can end the world before or after any of their effects; what
survives is what was committed and what the network has seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Payload, Settlement, SettlementState, compose
from luxxon_core.settlement.ports import (
    AlreadySettled,
    InsufficientGasFunds,
    InsufficientPool,
    NonceUsed,
    Receipt,
    SignedSettlement,
)
from luxxon_core.settlement.usecases import GetSettlement, QueueSettlement, Relay

START = datetime(2026, 5, 13, 12, tzinfo=UTC)
RELAYER = "0x" + "Re" * 20


class Died(BaseException):
    """The process is gone; nobody catches this."""


@dataclass
class Fate:
    """Ends the process at the ``at``-th moment; a moment lies before and after every effect."""

    at: int | None = None
    passed: int = 0

    def moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Died


class Store:
    """Rows in memory, with transactions that a death rolls back."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.rows = fate, dict[UUID, Settlement]()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        draft = dict(self.rows)
        yield cast(Tx, draft)
        self.fate.moment()
        self.rows = draft
        self.fate.moment()

    read = begin

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        rows = cast(dict[UUID, Settlement], tx)
        return rows.setdefault(settlement.payload.session_id, settlement) is settlement

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None:
        return cast(dict[UUID, Settlement], tx).get(session_id)

    async def claim(self, tx: Tx, now: datetime) -> Settlement | None:
        due = [
            row
            for row in cast(dict[UUID, Settlement], tx).values()
            if row.state is not SettlementState.CONFIRMED and row.next_attempt_at <= now
        ]
        return min(due, key=lambda row: row.next_attempt_at, default=None)

    async def next_nonce(self, tx: Tx, signer: str, account_nonce: int) -> int:
        taken = [
            row.nonce + 1
            for row in cast(dict[UUID, Settlement], tx).values()
            if row.nonce is not None and row.state is SettlementState.SUBMITTED
        ]
        return max([account_nonce, *taken])

    async def save(self, tx: Tx, settlement: Settlement) -> None:
        self.fate.moment()
        cast(dict[UUID, Settlement], tx)[settlement.payload.session_id] = settlement

    async def next_due(self, tx: Tx) -> datetime | None:
        open_rows = [row for row in self.rows.values() if row.state is not SettlementState.CONFIRMED]
        return min((row.next_attempt_at for row in open_rows), default=None)


@dataclass
class Network:
    """A chain with a mempool, one relayer account and the contract's replay lock."""

    fate: Fate
    mines_at_once: bool = True
    signer: str = RELAYER
    pool: int = 10**9
    height: int = 0
    mempool: dict[int, tuple[str, Payload]] = field(default_factory=dict)
    mined: dict[str, tuple[int, bool]] = field(default_factory=dict)
    signed: dict[bytes, tuple[int, Payload]] = field(default_factory=dict)
    payments: list[tuple[UUID, str]] = field(default_factory=list)
    nonce: int = 0
    down: bool = False
    gasless: bool = False

    def mine(self) -> None:
        while (waiting := self.mempool.pop(self.nonce, None)) is not None:
            tx_hash, payload = waiting
            self.nonce += 1
            self.height += 1
            pays = self._paid(payload.session_id) is None and payload.charged_uusdc <= self.pool
            if pays:
                self.payments.append((payload.session_id, tx_hash))
                self.pool -= payload.charged_uusdc
            self.mined[tx_hash] = (self.height, pays)

    def _paid(self, session_id: UUID) -> str | None:
        return next((tx_hash for paid, tx_hash in self.payments if paid == session_id), None)

    def _reach(self) -> None:
        self.fate.moment()
        if self.down:
            raise ExternalError("chain:rpc", "down")

    async def settled(self, session_id: UUID) -> bool:
        self._reach()
        return self._paid(session_id) is not None

    async def find_settlement(self, session_id: UUID) -> Receipt | None:
        self._reach()
        tx_hash = self._paid(session_id)
        return None if tx_hash is None else await self.receipt(tx_hash)

    async def account_nonce(self, account: str, *, pending: bool) -> int:
        self._reach()
        return self.nonce + (len(self.mempool) if pending else 0)

    async def sign(self, payload: Payload, nonce: int) -> SignedSettlement:
        self._reach()
        if self._paid(payload.session_id):
            raise AlreadySettled
        if payload.charged_uusdc > self.pool:
            raise InsufficientPool
        raw = f"{payload.session_id}/{nonce}".encode()
        self.signed[raw] = (nonce, payload)
        return SignedSettlement(raw, f"0x{raw.hex()}", RELAYER, nonce)

    async def broadcast(self, raw: bytes) -> None:
        self._reach()
        if self.gasless:
            raise InsufficientGasFunds
        nonce, payload = self.signed[raw]
        if nonce < self.nonce:
            raise NonceUsed
        self.mempool[nonce] = (f"0x{raw.hex()}", payload)
        if self.mines_at_once:
            self.mine()
        self.fate.moment()

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._reach()
        if tx_hash not in self.mined:
            return None
        block, succeeded = self.mined[tx_hash]
        return Receipt(tx_hash, succeeded, block, self.height - block + 1, START)


class World:
    """A marketplace whose process can be ended and started again."""

    def __init__(self, *, mines_at_once: bool = True, confirmations: int = 1) -> None:
        self.fate = Fate()
        self.store = Store(self.fate)
        self.network = Network(self.fate, mines_at_once)
        self.relay = Relay(self.store, self.store, self.network, confirmations)
        self.now = START

    async def queue(self, rate: int = 1000) -> UUID:
        session_id = uuid4()
        payload = compose(
            session_id=session_id,
            consumer_wallet="0x" + "11" * 20,
            operator_wallet="0x" + "22" * 20,
            rate_uusdc=rate,
            clean_seconds=60,
            fee_bps=1500,
        )
        async with self.store.begin() as tx:
            await QueueSettlement(self.store)(tx, payload, START, START)
        return session_id

    async def run(self, passes: int = 12) -> None:
        """Passes until nothing is due, time moving on to the next due moment in between."""
        for _ in range(passes):
            while await self.relay.relay_once(self.now):
                pass
            self.network.mine()
            due = await self.relay.next_due()
            if due is None:
                return
            self.now = max(self.now, due)

    async def dies_at(self, moment: int) -> bool:
        """Run and die at that moment; False when the work was done before it came."""
        self.fate.at = self.fate.passed + moment
        try:
            await self.run()
        except Died:
            return True
        finally:
            self.fate.at = None
        return False

    def paid_once(self, *sessions: UUID) -> None:
        assert sorted(paid for paid, _ in self.network.payments) == sorted(sessions)
        for session_id, tx_hash in self.network.payments:
            row = self.store.rows[session_id]
            assert (row.state, row.tx_hash, row.raw_tx) == (SettlementState.CONFIRMED, tx_hash, None)


@pytest.mark.parametrize("mines_at_once", [True, False])
@pytest.mark.parametrize("forgets", [True, False], ids=["mempool lost", "mempool kept"])
async def test_death_at_any_moment_pays_once(mines_at_once: bool, forgets: bool) -> None:
    moment, deaths = 0, 0
    while True:
        moment += 1
        world = World(mines_at_once=mines_at_once)
        sessions = [await world.queue(), await world.queue()]
        if not await world.dies_at(moment):
            break
        deaths += 1
        if forgets:
            world.network.mempool.clear()
        await world.run()
        world.paid_once(*sessions)
    assert deaths >= 25  # the test has looked at every effect


async def test_two_deaths_in_a_row_pay_once() -> None:
    for first in range(1, 40, 3):
        for second in range(1, 40, 3):
            world = World(mines_at_once=False)
            session_id = await world.queue()
            await world.dies_at(first)
            await world.dies_at(second)
            await world.run()
            world.paid_once(session_id)


async def test_the_hash_is_stored_before_the_network_sees_it() -> None:
    world = World()
    session_id = await world.queue()
    seen: list[Settlement] = []
    broadcast = world.network.broadcast

    async def watched(raw: bytes) -> None:
        seen.append(world.store.rows[session_id])
        await broadcast(raw)

    world.network.broadcast = watched  # type: ignore[method-assign]
    await world.run()
    assert seen[0].state is SettlementState.SUBMITTED and seen[0].tx_hash and seen[0].raw_tx


async def test_a_poor_pool_waits_for_its_next_deposit() -> None:
    world = World()
    world.network.pool = 100
    session_id = await world.queue()
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert (row.state, row.attempts) == (SettlementState.PENDING, 3)
    assert row.last_error == InsufficientPool.default_message and row.next_attempt_at > world.now - timedelta(
        1
    )
    world.network.pool = 10**9
    await world.run()
    world.paid_once(session_id)
    assert world.store.rows[session_id].last_error is None


async def test_a_transaction_that_reverts_is_replaced() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    first = world.store.rows[session_id].tx_hash
    world.network.pool = 0  # withdrawn after it was signed
    world.network.mine()
    await world.relay.relay_once(world.now)
    row = world.store.rows[session_id]
    assert (row.state, row.tx_hash, row.nonce, row.attempts) == (SettlementState.PENDING, None, None, 1)
    assert row.last_error == f"reverted in {first}"
    world.network.pool = 10**9
    await world.run()
    world.paid_once(session_id)


async def test_a_nonce_taken_by_somebody_else_is_replaced() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.mempool.clear()
    world.network.nonce += 1  # the same key was used elsewhere
    await world.run()
    world.paid_once(session_id)


async def test_a_payment_made_before_the_row_knew_is_taken_over() -> None:
    world = World()
    session_id = await world.queue()
    before = dict(world.store.rows)
    await world.run()
    world.store.rows = before  # a database restored from a backup
    await world.run()
    world.paid_once(session_id)


async def test_confirmations_are_waited_for() -> None:
    world = World(confirmations=3)
    session_id = await world.queue()
    await world.run(passes=2)
    assert world.store.rows[session_id].state is SettlementState.SUBMITTED
    world.network.height += 2
    await world.run()
    world.paid_once(session_id)


async def test_a_chain_out_of_reach_is_tried_again() -> None:
    world = World()
    session_id = await world.queue()
    world.network.down = True
    await world.run(passes=4)
    assert world.store.rows[session_id].attempts == 4
    world.network.down = False
    await world.run()
    world.paid_once(session_id)


async def test_a_relayer_without_gas_money_keeps_its_transaction() -> None:
    world = World()
    session_id = await world.queue()
    world.network.gasless = True
    await world.run(passes=3)
    stored = world.store.rows[session_id]
    assert stored.state is SettlementState.SUBMITTED
    world.network.gasless = False
    await world.run()
    world.paid_once(session_id)
    assert world.network.payments == [(session_id, stored.tx_hash)]


async def test_a_session_without_charge_never_meets_the_chain() -> None:
    world = World()
    session_id = await world.queue(rate=0)
    await world.run()
    assert not world.network.payments and not world.network.signed
    found = await GetSettlement(world.store, world.store)(session_id)
    assert found and found.state is SettlementState.CONFIRMED and found.confirmed_at == START
    assert await GetSettlement(world.store, world.store)(uuid4()) is None


async def test_queueing_twice_changes_nothing() -> None:
    world = World()
    session_id = await world.queue()
    stored = world.store.rows[session_id]
    async with world.store.begin() as tx:
        changed = replace(stored.payload, rate_uusdc=5)
        await QueueSettlement(world.store)(tx, changed, START, START)
    assert world.store.rows == {session_id: stored}
