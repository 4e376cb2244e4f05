"""Wire types and events to views. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from luxxon_core.events.schemas import (
    QualityDegraded,
    QualityRestored,
    SessionMeter,
    SessionState,
    SettlementState,
    TelemetrySample,
    VideoState,
    WindowClosed,
    WindowOpened,
)
from luxxon_core.kernel.clock import milliseconds
from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.views import PHASES, Fix, Loss, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_core.client import EventData
    from luxxon_core.sessions.schemas import Session
    from luxxon_core.settlement.schemas import Receipt

NEARLY_MS = 100
"""A meter read this shortly before a full second is shown as of that second: where readings fall on both
sides of it by turns, a counter would skip."""


COURSE = {"REQUESTED": 0, "ASSIGNED": 1, "LIVE": 2, "PAUSED": 2, "ENDED": 3, "EXPIRED": 3, "CANCELLED": 3}


def behind(told: str, known: str) -> bool:
    """Whether a state is one from before another: an answer may come after the event that overtook it."""
    return COURSE.get(told, 3) < COURSE.get(known, 0)


def session_view(session: Session, mine: str | None = None, before: SessionView | None = None) -> SessionView:
    """A session from its wire type; what only receipts and other events tell is kept from ``before``.

    Args:
        mine: the acting workspace; it tells the side.
    """
    lat, lng = session.requested_lat, session.requested_lng
    url = session.whep_url if isinstance(session.whep_url, str) else None
    state, started = str(session.state), session.started_at
    if before is not None and behind(state, before.state):
        return before
    known = before or SessionView(
        id=str(session.id),
        state=state,
        created_at=session.created_at,
        max_seconds=session.max_duration_seconds,
        rate_micro=int(session.rate_per_second_micro_usdc),
        hold_micro=int(session.hold_micro_usdc),
    )
    view = replace(
        known,
        state=state,
        wait_seconds=session.wait_timeout_seconds,
        requested=Point(lat, lng) if lat is not None and lng is not None else None,
        operator=session.operator_workspace_id,
        started_at=started,
        ended_at=session.ended_at,
        stream_url=url or (known.stream_url if PHASES.get(state) is Phase.LIVE else None),
        side="operator" if mine is not None and session.operator_workspace_id == mine else "consumer",
        tx_hash=session.settlement_tx_hash or known.tx_hash,
        fault=known.fault if PHASES.get(state) is Phase.LIVE else None,
        controls=tuple(session.controls) if isinstance(session.controls, list) else known.controls,
    )
    if session.clean_seconds >= known.clean_seconds:  # an event may be older than the last meter
        view = replace(
            view, clean_seconds=session.clean_seconds, charged_micro=int(session.charged_micro_usdc)
        )
    if not view.billed and session.ended_at is not None and started is not None:
        elapsed = max(0, milliseconds(session.ended_at - started))
        view = replace(view, elapsed_ms=elapsed, lost_ms=max(0, elapsed - session.clean_seconds * 1000))
    return view


def billed(view: SessionView, receipt: Receipt, explorer_url: str) -> SessionView:
    """A session with its bill, final or so far; a bill from before its end is none any more."""
    if behind(str(receipt.state), view.state):
        return view
    start = receipt.started_at
    losses = (
        ()
        if start is None
        else tuple(
            Loss(
                str(window.reason),
                max(0, milliseconds(window.opened_at - start)),
                None if window.closed_at is None else max(0, milliseconds(window.closed_at - start)),
            )
            for window in sorted(receipt.windows, key=lambda each: each.opened_at)
        )
    )
    settlement = receipt.settlement
    tx_hash = settlement.tx_hash or view.tx_hash
    return replace(
        view,
        state=str(receipt.state),
        assigned_at=receipt.assigned_at,
        started_at=receipt.started_at,
        ended_at=receipt.ended_at,
        elapsed_ms=receipt.elapsed_milliseconds,
        lost_ms=receipt.lost_milliseconds,
        clean_seconds=receipt.clean_seconds,
        charged_micro=int(receipt.charged_micro_usdc),
        losses=losses,
        to_micro=int(receipt.to_amount_micro_usdc),
        fee_micro=int(receipt.fee_amount_micro_usdc),
        settlement=str(settlement.state),
        confirmed_at=settlement.confirmed_at,
        tx_hash=tx_hash,
        tx_url=tx_url(explorer_url, tx_hash),
        billed=True,
    )


def tx_url(explorer_url: str, tx_hash: str | None) -> str | None:
    """The page of a transaction, where the chain has an explorer."""
    return f"{explorer_url.rstrip('/')}/tx/{tx_hash}" if explorer_url and tx_hash else None


def told(view: SessionView, data: EventData, explorer_url: str) -> SessionView:  # noqa: PLR0911  # one each
    """The session after an event about it, other than ``session.state``."""
    match data:
        case SessionMeter():
            return metered(view, data)
        case WindowOpened() if view.started_at is not None:
            return replace(view, losses=_with(view, data.reason, data.opened_at, None))
        case WindowClosed() if view.started_at is not None:
            return replace(view, losses=_with(view, data.reason, data.opened_at, data.closed_at))
        case SettlementState():
            return replace(
                view,
                settlement=data.state,
                clean_seconds=data.chargeable_seconds,
                charged_micro=int(data.charged_micro_usdc),
                to_micro=int(data.to_amount_micro_usdc),
                fee_micro=int(data.fee_amount_micro_usdc),
                tx_hash=data.tx_hash or view.tx_hash,
                tx_url=tx_url(explorer_url, data.tx_hash or view.tx_hash),
                confirmed_at=data.confirmed_at,
                parked=data.parked,
            )
        case TelemetrySample():
            fix = Fix(Point(data.lat, data.lng), data.accuracy_meters, data.at, data.speed_mps)
            return replace(view, fix=fix)
        case QualityDegraded():
            return replace(view, fault=str(data.fault))
        case QualityRestored():
            return replace(view, fault=None)
        case _:
            return view


def metered(view: SessionView, told: SessionMeter) -> SessionView:
    """The session after a reading of its meter; one that is over, or a reading that is older, stays."""
    if PHASES.get(view.state) is not Phase.LIVE:
        return view
    ahead = -told.elapsed_milliseconds % 1000
    if ahead > NEARLY_MS:
        ahead = 0
    elapsed, lost = told.elapsed_milliseconds + ahead, told.lost_milliseconds
    lost += ahead if view.lost_now else 0
    clean = max(told.clean_seconds, min((elapsed - lost) // 1000, view.max_seconds))
    charged = int(told.charged_micro_usdc) + (clean - told.clean_seconds) * view.rate_micro
    return replace(view, elapsed_ms=elapsed, lost_ms=lost, clean_seconds=clean, charged_micro=charged)


def _with(view: SessionView, reason: str, opened: datetime, closed: datetime | None) -> tuple[Loss, ...]:
    """The stretches with one more, or with the end of one."""
    assert view.started_at is not None
    opened_ms = max(0, milliseconds(opened - view.started_at))
    closed_ms = None if closed is None else max(0, milliseconds(closed - view.started_at))
    loss = Loss(str(reason), opened_ms, closed_ms)
    rest: Sequence[Loss] = [
        each for each in view.losses if (each.reason, each.opened_ms) != (reason, opened_ms)
    ]
    return tuple(sorted((*rest, loss), key=lambda each: each.opened_ms))


def words(data: EventData) -> str:  # noqa: PLR0911  # one for each event
    """An event in words, for the log of what happened."""
    match data:
        case SessionState():
            return data.session.state
        case SessionMeter():
            return f"{data.clean_seconds} s clean, {fmt.usdc(int(data.charged_micro_usdc), fmt.CHARGED)} USDC"
        case WindowOpened():
            return f"not charged from now on: {fmt.reason(data.reason)}"
        case WindowClosed():
            lasted = milliseconds(data.closed_at - data.opened_at) / 1000
            return f"charged again after {lasted:.1f} s: {fmt.reason(data.reason)}"
        case SettlementState():
            paid = f"{fmt.usdc(int(data.charged_micro_usdc), fmt.CHARGED)} USDC"
            return f"{data.state} {paid}{', parked' if data.parked else ''}"
        case TelemetrySample():
            return f"{data.lat:.5f}, {data.lng:.5f}  ±{data.accuracy_meters:.0f} m"
        case QualityDegraded():
            return f"picture {data.fault.lower()}"
        case QualityRestored():
            return f"picture good again, was {data.fault.lower()}"
        case VideoState():
            return "video"
        case _:
            return ""
