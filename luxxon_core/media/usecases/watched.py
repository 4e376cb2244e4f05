"""An edge that gives no pictures itself, and a viewer of it that does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime

from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.ports import Edge, Pictures
from luxxon_core.media.usecases.merging import merged


class Watched:
    """Implements :class:`~luxxon_core.media.ports.Edge` over one that gives no pictures, and a viewer of it.

    Whether video flows is for the viewer to say while it is connected: it sees what others see. While it is
    not, the edge's word counts.
    """

    def __init__(
        self, edge: Edge, pictures: Pictures, seen_from: Callable[[LiveInput], LiveInput] | None = None
    ) -> None:
        """``seen_from``: a live input as our own viewer sees it, where that is at another URL."""
        self._edge, self._pictures = edge, pictures
        self._seen_from = seen_from or (lambda live_input: live_input)
        self._live_inputs: dict[str, LiveInput] = {}
        self._seen: dict[str, set[int]] = {}
        """Who sees video flow, by uid: 0 the edge, 1 the viewer."""
        self._flowing: set[str] = set()
        """As it was told."""

    @property
    def name(self) -> str:
        return self._edge.name

    @property
    def names(self) -> frozenset[str]:
        return self._edge.names

    async def create(self) -> LiveInput:
        live_input = await self._edge.create()
        self._watch(live_input)
        return live_input

    async def restore(self, live_input: LiveInput) -> None:
        await self._edge.restore(live_input)
        self._watch(live_input)

    async def delete(self, live_input: LiveInput) -> None:
        self._live_inputs.pop(live_input.uid, None)
        self._seen.pop(live_input.uid, None)
        self._flowing.discard(live_input.uid)
        await self._pictures.forget(live_input.uid)
        await self._edge.delete(live_input)

    async def frame(self, live_input: LiveInput) -> Frame | None:
        if live_input.edge in self.names and live_input.uid not in self._live_inputs:
            return None  # deleted
        return self._pictures.frame(self._seen_from(live_input))

    def serving(self, before: datetime) -> Mapping[str, str]:
        return self._edge.serving(before)

    def announce(self) -> None:
        self._flowing.clear()
        self._edge.announce()
        self._pictures.announce()

    async def events(self) -> AsyncIterator[MediaEvent]:
        async with aclosing(merged(self._edge.events(), self._pictures.events())) as told:
            async for source, event in told:
                if self._counts(source, event):
                    yield event

    def _watch(self, live_input: LiveInput) -> None:
        self._live_inputs[live_input.uid] = live_input
        self._pictures.watch(self._seen_from(live_input))

    def _counts(self, source: int, event: MediaEvent) -> bool:
        uid, live_input = event.uid, self._live_inputs.get(event.uid)
        if live_input is None:
            return False
        seen = self._seen.setdefault(uid, set())
        if event.kind is MediaEventKind.CONNECTED:
            seen.add(source)
            if source == 0:
                self._pictures.watch(self._seen_from(live_input))
            if not self._flows(uid) or uid in self._flowing:
                return False
            self._flowing.add(uid)
        if event.kind is MediaEventKind.DISCONNECTED:
            seen.discard(source)
            if self._flows(uid) or uid not in self._flowing:
                return False
            self._flowing.discard(uid)
        return True

    def _flows(self, uid: str) -> bool:
        seen = self._seen[uid]
        return 1 in seen or (0 in seen and not self._pictures.attached(uid))
