"""A small model of a marketplace that owes sessions. Its chain and its store can end the world before or
after any of their effects; what survives is what was committed and what the network has seen.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

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
    ChainUnreachable,
    ContractPaused,
    Fees,
    InsufficientGasFunds,
    InsufficientPool,
    Look,
    NeverPayable,
    NonceUsed,
    Receipt,
    SettlementRefused,
    Underpriced,
)
from luxxon_core.settlement.usecases import Policy, QueueSettlement, Relay

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

    async def wake(self, tx: Tx, contract: str, now: datetime) -> None:
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
    contract: str = "31337:0x"
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
    paused: bool = False
    simulated: int = 0

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
            raise ChainUnreachable

    async def head(self) -> int:
        self._reach()
        return self.height

    async def settled_of(self, sessions: Sequence[UUID], depth: int = 1) -> dict[UUID, bool]:
        self._reach()
        return {one: self._depth(self._paid(one)) >= depth for one in sessions}

    def _depth(self, tx_hash: str | None) -> int:
        return 0 if tx_hash is None else self.height - self.mined[tx_hash][0] + 1

    async def pools(self, wallets: Sequence[str]) -> dict[str, int]:
        self._reach()
        return dict.fromkeys(wallets, self.pool)

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
        self.simulated += 1
        if self.paused:
            raise ContractPaused
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

    async def broadcast_all(self, raws: Sequence[bytes]) -> list[ExternalError | None]:
        said: list[ExternalError | None] = []
        for raw in raws:
            try:
                await self.broadcast(raw)
                said.append(None)
            except ExternalError as error:
                said.append(error)
        return said

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
