"""One run of a shard, from the server's side: its process, the channel to it, and what it logs."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import structlog

from luxxon_core.adapters.aiortc_edge import shard_wire as wire
from luxxon_core.kernel.errors import StartError, VideoError

START_SECONDS = 60.0
ASK_SECONDS = 5.0
END_SECONDS = 10.0
SILENT_SECONDS = 10
"""Without a pulse for so long, a shard is stuck and is killed: nobody's media flows there."""
MAX_LINE = 1 << 20

log = structlog.get_logger(__name__)


class ShardProcess:
    """A running shard."""

    def __init__(
        self,
        name: str,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        heard: Callable[[wire.Report], None],
    ) -> None:
        self._name, self._process, self._heard = name, process, heard
        self._reader, self._writer = reader, writer
        self._calls = count(1)
        self._waiting: dict[int, asyncio.Future[wire.Done]] = {}
        self._reports = 0
        self._reading = asyncio.create_task(self._read(), name=f"shard {name}")
        self._watching = asyncio.create_task(self._watch(), name=f"shard watch {name}")
        self._logging = asyncio.create_task(_relog(process, name), name=f"shard log {name}")

    @classmethod
    async def launch(
        cls, begin: wire.Begin, listener: socket.socket, heard: Callable[[wire.Report], None]
    ) -> ShardProcess:
        """Start a process and have it be the edge that ``begin`` describes.

        Args:
            heard: called with every event and pulse and with every answer, in order.

        Raises:
            StartError: it cannot be.
        """
        ours, its = socket.socketpair()
        try:
            with its:
                process = await _spawn(its, listener)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except OSError as error:
            ours.close()
            raise StartError("media:shard", f"cannot start a media process: {error.strerror}") from error
        except BaseException:
            ours.close()  # if there is a process already, this ends it
            raise
        try:
            writer.write(wire.framed(begin))
            begun = await asyncio.wait_for(wire.next_report(reader), START_SECONDS)
            if not isinstance(begun, wire.Begun):
                raise StartError("media:shard", "a media process ended before it began; see the log")
            if begun.refused is not None:
                raise StartError(*begun.refused)
        except BaseException as error:
            writer.close()
            await _killed(process, begin.name)
            if isinstance(error, TimeoutError):
                raise StartError("media:shard", "a media process does not begin") from error
            raise
        log.info("shard.started", shard=begin.name, pid=process.pid, loop=begun.loop)
        return cls(begin.name, process, reader, writer, heard)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, make: Callable[[int], wire.Call]) -> wire.Done:
        """Have a call executed.

        Raises:
            VideoError: refused, or not answered in time, or the shard has died.
        """
        number = self.tell(make)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        if self._reading.done():
            self._hung_up()
        try:
            return await asyncio.wait_for(answer, ASK_SECONDS)
        except TimeoutError as error:
            raise VideoError("video:shard:silent", "The media process does not answer") from error
        finally:
            self._waiting.pop(number, None)

    def tell(self, make: Callable[[int], wire.Call]) -> int:
        """Have a call executed, before those that are made later, and do not wait for it."""
        number = next(self._calls)
        if not self._writer.is_closing():
            self._writer.write(wire.framed(make(number)))
        return number

    async def ended(self) -> int:
        """Wait until the process has ended and everything that it said is heard; its exit status.

        One that has hung up although nobody told it to is failing, and gets as long as any to end.
        """
        await asyncio.wait({self._reading})
        self._watching.cancel()
        if (error := self._reading.exception()) is not None:
            log.error("shard.not_understood", shard=self._name, exc_info=error)
        try:
            return await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """Hang up, and wait until the process has disconnected its peers and ended. Idempotent."""
        self._watching.cancel()
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        await asyncio.gather(self._reading, self._watching, self._logging, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while (report := await wire.next_report(self._reader)) is not None:
                self._reports += 1
                self._heard(report)
                if isinstance(report, wire.Done | wire.Refused):
                    self._answered(report)
        finally:
            self._writer.close()
            self._hung_up()

    def _answered(self, report: wire.Done | wire.Refused) -> None:
        waiting = self._waiting.get(report.call)
        if waiting is None or waiting.done():
            return
        if isinstance(report, wire.Done):
            waiting.set_result(report)
        else:
            waiting.set_exception(VideoError(report.detail, report.message))

    def _hung_up(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(VideoError("video:shard:ended", "The media process has ended"))

    async def _watch(self) -> None:
        """Kill a process that says nothing any more. Seconds are counted in which it could have been heard:
        those in which this server was stopped are none."""
        silent, before = 0, self._reports
        while silent < SILENT_SECONDS:
            await asyncio.sleep(1)
            silent = silent + 1 if self._reports == before else 0
            before = self._reports
        log.error("shard.stuck", shard=self._name, pid=self.pid)
        self.kill()


async def _spawn(control: socket.socket, listener: socket.socket) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "luxxon_core.adapters.aiortc_edge.shard", str(control.fileno()), str(listener.fileno())),
        pass_fds=(control.fileno(), listener.fileno()),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        limit=MAX_LINE,
        # our settings are none of its business, and some are secrets
        env={name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")},
        start_new_session=True,  # a Ctrl-C of the terminal is the owner's to handle
    )


async def _killed(process: Process, name: str) -> None:
    """End a process that has not begun; what it had to say is logged."""
    if process.returncode is None:
        process.kill()
    await asyncio.gather(_relog(process, name), process.wait())


async def _relog(process: Process, name: str) -> None:
    """Put what the process logs into our own log, until it ends."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # longer than any of ours
            continue
        if not line:
            return
        try:
            said: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
            level = logging.getLevelNamesMapping()[str(said.pop("level")).upper()]
            event = str(said.pop("event"))
        except (msgspec.MsgspecError, KeyError):
            if text := line.decode(errors="replace").strip():
                log.error("shard.said", shard=name, text=text)
            continue
        log.log(level, event, **{**said, "shard": name})
