"""What is owed, when to try again, and what the wire says about it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.kernel import wire
from luxxon_core.settlement.domain import (
    LAST_POLL,
    LAST_RETRY,
    Payload,
    SettlementState,
    backoff,
    compose,
    poll_interval,
    queued,
    session_key,
    session_of_key,
)
from luxxon_core.settlement.schemas import SettlementView

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
SESSION = UUID("0b3cb2a1-6a0e-4d0c-8f43-0d1f9a8b7c6d")


def payload(rate: int = 1000, seconds: int = 47, fee_bps: int = 1500) -> Payload:
    return compose(
        session_id=SESSION,
        consumer_wallet="0x" + "Aa" * 20,
        operator_wallet="0x" + "Bb" * 20,
        rate_uusdc=rate,
        clean_seconds=seconds,
        fee_bps=fee_bps,
    )


def test_the_worked_example_of_the_contract() -> None:
    owed = payload()
    assert (owed.charged_uusdc, owed.to_amount_uusdc, owed.fee_amount_uusdc) == (47_000, 39_950, 7_050)


@given(st.integers(0, 10**12), st.integers(0, 86_400), st.integers(0, 10_000))
def test_the_shares_are_the_charge_to_the_last_micro(rate: int, seconds: int, fee_bps: int) -> None:
    owed = payload(rate, seconds, fee_bps)
    assert owed.to_amount_uusdc + owed.fee_amount_uusdc == rate * seconds
    assert min(owed.to_amount_uusdc, owed.fee_amount_uusdc) >= 0


@pytest.mark.parametrize(
    ("rate", "seconds", "fee_bps"), [(-1, 1, 0), (1, -1, 0), (-1, -1, 0), (1, 1, 10_001)]
)
def test_nonsense_is_never_owed(rate: int, seconds: int, fee_bps: int) -> None:
    with pytest.raises(ValueError):
        payload(rate, seconds, fee_bps)


def test_nothing_to_pay_is_confirmed_when_the_session_ended() -> None:
    ended_at = NOW - timedelta(seconds=3)
    free = queued(payload(seconds=0), ended_at, NOW)
    assert (free.state, free.confirmed_at, free.tx_hash) == (SettlementState.CONFIRMED, ended_at, None)
    owed = queued(payload(), ended_at, NOW)
    assert (owed.state, owed.confirmed_at, owed.next_attempt_at) == (SettlementState.PENDING, None, NOW)


@given(st.integers(0, 10_000))
def test_retries_grow_apart_up_to_a_limit(attempts: int) -> None:
    assert timedelta(seconds=2) <= backoff(attempts) <= backoff(attempts + 1) <= LAST_RETRY
    assert backoff(10_000) == LAST_RETRY


def test_receipts_are_asked_for_often_at_first() -> None:
    waited = (0, 2, 4, 40, 4000)
    asked = [poll_interval(timedelta(seconds=seconds)) for seconds in waited]
    assert asked == [timedelta(seconds=seconds) for seconds in (0.25, 0.5, 1, 10, 30)]
    assert asked[-1] == LAST_POLL


@given(st.uuids())
def test_a_session_and_its_key_are_one_to_one(session_id: UUID) -> None:
    key = session_key(session_id)
    assert len(key) == 32 and key.startswith(session_id.bytes) and not any(key[16:])
    assert session_of_key(key) == session_id
    with pytest.raises(ValueError):
        session_of_key(key[:31] + b"\x01")


def test_the_view_says_no_more_than_is_known() -> None:
    def seen(view: SettlementView) -> dict[str, object]:
        decoded: dict[str, object] = json.loads(wire.encode(view))
        return decoded

    other = uuid4()
    assert seen(SettlementView.of(other, None)) == {"sessionId": str(other), "state": "NOT_READY"}
    pending = queued(payload(), NOW, NOW)
    shown = {
        "sessionId": str(SESSION),
        "consumerWalletAddress": "0x" + "Aa" * 20,
        "operatorWalletAddress": "0x" + "Bb" * 20,
        "ratePerSecondMicroUsdc": "1000",
        "chargeableSeconds": 47,
        "toAmountMicroUsdc": "39950",
        "feeAmountMicroUsdc": "7050",
    }
    base = {"sessionId": str(SESSION), "payload": shown}
    assert seen(SettlementView.of(SESSION, pending)) == base | {"state": "PENDING"}
    submitted = replace(pending, state=SettlementState.SUBMITTED, tx_hash="0xab")
    assert seen(SettlementView.of(SESSION, submitted)) == base | {"state": "SUBMITTED", "txHash": "0xab"}
    confirmed = replace(submitted, state=SettlementState.CONFIRMED, confirmed_at=NOW)
    assert seen(SettlementView.of(SESSION, confirmed)) == base | {
        "state": "CONFIRMED",
        "txHash": "0xab",
        "confirmedAt": "2026-05-13T12:00:00.000Z",
    }
    final = seen(SettlementView.of(SESSION, replace(confirmed, final_at=NOW)))
    assert final["finalAt"] == "2026-05-13T12:00:00.000Z"
