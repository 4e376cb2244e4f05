"""The relayer pays every session exactly once, wherever the process dies.

The chain and the store are small models that can end the world before or after any of their effects; what
survives is what was committed and what the network has seen.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import (
    Fee,
    Payload,
    Settlement,
    SettlementState,
    Transaction,
    Version,
    Wait,
    compose,
)
from luxxon_core.settlement.ports import (
    AlreadySettled,
    Fees,
    InsufficientGasFunds,
    InsufficientPool,
    Look,
    NeverPayable,
    NonceUsed,
    Receipt,
    SettlementRefused,
    Step,
    Underpriced,
)
from luxxon_core.settlement.usecases import GetSettlement, Policy, QueueSettlement, Relay

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
        self.fate = fate
        self.rows = dict[UUID, Settlement]()
        self.transactions = dict[int, tuple[Transaction, datetime]]()
        self.closed = set[int]()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        kept = (dict(self.rows), dict(self.transactions), set(self.closed))
        try:
            yield cast(Tx, None)
            self.fate.moment()
        except BaseException:
            self.rows, self.transactions, self.closed = kept
            raise
        self.fate.moment()

    read = begin

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        return self.rows.setdefault(settlement.payload.session_id, settlement) is settlement

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None:
        return self.rows.get(session_id)

    async def wake(self, tx: Tx, now: datetime) -> None:
        pass

    async def claim(self, tx: Tx, now: datetime, limit: int) -> list[Settlement]:
        due = [row for row in self._pending() if row.next_attempt_at <= now]
        return sorted(due, key=lambda row: row.next_attempt_at)[:limit]

    def _pending(self) -> list[Settlement]:
        rows = self.rows.values()
        return [
            row for row in rows if row.state is SettlementState.PENDING and row.waits_for is not Wait.OPERATOR
        ]

    def _open(self) -> list[tuple[Transaction, datetime]]:
        return [one for key, one in self.transactions.items() if key not in self.closed]

    async def claim_transactions(self, tx: Tx, chain_id: int, now: datetime, limit: int) -> list[Transaction]:
        return [one for one, at in self._open() if at <= now][:limit]

    async def paid_by(self, tx: Tx, transactions: Sequence[int]) -> list[Settlement]:
        return [row for row in self.rows.values() if row.transaction_id in transactions]

    async def free_nonces(self, tx: Tx, chain_id: int, signer: str, next_nonce: int, count: int) -> list[int]:
        taken = {one.nonce for one, _ in self.transactions.values()}
        floor = max((self.transactions[key][0].nonce or 0 for key in self.closed), default=-1) + 1
        free = (number for number in itertools.count(max(next_nonce, floor)) if number not in taken)
        return list(itertools.islice(free, count))

    async def open_transactions(
        self,
        tx: Tx,
        chain_id: int,
        signer: str,
        signed: Sequence[tuple[int | None, Version]],
        now: datetime,
        look_at: datetime,
    ) -> list[int]:
        opened = []
        for nonce, version in signed:
            key = len(self.transactions) + 1
            self.transactions[key] = Transaction(key, signer, nonce, (version,), now, now, now), look_at
            opened.append(key)
        return opened

    async def add_version(self, tx: Tx, transaction: int, version: Version, now: datetime) -> None:
        one, at = self.transactions[transaction]
        self.transactions[transaction] = (
            replace(one, versions=(*one.versions, version), signed_at=now, waiting_since=now),
            at,
        )

    async def looked(self, tx: Tx, looks: Sequence[Look]) -> None:
        for look in looks:
            one, _ = self.transactions[look.transaction]
            self.transactions[look.transaction] = (
                replace(one, waiting_since=look.waiting_since),
                look.next_at,
            )

    async def close_transactions(self, tx: Tx, transactions: Sequence[int], now: datetime) -> None:
        self.closed.update(transactions)

    async def save(self, tx: Tx, settlements: Sequence[Settlement]) -> None:
        self.fate.moment()
        self.rows |= {one.payload.session_id: one for one in settlements}

    async def next_due(self, tx: Tx) -> datetime | None:
        pending = [row.next_attempt_at for row in self._pending()]
        return min([*pending, *(at for _, at in self._open())], default=None)


@dataclass
class Network:
    """A chain with a mempool, one relayer account and the contract's replay lock."""

    fate: Fate
    mines_at_once: bool = True
    signer: str = RELAYER
    chain_id: int = 31337
    pool: int = 10**9
    impossible: set[UUID] = field(default_factory=set)
    base_fee: int = 10
    height: int = 0
    mempool: dict[int, tuple[str, Fee, tuple[Payload, ...]]] = field(default_factory=dict)
    mined: dict[str, tuple[int, bool]] = field(default_factory=dict)
    signed: dict[bytes, tuple[int, Fee, tuple[Payload, ...]]] = field(default_factory=dict)
    payments: list[tuple[UUID, str]] = field(default_factory=list)
    used: int = 0
    down: bool = False
    gasless: bool = False

    def mine(self) -> None:
        while (waiting := self.mempool.get(self.used)) is not None and waiting[1].max_fee >= self.base_fee:
            tx_hash, _, payloads = self.mempool.pop(self.used)
            self.used += 1
            self.height += 1
            pays = self._refusal(payloads) is None
            if pays:
                self.payments += [(one.session_id, tx_hash) for one in payloads]
                self.pool -= sum(one.charged_uusdc for one in payloads)
            self.mined[tx_hash] = (self.height, pays)

    def _refusal(self, payloads: Sequence[Payload]) -> SettlementRefused | None:
        if any(self._paid(one.session_id) for one in payloads):
            return AlreadySettled()
        if any(one.session_id in self.impossible for one in payloads):
            return NeverPayable()
        return InsufficientPool() if sum(one.charged_uusdc for one in payloads) > self.pool else None

    def _paid(self, session_id: UUID) -> str | None:
        return next((tx_hash for paid, tx_hash in self.payments if paid == session_id), None)

    def _reach(self) -> None:
        self.fate.moment()
        if self.down:
            raise ExternalError("chain:rpc", "down")

    async def head(self) -> int:
        self._reach()
        return self.height

    async def settled(self, session_id: UUID) -> bool:
        self._reach()
        return self._paid(session_id) is not None

    async def find_settlement(self, session_id: UUID, since: datetime) -> Receipt | None:
        self._reach()
        tx_hash = self._paid(session_id)
        return None if tx_hash is None else (await self.receipts([tx_hash])).get(tx_hash)

    async def nonce(self, account: str) -> int:
        self._reach()
        return next(number for number in itertools.count(self.used) if number not in self.mempool)

    async def nonces_used(self, account: str, depth: int) -> int:
        self._reach()
        return self.used

    async def fees(self) -> Fees:
        self._reach()
        return Fees(self.base_fee, 1)

    async def simulate(self, payloads: Sequence[Payload]) -> int:
        self._reach()
        if error := self._refusal(payloads):
            raise error
        return 100_000 * len(payloads)

    async def sign(self, payloads: Sequence[Payload], nonce: int, gas: int, fee: Fee) -> Version:
        self._reach()
        return self._signed(nonce, fee, tuple(payloads))

    async def sign_again(self, version: Version, fee: Fee) -> Version:
        self._reach()
        assert version.raw is not None
        nonce, _, payloads = self.signed[version.raw]
        return replace(self._signed(nonce, fee, payloads), cancels=version.cancels)

    async def sign_cancel(self, nonce: int, fee: Fee) -> Version:
        self._reach()
        return replace(self._signed(nonce, fee, ()), cancels=True)

    def _signed(self, nonce: int, fee: Fee, payloads: tuple[Payload, ...]) -> Version:
        sessions = ",".join(str(one.session_id) for one in payloads)
        raw = f"{nonce}/{fee.max_fee}/{sessions}".encode()
        self.signed[raw] = (nonce, fee, payloads)
        return Version(f"0x{raw.hex()}", raw, fee)

    async def broadcast(self, raw: bytes) -> None:
        self._reach()
        if self.gasless:
            raise InsufficientGasFunds
        nonce, fee, payloads = self.signed[raw]
        if nonce < self.used:
            raise NonceUsed
        known = self.mempool.get(nonce)
        if known and known[0] != f"0x{raw.hex()}" and fee.max_fee * 10 < known[1].max_fee * 11:
            raise Underpriced
        self.mempool[nonce] = (f"0x{raw.hex()}", fee, payloads)
        if self.mines_at_once:
            self.mine()
        self.fate.moment()

    async def receipts(self, tx_hashes: Sequence[str]) -> dict[str, Receipt]:
        self._reach()
        found = {tx_hash: self.mined[tx_hash] for tx_hash in tx_hashes if tx_hash in self.mined}
        return {
            tx_hash: Receipt(tx_hash, succeeded, block, self.height - block + 1, START)
            for tx_hash, (block, succeeded) in found.items()
        }


