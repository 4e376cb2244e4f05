"""The coastlines, read once, and the part of them that a view needs.

Each level of detail is cut into short chains with a bounding box: what lies outside the view is never looked
at, so that a closer view costs less, not more.
"""

from __future__ import annotations

import io
import lzma
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luxxon_tui.map.projection import ACROSS, DOWN, LIMIT_LAT, View

DATA = Path(__file__).parent / "data" / "world.npz.xz"
SCALE = 2**24
"""Steps around the world in which the file counts: 2.4 m."""
CHAIN = 24
"""Segments of a chain."""
FINE_FROM = (900, 2200, 7000)
"""Dots around the world from which each finer level is used."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


def projected(lat: Floats, lng: Floats) -> tuple[Floats, Floats]:
    """Degrees to the unit square; longitudes beyond ±180 go on beyond its edges."""
    sine = np.sin(np.radians(np.clip(lat, -LIMIT_LAT, LIMIT_LAT)))
    return lng / 360 + 0.5, 0.5 - np.arctanh(sine) / (2 * np.pi)


@dataclass(frozen=True, slots=True)
class Level:
    """Chains of one level of detail, in the unit square.

    Attributes:
        x, y: (chains, CHAIN + 1); the last of a ring is filled up with its end.
        west, east, north, south: of each chain.
    """

    x: Floats
    y: Floats
    west: Floats
    east: Floats
    north: Floats
    south: Floats


@cache
def levels() -> tuple[Level, ...]:
    """All levels, coarse to fine. Takes some 40 ms the first time: call it in a thread."""
    arrays = np.load(io.BytesIO(lzma.decompress(DATA.read_bytes())))
    found = []
    for number in range(len(FINE_FROM) + 1):
        x, y = np.cumsum(arrays[f"deltas{number}"].astype(np.int64), axis=1) / SCALE
        found.append(_chains(x, y, arrays[f"lengths{number}"].astype(np.int64)))
    return tuple(found)


def level_for(view: View) -> Level:
    """The coarsest level whose points lie closer than the dots of ``view``."""
    return levels()[sum(view.size >= size for size in FINE_FROM)]


def _chains(x: Floats, y: Floats, lengths: Ints) -> Level:
    counts = -(-(lengths - 1) // CHAIN)
    first = np.repeat(np.cumsum(lengths) - lengths, counts)
    last = np.repeat(np.cumsum(lengths) - 1, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.minimum((first + within * CHAIN)[:, None] + np.arange(CHAIN + 1), last[:, None])
    xs, ys = x[index], y[index]
    return Level(xs, ys, xs.min(axis=1), xs.max(axis=1), ys.min(axis=1), ys.max(axis=1))


@dataclass(frozen=True, slots=True)
class Frame:
    """A view in dots: what rasterising needs of it."""

    left: int
    top: int
    width: int
    height: int
    size: int

    @classmethod
    def of(cls, view: View) -> Frame:
        return cls(view.left * ACROSS, view.top * DOWN, view.columns * ACROSS, view.rows * DOWN, view.size)

    def copies(self) -> range:
        """Which copies of the world are on the screen: -1, 0 and 1 when its edge is."""
        return range(
            math.floor(self.left / self.size) - 1, math.floor((self.left + self.width) / self.size) + 2
        )


def coast(level: Level, frame: Frame) -> tuple[Ints, Ints, Bits]:
    """Dots (x, y) of the coast inside the frame, and the land as a mask of every second dot each way.

    The mask is that of the even-odd rule along lines from west to east. Of a chain that lies wholly to the
    west only its ends matter: a line between them is crossed an odd number of times.
    """
    tall = (frame.height + 1) // 2
    toggles = np.zeros((tall, frame.width // 2 + 1), np.int32)
    xs: list[Ints] = []
    ys: list[Ints] = []
    north, south = frame.top / frame.size, (frame.top + frame.height) / frame.size
    beside = (level.south >= north) & (level.north <= south)
    for copy in frame.copies():
        west, east = frame.left / frame.size - copy, (frame.left + frame.width) / frame.size - copy
        near = beside & (level.west <= east)
        before = near & (level.east < west)
        inside = near ^ before
        if before.any():
            ends = level.y[before][:, (0, -1)] * frame.size - frame.top
            _cross(toggles, np.zeros_like(ends), ends)
        if not inside.any():
            continue
        x = level.x[inside] * frame.size + (copy * frame.size - frame.left)
        y = level.y[inside] * frame.size - frame.top
        _cross(toggles, x, y)
        dots_x, dots_y = lines(x, y, frame.width, frame.height)
        xs.append(dots_x)
        ys.append(dots_y)
    land = (np.cumsum(toggles[:, :-1], axis=1, dtype=np.int32) & 1).astype(bool)
    nothing = np.zeros(0, np.int64)
    return np.concatenate([nothing, *xs]), np.concatenate([nothing, *ys]), land


def _cross(toggles: NDArray[np.int32], x: Floats, y: Floats) -> None:
    """Count where chains (n, points) cross every second line of dots."""
    y0, y1 = y[:, :-1].ravel(), y[:, 1:].ravel()
    x0, x1 = x[:, :-1].ravel(), x[:, 1:].ravel()
    tall, wide = toggles.shape
    line0 = np.ceil(np.minimum(y0, y1) / 2 - 0.25).astype(np.int64)  # line k lies at 2k + 0.5 dots
    line1 = np.ceil(np.maximum(y0, y1) / 2 - 0.25).astype(np.int64)
    line0, line1 = np.clip(line0, 0, tall), np.clip(line1, 0, tall)
    some = np.flatnonzero(line1 > line0)
    counts = (line1 - line0)[some]
    edge = np.repeat(some, counts)
    line = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - line0[some], counts)
    share = (2 * line + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
    at = x0[edge] + share * (x1[edge] - x0[edge])
    column = np.clip(np.ceil(at / 2 - 0.25), 0, wide - 1).astype(np.int64)
    toggles += np.bincount(line * wide + column, minlength=tall * wide).reshape(tall, wide).astype(np.int32)


def lines(x: Floats, y: Floats, width: int, height: int) -> tuple[Ints, Ints]:
    """Dots of chains of points (n, points) in dots, as far as they lie within ``width`` × ``height``.

    A segment has one dot in each column that it passes, or in each row where it is steep, at the middle of
    that column: what is cut off at the edge of the field changes nothing inside.
    """
    x0, y0, x1, y1 = x[:, :-1].ravel(), y[:, :-1].ravel(), x[:, 1:].ravel(), y[:, 1:].ravel()
    seen = (
        (np.maximum(x0, x1) >= 0)
        & (np.minimum(x0, x1) < width)
        & (np.maximum(y0, y1) >= 0)
        & (np.minimum(y0, y1) < height)
    )
    x0, y0, x1, y1 = x0[seen], y0[seen], x1[seen], y1[seen]
    steep = np.abs(y1 - y0) > np.abs(x1 - x0)
    flat = ~steep
    flat_x, flat_y = _march(x0[flat], y0[flat], x1[flat], y1[flat], width, height)
    steep_y, steep_x = _march(y0[steep], x0[steep], y1[steep], x1[steep], height, width)
    return np.concatenate([flat_x, steep_x]), np.concatenate([flat_y, steep_y])


def _march(a0: Floats, b0: Floats, a1: Floats, b1: Floats, along: int, across: int) -> tuple[Ints, Ints]:
    """Dots of segments that run along the first axis, inside a field of ``along`` × ``across``."""
    back = a0 > a1
    low, high = np.where(back, a1, a0), np.where(back, a0, a1)
    start = np.where(back, b1, b0)
    span = high - low
    slope = np.divide(np.where(back, b0, b1) - start, span, out=np.zeros_like(span), where=span > 0)
    first = np.maximum(np.floor(low), 0).astype(np.int64)
    last = np.minimum(np.floor(high), along - 1).astype(np.int64)
    counts = np.maximum(0, last - first + 1)
    segment = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    at = np.clip(step + 0.5, low[segment], high[segment])
    other = np.floor(start[segment] + (at - low[segment]) * slope[segment]).astype(np.int64)
    kept = (other >= 0) & (other < across)
    return step[kept], other[kept]
