"""Wire types of the wallet (api-contract §5.4, §5.5)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from luxxon_core.kernel.wire import Address, Digits, MicroUsdc, Timestamp, TxHash, Uuid, one_of
from luxxon_core.wallet.domain import Entry, EventKind


class WalletState(msgspec.Struct, frozen=True, rename="camel"):
    workspace_id: Uuid
    wallet_address: Address
    tracked_balance: MicroUsdc
    """µUSDC in the pool, as last seen on the chain."""
    last_sync_block: Digits
    """The highest block that the watcher has consumed."""
    updated_at: Timestamp


class EventsQuery(msgspec.Struct, frozen=True, rename="camel"):
    cursor: UUID | None = None
    """``id`` of the last event of the page before."""
    limit: Annotated[int, Meta(ge=1, description="at most 200 are returned")] = 50
    workspace_id: Uuid | None = None


class OnChainEvent(msgspec.Struct, frozen=True, rename="camel"):
    id: Uuid
    workspace_id: Uuid
    kind: Annotated[str, one_of(EventKind)]
    tx_hash: TxHash
    block_number: Digits
    confirmed_at: Timestamp
    amount_usdc: MicroUsdc
    """µUSDC, despite the name."""
    related_session: Uuid | None

    @classmethod
    def of(cls, event_id: UUID, workspace_id: UUID, entry: Entry) -> OnChainEvent:
        return cls(
            id=str(event_id),
            workspace_id=str(workspace_id),
            kind=entry.kind,
            tx_hash=entry.tx_hash,
            block_number=str(entry.block_number),
            confirmed_at=Timestamp.of(entry.at),
            amount_usdc=str(entry.amount_uusdc),
            related_session=None if entry.related_session is None else str(entry.related_session),
        )
