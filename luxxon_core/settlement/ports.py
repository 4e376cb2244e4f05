"""What the relayer needs from outside: the contract, and the rows it works through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.errors import ExternalError
from luxxon_core.kernel.uow import Tx
from luxxon_core.settlement.domain import Payload, Settlement


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


class NonceUsed(ExternalError):
    """Another transaction of the signer has taken this nonce: this one can never be mined."""

    default_message = "The transaction's nonce has been used"


class InsufficientGasFunds(ExternalError):
    """The relayer cannot pay for the gas."""

    default_message = "The relayer's account cannot pay for gas"


@dataclass(frozen=True, slots=True)
class SignedSettlement:
    """A transaction ready to broadcast; its hash is known before anybody sees it."""

    raw: bytes
    tx_hash: str
    signer: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction; ``confirmations`` counts its own block."""

    tx_hash: str
    succeeded: bool
    block_number: int
    confirmations: int
    timestamp: datetime


class SettlementChain(Protocol):
    """The settlement contract as its relayer sees it. Every method raises ExternalError when the chain
    cannot be reached."""

    @property
    def signer(self) -> str:
        """Address of the relayer's account."""
        ...

    async def settled(self, session_id: UUID) -> bool:
        """Whether the contract has paid this session."""
        ...

    async def find_settlement(self, session_id: UUID) -> Receipt | None:
        """The transaction that paid a session, by the contract's log; None when the node shows none."""
        ...

    async def account_nonce(self, account: str, *, pending: bool) -> int:
        """An account's next nonce: by mined transactions only, or with those that wait to be mined."""
        ...

    async def sign(self, payload: Payload, nonce: int) -> SignedSettlement:
        """A ``settleFromPool`` transaction that succeeds as things stand. Broadcasts nothing.

        Raises:
            SettlementRefused: the contract would revert it; the subclass says why.
        """
        ...

    async def broadcast(self, raw: bytes) -> None:
        """Hand a signed transaction to the network; one that it knows already is no error.

        Raises:
            NonceUsed: it can never be mined, or has been mined.
            InsufficientGasFunds: the signer cannot pay for it.
        """
        ...

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """A transaction's receipt; None while it is not mined."""
        ...


class SettlementStore(Protocol):
    """The settlement rows. A claimed row stays locked until its transaction ends."""

    async def add(self, tx: Tx, settlement: Settlement) -> bool:
        """Store a new settlement; False, changing nothing, when the session has one."""
        ...

    async def get(self, tx: Tx, session_id: UUID) -> Settlement | None: ...

    async def claim(self, tx: Tx, now: datetime) -> Settlement | None:
        """Lock the unconfirmed settlement that has been due longest; skips what others hold."""
        ...

    async def next_nonce(self, tx: Tx, signer: str, account_nonce: int) -> int:
        """The nonce to sign with: past the account's and past every stored transaction of the signer.

        From here to the end of ``tx`` nobody else gets a nonce of this signer.
        """
        ...

    async def save(self, tx: Tx, settlement: Settlement) -> None:
        """Write everything about a claimed settlement except its payload."""
        ...

    async def next_due(self, tx: Tx) -> datetime | None:
        """When the next unconfirmed settlement is due; None when all are confirmed."""
        ...
