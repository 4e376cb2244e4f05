"""The session state machine and its meter (api-contract §7, §8).

Every transition is a pure function from a session to the session after it; one that is not allowed raises
:class:`InvalidState` with ``session:<operation>:<CURRENT_STATE>``. Storage compares and swaps on the state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from luxxon_core.kernel.clock import milliseconds
from luxxon_core.kernel.errors import InvalidInput, InvalidState
from luxxon_core.kernel.geo import Point
from luxxon_core.media.domain import LiveInput
from luxxon_core.telemetry.domain import Window, lost_ms

MAX_DURATION_S = 86_400
WAIT_TIMEOUT_S = (5, 3600)
DEFAULT_WAIT_TIMEOUT_S = 300


class State(StrEnum):
    REQUESTED = "REQUESTED"
    ASSIGNED = "ASSIGNED"
    LIVE = "LIVE"
    PAUSED = "PAUSED"
    """Reserved by the contract; no transition reaches it."""
    ENDED = "ENDED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class Side(StrEnum):
    """Where a workspace stands in a session; one may stand on both sides."""

    CONSUMER = "consumer"
    OPERATOR = "operator"


class Control(StrEnum):
    """What the operator's device lets others do with its camera."""

    PTZ = "ptz"
    ZOOM = "zoom"
    GIMBAL = "gimbal"


EDGE_SILENT = timedelta(seconds=5)
"""An edge that has not been stamped as served for so long is gone; it is stamped every second."""
EDGE_DOUBTED = timedelta(seconds=3)
"""When a bill is made up, what an edge has not vouched for this long is not charged: it may be gone, and
afterwards nobody could take the seconds back."""