class World:
    """A marketplace whose process can be ended and started again."""

    def __init__(self, *, mines_at_once: bool = True, confirmations: int = 1, batch: int = 100) -> None:
        self.fate = Fate()
        self.store = Store(self.fate)
        self.network = Network(self.fate, mines_at_once)
        self.policy = Policy(confirmations, confirmations, max_fee=1000, batch=batch)
        self.relay = Relay(self.store, self.store, self.network, self.policy)
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
            assert (row.state, row.tx_hash) == (SettlementState.CONFIRMED, tx_hash)
            assert row.final_at is not None


@pytest.mark.parametrize("mines_at_once", [True, False])
@pytest.mark.parametrize("forgets", [True, False], ids=["mempool lost", "mempool kept"])
@pytest.mark.parametrize("batch", [1, 100])
async def test_death_at_any_moment_pays_once(mines_at_once: bool, forgets: bool, batch: int) -> None:
    moment, deaths = 0, 0
    while True:
        moment += 1
        world = World(mines_at_once=mines_at_once, batch=batch)
        sessions = [await world.queue(), await world.queue()]
        if not await world.dies_at(moment):
            break
        deaths += 1
        if forgets:
            world.network.mempool.clear()
        await world.run()
        world.paid_once(*sessions)
    assert deaths >= 20  # the test has looked at every effect


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
    assert seen[0].state is SettlementState.SUBMITTED and seen[0].tx_hash
    assert seen[0].transaction_id in world.store.transactions


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
    assert await world.relay.relay_once(world.now)
    first = world.store.rows[session_id].tx_hash
    world.network.pool = 0  # withdrawn after it was signed
    world.network.mine()
    await world.relay.relay_once(world.now)
    row = world.store.rows[session_id]
    assert (row.state, row.tx_hash, row.attempts) == (SettlementState.PENDING, None, 1)
    assert row.last_error == f"reverted in {first}"
    world.network.pool = 10**9
    await world.run()
    world.paid_once(session_id)


