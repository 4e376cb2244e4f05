"""A finished session's payment: what is owed to whom, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.money import split


class SettlementState(StrEnum):
    """api-contract §14.1. NOT_READY is never stored: it is the absence of a row."""

    NOT_READY = "NOT_READY"
    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    CONFIRMED = "CONFIRMED"


@dataclass(frozen=True, slots=True)
class Payload:
    """The arguments of ``settleFromPool``; amounts in µUSDC."""

    session_id: UUID
    consumer_wallet: str
    operator_wallet: str
    rate_uusdc: int
    chargeable_seconds: int
    to_amount_uusdc: int
    fee_amount_uusdc: int

    @property
    def charged_uusdc(self) -> int:
        """What leaves the consumer's pool."""
        return self.to_amount_uusdc + self.fee_amount_uusdc


class Wait(StrEnum):
    """What a PENDING settlement needs before it is worth another try."""

    DEPOSIT = "DEPOSIT"
    """The pool is too small: the next deposit of the wallet."""
    FEES = "FEES"
    """The chain's fees are above the cap."""
    OPERATOR = "OPERATOR"
    """The contract will never take it as it is: parked until somebody looks."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The stored settlement of one session.

    Attributes:
        attempts: how often it has failed; polls of a submitted one do not count.
        waits_for: set while PENDING; one that waits for the OPERATOR is never due.
        short_at_block: newest block when its pool was found too small.
        transaction_id: the :class:`Transaction` that pays it, from SUBMITTED on.
        final_at: when its block had become so deep that it is not looked at again.
    """

    payload: Payload
    state: SettlementState
    created_at: datetime
    next_attempt_at: datetime
    attempts: int = 0
    last_error: str | None = None
    waits_for: Wait | None = None
    short_at_block: int | None = None
    transaction_id: int | None = None
    tx_hash: str | None = None
    submitted_at: datetime | None = None
    confirmed_at: datetime | None = None
    block_number: int | None = None
    final_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    """What a transaction offers for each gas (EIP-1559), in wei."""

    max_fee: int
    priority_fee: int


@dataclass(frozen=True, slots=True)
class Version:
    """A signed transaction. Those of one nonce exclude each other: at most one is ever mined.

    Attributes:
        raw: what is broadcast; None for somebody else's, and for one that is final. Never shown.
        fee: None for somebody else's.
        cancels: it only uses up the nonce and pays nobody.
    """

    tx_hash: str
    raw: bytes | None
    fee: Fee | None
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """A nonce of a relayer's account, and every version that was signed for it.

    Attributes:
        nonce: None for a transaction of somebody else's that has paid a session.
        versions: oldest first; all of them pay the same settlements, except those that cancel.
        signed_at: when the newest was signed.
        waiting_since: since when no block is known to have it; None while one has.
    """

    id: int
    signer: str
    nonce: int | None
    versions: tuple[Version, ...]
    created_at: datetime
    signed_at: datetime
    waiting_since: datetime | None

    @property
    def newest(self) -> Version:
        return self.versions[-1]


class Standing(StrEnum):
    """How a transaction stands with the chain."""

    WAITING = "WAITING"
    """No block has it."""
    INCLUDED = "INCLUDED"
    """A block has it that is not deep enough to count."""
    PAID = "PAID"
    """A block has it that counts."""
    FAILED = "FAILED"
    """A block that counts has it, or another one of its nonce, and it has paid nobody."""


class Mined(Protocol):
    """What :func:`standing` reads of a receipt."""

    @property
    def tx_hash(self) -> str: ...
    @property
    def succeeded(self) -> bool: ...
    @property
    def confirmations(self) -> int: ...


def standing(
    transaction: Transaction, receipt: Mined | None, nonces_used: int, confirmations: int
) -> Standing:
    """What a receipt, or that there is none, says of a transaction.

    Args:
        receipt: of whichever version has been mined.
        nonces_used: transactions of the account in blocks that count.
    """
    if receipt is None:
        if transaction.nonce is None or nonces_used > transaction.nonce:
            return Standing.FAILED
        return Standing.WAITING
    if receipt.confirmations < confirmations:
        return Standing.INCLUDED
    return Standing.PAID if pays(transaction, receipt) else Standing.FAILED


