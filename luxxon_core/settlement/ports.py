"""What the relayer needs from outside: the contract, and the rows it works through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Fee, Payload, Settlement, Transaction, Version


class ChainUnreachable(ExternalError):
    """No node answers, or none in a known form: says nothing about what was asked."""

    default_message = "The chain cannot be reached"


class SettlementRefused(ExternalError):
    """The contract would revert this settlement as things stand."""

    default_message = "The settlement contract refuses this settlement"


class InsufficientPool(SettlementRefused):
    """The consumer's pool holds less than is owed."""

    default_message = "The consumer's pool holds less than the charge"


class AlreadySettled(SettlementRefused):
    """The session has been paid before."""

    default_message = "The session has been settled before"


class ContractPaused(SettlementRefused):
    """The owner has paused settlements."""

    default_message = "The settlement contract is paused"


class NotRelayer(SettlementRefused):
    """The signing account is not the contract's relayer."""

    default_message = "The signing account is not the contract's relayer"


class NeverPayable(SettlementRefused):
    """The contract will refuse this settlement for ever: its amounts or recipients are impossible."""

    default_message = "The settlement can never be paid as it is"


class NonceUsed(ExternalError):
    """Another transaction of the signer has taken this nonce: this one can never be mined."""

    default_message = "The transaction's nonce has been used"


class InsufficientGasFunds(ExternalError):
    """The relayer cannot pay for the gas."""

    default_message = "The relayer's account cannot pay for gas"


class Underpriced(ExternalError):
    """The node takes the transaction only for higher fees."""

    default_message = "The transaction offers too little for its gas"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction; ``confirmations`` counts its own block."""

    tx_hash: str
    succeeded: bool
    block_number: int
    confirmations: int
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Fees:
    """What gas costs at the moment, in wei: the newest block's base fee, and a fitting tip."""

    base_fee: int
    priority_fee: int


@dataclass(frozen=True, slots=True)
class Look:
    """When to look at a transaction again, and since when it has been waiting for a block, if it is."""

    transaction: int
    next_at: datetime
    waiting_since: datetime | None


class SettlementChain(Protocol):
    """The settlement contract as its relayer sees it. Every method raises ExternalError when the chain
    cannot be reached."""

    @property
    def chain_id(self) -> int: ...

    @property
    def contract(self) -> str:
        """Names the settlement contract among all of all chains, as the ledger does."""
        ...

    @property
    def signer(self) -> str:
        """Address of the relayer's account."""
        ...

    async def head(self) -> int:
        """The number of the newest block."""
        ...

    async def settled_of(self, sessions: Sequence[UUID], depth: int = 1) -> dict[UUID, bool]:
        """Whether the contract has paid these sessions in blocks with at least ``depth`` confirmations."""
        ...

    async def pools(self, wallets: Sequence[str]) -> dict[str, int]:
        """``deposits(wallet)`` of many, in µUSDC."""
        ...

    async def find_settlement(self, session_id: UUID, since: datetime) -> Receipt | None:
        """The transaction that paid a session, by the contract's log; None when the node shows none in
        blocks from ``since`` on."""
        ...

    async def nonce(self, account: str) -> int:
        """An account's next nonce, behind those that wait to be mined."""
        ...

    async def nonces_used(self, account: str, depth: int) -> int:
        """Nonces of an account that were used in blocks with at least ``depth`` confirmations."""
        ...

    async def fees(self) -> Fees: ...

    async def simulate(self, payloads: Sequence[Payload]) -> int:
        """Pay these in one transaction, as things stand and for nobody to see; a limit of gas that is enough.

        Raises:
            SettlementRefused: the contract would revert it; the subclass says why.
        """
        ...

    async def sign(self, payloads: Sequence[Payload], nonce: int, gas: int, fee: Fee) -> Version:
        """A transaction that pays these. Broadcasts nothing."""
        ...

    async def sign_again(self, version: Version, fee: Fee) -> Version:
        """The same transaction with other fees. Broadcasts nothing.

        Raises:
            ValueError: it is not one of the signer's.
        """
        ...

    async def sign_cancel(self, nonce: int, fee: Fee) -> Version:
        """A transaction that does nothing but use the nonce. Broadcasts nothing."""
        ...

    async def broadcast_all(self, raws: Sequence[bytes]) -> list[ExternalError | None]:
        """Hand signed transactions to the network; for each why it was not taken, None when it was, or is
        known already.

        Of these errors NonceUsed says that it can never be mined, or has been; Underpriced, that the node
        takes it only for more; InsufficientGasFunds, that the signer cannot pay for it; ChainUnreachable,
        nothing.
        """
        ...

    async def receipts(self, tx_hashes: Sequence[str]) -> dict[str, Receipt]:
        """The receipts of those transactions that are mined, by hash."""
        ...