async def test_a_nonce_taken_by_somebody_else_is_replaced() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.mempool.clear()
    world.network.used += 1  # the same key was used elsewhere
    await world.run()
    world.paid_once(session_id)


async def test_a_payment_made_before_the_row_knew_is_taken_over() -> None:
    world = World()
    session_id = await world.queue()
    before = dict(world.store.rows)
    await world.run()
    world.store.rows = before  # a database restored from a backup
    world.store.transactions.clear()
    world.store.closed.clear()
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


async def test_one_that_cannot_be_paid_holds_up_no_other_and_is_parked() -> None:
    world = World()
    sessions = [await world.queue() for _ in range(9)]
    world.network.impossible.add(sessions[4])
    await world.run()
    parked = world.store.rows[sessions[4]]
    assert (parked.state, parked.waits_for) == (SettlementState.PENDING, Wait.OPERATOR)
    assert parked.last_error == NeverPayable.default_message
    world.paid_once(*(one for one in sessions if one != sessions[4]))
    assert len({tx_hash for _, tx_hash in world.network.payments}) == 1  # in one transaction


async def test_a_refusal_that_nobody_knows_is_tried_for_a_while_before_it_is_parked() -> None:
    world = World()
    session_id = await world.queue()

    async def refuse(_: Sequence[Payload]) -> int:
        raise SettlementRefused("settlement:refused", "The settlement contract reverts: paused token")

    world.network.simulate = refuse  # type: ignore[method-assign]
    await world.run(passes=7)
    assert world.store.rows[session_id].waits_for is None
    await world.run()
    assert world.store.rows[session_id].waits_for is Wait.OPERATOR
    assert await world.relay.next_due() is None


async def test_what_is_stuck_offers_more_until_the_cap_and_whichever_is_mined_counts() -> None:
    world = World(mines_at_once=False)
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    world.network.base_fee = 60  # three times what was thought enough
    await world.run(passes=60)
    offers = [fee.max_fee for _, fee, _ in world.network.signed.values()]
    assert offers == sorted(set(offers)) and offers[-1] > 60
    assert all(later * 8 >= former * 9 for former, later in itertools.pairwise(offers))
    world.paid_once(session_id)


async def test_fees_above_the_cap_are_waited_out() -> None:
    world = World()
    session_id = await world.queue()
    world.network.base_fee = 5000
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert (row.waits_for, row.attempts) == (Wait.FEES, 0) and not world.network.signed
    world.network.base_fee = 10
    await world.run()
    world.paid_once(session_id)


async def test_a_gap_of_nonces_is_filled() -> None:
    world = World(mines_at_once=False)
    world.network.mempool[0] = ("0xforeign", Fee(20, 1), ())  # the same key was used elsewhere
    session_id = await world.queue()
    await world.relay.relay_once(world.now)
    del world.network.mempool[0]  # and what it sent was dropped
    await world.run(passes=60)
    world.paid_once(session_id)
    assert world.network.used == 2


async def test_what_a_reorganisation_takes_back_is_broadcast_again() -> None:
    world = World(mines_at_once=False)
    world.relay = replace(world.relay, policy=replace(world.policy, final=50))
    session_id = await world.queue()
    await world.run(passes=3)
    row = world.store.rows[session_id]
    assert row.state is SettlementState.CONFIRMED and row.final_at is None
    world.network.payments.clear()
    world.network.mined.clear()
    world.network.used = world.network.height = 0
    world.now += timedelta(seconds=31)
    await world.relay.relay_once(world.now)
    assert world.store.rows[session_id].state is SettlementState.SUBMITTED
    world.network.mine()
    world.network.height += 50
    await world.run()
    world.paid_once(session_id)
    assert world.store.rows[session_id].tx_hash == row.tx_hash


async def test_each_step_of_the_relayer_is_told() -> None:
    world, told = World(), list[Step]()

    class Heard:
        def reached(self, step: Step) -> None:
            told.append(step)

    world.relay = replace(world.relay, steps=Heard())
    await world.queue()
    await world.run()
    assert told == [
        Step.CLAIMED,
        Step.SIMULATED,
        Step.NUMBERED,
        Step.SIGNED,
        Step.STORED,
        Step.COMMITTED,
        Step.BROADCAST,
        Step.FOLLOWED,
        Step.LOOKED,
        Step.PAID,
        Step.CLOSED,
        Step.WRITTEN,
    ]
