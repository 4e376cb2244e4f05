"""What happened to sessions: the events of the log, and what a stream tells beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from luxxon_core.controls.domain import Command
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.media.domain import LiveInput, PictureFault
from luxxon_core.sessions.domain import TERMINAL, Meter, Session, State, meter
from luxxon_core.telemetry.domain import Window

RETENTION = timedelta(days=7)
"""How long a stream can be resumed, where the settings say nothing else."""

_POSITION = re.compile(r"[0-9]{1,18}")


class Kind(StrEnum):
    """What an event of the log tells; the value is its name on the wire."""

    SESSION_STATE = "session.state"
    """A session was created, changed its state, or was given a live input."""
    WINDOW_OPENED = "window.opened"
    WINDOW_CLOSED = "window.closed"
    SETTLEMENT_STATE = "settlement.state"
    TELEMETRY_SAMPLE = "telemetry.sample"
    VIDEO_CONNECTED = "video.connected"
    VIDEO_DISCONNECTED = "video.disconnected"
    QUALITY_DEGRADED = "quality.degraded"
    """The picture is black, frozen or not to be decoded although video comes."""
    QUALITY_RESTORED = "quality.restored"


@dataclass(frozen=True, slots=True)
class Payment:
    """How far a session's settlement has come; amounts in µUSDC.

    Attributes:
        parked: the contract refuses it, and the server's operator has to look.
    """

    state: str
    chargeable_seconds: int
    to_amount_uusdc: int
    fee_amount_uusdc: int
    tx_hash: str | None = None
    confirmed_at: datetime | None = None
    parked: bool = False

    @property
    def settled(self) -> bool:
        """Nothing more will happen to it."""
        return self.state == "CONFIRMED"


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the operator's device said that it was: degrees WGS84, metres, metres a second."""

    lat: float
    lng: float
    accuracy_m: float
    speed_mps: float | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """Which live input has media, or has none any more; None for one of a session that is sold as a unit."""

    uid: str | None


Facts = Session | Window | Payment | Fix | Video | PictureFault

FACTS: dict[Kind, type[Facts]] = {
    Kind.SESSION_STATE: Session,
    Kind.WINDOW_OPENED: Window,
    Kind.WINDOW_CLOSED: Window,
    Kind.SETTLEMENT_STATE: Payment,
    Kind.TELEMETRY_SAMPLE: Fix,
    Kind.VIDEO_CONNECTED: Video,
    Kind.VIDEO_DISCONNECTED: Video,
    Kind.QUALITY_DEGRADED: PictureFault,
    Kind.QUALITY_RESTORED: PictureFault,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        id: unique; in the order of writing, which inside one session is that of happening.
        position: its place in the log, by which readers read and resume; None for one that is no entry of the
            log but tells a new follower how things stand.
        facts: what the kind says, as it was then; of a session without the URLs of its live input.
        live_input: the live input of a session that is LIVE while the event is read: URLs are never kept.
    """

    id: int
    position: int | None
    kind: Kind
    session_id: UUID
    consumer_workspace_id: UUID
    operator_workspace_id: UUID | None
    at: datetime
    facts: Facts
    live_input: LiveInput | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A LIVE session's meter at a second; not in the log, for it can be read again at any time."""

    session_id: UUID
    consumer_workspace_id: UUID
    operator_workspace_id: UUID | None
    at: datetime
    meter: Meter


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything up to ``position`` has been told; what follows happens now."""

    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Reset:
    """The place to resume after is no longer in the log: what the follower knows may be out of date."""

    at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more will happen to the session."""

    session_id: UUID
    at: datetime


News = Event | Reading | Command | Ready | Reset | End
"""A command to the operator's device is told to who listens when it is given, and to nobody later."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand with a session at one moment.

    Attributes:
        tip: the last position of the log then.
        waiting: ids of events about the session that were committed then and had no position yet.
    """

    session: Session
    windows: list[Window]
    payment: Payment | None
    tip: int
    waiting: frozenset[int]
    faults: Sequence[PictureFault] = ()


def parse_position(text: str) -> int:
    """The position that a follower resumes after.

    Raises:
        InvalidInput: ``events:lastEventId``.
    """
    if not _POSITION.fullmatch(text):
        raise InvalidInput("events:lastEventId")
    return int(text)


def without_urls(session: Session) -> Session:
    """The session as it may be kept: the URLs of a live input are bearer secrets."""
    if session.live_input is None:
        return session
    return replace(session, live_input=replace(session.live_input, whip_url="", whep_url=""))


def changed_at(session: Session) -> datetime:
    """When the session came into its state."""
    moments = {
        State.REQUESTED: session.created_at,
        State.ASSIGNED: session.assigned_at,
        State.LIVE: session.started_at,
    }
    return moments.get(session.state, session.ended_at) or session.created_at


def over(session: Session, payment: Payment | None) -> bool:
    """Whether nothing more will happen to a session: it is over, and what is owed has been paid."""
    if session.state not in TERMINAL:
        return False
    return not session.metered or (payment is not None and payment.settled)


def reading(session: Session, windows: list[Window], at: datetime) -> Reading:
    """The meter of a LIVE session."""
    return Reading(
        session.id,
        session.consumer_workspace_id,
        session.operator_workspace_id,
        at,
        meter(session, at, windows),
    )


def told(standing: Standing) -> list[Event]:
    """How things stand, as the events that a new follower begins with."""
    session = standing.session

    def event(kind: Kind, at: datetime, facts: Facts, live_input: LiveInput | None = None) -> Event:
        return Event(
            0,
            None,
            kind,
            session.id,
            session.consumer_workspace_id,
            session.operator_workspace_id,
            at,
            facts,
            live_input,
        )

    live_input = session.live_input if session.state is State.LIVE else None
    events = [event(Kind.SESSION_STATE, changed_at(session), without_urls(session), live_input)]
    events += [
        event(Kind.WINDOW_OPENED, window.opened_at, window)
        for window in standing.windows
        if window.closed_at is None
    ]
    events += [
        event(Kind.QUALITY_DEGRADED, fault.opened_at, fault)
        for fault in standing.faults
        if fault.closed_at is None
    ]
    if standing.payment is not None:
        at = standing.payment.confirmed_at or changed_at(session)
        events.append(event(Kind.SETTLEMENT_STATE, at, standing.payment))
    return events
