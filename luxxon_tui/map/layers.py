"""What lies on the land, as arrays: circles true on the sphere, clusters of cameras, cells of demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luxxon_core.kernel.geo import EARTH_RADIUS_M, Circle, Point
from luxxon_tui.map.land import Frame, lines, projected
from luxxon_tui.map.projection import ACROSS, DOWN, EQUATOR_M
from luxxon_tui.map.scene import DEMAND_DEGREES, Camera, Demand

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SMALLEST = 1.6
"""Dots of radius below which a circle is no more than its marker."""
STEPS = (24, 720)
"""Fewest and most corners of a circle."""
BLOCK = (4, 2)
"""Columns and rows in which cameras are counted together."""
HIGHER = (0.25, 0.6)
"""Shares of the highest demand from which a cell is of the second and third level."""


@dataclass(frozen=True, slots=True)
class Circles:
    """Circles on the sphere: radians, and radii as angles at the centre of the earth."""

    lat: Floats
    lng: Floats
    angle: Floats

    @classmethod
    def of(cls, circles: Sequence[Circle]) -> Circles:
        table = np.array(
            [(each.center.lat, each.center.lng, each.radius_m) for each in circles], np.float64
        ).reshape(-1, 3)
        return cls(np.radians(table[:, 0]), np.radians(table[:, 1]), table[:, 2] / EARTH_RADIUS_M)

    def near(self, frame: Frame) -> Circles:
        """Those that could be seen and are large enough to be more than a dot."""
        dots = self.angle * EARTH_RADIUS_M * frame.size / (EQUATOR_M * np.maximum(0.02, np.cos(self.lat)))
        poles = np.abs(self.lat) + self.angle >= np.pi / 2
        north = projected(np.degrees(np.minimum(np.pi / 2, self.lat + self.angle)), np.zeros(1))[1]
        south = projected(np.degrees(np.maximum(-np.pi / 2, self.lat - self.angle)), np.zeros(1))[1]
        reach = np.where(
            poles, 0.5, np.arcsin(np.minimum(1, np.sin(self.angle) / np.cos(self.lat))) / (2 * np.pi)
        )
        middle = (frame.left + frame.width / 2) / frame.size
        away = np.abs((self.lng / (2 * np.pi) + 0.5 - middle + 0.5) % 1.0 - 0.5)
        seen = (
            (dots >= SMALLEST)
            & (south * frame.size >= frame.top)
            & (north * frame.size <= frame.top + frame.height)
            & (away - reach <= frame.width / frame.size / 2)
        )
        return Circles(self.lat[seen], self.lng[seen], self.angle[seen])

    def corners(self, steps: int) -> tuple[Floats, Floats]:
        """Latitude and longitude in degrees of points on each circle, closed; (circles, steps + 1)."""
        bearing = np.linspace(0, 2 * np.pi, steps + 1)
        lat, angle = self.lat[:, None], self.angle[:, None]
        sine = np.clip(np.sin(lat) * np.cos(angle) + np.cos(lat) * np.sin(angle) * np.cos(bearing), -1, 1)
        turn = np.arctan2(np.sin(bearing) * np.sin(angle) * np.cos(lat), np.cos(angle) - np.sin(lat) * sine)
        lng = np.unwrap(self.lng[:, None] + turn, axis=1)
        return np.degrees(np.arcsin(sine)), np.degrees(lng)

    def dots(self, frame: Frame) -> tuple[Ints, Ints]:
        """The dots of all circles inside the frame, on every copy of the world."""
        near = self.near(frame)
        if not len(near.lat):
            nothing = np.zeros(0, np.int64)
            return nothing, nothing
        radius = float((near.angle / np.maximum(0.02, np.cos(near.lat))).max()) * frame.size / (2 * np.pi)
        steps = int(min(STEPS[1], max(STEPS[0], radius * np.pi)))
        x, y = projected(*near.corners(steps))
        xs, ys = [], []
        for copy in frame.copies():
            dots_x, dots_y = lines(
                (x + copy) * frame.size - frame.left, y * frame.size - frame.top, frame.width, frame.height
            )
            xs.append(dots_x)
            ys.append(dots_y)
        return np.concatenate(xs), np.concatenate(ys)


@dataclass(frozen=True, slots=True)
class Places:
    """Points of the unit square."""

    x: Floats
    y: Floats

    @classmethod
    def of(cls, points: Sequence[Point]) -> Places:
        table = np.array([(each.lat, each.lng) for each in points], np.float64).reshape(-1, 2)
        return cls(*projected(table[:, 0], table[:, 1]))

    def cells(self, frame: Frame) -> tuple[Ints, Ints, Ints]:
        """Number, column and row of those inside the frame."""
        x = np.floor((self.x * frame.size - frame.left) % frame.size / ACROSS).astype(np.int64)
        y = np.floor((self.y * frame.size - frame.top) / DOWN).astype(np.int64)
        seen = np.flatnonzero((x * ACROSS < frame.width) & (y >= 0) & (y * DOWN < frame.height))
        return seen, x[seen], y[seen]


class Cluster(NamedTuple):
    """Cameras too close to be told apart, at the cell of the first."""

    column: int
    row: int
    many: int
    first: int
    """Number of the camera that stands for them."""


def clusters(places: Places, frame: Frame) -> list[Cluster]:
    """Cameras inside the frame, counted in blocks of cells that are fixed on the land."""
    seen, column, row = places.cells(frame)
    if not len(seen):
        return []
    wide = frame.size // ACROSS // BLOCK[0] + 2
    block_x = (column + frame.left // ACROSS) % (frame.size // ACROSS) // BLOCK[0]
    block_y = (row + frame.top // DOWN) // BLOCK[1]
    _, first, count = np.unique(block_y * wide + block_x, return_index=True, return_counts=True)
    found = (column[first], row[first], count, seen[first])
    return list(map(Cluster, *(each.tolist() for each in found)))


@dataclass(frozen=True, slots=True)
class Heat:
    """Cells of demand: their corners in the unit square, and how many asked."""

    west: Floats
    east: Floats
    north: Floats
    south: Floats
    requests: Floats
    blocks: dict[int, tuple[Ints, Ints, NDArray[np.uint8]]] = field(default_factory=dict)
    """Those of the last size of the world."""

    @classmethod
    def of(cls, cells: Sequence[Demand]) -> Heat:
        table = np.array(
            [(each.point.lat, each.point.lng, each.requests) for each in cells], np.float64
        ).reshape(-1, 3)
        half = DEMAND_DEGREES / 2
        west, north = projected(table[:, 0] + half, table[:, 1] - half)
        east, south = projected(table[:, 0] - half, table[:, 1] + half)
        return cls(west, east, north, south, table[:, 2])

    def paint(self, papers: NDArray[np.uint8], frame: Frame) -> None:
        """Write levels, 1 to 3, into cells.

        Where a cell of demand is smaller than two columns by a row, those that share such a block of the
        map are added up; their level is that among all blocks of the world, so that it does not change while
        the map moves.
        """
        if not len(self.west) or not self.requests.any():
            return
        around = frame.size // ACROSS
        left, top = frame.left // ACROSS, frame.top // DOWN
        rows, columns = frame.height // DOWN, frame.width // ACROSS
        if DEMAND_DEGREES / 360 * around < 2:
            x, y, level = self._blocks(frame.size)
            for side in (0, 1):
                column, row = (x + side - left) % around, y - top
                seen = (column < columns) & (row >= 0) & (row < rows)
                papers[row[seen], column[seen]] = level[seen]
            return
        level = _levels(self.requests)
        west, east = np.round(self.west * around), np.round(self.east * around)
        north, south = (np.round(each * frame.size / DOWN) for each in (self.north, self.south))
        for copy in frame.copies():
            shift = copy * around - left
            seen = (east + shift > 0) & (west + shift < columns) & (south > top) & (north < top + rows)
            for at in np.flatnonzero(seen):
                y0, y1 = (
                    max(0, int(north[at]) - top),
                    min(rows, max(int(south[at]), int(north[at]) + 1) - top),
                )
                x0, x1 = max(0, int(west[at]) + shift), max(0, int(east[at]) + shift)
                papers[y0:y1, x0:x1] = level[at]

    def _blocks(self, size: int) -> tuple[Ints, Ints, NDArray[np.uint8]]:
        """Column and row in the world of each block of two columns with demand, and its level."""
        known = self.blocks.get(size)
        if known is None:
            wide = size // ACROSS // 2 + 2
            row = np.floor((self.north + self.south) / 2 * size / DOWN).astype(np.int64)
            column = np.floor((self.west + self.east) / 2 * size / ACROSS / 2).astype(np.int64)
            block, where = np.unique(row * wide + column, return_inverse=True)
            known = (
                block % wide * 2,
                block // wide,
                _levels(np.bincount(where, self.requests).astype(np.float64)),
            )
            self.blocks.clear()
            self.blocks[size] = known
        return known

    def asked(self, frame: Frame) -> int:
        """Requests inside the frame."""
        around = frame.size
        x = ((self.west + self.east) / 2 * around - frame.left) % around
        y = (self.north + self.south) / 2 * around - frame.top
        return int(self.requests[(x < frame.width) & (y >= 0) & (y < frame.height)].sum())


def _levels(requests: Floats) -> NDArray[np.uint8]:
    """1 to 3, by the share of the highest; 0 without a request."""
    level = sum((requests > share * requests.max()).astype(np.uint8) for share in (0.0, *HIGHER))
    return np.asarray(level, np.uint8)


def circles_of(cameras: Sequence[Camera]) -> Circles:
    return Circles.of([each.area for each in cameras])
