"""Finds places by name, offline: cities of more than 15 000 inhabitants, from GeoNames (CC BY 4.0)."""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxxon_core.kernel.geo import EARTH_RADIUS_M, Point, distance_m
from luxxon_tui.map.text import fold

DATA = Path(__file__).parent / "data" / "places.npz.xz"
LONGEST = 60
"""Characters of a query that are looked at."""
FEW = 4
"""Matches below which misspelt names are looked for too."""
LOOKED_AT = 240
"""Names that are compared letter by letter for a misspelt query."""
MANY = 4_000
"""Hits of one kind after which the rest, of smaller cities, is left."""

EXACT, OWN, OTHER, WORD, ONE_OFF, TWO_OFF = 3.2, 1.6, 0.8, 0.3, -0.4, -2.0
"""What a kind of match is worth, in powers of ten of inhabitants."""


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    region: str
    """State, in the United States only: its cities share their names."""
    country: str
    point: Point
    population: int

    @property
    def label(self) -> str:
        return ", ".join(part for part in (self.name, self.region, self.country) if part)


@dataclass(frozen=True, slots=True)
class Found:
    place: Place
    distance_m: float | None = None


class Gazetteer:
    """All places. Made by :func:`gazetteer`, in a thread: it takes some 0.2 s, most of it without the GIL."""

    def __init__(self) -> None:
        arrays = np.load(io.BytesIO(lzma.decompress(DATA.read_bytes())))
        text = {name: arrays[name].tobytes() for name in ("names", "regions", "keys", "countries")}
        self._names = text["names"].split(b"\n")
        self._regions = text["regions"].split(b"\n")
        pairs = [line.split("\t") for line in text["countries"].decode().split("\n")]
        self._codes = [code.lower() for code, _ in pairs]
        self._countries = [name for _, name in pairs]
        self._folded = [fold(name) for name in self._countries]
        self._country: NDArray[Any] = arrays["country"]
        self._population: NDArray[Any] = arrays["population"]
        self._lat, self._lng = arrays["lat"] / 1e4, arrays["lng"] / 1e4
        self._size = np.log10(self._population.astype(np.float64) + 10)
        self._keys = text["keys"]
        self._index()

    def _index(self) -> None:
        """Where each name begins, whose it is, and which pairs of letters are in it."""
        signs = np.frombuffer(self._keys, np.uint8)
        line, tab = signs == 10, signs == 9
        starts = np.flatnonzero(line | tab)
        self._starts = starts[:-1] + 1
        self._ends = starts[1:]
        self._owner = np.cumsum(line[starts[:-1]]) - 1
        pairs = np.left_shift(np.uint64(1), _pair_hash(signs[:-1], signs[1:]))
        border = (signs[:-1] < 32) | (signs[1:] < 32)
        pairs[border] = 0
        self._pairs = np.bitwise_or.reduceat(pairs, np.minimum(self._starts, len(pairs) - 1))

    # -- by name

    def search(self, query: str, *, near: Point | None = None, limit: int = 8) -> list[Found]:
        """Places whose name begins with a query, or nearly is it, the likeliest first.

        After a comma a country or, in the United States, a state narrows the search: ``portland, or``.

        Args:
            near: where distances are measured from.
        """
        name, _, where = query[:LONGEST].partition(",")
        wanted = fold(name)
        if not wanted:
            return []
        scores = self._prefixes(wanted.encode())
        if where.strip():
            scores = {at: score for at, score in scores.items() if self._lies_in(at, fold(where))}
        if len(scores) < FEW and len(wanted) >= 4:
            for at, score in self._misspelt(wanted):
                if not where.strip() or self._lies_in(at, fold(where)):
                    scores.setdefault(at, score)
        best = sorted(scores, key=lambda at: -(scores[at] + float(self._size[at])))[:limit]
        return [self._found(at, near) for at in best]

    def _prefixes(self, wanted: bytes) -> dict[int, float]:
        scores: dict[int, float] = {}
        for before, worth in ((b"\n", OWN), (b"\t", OTHER), (b" ", WORD)):
            hits = list(_hits(self._keys, before + wanted))
            if not hits:
                continue
            name = np.searchsorted(self._starts, np.array(hits) + 1, side="right") - 1
            owners = self._owner[name].tolist()
            ends = self._ends[name].tolist()
            for owner, hit, end in zip(owners, hits, ends, strict=True):
                whole = before != b" " and end == hit + 1 + len(wanted)
                score = worth + (EXACT - OWN if whole else 0.0)
                if score > scores.get(owner, -9.0):
                    scores[owner] = score
        return scores

    def _misspelt(self, wanted: str) -> Iterator[tuple[int, float]]:
        """Names at most two mistakes away, among those that share most pairs of letters with a query."""
        query = wanted.encode()
        signs = np.frombuffer(query, np.uint8)
        own = np.bitwise_or.reduce(np.left_shift(np.uint64(1), _pair_hash(signs[:-1], signs[1:])))
        lengths = self._ends - self._starts
        alike = np.bitwise_count(self._pairs & own).astype(np.int16)
        extra = np.bitwise_count(self._pairs & ~own).astype(np.int16)
        allowed = 1 if len(wanted) < 6 else 2
        possible = np.flatnonzero(
            (np.abs(lengths - len(query)) <= allowed)
            & (alike >= int(np.bitwise_count(own)) - 2 * allowed - 1)
        )
        order = np.lexsort((self._owner[possible], extra[possible] - 2 * alike[possible]))
        seen: set[int] = set()
        for name in possible[order][:LOOKED_AT].tolist():
            owner = int(self._owner[name])
            if owner in seen:
                continue
            key = self._keys[self._starts[name] : self._ends[name]].decode()
            off = mistakes(wanted, key, allowed)
            if off <= allowed:
                seen.add(owner)
                yield owner, ONE_OFF if off <= 1 else TWO_OFF

    def _lies_in(self, at: int, where: str) -> bool:
        country = int(self._country[at])
        region = self._regions[at].decode().lower()
        return self._codes[country] == where or self._folded[country].startswith(where) or region == where

    # -- by position

    def nearest(self, point: Point) -> tuple[Place, float]:
        """The place that a point is best named after, and the distance to it in metres: the nearest, unless
        one ten times as large is not much further."""
        lat, lng = np.radians(self._lat), np.radians(self._lng)
        at = np.radians(point.lat), np.radians(point.lng)
        half = np.sin((lat - at[0]) / 2) ** 2 + np.cos(lat) * np.cos(at[0]) * np.sin((lng - at[1]) / 2) ** 2
        kilometres = 2e-3 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, half)))
        best = int(np.argmin(kilometres - 4.0 * self._size))
        nearest = int(np.argmin(kilometres))
        chosen = best if kilometres[best] < 12 or kilometres[best] < 1.5 * kilometres[nearest] else nearest
        return self.place(chosen), float(kilometres[chosen]) * 1000

    def place(self, at: int) -> Place:
        """A place by its number; the largest is 0."""
        return Place(
            self._names[at].decode(),
            self._regions[at].decode(),
            self._countries[self._country[at]],
            Point(float(self._lat[at]), float(self._lng[at])),
            int(self._population[at]),
        )

    def _found(self, at: int, near: Point | None) -> Found:
        place = self.place(at)
        return Found(place, None if near is None else distance_m(near, place.point))


@cache
def gazetteer() -> Gazetteer:
    """The one gazetteer of the process."""
    return Gazetteer()


def _hits(text: bytes, wanted: bytes) -> Iterator[int]:
    at = text.find(wanted)
    for _ in range(MANY):
        if at < 0:
            return
        yield at
        at = text.find(wanted, at + len(wanted))


def _pair_hash(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A number below 64 for a pair of letters."""
    return ((first.astype(np.uint64) * 37 + second.astype(np.uint64) * 11) % 61) + np.uint64(0)


def mistakes(left: str, right: str, most: int) -> int:
    """Letters to insert, leave out, replace or swap with the next (optimal string alignment), or ``most`` + 1
    where it takes more."""
    if abs(len(left) - len(right)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, sign in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (sign != other))
            if i > 1 and j > 1 and sign == right[j - 2] and left[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