def pays(transaction: Transaction, receipt: Mined) -> bool:
    """Whether a mined version has paid the transaction's settlements."""
    cancels = any(one.cancels for one in transaction.versions if one.tx_hash == receipt.tx_hash)
    return receipt.succeeded and not cancels


MIN_BUMP = (9, 8)
"""What nodes ask of a replacement: both fees an eighth above those of the one it replaces."""


def first_offer(base_fee: int, priority_fee: int, cap: int) -> Fee | None:
    """What to offer when the next block's base fee is ``base_fee``; None while that is above the cap.

    Twice the base fee stands five full blocks in a row, each an eighth dearer than the one before.
    """
    if base_fee + 1 > cap:
        return None
    max_fee = min(2 * base_fee + priority_fee, cap)
    return Fee(max_fee, min(priority_fee, max_fee))


def higher_offer(former: Fee, base_fee: int, priority_fee: int, cap: int) -> Fee | None:
    """What replaces ``former``; None where the least that nodes take is above the cap."""
    least = Fee(_bumped(former.max_fee), _bumped(former.priority_fee))
    if least.max_fee > cap:
        return None
    max_fee = max(least.max_fee, min(2 * base_fee + priority_fee, cap))
    return Fee(max_fee, min(max(least.priority_fee, priority_fee), max_fee))


def _bumped(fee: int) -> int:
    more, than = MIN_BUMP
    return max(-(-fee * more // than), fee + 1)


def compose(
    *,
    session_id: UUID,
    consumer_wallet: str,
    operator_wallet: str,
    rate_uusdc: int,
    clean_seconds: int,
    fee_bps: int,
) -> Payload:
    """The payload of a finalised session: its charge, split between operator and platform (§8).

    Raises:
        ValueError: a negative rate or duration, or a fee outside 0…10 000 basis points.
    """
    if rate_uusdc < 0 or clean_seconds < 0:
        raise ValueError("rate and clean seconds cannot be negative")
    to_amount, fee_amount = split(rate_uusdc * clean_seconds, fee_bps)
    return Payload(
        session_id, consumer_wallet, operator_wallet, rate_uusdc, clean_seconds, to_amount, fee_amount
    )


def queued(payload: Payload, ended_at: datetime, now: datetime) -> Settlement:
    """What is stored when a session is finalised. A charge of zero is confirmed without a transaction."""
    if payload.charged_uusdc == 0:
        return Settlement(
            payload, SettlementState.CONFIRMED, now, now, confirmed_at=ended_at, final_at=ended_at
        )
    return Settlement(payload, SettlementState.PENDING, now, now)


FIRST_RETRY = timedelta(seconds=2)
LAST_RETRY = timedelta(minutes=5)
FIRST_POLL = timedelta(seconds=0.25)
LAST_POLL = timedelta(seconds=30)


def backoff(attempts: int) -> timedelta:
    """How long to wait after the ``attempts``-th failure (from 1): doubling from 2 s, at most 5 min."""
    doublings = min(max(attempts, 1) - 1, 16)
    return min(FIRST_RETRY * (1 << doublings), LAST_RETRY)


def poll_interval(since_submitted: timedelta) -> timedelta:
    """How long to wait for a receipt: a quarter of the time waited so far, between 0.25 s and 30 s."""
    return min(max(since_submitted / 4, FIRST_POLL), LAST_POLL)


def session_key(session_id: UUID) -> bytes:
    """The contract's ``bytes32 sessionId``: the 16 UUID bytes left-aligned, zeros to the right (§14.4)."""
    return session_id.bytes.ljust(32, b"\0")


def session_of_key(key: bytes) -> UUID:
    """The session behind a ``bytes32 sessionId``.

    Raises:
        ValueError: not 32 bytes, or not made by :func:`session_key`.
    """
    if len(key) != 32 or any(key[16:]):
        raise ValueError("not the key of a session")
    return UUID(bytes=key[:16])
