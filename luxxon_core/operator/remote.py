"""From the event stream to the camera: the commands for the session in hand, in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from luxxon_core.controls.schemas import (
    GetPresets,
    GetStatus,
    Order,
    Outcome,
    PtzCommand,
    PtzResult,
    RelativeMove,
    SetPreset,
    Stop,
)
from luxxon_core.events.schemas import Ready, SessionMeter
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.ptz import Controls, control_of

log = structlog.get_logger(__name__)

MOST_WAITING = 20
LAST_ANSWERS_SECONDS = 1.0
"""How long answers that are under way may take when the session is over."""
MOMENTS = 30
"""Tidings by which the server's clock is known."""

Answer = Callable[[str, str, PtzResult], Awaitable[object]]


@dataclass
class RemoteControl:
    """Executes commands one after another, and answers each of them.

    Attributes:
        answer: sends the result of a command of a session.
    """

    controls: Controls
    answer: Answer
    monotonic: Callable[[], float] = time.monotonic
    _session_id: str | None = field(default=None, init=False)
    _waiting: deque[PtzCommand] = field(default_factory=deque, init=False)
    _stirred: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _moments: deque[float] = field(default_factory=lambda: deque(maxlen=MOMENTS), init=False)
    """By how much our clock was ahead of the server's when tidings came, their way included."""
    _answering: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _halting: asyncio.Task[None] | None = field(default=None, init=False)

    def told(self, data: object) -> None:
        """Take an event of the stream, whatever it is."""
        if isinstance(data, Ready | SessionMeter | PtzCommand):
            self._moments.append(self.monotonic() - data.at.timestamp())
        if isinstance(data, PtzCommand) and data.session_id == self._session_id:
            self._supersede(data.order)
            self._waiting.append(data)
            if len(self._waiting) > MOST_WAITING:
                self._reply(self._waiting.popleft(), PtzResult(Outcome.SUPERSEDED))
            self._stirred.set()

    def lost(self) -> None:
        """The stream has broken: nobody could say stop. The next one may be another server's, with its
        clock."""
        self._moments.clear()
        self._drop()
        if self.controls.running and (self._halting is None or self._halting.done()):
            self._halting = asyncio.create_task(self.controls.halt(insist=True), name="ptz-halt")

    async def serve(self, session_id: str) -> None:
        """Execute the commands of a session until cancelled; then nothing moves any more."""
        self._session_id = session_id
        try:
            while True:
                while self._waiting:
                    command = self._waiting.popleft()
                    self._reply(command, await self._executed(command))
                self._stirred.clear()
                await self._stirred.wait()
        finally:
            self._session_id = None
            self._drop()
            await self.controls.halt()
            if self._halting is not None:  # what it waited for has been stopped, or given up, by now
                await asyncio.gather(self._halting, return_exceptions=True)
            if self._answering:
                _, late = await asyncio.wait(self._answering, timeout=LAST_ANSWERS_SECONDS)
                for task in late:
                    task.cancel()

    async def _executed(self, command: PtzCommand) -> PtzResult:
        return await self.controls.handle(command.order, lambda: self._expired(command))

    def _expired(self, command: PtzCommand) -> bool:
        """By the server's clock as the stream tells it, for ours may be wrong: the quickest tidings of late
        are taken to have come in no time."""
        ahead = min(self._moments, default=self.monotonic() - command.at.timestamp())
        return self.monotonic() - ahead > command.expires_at.timestamp()

    def _supersede(self, newer: Order) -> None:
        for older in [one for one in self._waiting if _supersedes(newer, one.order)]:
            self._waiting.remove(older)
            self._reply(older, PtzResult(Outcome.SUPERSEDED))

    def _drop(self) -> None:
        """Begin with none of those that wait: their callers find out in time."""
        self._waiting.clear()

    def _reply(self, command: PtzCommand, result: PtzResult) -> None:
        """Beside the next command, which need not wait for it."""
        task = asyncio.create_task(self._replied(command, result), name="ptz-answer")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _replied(self, command: PtzCommand, result: PtzResult) -> None:
        try:
            await self.answer(command.session_id, command.command_id, result)
        except LuxxonError as error:  # the caller hears that there was no answer
            log.warning("ptz.answer_failed", session=command.session_id, reason=str(error))


def _supersedes(newer: Order, older: Order) -> bool:
    """Whether an order makes one that has not begun pointless: both aim the same part, and not by steps."""
    if isinstance(older, GetStatus | GetPresets | SetPreset | Stop):
        return False
    if isinstance(newer, Stop):
        return True
    if isinstance(newer, GetStatus | GetPresets | SetPreset | RelativeMove) or isinstance(
        older, RelativeMove
    ):
        return False
    return control_of(newer) == control_of(older)
