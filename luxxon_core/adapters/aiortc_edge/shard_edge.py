"""An edge in a process of its own: ``luxxon_core.media.ports.Edge`` at the server's end of the channel.

The server keeps what a process cannot lose: the listening socket, which live inputs there are, and when each
last had media. When the process dies, its live inputs count as disconnected from their last media on; the
next process serves them at the same URLs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from luxxon_core.adapters.aiortc_edge import shard_wire as wire
from luxxon_core.adapters.aiortc_edge.doors import Door, Side, digest, doors
from luxxon_core.adapters.aiortc_edge.edge import EdgeStats
from luxxon_core.adapters.aiortc_edge.elsewhere import ElsewhereFrames
from luxxon_core.adapters.aiortc_edge.shard_process import ShardProcess
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import StartError, VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind

BACK_OFF_SECONDS = (0.5, 30.0)
"""Pause before the second restart in a row and the longest; it doubles in between. The first is at once."""
STEADY_SECONDS = 60.0
"""Who ran this long did not die of its start."""
LEVELS = ("live_inputs", "publishers", "viewers")
"""Figures that are of the present; the others are counted on when a process is replaced."""
NOTHING = EdgeStats(**dict.fromkeys((one.name for one in fields(EdgeStats)), 0))

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Served:
    doors: tuple[Door, Door]
    opened_at: datetime
    media_at: datetime | None = None
    """When the last media came that we know of; None while none flows."""
    frame: Frame | None = field(default=None, repr=False)
    """The one that was asked for last."""


class ShardEdge:
    """One shard. Serves between ``start`` and ``close``; takes publishers and viewers from ``open`` on."""

    def __init__(
        self,
        *,
        name: str,
        public_url: str,
        listener: socket.socket,
        clock: Clock = utc_now,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Args:
        name: which edge this is among those of a deployment; the same after a restart.
        public_url: base of the URLs minted.
        listener: where HTTP requests to it arrive; listening, and closed with the edge.
        options: further arguments of the ``AiortcEdge`` in the process: numbers, texts and lists.
        """
        self._name, self._url, self._clock = name, public_url.rstrip("/"), clock
        self._listener = listener
        self._options = dict(options or {})
        self._process: ShardProcess | None = None
        """None while there is none."""
        self._keeping: asyncio.Task[None] | None = None
        self._opened = False
        self._served: dict[str, _Served] = {}
        self._doors: set[Door] = set()
        self._elsewhere = ElsewhereFrames()
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue()
        self._stats, self._before = NOTHING, NOTHING

    @property
    def name(self) -> str:
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._name})

    @property
    def running(self) -> bool:
        """Whether there is a process at this moment."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process.

        Raises:
            StartError: it cannot serve, as when its UDP port is taken.
        """
        try:
            self._process = await self._launched()
        except BaseException:
            self._listener.close()
            raise
        self._keeping = asyncio.create_task(self._keep(), name=f"shard keeper {self._name}")

    async def open(self) -> None:
        """Answer requests at the URLs. To be called when what was stored is restored: a publisher that is
        told that its URL is unknown does not come back.
        """
        self._opened = True
        if self._process is not None:
            try:
                await self._process.ask(wire.Open)
            except VideoError as error:  # it is dead or will be killed, and its successor opens by itself
                log.warning("shard.not_told", shard=self._name, detail=error.detail)

    async def close(self) -> None:
        """Disconnect everybody, end the process and ``events``. Idempotent."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await process.end()
        self._listener.close()
        self._served.clear()
        self._doors.clear()
        await self._elsewhere.close()
        self._events.put_nowait(None)

    # The port.

    async def create(self) -> LiveInput:
        if self._process is None:
            raise VideoError("video:edge:stopped", "The media process is not running")
        live_input = (await self._process.ask(wire.Create)).live_input
        assert live_input is not None
        return live_input

    async def restore(self, live_input: LiveInput) -> None:
        """Raises VideoError when the live input is not one of this edge's, or the edge is not running."""
        if self._keeping is None:
            raise VideoError("video:edge:stopped", "The media edge is not running")
        both = doors(live_input, self._name)
        if live_input.uid in self._served:
            return
        self._serve(live_input.uid, both)
        if self._process is not None:
            await self._process.ask(partial(_reopened, live_input.uid, both))

    async def delete(self, live_input: LiveInput) -> None:
        """A process that cannot be told is dead or will be killed, and its successor knows no better."""
        served = self._served.pop(live_input.uid, None)
        if served is None:
            return
        self._doors.difference_update(served.doors)
        if self._process is None:
            return
        try:
            await self._process.ask(lambda call: wire.Delete(call, live_input.uid))
        except VideoError as error:
            log.warning("shard.not_told", shard=self._name, uid=live_input.uid, detail=error.detail)

    async def frame(self, live_input: LiveInput) -> Frame | None:
        if live_input.edge != self._name:
            return await self._elsewhere.frame(live_input)
        served = self._served.get(live_input.uid)
        if served is None or self._process is None:
            return None
        known = served.frame
        look = partial(_look, live_input.uid, known.digest if known is not None else "")
        try:
            seen = await self._process.ask(look)
        except VideoError as error:
            log.warning("shard.no_frame", shard=self._name, uid=live_input.uid, detail=error.detail)
            return None
        if seen.captured_at is not None and known is not None:
            served.frame = replace(known, captured_at=seen.captured_at)
        else:
            served.frame = seen.frame
        return served.frame

    def serving(self, before: datetime) -> Mapping[str, str]:
        return {uid: self._name for uid, served in self._served.items() if served.opened_at < before}

    def announce(self) -> None:
        if self._process is not None:
            self._process.tell(wire.Announce)

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)  # a later reader ends as well

    # For the server around it.

    def endpoint(self, side: Side, named: str) -> str | None:
        """The URL here for the last part of an endpoint's path, a secret or a uid; None for a stranger's."""
        if named in self._served or (side, digest(named)) in self._doors:
            return f"{self._url}/{side}/{named}"
        return None

    def stats(self) -> EdgeStats:
        """As the process said last; counters go on where those of its predecessors ended."""
        return self._before + self._stats

    # The process.

    async def _launched(self) -> ShardProcess:
        """A process that serves what its predecessor did."""
        level = next((level for level in range(10, 50, 10) if log.is_enabled_for(level)), 50)
        begin = wire.Begin(self._name, self._url, level, self._options)
        process = await ShardProcess.launch(begin, self._listener, self._heard)
        for uid, served in self._served.items():
            process.tell(partial(_reopened, uid, served.doors))
        if (
            self._opened
        ):  # executed after those: no request finds a live input unknown that is about to be back
            process.tell(wire.Open)
        return process

    async def _keep(self) -> None:
        """Replace the process whenever it ends; one that keeps ending, less and less often."""
        pause = 0.0
        while True:
            started = asyncio.get_running_loop().time()
            if self._process is not None:
                status = await self._process.ended()
                await self._lost()
                if asyncio.get_running_loop().time() - started >= STEADY_SECONDS:
                    pause = 0.0
                log.error("shard.ended", shard=self._name, status=status, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, BACK_OFF_SECONDS[0]), BACK_OFF_SECONDS[1])
            try:
                self._process = await self._launched()
            except StartError as error:
                log.error("shard.not_restarted", shard=self._name, reason=error.message, again_in=pause)

    async def _lost(self) -> None:
        """The process has ended, and with it every connection."""
        process, self._process = self._process, None
        for uid, served in self._served.items():
            if served.media_at is not None:
                self._events.put_nowait(MediaEvent(MediaEventKind.DISCONNECTED, uid, served.media_at))
                served.media_at = None
        self._before, self._stats = _counters(self._before + self._stats), NOTHING
        if process is not None:
            await process.end()

    def _heard(self, report: wire.Report) -> None:
        match report:
            case wire.Happened(event):
                self._happened(event)
            case wire.Pulse(media, stats):
                self._stats = stats
                for uid, at in media.items():
                    served = self._served.get(uid)
                    if served is not None and served.media_at is not None:
                        served.media_at = max(served.media_at, at)
            case wire.Done(live_input=LiveInput() as minted):
                self._serve(minted.uid, doors(minted, self._name))
            case _:
                pass

    def _serve(self, uid: str, both: tuple[Door, Door]) -> None:
        self._served[uid] = _Served(both, self._clock())
        self._doors.update(both)

    def _happened(self, event: MediaEvent) -> None:
        served = self._served.get(event.uid)
        if served is None:
            return  # deleted meanwhile
        if event.kind is MediaEventKind.CONNECTED:
            served.media_at = event.at
        elif event.kind is MediaEventKind.DISCONNECTED:
            served.media_at = None
        self._events.put_nowait(event)


def _reopened(uid: str, both: tuple[Door, Door], call: int) -> wire.Reopen:
    return wire.Reopen(call, uid, both)


def _look(uid: str, known: str, call: int) -> wire.Look:
    return wire.Look(call, uid, known)


def _counters(stats: EdgeStats) -> EdgeStats:
    return replace(stats, **dict.fromkeys(LEVELS, 0))
