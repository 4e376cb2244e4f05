"""Wire types of settlements (api-contract §5.6)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from luxxon_core.kernel.money import split
from luxxon_core.kernel.wire import Address, MicroUsdc, Timestamp, TxHash, Uuid
from luxxon_core.sessions.schemas import StateName
from luxxon_core.settlement.domain import Payload, Settlement, SettlementState
from luxxon_core.settlement.usecases import Bill
from luxxon_core.telemetry.schemas import Window


class SettlementPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: Uuid
    consumer_wallet_address: Address
    operator_wallet_address: Address
    rate_per_second_micro_usdc: MicroUsdc
    chargeable_seconds: int
    to_amount_micro_usdc: MicroUsdc
    fee_amount_micro_usdc: MicroUsdc

    @classmethod
    def of(cls, payload: Payload) -> SettlementPayload:
        return cls(
            session_id=str(payload.session_id),
            consumer_wallet_address=payload.consumer_wallet,
            operator_wallet_address=payload.operator_wallet,
            rate_per_second_micro_usdc=str(payload.rate_uusdc),
            chargeable_seconds=payload.chargeable_seconds,
            to_amount_micro_usdc=str(payload.to_amount_uusdc),
            fee_amount_micro_usdc=str(payload.fee_amount_uusdc),
        )


class SettlementView(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """``payload`` from PENDING on, ``tx_hash`` from SUBMITTED on, ``confirmed_at`` when CONFIRMED.

    Until ``final_at`` a reorganisation of the chain may take a CONFIRMED one back to SUBMITTED.
    """

    session_id: Uuid
    state: SettlementState
    payload: SettlementPayload | None = None
    tx_hash: TxHash | None = None
    confirmed_at: Timestamp | None = None
    final_at: Timestamp | None = None

    @classmethod
    def of(cls, session_id: UUID, settlement: Settlement | None) -> SettlementView:
        """The view of a session's settlement; None is NOT_READY."""
        if settlement is None:
            return cls(str(session_id), SettlementState.NOT_READY)
        return cls(
            session_id=str(session_id),
            state=settlement.state,
            payload=SettlementPayload.of(settlement.payload),
            tx_hash=settlement.tx_hash,
            confirmed_at=Timestamp.of(settlement.confirmed_at),
            final_at=Timestamp.of(settlement.final_at),
        )


class Receipt(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The bill of a session, as of ``as_of``: final once the session is over, a reading before."""

    session_id: Uuid
    state: StateName
    as_of: Timestamp
    created_at: Timestamp
    assigned_at: Timestamp | None
    started_at: Timestamp | None
    ended_at: Timestamp | None
    elapsed_milliseconds: int
    lost_milliseconds: int
    clean_seconds: int
    rate_per_second_micro_usdc: MicroUsdc
    max_duration_seconds: int
    charged_micro_usdc: MicroUsdc
    to_amount_micro_usdc: MicroUsdc
    fee_amount_micro_usdc: MicroUsdc
    windows: list[Window]
    settlement: SettlementView

    @classmethod
    def of(cls, bill: Bill, now: datetime) -> Receipt:
        session, reading = bill.session, bill.meter
        to_amount, fee_amount = split(reading.charged_uusdc, session.terms.platform_fee_bps)
        return cls(
            session_id=str(session.id),
            state=session.state,
            as_of=Timestamp.of(session.ended_at or now),
            created_at=Timestamp.of(session.created_at),
            assigned_at=Timestamp.of(session.assigned_at),
            started_at=Timestamp.of(session.started_at),
            ended_at=Timestamp.of(session.ended_at),
            elapsed_milliseconds=reading.elapsed_ms,
            lost_milliseconds=reading.lost_ms,
            clean_seconds=reading.clean_seconds,
            rate_per_second_micro_usdc=str(session.terms.rate_uusdc),
            max_duration_seconds=session.terms.max_duration_s,
            charged_micro_usdc=str(reading.charged_uusdc),
            to_amount_micro_usdc=str(to_amount),
            fee_amount_micro_usdc=str(fee_amount),
            windows=[Window.of(window) for window in bill.windows],
            settlement=SettlementView.of(session.id, bill.settlement),
        )
