"""Wire types of the wallet (api-contract §5.4, §5.5)."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.kernel.wire import Address, Digits, MicroUsdc, Timestamp, TxHash, Uuid, one_of
from luxxon_core.wallet.domain import Authorization, Entry, EventKind

Seconds = Annotated[int, Meta(ge=0, le=2**53, description="seconds since 1970")]


class WalletState(msgspec.Struct, frozen=True, rename="camel"):
    workspace_id: Uuid
    wallet_address: Address
    tracked_balance: MicroUsdc
    """µUSDC in the pool, as last seen on the chain."""
    last_sync_block: Digits
    """The highest block that the watcher has consumed."""
    updated_at: Timestamp


class DepositAuthorization(msgspec.Struct, frozen=True, rename="camel"):
    """ERC-3009 ReceiveWithAuthorization of the token, to the settlement contract."""

    from_: Address = msgspec.field(name="from")
    amount: MicroUsdc
    valid_after: Seconds
    valid_before: Seconds
    nonce: Annotated[str, Meta(extra_json_schema={"pattern": "^0x[0-9a-fA-F]{64}$"})]
    signature: Annotated[str, Meta(extra_json_schema={"pattern": "^0x[0-9a-fA-F]{130}$"})]

    def __repr__(self) -> str:
        return f"DepositAuthorization({self.from_}, {self.amount})"

    def authorization(self) -> Authorization:
        """What is authorised.

        Raises:
            InvalidInput: a field has no such form; the detail names it.
        """
        forms = {
            "from": (self.from_, r"0[xX][0-9a-fA-F]{40}"),
            "amount": (self.amount, r"0|[1-9][0-9]{0,30}"),
            "nonce": (self.nonce, r"0x[0-9a-fA-F]{64}"),
            "signature": (self.signature, r"0x[0-9a-fA-F]{130}"),
        }
        for name, (text, form) in forms.items():
            if not re.fullmatch(form, text, re.ASCII):
                raise InvalidInput(f"deposit:{name}")
        return Authorization(
            wallet=self.from_.lower(),
            amount_uusdc=int(self.amount),
            valid_after=self.valid_after,
            valid_before=self.valid_before,
            nonce=bytes.fromhex(self.nonce[2:]),
            signature=bytes.fromhex(self.signature[2:]),
        )


class DepositSent(msgspec.Struct, frozen=True, rename="camel"):
    tx_hash: TxHash
    """Of the transaction that will fill the pool; with a higher fee it may be mined under another one."""


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
