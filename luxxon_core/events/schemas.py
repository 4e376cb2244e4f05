"""Wire types of the event streams: what ``data`` of each event is, by the event's name.

Names and payloads are ours; the published contract has no streams.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET

from luxxon_core.controls.domain import Command
from luxxon_core.controls.schemas import PtzCommand
from luxxon_core.events import domain
from luxxon_core.events.domain import Event, Fix, Kind, News, Payment, Video
from luxxon_core.kernel.wire import MicroUsdc, Timestamp, TxHash, Uuid, one_of
from luxxon_core.media.domain import Fault, PictureFault
from luxxon_core.sessions.domain import Session as DomainSession
from luxxon_core.sessions.schemas import Session
from luxxon_core.telemetry.domain import Reason, Window


class SessionState(msgspec.Struct, frozen=True, rename="camel"):
    """A session was created, changed its state or can be published to; or, at the begin of a stream, how it
    stands. Its URLs are there as in ``GET /sessions/{id}``, if it is LIVE still when the event is sent."""

    session_id: Uuid
    at: Timestamp
    session: Session


class SessionMeter(msgspec.Struct, frozen=True, rename="camel"):
    """The meter of a LIVE session, once a second; it has no id to resume after."""

    session_id: Uuid
    at: Timestamp
    clean_seconds: int
    charged_micro_usdc: MicroUsdc
    elapsed_milliseconds: int
    lost_milliseconds: int


class WindowOpened(msgspec.Struct, frozen=True, rename="camel"):
    """From ``openedAt`` on nothing is charged."""

    session_id: Uuid
    at: Timestamp
    reason: Annotated[str, one_of(Reason)]
    opened_at: Timestamp


class WindowClosed(msgspec.Struct, frozen=True, rename="camel"):
    """What lay in the window is not charged."""

    session_id: Uuid
    at: Timestamp
    reason: Annotated[str, one_of(Reason)]
    opened_at: Timestamp
    closed_at: Timestamp


class SettlementState(msgspec.Struct, frozen=True, rename="camel"):
    """How far the payment has come: PENDING, SUBMITTED with its transaction, CONFIRMED. A PENDING one that is
    ``parked`` goes on when the server's operator has seen to it."""

    session_id: Uuid
    at: Timestamp
    state: str
    chargeable_seconds: int
    charged_micro_usdc: MicroUsdc
    to_amount_micro_usdc: MicroUsdc
    fee_amount_micro_usdc: MicroUsdc
    tx_hash: TxHash | None
    confirmed_at: Timestamp | None
    parked: bool = False


class TelemetrySample(msgspec.Struct, frozen=True, rename="camel"):
    """Where the operator of a LIVE session says it is; at most one a second."""

    session_id: Uuid
    at: Timestamp
    lat: float
    lng: float
    accuracy_meters: float
    speed_mps: float | None


class VideoState(msgspec.Struct, frozen=True, rename="camel"):
    """The edge sees media, or sees them no longer."""

    session_id: Uuid
    at: Timestamp
    video_backend_ref: str | None
    """Null where the session is sold as a unit."""


class QualityDegraded(msgspec.Struct, frozen=True, rename="camel"):
    """From ``openedAt`` on the picture is no good although video comes. It costs nobody anything: the meter
    goes on."""

    session_id: Uuid
    at: Timestamp
    fault: Annotated[str, one_of(Fault)]
    opened_at: Timestamp


class QualityRestored(msgspec.Struct, frozen=True, rename="camel"):
    """The picture is good again, or no video comes any more."""

    session_id: Uuid
    at: Timestamp
    fault: Annotated[str, one_of(Fault)]
    opened_at: Timestamp
    closed_at: Timestamp


class Ready(msgspec.Struct, frozen=True, rename="camel"):
    """Everything before has been told; what follows happens now."""

    at: Timestamp


class Reset(msgspec.Struct, frozen=True, rename="camel"):
    """The event to resume after is too old or unknown: read anew what you know."""

    at: Timestamp


class End(msgspec.Struct, frozen=True, rename="camel"):
    """Nothing more will happen to the session, and the stream is over: do not connect again."""

    session_id: Uuid
    at: Timestamp