class SettlementStore(Protocol):
    """Settlements and the transactions that pay them. What is claimed stays locked until ``tx`` ends, and
    others pass it over."""

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        """Store a new settlement; False, changing nothing, when the session has one."""
        ...

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None: ...

    async def wake(self, tx: Tx, contract: str, now: datetime) -> None:
        """Make due what waits for a deposit that the contract's ledger has since seen."""
        ...

    async def claim(self, tx: Tx, now: datetime, limit: int) -> list[Settlement]:
        """PENDING settlements that are due, the longest due first."""
        ...

    async def claim_transactions(self, tx: Tx, chain_id: int, now: datetime, limit: int) -> list[Transaction]:
        """Transactions that are not final and are due to be looked at, the lowest nonces first."""
        ...

    async def paid_by(self, tx: Tx, transactions: Sequence[int]) -> list[Settlement]:
        """The settlements of claimed transactions."""
        ...

    async def free_nonces(self, tx: Tx, chain_id: int, signer: str, next_nonce: int, count: int) -> list[int]:
        """The lowest nonces from ``next_nonce``, the account's next one, that no stored transaction has.

        From here to the end of ``tx`` nobody else gets a nonce of this signer.
        """
        ...

    async def open_transactions(
        self,
        tx: Tx,
        chain_id: int,
        signer: str,
        signed: Sequence[tuple[int | None, Version]],
        now: datetime,
        look_at: datetime,
    ) -> list[int]:
        """Store signed transactions with their nonces, due at ``look_at``; their ids, in the same order."""
        ...

    async def add_version(self, tx: Tx, transaction: int, version: Version, now: datetime) -> None: ...

    async def looked(self, tx: Tx, looks: Sequence[Look]) -> None:
        """Write down what was seen of claimed transactions."""
        ...

    async def close_transactions(self, tx: Tx, transactions: Sequence[int], now: datetime) -> None:
        """Nothing more will happen to these: forget their bytes, keep their hashes."""
        ...

    async def save(self, tx: Tx, settlements: Sequence[Settlement]) -> None:
        """Write everything about claimed settlements except their payloads."""
        ...

    async def next_due(self, tx: Tx) -> datetime | None:
        """When the next settlement or transaction is due; None for never."""
        ...


class SettlementDesk(Protocol):
    """What the server's operator looks at and changes by hand."""

    async def unfinished(self, tx: Tx, *, parked: bool, limit: int) -> list[Settlement]:
        """Settlements not CONFIRMED, oldest first; with ``parked`` only those that wait for the operator."""
        ...

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None: ...

    async def transaction_of(self, tx: Tx, settlement: Settlement) -> Transaction | None: ...

    async def lock(self, tx: Tx, session_id: UUID) -> Settlement | None:
        """The settlement, held until ``tx`` ends."""
        ...

    async def look_now(self, tx: Tx, transaction: int, now: datetime) -> None:
        """Make a transaction due."""
        ...

    async def save(self, tx: Tx, settlements: Sequence[Settlement]) -> None: ...


class Step(StrEnum):
    """The relayer's life, a moment after or before everything that others can see of it."""

    CLAIMED = "CLAIMED"
    """Settlements are locked."""
    SIMULATED = "SIMULATED"
    """The chain would take them."""
    NUMBERED = "NUMBERED"
    """They have nonces."""
    SIGNED = "SIGNED"
    STORED = "STORED"
    """What was signed is written, and not committed."""
    COMMITTED = "COMMITTED"
    """It is committed, and nobody has seen it."""
    BROADCAST = "BROADCAST"
    TAKEN_OVER = "TAKEN_OVER"
    """Somebody else's transaction was found to have paid a session; not committed."""
    FOLLOWED = "FOLLOWED"
    """Transactions are locked."""
    LOOKED = "LOOKED"
    """Their receipts are read."""
    REPEATED = "REPEATED"
    """One that the chain does not have was broadcast again."""
    REPRICED = "REPRICED"
    """It is signed for higher fees, and not committed."""
    REPRICED_COMMITTED = "REPRICED_COMMITTED"
    REPRICED_BROADCAST = "REPRICED_BROADCAST"
    FILLED = "FILLED"
    """A transaction that fills a gap of nonces is signed, and not committed."""
    FILLED_COMMITTED = "FILLED_COMMITTED"
    FILLED_BROADCAST = "FILLED_BROADCAST"
    RETURNED = "RETURNED"
    """Settlements are to be paid anew; not committed."""
    PAID = "PAID"
    """Settlements are confirmed; not committed."""
    CLOSED = "CLOSED"
    """Transactions are final; not committed."""
    WRITTEN = "WRITTEN"
    """What was found is committed."""


class Steps(Protocol):
    """Is told of every step; what it raises ends the pass there."""

    def reached(self, step: Step) -> None: ...
