"""What an outside edge serves for us, and whether media flow there, from what it says when it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from luxxon_core.kernel.clock import Clock
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind


@dataclass(slots=True)
class Served:
    """A live input that is served."""

    live_input: LiveInput
    since: datetime
    media_at: datetime | None = None
    """When media were last known to flow; None while they do not."""


class Liveness:
    """Serves a part of :class:`~luxxon_core.media.ports.Edge`: ``serving``, ``announce`` and ``events``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._served: dict[str, Served] = {}
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue()

    def open(self, live_input: LiveInput) -> None:
        """Serve it from now on, if it is not yet."""
        self._served.setdefault(live_input.uid, Served(live_input, self._clock()))

    def close(self, uid: str) -> None:
        """Nothing more is told of it."""
        self._served.pop(uid, None)

    def get(self, uid: str) -> LiveInput | None:
        served = self._served.get(uid)
        return None if served is None else served.live_input

    def all(self) -> list[LiveInput]:
        return [served.live_input for served in self._served.values()]

    def flows(self, uid: str, at: datetime) -> None:
        """Media flowed at that moment."""
        if (served := self._served.get(uid)) is not None:
            if served.media_at is None:
                self._tell(MediaEventKind.CONNECTED, uid, at)
            served.media_at = at

    def stopped(self, uid: str, at: datetime | None = None) -> None:
        """Media do not flow, since ``at`` or since they were last seen to."""
        served = self._served.get(uid)
        if served is not None and served.media_at is not None:
            self._tell(MediaEventKind.DISCONNECTED, uid, at or served.media_at)
            served.media_at = None

    def silent_since(self, moment: datetime) -> list[str]:
        """The uids of those whose media were last seen before a moment."""
        return [uid for uid, served in self._served.items() if served.media_at and served.media_at < moment]

    def serving(self, before: datetime) -> Mapping[str, str]:
        return {uid: one.live_input.edge for uid, one in self._served.items() if one.since < before}

    def announce(self) -> None:
        for uid, served in self._served.items():
            if served.media_at is not None:
                self._tell(MediaEventKind.CONNECTED, uid, served.media_at)

    def end(self) -> None:
        """No more events."""
        self._served.clear()
        self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)  # a later reader ends as well

    def _tell(self, kind: MediaEventKind, uid: str, at: datetime) -> None:
        self._events.put_nowait(MediaEvent(kind, uid, at))