OPEN = frozenset({State.REQUESTED, State.ASSIGNED, State.LIVE})
TERMINAL = frozenset({State.ENDED, State.EXPIRED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Terms:
    """What is stamped at create and never changes."""

    rate_uusdc: int
    max_duration_s: int
    wait_timeout_s: int
    platform_fee_bps: int
    geofence_radius_m: float
    unit: bool = False
    """Sold as a whole: the maximum duration is charged when what was asked for is delivered, else nothing.
    Its consumer gets what is delivered and no live video."""

    @property
    def hold_uusdc(self) -> int:
        """The most that the session can cost."""
        return self.rate_uusdc * self.max_duration_s


@dataclass(frozen=True, slots=True)
class Session:
    """One request for live video, from REQUESTED to a terminal state."""

    id: UUID
    consumer_workspace_id: UUID
    requested: Point
    terms: Terms
    created_at: datetime
    state: State = State.REQUESTED
    operator_workspace_id: UUID | None = None
    dispatched: bool = False
    """Assigned by dispatch, which made the operator BUSY; accept leaves it as it was."""
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    clean_seconds: int = 0
    charged_uusdc: int = 0
    live_input: LiveInput | None = None
    """None before start and after teardown."""
    settlement_tx_hash: str | None = None
    controls: tuple[Control, ...] | None = None
    """What the operator's device allows; None while it has not said."""
    policy: dict[str, Any] | None = None
    """What the device does for people's privacy, in its own words; None while it has not said."""
    budget_key_id: UUID | None = None
    """The API key whose budget it counts against; None where there is none."""

    @property
    def metered(self) -> bool:
        """It went LIVE and is over: there is something to settle."""
        return self.state in TERMINAL and self.started_at is not None

    @property
    def waits_until(self) -> datetime:
        """When a request that found no picture expires."""
        return self.created_at + timedelta(seconds=self.terms.wait_timeout_s)


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to be known of a session before its picture is shown."""

    state: State
    consumer_workspace_id: UUID
    operator_workspace_id: UUID | None
    live_input: LiveInput | None
    unit: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """A reading: ``clean_seconds × rate`` is the charge in µUSDC."""

    elapsed_ms: int
    lost_ms: int
    clean_seconds: int
    charged_uusdc: int


def check_duration(max_duration_s: float) -> int:
    """A positive whole number of seconds, at most a day; JSON does not tell 10 from 10.0.

    Raises:
        InvalidInput: ``session:maxDurationSeconds``.
    """
    if not 1 <= max_duration_s <= MAX_DURATION_S or max_duration_s % 1:
        raise InvalidInput("session:maxDurationSeconds")
    return int(max_duration_s)


def clamp_wait(wait_timeout_s: float | None) -> int:
    """Seconds until a request that found no picture expires: 5 to 3600, 300 when not given."""
    if wait_timeout_s is None:
        return DEFAULT_WAIT_TIMEOUT_S
    low, high = WAIT_TIMEOUT_S
    return int(min(max(wait_timeout_s, low), high))


def meter(session: Session, at: datetime, windows: Iterable[Window]) -> Meter:
    """The reading at ``at``: wall clock since ``started_at`` minus windows, floored to whole seconds.

    It never runs beyond the maximum duration, nor beyond the end of a session that is over; before LIVE it
    is zero. Of a session that is sold as a unit it is zero, too, until :func:`deliver` makes it the whole.
    """
    if session.started_at is None:
        return Meter(0, 0, 0, 0)
    ended_at = metered_end(session, at)
    elapsed = milliseconds(ended_at - session.started_at)
    lost = lost_ms(windows, session.started_at, ended_at)
    clean = min(max((elapsed - lost) // 1000, 0), session.terms.max_duration_s)
    if session.terms.unit:
        clean = session.clean_seconds
    return Meter(elapsed, lost, clean, clean * session.terms.rate_uusdc)


def metered_end(session: Session, at: datetime) -> datetime:
    """``min(at, startedAt + maxDuration)``, so that end and the sweep agree; never before the start."""
    assert session.started_at is not None
    limit = session.started_at + timedelta(seconds=session.terms.max_duration_s)
    return max(session.started_at, min(session.ended_at or at, at, limit))


def _require(session: Session, operation: str, *allowed: State) -> None:
    if session.state not in allowed:
        raise InvalidState(f"session:{operation}:{session.state}")


def assign(
    session: Session, operator_workspace_id: UUID, now: datetime, *, operation: str = "accept"
) -> Session:
    """REQUESTED → ASSIGNED, by ``dispatch`` or ``accept``."""
    _require(session, operation, State.REQUESTED)
    return replace(
        session,
        state=State.ASSIGNED,
        operator_workspace_id=operator_workspace_id,
        dispatched=operation == "dispatch",
        assigned_at=now,
    )


def check_start(session: Session) -> None:
    """Start mints a live input while ASSIGNED and answers with it while LIVE; it changes no state."""
    _require(session, "start", State.ASSIGNED, State.LIVE)


def go_live(session: Session, now: datetime) -> Session:
    """ASSIGNED → LIVE at the first decoded frame: here the meter starts."""
    _require(session, "live", State.ASSIGNED)
    return replace(session, state=State.LIVE, started_at=now)


def end(session: Session, now: datetime, windows: Iterable[Window]) -> Session:
    """LIVE → ENDED with the meter's final reading."""
    _require(session, "end", State.LIVE)
    return _finalise(session, State.ENDED, now, windows)


def deliver(session: Session, now: datetime, windows: Iterable[Window]) -> Session:
    """LIVE → ENDED with the whole unit charged, of a session that is sold as one.

    Raises:
        InvalidState: ``session:deliver:<STATE>``; ``session:deliver:LOST``: a window is open, so what the
            camera shows now is not what was asked for.
    """
    assert session.terms.unit
    _require(session, "deliver", State.LIVE)
    shown = list(windows)
    if any(one.closed_at is None for one in shown):
        raise InvalidState("session:deliver:LOST")
    whole = replace(session, clean_seconds=session.terms.max_duration_s)
    return _finalise(whole, State.ENDED, now, shown)


def cancel(session: Session, now: datetime, *, operator: bool = False) -> Session:
    """REQUESTED or ASSIGNED → CANCELLED; an operator may only give back what is ASSIGNED."""
    allowed = (State.ASSIGNED,) if operator else (State.REQUESTED, State.ASSIGNED)
    _require(session, "cancel", *allowed)
    return replace(session, state=State.CANCELLED, ended_at=now)


def expire_waiting(session: Session, now: datetime) -> Session:
    """REQUESTED or ASSIGNED → EXPIRED when the wait is over: no meter, nothing to settle."""
    _require(session, "expire", State.REQUESTED, State.ASSIGNED)
    if now <= session.waits_until:
        raise InvalidState("session:expire:WAITING")
    return replace(session, state=State.EXPIRED, ended_at=now)


def expire_live(session: Session, now: datetime, windows: Iterable[Window]) -> Session:
    """LIVE → EXPIRED at the maximum duration, metered."""
    _require(session, "expire", State.LIVE)
    assert session.started_at is not None
    if now <= session.started_at + timedelta(seconds=session.terms.max_duration_s):
        raise InvalidState("session:expire:LIVE")
    return _finalise(session, State.EXPIRED, now, windows)


def _finalise(session: Session, state: State, now: datetime, windows: Iterable[Window]) -> Session:
    reading = meter(session, now, windows)
    return replace(
        session,
        state=state,
        ended_at=metered_end(session, now),
        clean_seconds=reading.clean_seconds,
        charged_uusdc=reading.charged_uusdc,
    )
