"""Mercator on the sphere, and the part of the world that a widget shows.

The world is a square of 1 × 1, west to east and north to south, cut at 85.05° (EPSG:3857 has the same form).
A view is counted in braille dots: 2 × 4 to a cell, and square where a cell is twice as high as wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from luxxon_core.kernel.geo import EARTH_RADIUS_M, Point

LIMIT_LAT = math.degrees(math.atan(math.sinh(math.pi)))
"""85.05°: where the square ends."""
EQUATOR_M = 2 * math.pi * EARTH_RADIUS_M
ACROSS, DOWN = 2, 4
"""Dots of a cell."""
FINEST_M = 0.5
"""Metres at the equator of a dot at the closest zoom."""
GRID_M = 400.0
"""Metres at the equator of a dot below which coastlines say nothing any more: the grid takes over."""
LARGEST = int(EQUATOR_M / FINEST_M)


def project(point: Point) -> tuple[float, float]:
    """A place as a point of the square; nearer to a pole than its edge, the edge."""
    sine = math.sin(math.radians(min(LIMIT_LAT, max(-LIMIT_LAT, point.lat))))
    return point.lng / 360 + 0.5, 0.5 - math.atanh(sine) / (2 * math.pi)


def unproject(x: float, y: float) -> Point:
    """The place at a point of the square; ``x`` may lie beyond its edges."""
    lng = (x % 1.0) * 360 - 180
    return Point(math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * min(1.0, max(0.0, y)))))), lng)


@dataclass(frozen=True, slots=True)
class View:
    """What a map of ``columns`` × ``rows`` cells shows.

    ``left`` and ``top`` are the cell of its upper left corner, counted from that of the world: whole cells,
    so that dots stay where they are on land while the map moves.
    """

    columns: int
    rows: int
    size: int
    """Dots around the world."""
    left: int
    top: int

    @classmethod
    def around(cls, point: Point, size: float, columns: int, rows: int) -> View:
        """A view with ``point`` in its middle, as far as the poles let it be there."""
        size = _bounded(size, columns)
        x, y = (each * size for each in project(point))
        return cls(columns, rows, size, round(x / ACROSS - columns / 2), round(y / DOWN - rows / 2)).settled()

    @classmethod
    def world(cls, columns: int, rows: int) -> View:
        """All of the world that fits, its populated latitudes in the middle."""
        return cls.around(Point(18.0, 0.0), ACROSS * columns, columns, rows)

    # -- where things are

    @property
    def centre(self) -> Point:
        return self.point_at(self.columns / 2, self.rows / 2)

    def point_at(self, column: float, row: float) -> Point:
        """The place at a position in cells of the widget."""
        return unproject((self.left + column) * ACROSS / self.size, (self.top + row) * DOWN / self.size)

    def cell_of(self, point: Point) -> tuple[float, float]:
        """The position of a place in cells of the widget, on the copy of the world nearest to its middle."""
        x, y = (each * self.size for each in project(point))
        column = x / ACROSS - self.left
        around = self.size / ACROSS
        return column - around * round((column - self.columns / 2) / around), y / DOWN - self.top

    def metres_per_dot(self, lat: float | None = None) -> float:
        """At ``lat``, that of the middle if None: Mercator stretches by the latitude."""
        at = self.centre.lat if lat is None else lat
        return EQUATOR_M * math.cos(math.radians(at)) / self.size

    @property
    def streets(self) -> bool:
        """Whether the view is too close for coastlines."""
        return EQUATOR_M / self.size < GRID_M

    # -- moving

    def settled(self) -> View:
        """The same with its middle on the world, and no further north or south than the square."""
        around = self.size / ACROSS
        left = self.left - round(around * math.floor((self.left + self.columns / 2) / around))
        down = self.size // DOWN
        low, high = 0, down - self.rows
        top = round((down - self.rows) / 2) if low > high else min(high, max(low, self.top))
        return replace(self, left=left, top=top)

    def moved(self, columns: int, rows: int) -> View:
        return replace(self, left=self.left + columns, top=self.top + rows).settled()

    def zoomed(self, factor: float, column: float | None = None, row: float | None = None) -> View:
        """Closer (``factor`` > 1) or further, with the place under a position staying under it."""
        column = self.columns / 2 if column is None else column
        row = self.rows / 2 if row is None else row
        size = _bounded(self.size * factor, self.columns)
        if size == self.size:
            return self
        ratio = size / self.size
        left, top = round((self.left + column) * ratio - column), round((self.top + row) * ratio - row)
        return replace(self, size=size, left=left, top=top).settled()

    def resized(self, columns: int, rows: int) -> View:
        """The same middle and scale in another number of cells."""
        return View.around(self.centre, self.size, columns, rows) if (columns, rows) != self.shape else self

    @property
    def shape(self) -> tuple[int, int]:
        return self.columns, self.rows


def _bounded(size: float, columns: int) -> int:
    """A number of dots around the world: never less than the widget is wide, a whole number of cells."""
    step = ACROSS * DOWN
    smallest = -(-ACROSS * max(1, columns) // step) * step
    return max(smallest, min(LARGEST // step * step, round(size / step) * step))


NICE = (1, 2, 2.5, 5)


def scale_bar(view: View, columns: int = 7) -> tuple[int, float]:
    """A bar of about ``columns`` cells that is a round distance at the middle latitude: cells and metres."""
    per_cell = view.metres_per_dot() * ACROSS
    wanted = per_cell * columns
    power = 10.0 ** math.floor(math.log10(wanted))
    choices = [nice * power * ten for ten in (0.1, 1) for nice in NICE]
    metres = max(each for each in choices if each <= wanted * 1.15)
    return max(1, round(metres / per_cell)), metres
