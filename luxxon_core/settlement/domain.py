"""A finished session's payment: what is owed to whom, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """The stored settlement of one session.

    Attributes:
        raw_tx: the signed transaction, stored before it is broadcast; never shown.
        signer: address whose ``nonce`` it uses.
        attempts: how often it has failed; polls of a submitted one do not count.
    """

    payload: Payload
    state: SettlementState
    created_at: datetime
    next_attempt_at: datetime
    attempts: int = 0
    last_error: str | None = None
    signer: str | None = None
    nonce: int | None = None
    raw_tx: bytes | None = None
    tx_hash: str | None = None
    submitted_at: datetime | None = None
    confirmed_at: datetime | None = None
    block_number: int | None = None


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
        return Settlement(payload, SettlementState.CONFIRMED, now, now, confirmed_at=ended_at)
    return Settlement(payload, SettlementState.PENDING, now, now)


FIRST_RETRY = timedelta(seconds=2)
LAST_RETRY = timedelta(minutes=5)
FIRST_POLL = timedelta(seconds=1)
LAST_POLL = timedelta(seconds=30)


def backoff(attempts: int) -> timedelta:
    """How long to wait after the ``attempts``-th failure (from 1): doubling from 2 s, at most 5 min."""
    doublings = min(max(attempts, 1) - 1, 16)
    return min(FIRST_RETRY * (1 << doublings), LAST_RETRY)


def poll_interval(since_submitted: timedelta) -> timedelta:
    """How long to wait for a receipt: a quarter of the time waited so far, between 1 s and 30 s."""
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
