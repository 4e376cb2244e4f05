"""So many steps at a time of each media edge: one that is slow must not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 16
"""Steps of one edge at a time: each takes a connection to the database now and then."""
IN_ALL = 24
"""Steps of one edge that have a place or wait for one; the others are due again soon. So it takes many edges
that do not answer to take up all that a process looks at."""


@dataclass(slots=True)
class _Edge:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    known: int = 0


class Places:
    """Those of every edge, by its name; what has no edge yet shares places of its own."""

    def __init__(self) -> None:
        self._edges: dict[str | None, _Edge] = {}

    @asynccontextmanager
    async def taken(self, edge: str | None, seconds: float) -> AsyncIterator[bool]:
        """Hold a place while the block runs; False: there was none in that time, or too many wait for one."""
        places = self._edges.setdefault(edge, _Edge())
        if places.known >= IN_ALL and edge is not None:  # else it waits for nobody but the database
            yield False
            return
        places.known += 1
        try:
            try:
                async with asyncio.timeout(seconds):
                    await places.free.acquire()
            except TimeoutError:
                yield False
                return
            try:
                yield True
            finally:
                places.free.release()
        finally:
            places.known -= 1
            if not places.known:
                self._edges.pop(edge, None)