EVENTS: dict[str, type[msgspec.Struct]] = {
    Kind.SESSION_STATE.value: SessionState,
    "session.meter": SessionMeter,
    Kind.WINDOW_OPENED.value: WindowOpened,
    Kind.WINDOW_CLOSED.value: WindowClosed,
    Kind.SETTLEMENT_STATE.value: SettlementState,
    Kind.TELEMETRY_SAMPLE.value: TelemetrySample,
    Kind.VIDEO_CONNECTED.value: VideoState,
    Kind.VIDEO_DISCONNECTED.value: VideoState,
    Kind.QUALITY_DEGRADED.value: QualityDegraded,
    Kind.QUALITY_RESTORED.value: QualityRestored,
    "ptz.command": PtzCommand,
    "ready": Ready,
    "reset": Reset,
    "end": End,
}
"""The type of each event's data."""


class Named(msgspec.Struct, frozen=True):
    """An event as a stream has it; ``id`` None where a stream cannot be resumed after it."""

    name: str
    data: msgspec.Struct
    id: Uuid | None = None

    @classmethod
    def of(cls, news: News, viewer: UUID) -> Named:
        """The event as ``viewer`` may see it: URLs as in ``GET /sessions/{id}``."""
        match news:
            case Event():
                position = str(news.position) if news.position is not None else None
                return cls(news.kind.value, _data(news, viewer), position)
            case domain.Reading():
                return cls("session.meter", _meter(news))
            case Command():
                return cls("ptz.command", PtzCommand.of(news))
            case domain.Ready():
                return cls("ready", Ready(Timestamp.of(news.at)), str(news.position))
            case domain.Reset():
                return cls("reset", Reset(Timestamp.of(news.at)))
            case domain.End():
                return cls("end", End(str(news.session_id), Timestamp.of(news.at)))


def _meter(reading: domain.Reading) -> SessionMeter:
    return SessionMeter(
        session_id=str(reading.session_id),
        at=Timestamp.of(reading.at),
        clean_seconds=reading.meter.clean_seconds,
        charged_micro_usdc=str(reading.meter.charged_uusdc),
        elapsed_milliseconds=reading.meter.elapsed_ms,
        lost_milliseconds=reading.meter.lost_ms,
    )


def _data(event: Event, viewer: UUID) -> msgspec.Struct:
    session_id, at, facts = str(event.session_id), Timestamp.of(event.at), event.facts
    match facts:
        case DomainSession():
            return SessionState(session_id, at, _session(event, facts, viewer))
        case Window() | PictureFault():
            return _stretch(session_id, at, facts)
        case Payment():
            return SettlementState(
                session_id,
                at,
                state=facts.state,
                chargeable_seconds=facts.chargeable_seconds,
                charged_micro_usdc=str(facts.to_amount_uusdc + facts.fee_amount_uusdc),
                to_amount_micro_usdc=str(facts.to_amount_uusdc),
                fee_amount_micro_usdc=str(facts.fee_amount_uusdc),
                tx_hash=facts.tx_hash,
                confirmed_at=Timestamp.of(facts.confirmed_at),
                parked=facts.parked,
            )
        case Fix():
            return TelemetrySample(session_id, at, facts.lat, facts.lng, facts.accuracy_m, facts.speed_mps)
        case Video():
            return VideoState(session_id, at, facts.uid)


def _stretch(session_id: Uuid, at: Timestamp, facts: Window | PictureFault) -> msgspec.Struct:
    """Its beginning, or its end where that is known."""
    opened = Timestamp.of(facts.opened_at)
    closed = None if facts.closed_at is None else Timestamp.of(facts.closed_at)
    if isinstance(facts, Window):
        if closed is None:
            return WindowOpened(session_id, at, facts.reason, opened)
        return WindowClosed(session_id, at, facts.reason, opened, closed)
    if closed is None:
        return QualityDegraded(session_id, at, facts.fault, opened)
    return QualityRestored(session_id, at, facts.fault, opened, closed)


def _session(event: Event, kept: DomainSession, viewer: UUID) -> Session:
    """What was kept, with the URLs of now where it was LIVE then and is still."""
    if event.live_input is not None:
        return Session.of(replace(kept, live_input=event.live_input), viewer)
    return msgspec.structs.replace(Session.of(kept, viewer), whep_url=UNSET, whip_url=UNSET)
