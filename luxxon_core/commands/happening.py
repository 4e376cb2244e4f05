"""An event as a line for people."""

from __future__ import annotations

from luxxon_core.client.events import EventData, StreamEvent
from luxxon_core.controls.schemas import PtzCommand, verb_of
from luxxon_core.events.schemas import (
    QualityDegraded,
    QualityRestored,
    Ready,
    Reset,
    SessionMeter,
    SessionState,
    SettlementState,
    TelemetrySample,
    WindowClosed,
    WindowOpened,
)
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.money import format_usdc
from luxxon_core.kernel.text import plain

NONE = "–"


def line(event: StreamEvent) -> str:
    """When, the event's id, its name, the session, and what happened."""
    data = event.data
    session = NONE if isinstance(data, Ready | Reset) else data.session_id
    told = f"{iso(data.at)}  {event.id or NONE:>8}  {event.name:18}  {session}  {words(data)}"
    return plain(told).rstrip()


def words(data: EventData) -> str:  # noqa: PLR0911  # one for each event
    """What happened, where the name has not said it all."""
    match data:
        case SessionState():
            return data.session.state
        case SessionMeter():
            return f"{data.clean_seconds} s clean, {_usdc(data.charged_micro_usdc)}"
        case WindowOpened():
            return f"not charged from now on: {data.reason}"
        case WindowClosed():
            lasted = (data.closed_at - data.opened_at).total_seconds()
            return f"charged again after {lasted:.1f} s: {data.reason}"
        case SettlementState():
            parked = ", parked" if data.parked else ""
            return f"{data.state} {_usdc(data.charged_micro_usdc)}{parked}"
        case TelemetrySample():
            return f"{data.lat:.5f}, {data.lng:.5f} within {data.accuracy_meters:.0f} m"
        case QualityDegraded() | QualityRestored():
            return data.fault
        case PtzCommand():
            return verb_of(data.order).value
        case _:
            return ""


def _usdc(micro: str) -> str:
    return f"{format_usdc(int(micro))} USDC"
