"""Disconnect windows and what opens and closes them (api-contract §5.13, §11.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from luxxon_core.kernel.clock import milliseconds
from luxxon_core.kernel.geo import Circle, Point

STALE_AFTER = timedelta(seconds=25)
ACCURATE_M = 100
"""Samples less accurate than this prove liveness but say nothing about the place."""


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
    """One heartbeat: where the operator's device says it is."""

    point: Point
    accuracy_m: float
    sequence: int
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
