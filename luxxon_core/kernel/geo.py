"""Points and circles on WGS84, in decimal degrees and metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

EARTH_RADIUS_M = 6_371_008.7714
"""Mean radius of the WGS84 ellipsoid (IUGG R1)."""

TINY_DEGREES = 1e-12
"""A ten-thousandth of a millimetre on the ground."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place: ``lat`` -90…90, ``lng`` -180…180, both finite; less than :data:`TINY_DEGREES` is zero.

    Raises:
        ValueError: naming the coordinate that is out of range.
    """

    lat: float
    lng: float

    def __post_init__(self) -> None:
        if not -90 <= self.lat <= 90:
            raise ValueError("lat")
        if not -180 <= self.lng <= 180:
            raise ValueError("lng")
        for name in ("lat", "lng"):  # numbers near the end of the float range underflow in SQL
            if abs(getattr(self, name)) < TINY_DEGREES:
                object.__setattr__(self, name, 0.0)


def distance_m(a: Point, b: Point) -> float:
    """Great-circle distance in metres on the mean sphere (haversine, stable for small distances)."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    h = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians(b.lng - a.lng) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


@dataclass(frozen=True, slots=True)
class Circle:
    """An area that an operator covers: centre and radius in metres."""

    center: Point
    radius_m: float

    def contains(self, point: Point) -> bool:
        """True when ``point`` lies in the circle, its edge included."""
        return distance_m(self.center, point) <= self.radius_m
