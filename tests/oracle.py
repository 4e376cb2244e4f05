"""Slow and obvious forms of what the product computes fast."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from luxxon_core.kernel.geo import EARTH_RADIUS_M, Point
from luxxon_core.telemetry.domain import Window

MS = timedelta(milliseconds=1)


class Reading(NamedTuple):
    elapsed_ms: int
    lost_ms: int
    clean_seconds: int
    charged_uusdc: int


def count_milliseconds(
    started_at: datetime,
    ended_at: datetime,
    windows: Iterable[tuple[datetime, datetime | None]],
    max_duration_s: int,
    rate_uusdc: int,
) -> Reading:
    """The meter of api-contract §8 with one byte for every millisecond: 1 where a window lies on it."""
    ended_at = min(ended_at, started_at + timedelta(seconds=max_duration_s))
    length = (ended_at - started_at) // MS
    lost = bytearray(length)
    for opened_at, closed_at in windows:
        first = max((opened_at - started_at) // MS, 0)
        last = length if closed_at is None else min((closed_at - started_at) // MS, length)
        if first < last:
            lost[first:last] = b"\1" * (last - first)
    clean = (length - sum(lost)) // 1000
    return Reading(length, sum(lost), clean, clean * rate_uusdc)


def spans(windows: Iterable[Window]) -> list[tuple[datetime, datetime | None]]:
    return [(window.opened_at, window.closed_at) for window in windows]


def great_circle_m(a: Point, b: Point) -> float:
    """Distance on the mean sphere by the angle between vectors: exact to nanometres at every angle."""
    ax, ay, az = _vector(a)
    bx, by, bz = _vector(b)
    cross = math.hypot(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return EARTH_RADIUS_M * math.atan2(cross, ax * bx + ay * by + az * bz)


def _vector(point: Point) -> tuple[float, float, float]:
    lat, lng = math.radians(point.lat), math.radians(point.lng)
    return math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat)


def destination(start: Point, bearing_deg: float, distance: float) -> Point:
    """The point ``distance`` metres from ``start`` along a great circle, over poles and antimeridian.

    By vectors and atan2, which keep their precision where the textbook arc sine loses it: at poles.
    """
    lat, lng, bearing = math.radians(start.lat), math.radians(start.lng), math.radians(bearing_deg)
    angle = distance / EARTH_RADIUS_M
    up = (math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat))
    north = (-math.sin(lat) * math.cos(lng), -math.sin(lat) * math.sin(lng), math.cos(lat))
    east = (-math.sin(lng), math.cos(lng), 0.0)
    x, y, z = (
        up[i] * math.cos(angle)
        + (north[i] * math.cos(bearing) + east[i] * math.sin(bearing)) * math.sin(angle)
        for i in range(3)
    )
    to_lat, to_lng = math.atan2(z, math.hypot(x, y)), math.atan2(y, x)
    return Point(max(-90.0, min(90.0, math.degrees(to_lat))), max(-180.0, min(180.0, math.degrees(to_lng))))
