"""An observation: what was asked for, what came of it, and why nothing did.

It is PENDING until its frame is stored (READY) or it has come to nothing (FAILED), and never changes after.
Its session has the same id, is sold as a unit, and is charged in the transaction that stores the frame: READY
is paid with the whole unit and FAILED with nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from luxxon_core.kernel.errors import InvalidState
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.media.domain import Frame, PictureFault
from luxxon_core.sessions.domain import TERMINAL, Session, State
from luxxon_core.telemetry.domain import Window

DEFAULT_WAIT_S = 60
MAX_WAIT_S = 3600
SMALLEST_WIDTH = 16
"""Pixels: no frame is made smaller."""
RECENT = timedelta(minutes=1)
"""How old the operator's own word on where it is may be, to count as the position of a frame."""
BLACK_MEAN, BLACK_DEVIATION = 10.0, 5.0
"""Luma from 0 to 255 below which a picture is black, as the media edges have it: a covered lens stays below
both, a street by night does not."""


class Status(StrEnum):
    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why an observation has FAILED."""

    PRICE_ABOVE_MAX = "PRICE_ABOVE_MAX"
    """The unit costs more than the maximum price; nobody was asked."""
    NO_OPERATOR = "NO_OPERATOR"
    """Nobody took it in time."""
    NO_VIDEO = "NO_VIDEO"
    """An operator was assigned and did not publish in time."""
    NO_PICTURE = "NO_PICTURE"
    """Video came, but no picture that could be sold."""
    CANCELLED = "CANCELLED"
    """One side ended the session before there was a frame."""


class PositionSource(StrEnum):
    TELEMETRY = "TELEMETRY"
    """The operator's device said so, within the last minute."""
    COVERAGE = "COVERAGE"
    """The centre of the circle that the operator covers; its radius is the accuracy."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the camera was: degrees WGS84, metres."""

    point: Point
    accuracy_m: float
    source: PositionSource
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a consumer asks for.

    Attributes:
        max_wait_s: seconds from the request until the frame, at most.
        max_price_uusdc: what it may cost at most.
        max_width: of the frame, in pixels; None: as it comes.
    """

    point: Point
    max_wait_s: int
    max_price_uusdc: int
    max_width: int | None = None


@dataclass(frozen=True, slots=True)
class Light:
    """Of a picture: mean and standard deviation of luma from 0 to 255, averaged over its parts."""

    mean: float
    deviation: float

    @property
    def black(self) -> bool:
        return self.mean < BLACK_MEAN and self.deviation < BLACK_DEVIATION


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a frame that is kept, without its bytes."""

    size: int
    width: int
    height: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """One request for one frame.

    Attributes:
        rate_uusdc: of a second; ``unit_s`` of them are the price.
        asked_for: whether there is a session: of the same id.
        kept: None where there is no frame, or no more.
    """

    id: UUID
    consumer_workspace_id: UUID
    asked: Asked
    rate_uusdc: int
    unit_s: int
    created_at: datetime
    asked_for: bool = True
    status: Status = Status.PENDING
    reason: Reason | None = None
    finished_at: datetime | None = None
    captured_at: datetime | None = None
    position: Position | None = None
    kept: Kept | None = None

    @property
    def price_uusdc(self) -> int:
        return self.rate_uusdc * self.unit_s

    @property
    def deadline(self) -> datetime:
        return self.created_at + timedelta(seconds=self.asked.max_wait_s)

    @property
    def finished(self) -> bool:
        return self.status is not Status.PENDING


def observe(
    observation_id: UUID, workspace_id: UUID, asked: Asked, rate_uusdc: int, unit_s: int, now: datetime
) -> Observation:
    """A new observation; FAILED from the start where its price is above the maximum."""
    made = Observation(observation_id, workspace_id, asked, rate_uusdc, unit_s, now)
    if made.price_uusdc <= asked.max_price_uusdc:
        return made
    return fail(replace(made, asked_for=False), Reason.PRICE_ABOVE_MAX, now)


def ready(
    observation: Observation, captured_at: datetime, position: Position | None, kept: Kept, now: datetime
) -> Observation:
    """PENDING → READY, with the frame."""
    _require_pending(observation)
    return replace(
        observation,
        status=Status.READY,
        finished_at=now,
        captured_at=captured_at,
        position=position,
        kept=kept,
    )


def fail(observation: Observation, reason: Reason, now: datetime) -> Observation:
    """PENDING → FAILED."""
    _require_pending(observation)
    return replace(observation, status=Status.FAILED, reason=reason, finished_at=now)


def _require_pending(observation: Observation) -> None:
    if observation.finished:
        raise InvalidState(f"observation:{observation.status}")


def why(session: Session, deadline: datetime) -> Reason:
    """Why the session, which has been let go, has brought no frame."""
    assert session.state in TERMINAL and session.ended_at is not None
    run_out = session.state is State.EXPIRED or (
        session.started_at is not None
        and session.ended_at >= session.started_at + timedelta(seconds=session.terms.max_duration_s)
    )
    if session.ended_at < deadline and not run_out:
        return Reason.CANCELLED
    if session.assigned_at is None:
        return Reason.NO_OPERATOR
    return Reason.NO_VIDEO if session.started_at is None else Reason.NO_PICTURE


def sellable(
    frame: Frame, session: Session, windows: Iterable[Window], faults: Iterable[PictureFault] = ()
) -> bool:
    """Whether a frame shows what was asked for: it is of the LIVE session and not from before it, and nothing
    says that the camera is elsewhere, its video broken or its picture faulty, or was when the frame was
    captured. Edges give out whole decoded pictures alone; whether one is black its :class:`Light` says."""
    if (
        session.state is not State.LIVE
        or session.started_at is None
        or frame.captured_at < session.started_at
    ):
        return False
    stretches = [(one.opened_at, one.closed_at) for one in windows]
    stretches += [(one.opened_at, one.closed_at) for one in faults]
    return all(
        closed_at is not None and not opened_at <= frame.captured_at < closed_at
        for opened_at, closed_at in stretches
    )


def located(
    coverage: Circle | None, said: tuple[Point, float, datetime] | None, at: datetime
) -> Position | None:
    """Where the camera was at a moment: by what its device said not long before or after, else by coverage.

    Args:
        said: point, accuracy in metres, and when.
    """
    if said is not None and abs(said[2] - at) <= RECENT:
        return Position(said[0], said[1], PositionSource.TELEMETRY, said[2])
    if coverage is None:
        return None
    return Position(coverage.center, coverage.radius_m, PositionSource.COVERAGE, at)


def narrower(frame: Frame, most_bytes: int) -> int | None:
    """The width at which to try a frame that has too many bytes; None where it may stay."""
    if len(frame.jpeg) <= most_bytes or frame.width <= SMALLEST_WIDTH:
        return None
    share: float = (most_bytes / len(frame.jpeg)) ** 0.5  # bytes go with the area
    return max(SMALLEST_WIDTH, min(int(frame.width * share * 0.95), frame.width - 1))
