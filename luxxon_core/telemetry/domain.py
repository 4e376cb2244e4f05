"""Disconnect windows and what opens and closes them (api-contract §5.13, §11.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from luxxon_core.kernel.clock import milliseconds
from luxxon_core.kernel.geo import Circle, Point

STALE_AFTER = timedelta(seconds=25)
ACCURATE_M = 100
"""Samples less accurate than this prove liveness but say nothing about the place."""
MAX_SKEW = timedelta(seconds=30)
"""How far a device's clock may be off."""


class Reason(StrEnum):
    NETWORK_ERROR = "NETWORK_ERROR"
    STALE_TELEMETRY = "STALE_TELEMETRY"
    OUTSIDE_GEOFENCE = "OUTSIDE_GEOFENCE"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a LIVE session that is not charged; ``closed_at`` is None while it lasts."""

    reason: Reason
    opened_at: datetime
    closed_at: datetime | None = None


def lost_ms(windows: Iterable[Window], started_at: datetime, ended_at: datetime) -> int:
    """Milliseconds of ``[started_at, ended_at]`` that lie in at least one window.

    Open windows last to ``ended_at``; every window is clipped to the interval, and overlapping ones
    count once (api-contract §8).
    """
    clipped = sorted((max(w.opened_at, started_at), min(w.closed_at or ended_at, ended_at)) for w in windows)
    lost, reached = timedelta(), started_at
    for opened_at, closed_at in clipped:
        if closed_at > max(opened_at, reached):  # a window past the end is clipped to less than nothing
            lost += closed_at - max(opened_at, reached)
            reached = closed_at
    return milliseconds(lost)


@dataclass(frozen=True, slots=True)
class Sample:
    """One heartbeat: where the operator's device says it is.

    Attributes:
        sequence: its place among those of the workspace; None for the next.
    """

    point: Point
    accuracy_m: float
    sequence: int | None
    at: datetime
    speed_mps: float | None = None


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What telemetry needs to know of a LIVE session."""

    id: UUID
    requested: Point
    geofence_radius_m: float


def outside_geofence(sample: Sample, session: LiveSession) -> bool | None:
    """Whether the sample lies outside the session's geofence; None when it is too inaccurate to tell."""
    if sample.accuracy_m > ACCURATE_M:
        return None
    return not Circle(session.requested, session.geofence_radius_m).contains(sample.point)


@dataclass(frozen=True, slots=True)
class Beacon:
    """A telemetry sample of one session, as the operator's device took and signed it (api-contract §16.3).

    Attributes:
        captured: ``captured_at`` as it was written, which is what was signed.
        sensors: the optional readings, as JSON values.
    """

    session_id: UUID
    captured: str
    captured_at: datetime
    point: Point
    accuracy_m: float
    source: str
    signature: str = field(repr=False)
    sensors: Mapping[str, object] | None = None

    def text(self) -> str:
        """What the wallet of the operator's workspace signs, as an EIP-191 personal message.

        Coordinates have 7 decimals; the accuracy is in its shortest decimal form: ``5``, ``4.25``.
        """
        return "\n".join(
            (
                "luxxon-telemetry-v1",
                str(self.session_id),
                self.captured,
                f"{self.point.lat + 0.0:.7f}",  # adding zero takes the sign off a zero
                f"{self.point.lng + 0.0:.7f}",
                _shortest(self.accuracy_m),
                self.source,
            )
        )


def _shortest(number: float) -> str:
    """The fewest digits that tell the number from its neighbours, without exponent and without ``.0``."""
    text = f"{Decimal(repr(number + 0.0)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Stage:
    """What beacons and notifications need to know of a session in any state."""

    state: str
    operator_workspace_id: UUID | None
    operator_wallet: str | None
    started: bool
    """Whether it has a live input."""


class InputEvent(StrEnum):
    """What an outside edge tells of a live input (api-contract §15.5)."""

    CONNECTED = "live_input.connected"
    DISCONNECTED = "live_input.disconnected"
    ERRORED = "live_input.errored"
