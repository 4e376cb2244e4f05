"""Several media edges as one: each live input is served, for life, by the edge that minted it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

import structlog

from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, kind_of
from luxxon_core.media.ports import Edge
from luxxon_core.media.usecases.merging import merged

EVER = datetime.max.replace(tzinfo=UTC)

log = structlog.get_logger(__name__)


class Edges:
    """Implements :class:`~luxxon_core.media.ports.Edge` over others, by ``LiveInput.edge``."""

    def __init__(self, minting: Iterable[Edge], keeping: Iterable[Edge] = ()) -> None:
        """Args:
        minting: equals, of which the one that serves the fewest live inputs mints the next.
        keeping: serve what they have minted earlier.
        """
        self._minting = tuple(minting)
        self._edges = {name: edge for edge in (*self._minting, *keeping) for name in edge.names}

    @property
    def name(self) -> str:
        """That of the first edge that mints."""
        return self._minting[0].name

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._edges)

    async def create(self) -> LiveInput:
        """An edge that refuses is passed over while there is another.

        Raises:
            VideoError: all of them refused; the error of the last.
        """
        refused = VideoError("video:edge:none", "No media edge mints live inputs")
        for edge in sorted(self._minting, key=lambda one: len(one.serving(EVER))):
            try:
                return await edge.create()
            except VideoError as error:
                log.warning("edge.refused", edge=edge.name, detail=error.detail)
                refused = error
        raise refused

    async def restore(self, live_input: LiveInput) -> None:
        """Raises VideoError when its edge is not one of these any more."""
        edge = self._edges.get(live_input.edge)
        if edge is None:
            raise VideoError("video:edge:unknown", "The live input's edge is not configured")
        await edge.restore(live_input)

    async def delete(self, live_input: LiveInput) -> None:
        """What no edge of ours can reach is gone as far as we can tell: that is logged, and no error."""
        edge = self._of(live_input)
        if edge is None:
            log.warning("edge.unknown", edge=live_input.edge, uid=live_input.uid)
            return
        await edge.delete(live_input)

    async def frame(self, live_input: LiveInput) -> Frame | None:
        """None as well when its edge is not one of these any more."""
        edge = self._of(live_input)
        return None if edge is None else await edge.frame(live_input)

    def serving(self, before: datetime) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for edge in self._each():
            found.update(edge.serving(before))
        return found

    def announce(self) -> None:
        for edge in self._each():
            edge.announce()

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Those of every edge; in order for each live input. Ends when all of them have ended."""
        async with aclosing(merged(*(edge.events() for edge in self._each()))) as told:
            async for _, event in told:
                yield event

    def _each(self) -> list[Edge]:
        return list(dict.fromkeys(self._edges.values()))

    def _of(self, live_input: LiveInput) -> Edge | None:
        """The edge that minted it; else one of its kind, which reaches what another server's edge holds."""
        if (edge := self._edges.get(live_input.edge)) is not None:
            return edge
        kind = kind_of(live_input.edge)
        return next((edge for edge in self._each() if kind_of(edge.name) == kind), None)
