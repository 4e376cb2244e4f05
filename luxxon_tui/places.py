"""Names of the places of sessions: the nearest town, found offline and beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from luxxon_tui import format as fmt

if TYPE_CHECKING:
    from luxxon_core.kernel.geo import Point
    from luxxon_tui.store import Store

FAR_M = 100_000.0
"""A town further away than this names nothing."""


def coordinates(point: Point) -> str:
    """``50.8503, 4.3517``"""
    return f"{point.lat:.4f}, {point.lng:.4f}".replace("-", fmt.MINUS)


def place_of(store: Store, point: Point | None) -> str:
    """A place in words, or its coordinates."""
    if point is None:
        return fmt.NONE
    return store.places.value.get(point) or coordinates(point)


async def keep_named(store: Store) -> None:
    """Name the places of the store's sessions as they come, until cancelled."""
    changed = asyncio.Event()
    unwatch = store.watch(("sessions",), changed.set)
    seen = -1
    try:
        while True:
            sessions, index = store.sessions.value, store.index
            others = index.since(seen)
            seen = index.revision
            views = sessions.values() if others is None else [sessions[each] for each in others]
            points = {view.requested for view in views if view.requested}
            unnamed = points - store.places.value.keys()
            if unnamed:
                found = await asyncio.to_thread(_named, unnamed)
                store.places.set({**store.places.value, **found})
            await changed.wait()
            changed.clear()
    finally:
        unwatch()


def _named(points: Iterable[Point]) -> dict[Point, str]:
    """Blocks: the gazetteer takes a moment to be read."""
    from luxxon_tui.map.gazetteer import gazetteer

    towns = gazetteer()
    found: dict[Point, str] = {}
    for point in points:
        place, away_m = towns.nearest(point)
        found[point] = place.label if away_m <= FAR_M else ""
    return found
