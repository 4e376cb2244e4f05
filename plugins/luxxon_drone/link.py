"""A MAVLink link that stays up: the state machine of ``station`` on a transport, for the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from luxxon_core.source import SourceAuthError, SourceError, SourceNotReady
from luxxon_drone import permits
from luxxon_drone.exchange import Command, Outcome, request_message
from luxxon_drone.station import Event, Finished, LinkLost, LinkUp, Received, Station
from luxxon_drone.transport import Transport

log = structlog.get_logger(__name__)

BACKOFF = (0.2, 2.0)
"""Seconds before the first and between later attempts to open a transport that was lost; they double."""

STEADY_SECONDS = 2.0
"""A transport that held this long starts the back-off anew."""

_REFUSALS = {
    Outcome.BUSY: ("busy", "the vehicle is too busy to {}"),
    Outcome.DENIED: ("denied", "the vehicle refuses to {}"),
    Outcome.UNSUPPORTED: ("unsupported", "the vehicle cannot {}"),
    Outcome.FAILED: ("failed", "the vehicle failed to {}"),
}


class CommandRefused(SourceError):
    """The vehicle answered a command, and not with yes. ``outcome`` says how."""

    code, status, default_message = "DRONE_COMMAND", 409, "The vehicle did not accept the command"

    def __init__(self, outcome: Outcome, purpose: str) -> None:
        detail, message = _REFUSALS[outcome]
        super().__init__(f"drone:{detail}", message.format(purpose))
        self.outcome = outcome


class Link:
    """Open from ``start`` to ``close``. ``listener`` gets every event, on the loop."""

    def __init__(
        self,
        transport: Transport,
        station: Station,
        name: str,
        listener: Callable[[Event], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.station = station
        self.clock = clock
        self.last_error: str | None = None
        """Of the transport."""
        self.reconnects = 0
        """How often the vehicle was heard again after silence."""
        self._transport, self._name, self._listener = transport, name, listener
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._answers: dict[int, tuple[Command, asyncio.Future[Any]]] = {}
        self._wake = asyncio.Event()
        """Set when the running task must look again before ``_sleeping_until``."""
        self._sleeping_until = math.inf
        self._up = asyncio.Event()
        self._was_up = self._broken = False
        self._opening = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.station.alive and self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Raises: SourceConfigError or SourceNotReady where the transport does not open."""
        await self._open()
        self._task = asyncio.create_task(self._run(), name="mavlink")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._transport.close()
        self._abandon()

    async def wait_up(self, timeout: float) -> None:
        """Until the vehicle is heard.

        Raises:
            SourceAuthError: only frames whose signature is not ours came.
            SourceNotReady: no heartbeat in time.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise self._silence(timeout) from None

    def _silence(self, timeout: float) -> SourceError:
        station = self.station
        if station.codec.bad_signatures:
            return SourceAuthError("drone:signature", f"{self._name}: the vehicle signs with another key")
        text = f"{self._name}: no heartbeat for {timeout:g} s"
        if station.neighbours:
            others = ", ".join(map(str, sorted(station.neighbours)))
            text += f" from vehicle {station.vehicle}; heard: {others}"
        if self.last_error:
            text += f" ({self.last_error})"
        return SourceNotReady("drone:silent", text)

    def lost_error(self) -> SourceNotReady:
        timeout = self.station.settings.timeout
        return SourceNotReady("drone:linkLost", f"{self._name}: no heartbeat for {timeout:g} s")

    async def command(self, command: Command, purpose: str) -> None:
        """Send a command and wait until the vehicle has accepted it. ``purpose`` completes «cannot …».

        Raises:
            CommandRefused: denied, unsupported, failed, or busy at every attempt.
            SourceNotReady: no answer, or the link was lost.
        """
        number = self.station.submit(command, time.monotonic(), self._unix_time())
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._flush()
        try:
            outcome = await future
        finally:
            self._waiting.pop(number, None)
        if outcome is Outcome.LINK_LOST:
            raise self.lost_error()
        if outcome is Outcome.TIMED_OUT:
            raise SourceNotReady("drone:noAnswer", f"the vehicle did not answer the request to {purpose}")
        if outcome is not Outcome.ACCEPTED:
            raise CommandRefused(outcome, purpose)

    async def request(self, message_id: int, component: int, purpose: str, index: int = 0) -> Any:
        """The message asked for by MAV_CMD_REQUEST_MESSAGE. Raises as :meth:`command`."""
        command = request_message(message_id, component, index)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        key = id(future)
        self._answers[key] = command, future
        try:
            await self.command(command, purpose)
            return await future
        finally:
            self._answers.pop(key)

    def send(self, message: Any, component: int) -> None:
        """Send a message that is not acknowledged."""
        self.station.send(message, component, self._unix_time())
        self._flush()

    # -- inside ------------------------------------------------------------------------------------------

    def _write(self, frame: bytes, routes: Sequence[Hashable]) -> None:
        """The one place where bytes leave for a vehicle."""
        permits.check(frame)
        self._transport.write(frame, routes)

    def _flush(self) -> None:
        for outgoing in self.station.outgoing():
            self._write(outgoing.frame, outgoing.routes)
        if self.station.due() < self._sleeping_until:
            self._wake.set()

    def _on_data(self, data: bytes, source: Hashable) -> None:
        self._dispatch(
            self.station.receive(
                data, time.monotonic(), self._unix_time(), source, stream=self._transport.stream
            )
        )
        self._flush()

    def _on_lost(self, opening: int, reason: str) -> None:
        if opening != self._opening:
            return  # an older connection's end
        self.last_error = reason
        self._broken = True
        self._wake.set()

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                self._answer(event)
            elif isinstance(event, Finished):
                future = self._waiting.get(event.number)
                if future is not None and not future.done():
                    future.set_result(event.outcome)
            elif isinstance(event, LinkUp):
                self._heard()
            elif isinstance(event, LinkLost):
                self._up.clear()
                log.warning("drone.link_lost", link=self._name)
            self._listener(event)

    def _heard(self) -> None:
        self.reconnects += self._was_up
        self._was_up, self.last_error = True, None
        self._up.set()
        log.info("drone.link_up", link=self._name, system=self.station.vehicle)

    def _answer(self, event: Received) -> None:
        index = getattr(event.message, "stream_id", 0)
        for command, future in self._answers.values():
            wanted = command.answer == event.message.get_msgId() and command.component == event.component
            if wanted and command.index in (0, index) and not future.done():
                future.set_result(event.message)

    async def _run(self) -> None:
        open_at, delay = 0.0, BACKOFF[0]
        while True:
            self._wake.clear()
            if self._broken and time.monotonic() >= open_at:
                await self._open_again()
                open_at, delay = time.monotonic() + delay, min(delay * 2, BACKOFF[1])
            elif self.alive and not self._broken and time.monotonic() > open_at + STEADY_SECONDS:
                delay = BACKOFF[0]
            self._dispatch(self.station.tick(time.monotonic(), self._unix_time()))
            self._sleeping_until = self.station.due()
            self._flush()
            if self._broken:
                self._sleeping_until = min(self._sleeping_until, open_at)
            await self._sleep(self._sleeping_until - time.monotonic())

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _open_again(self) -> None:
        await self._transport.close()
        try:
            await self._open()
        except SourceError as error:
            self.last_error = error.message

    async def _open(self) -> None:
        self.station.codec.reset()
        self._opening += 1
        await self._transport.open(self._on_data, partial(self._on_lost, self._opening))
        self._broken = False

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        log.error("drone.link_failed", link=self._name, error=type(task.exception()).__name__)
        self.last_error = "the link's own task failed"
        self._abandon()
        self._listener(LinkLost())

    def _abandon(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Outcome.LINK_LOST)

    def _unix_time(self) -> float:
        return self.clock().timestamp()
