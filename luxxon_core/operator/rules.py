"""Which assignments an operator takes, and when it is open at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Point, distance_m
from luxxon_core.kernel.money import format_usdc

if TYPE_CHECKING:
    from luxxon_core.operator.marketplace import SessionLike

EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Hours:
    """From ``begin`` until ``end`` on the clocks of a time zone, over midnight where ``end`` is the earlier;
    all day where they are the same. ``days`` are those on which the opening begins, Monday is 0."""

    begin: time
    end: time
    zone: tzinfo
    days: frozenset[int] = EVERY_DAY

    def open_at(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        clock, today = local.time(), local.weekday()
        if self.begin < self.end:
            return today in self.days and self.begin <= clock < self.end
        if self.begin == self.end:
            return today in self.days
        return (today in self.days and clock >= self.begin) or (
            (today - 1) % 7 in self.days and clock < self.end
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What is taken; None sets no limit.

    Attributes:
        max_distance_meters: from the camera to the requested point.
        min_rate_micro_usdc: for a second.
        max_seconds: that the session may last.
        hours: outside of them the camera is OFFLINE, too.
    """

    max_distance_meters: float | None = None
    min_rate_micro_usdc: int | None = None
    max_seconds: int | None = None
    hours: Hours | None = None

    def open_at(self, now: datetime) -> bool:
        return self.hours is None or self.hours.open_at(now)

    def refusal(self, session: SessionLike, at: Point | None, now: datetime) -> str | None:
        """Why an assignment is not taken, fit to be shown; None when it is.

        Args:
            at: where the camera is.
        """
        if not self.open_at(now):
            return "outside the hours"
        rate = int(session.rate_per_second_micro_usdc)
        if self.min_rate_micro_usdc is not None and rate < self.min_rate_micro_usdc:
            least = format_usdc(self.min_rate_micro_usdc)
            return f"pays {format_usdc(rate)} USDC a second, less than {least}"
        if self.max_seconds is not None and session.max_duration_seconds > self.max_seconds:
            return f"may last {session.max_duration_seconds} s, longer than {self.max_seconds} s"
        return self._too_far(session, at)

    def _too_far(self, session: SessionLike, at: Point | None) -> str | None:
        if self.max_distance_meters is None:
            return None
        lat, lng = session.requested_lat, session.requested_lng
        if at is None or lat is None or lng is None:
            return "the distance is not known"
        distance = distance_m(at, Point(lat, lng))
        if distance <= self.max_distance_meters:
            return None
        return f"{distance:.0f} m away, more than {self.max_distance_meters:.0f} m"
