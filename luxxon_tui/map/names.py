"""What points are called: looked up in threads, kept for as long as the console runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from luxxon_core.kernel.geo import Point

HERE_M = 25_000.0
"""Within this distance a point has the name of the place."""
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Name:
    """``Brussels, Belgium`` and ``Brussels``; the short one is empty far from any place."""

    full: str = ""
    short: str = ""


UNNAMED = Name()


class Names:
    """Names of points, as far as they are known."""

    def __init__(self) -> None:
        self._known: dict[Point, Name] = {}
        self._asked: set[Point] = set()

    @property
    def known(self) -> Mapping[Point, Name]:
        return self._known

    def of(self, point: Point | None) -> Name:
        """The name of a point; empty until it is known."""
        return UNNAMED if point is None else self._known.get(point, UNNAMED)

    def give(self, point: Point, full: str) -> None:
        """Call a point what the user called it."""
        self._known[point] = Name(full, full.partition(",")[0])

    def wanted(self, points: Iterable[Point | None]) -> tuple[Point, ...]:
        """Those of ``points`` that have no name yet and that nobody looks up; :meth:`look_up` them."""
        fresh = {point for point in points if point is not None} - self._known.keys() - self._asked
        chosen = tuple(fresh)[:AT_ONCE]
        self._asked.update(chosen)
        return chosen

    async def look_up(self, points: Iterable[Point]) -> None:
        """Find names, in a thread."""
        chosen = tuple(points)
        found = await asyncio.to_thread(lambda: {point: name_of(point) for point in chosen})
        self._asked.difference_update(chosen)
        self._known = found | self._known


def name_of(point: Point) -> Name:
    """What a point is called, or how far it is from where. Reads the gazetteer: for threads."""
    from luxxon_tui.map.gazetteer import gazetteer

    place, metres = gazetteer().nearest(point)
    if metres < HERE_M:
        return Name(place.label, place.name)
    return Name(f"{metres / 1000:.0f} km from {place.label}")
