"""What the chain says about wallets: entries of the ledger, and the blocks that they stand in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

_LEDGER = UUID("6e0b5d2c-41f7-5c35-9d1e-0d5f0a8b7c11")
_VERSION_AND_VARIANT = (0xF << 76) | (0x3 << 62)


class EventKind(StrEnum):
    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    SETTLE = "SETTLE"
    APPROVAL = "APPROVAL"


@dataclass(frozen=True, slots=True)
class Block:
    """The header of a block: what tells it from another one of the same height."""

    number: int
    hash: str
    parent_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """What one log of the chain means to one wallet.

    Attributes:
        wallet: EIP-55.
        amount_uusdc: what the event names: deposited, withdrawn, approved, paid or earned.
        pool_change_uusdc: what it did to the wallet's pool; the sum over a wallet's entries is its pool. A
            payment that the wallet received, and an approval, leave the pool as it was.
        related_session: of a SETTLE, unless its key is no session's.
    """

    kind: EventKind
    wallet: str
    tx_hash: str
    log_index: int
    block_number: int
    at: datetime
    amount_uusdc: int
    pool_change_uusdc: int = 0
    related_session: UUID | None = None

    def id(self, contract: str) -> UUID:
        """The same for the same log of the same transaction, however often it is read."""
        return uuid5(_LEDGER, f"{contract}/{self.tx_hash}/{self.log_index}/{self.wallet}")


def seen_by(workspace_id: UUID, entry_id: UUID) -> UUID:
    """The id under which a workspace sees an entry of its wallet, and back: the function is its own inverse.

    Workspaces of one wallet share its entries; each sees them under ids of its own.
    """
    mixed = entry_id.int ^ (workspace_id.int & ~_VERSION_AND_VARIANT)
    return UUID(int=mixed)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the watcher has come: the highest block consumed, and when it last looked."""

    block_number: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Authorization:
    """A wallet's signed permission to move so much of its token into its own pool (ERC-3009,
    ReceiveWithAuthorization to the settlement contract).

    Attributes:
        wallet: 0x and 40 hexadecimal digits in lower case.
        valid_after, valid_before: seconds since 1970; both excluded.
        nonce: 32 bytes that the wallet has not used before.
        signature: r, s and v, 65 bytes.
    """

    wallet: str
    amount_uusdc: int
    valid_after: int
    valid_before: int
    nonce: bytes
    signature: bytes = field(repr=False)
