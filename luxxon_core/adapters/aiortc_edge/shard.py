"""A shard: the embedded edge in a process of its own, for as long as its owner lives.

Started as ``python -m luxxon_core.adapters.aiortc_edge.shard CONTROL LISTENER`` with two inherited
descriptors: the channel of ``shard_wire`` and a listening TCP socket. The listener is the owner's, so that
requests to a shard that has died wait for its successor instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TextIO, cast

import structlog
from aiohttp import web

from luxxon_core.adapters.aiortc_edge import shard_wire as wire
from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.http.protocol import Runner
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import LuxxonError, StartError, VideoError
from luxxon_core.media.domain import LiveInput

END_SECONDS = 5.0
"""How long saying goodbye to all peers may take, also when nobody is left to wait for it."""
GRACE_SECONDS = 2.0
"""How long requests under way get at the end."""
BACKLOG = 1024
MAX_UNREAD = 1 << 16
"""Bytes that may wait for the owner before pulses are left out."""
GC_THRESHOLDS = 20_000, 20, 50

log = structlog.get_logger(__name__)


class Shard:
    """Executes what the owner says, on a running edge."""

    def __init__(self, edge: AiortcEdge, listener: socket.socket, writer: asyncio.StreamWriter) -> None:
        self._edge, self._listener, self._writer = edge, listener, writer
        self._answering: set[asyncio.Task[None]] = set()
        app = web.Application()
        app.add_routes(edge.routes())
        self._runner = Runner(app, utc_now, grace=GRACE_SECONDS)

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Until the owner hangs up."""
        telling = asyncio.create_task(self._tell(), name="shard events")
        pulsing = asyncio.create_task(self._pulse(), name="shard pulse")
        try:
            while isinstance(call := await wire.next_call(reader), wire.Call):
                # Tasks begin in the order in which they are made, and all that must be in order is done
                # before they first wait: a slow deletion does not hold up the next call.
                task = asyncio.create_task(self._answer(call), name="shard call")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
        finally:
            deadline = threading.Timer(END_SECONDS, os._exit, (1,))
            deadline.daemon = True
            deadline.start()
            await self._runner.cleanup()  # first: the next server may want the port
            self._listener.close()
            pulsing.cancel()
            for task in self._answering:
                task.cancel()
            await asyncio.gather(pulsing, *self._answering, return_exceptions=True)
            await self._edge.close()
            await asyncio.gather(telling, return_exceptions=True)

    async def _answer(self, call: wire.Call) -> None:
        try:
            answer: wire.Done | wire.Refused = await self._done(call)
        except LuxxonError as error:
            answer = wire.Refused(call.call, error.detail, error.message)
        except Exception as error:  # logged and told; the streams of others go on
            log.error("shard.call_failed", call=type(call).__name__, exc_info=error)
            answer = wire.Refused(call.call, None, VideoError.default_message)
        self._send(answer)

    async def _done(self, call: wire.Call) -> wire.Done:
        edge = self._edge
        match call:
            case wire.Open():
                await self._runner.setup()
                await web.SockSite(self._runner, self._listener, backlog=BACKLOG).start()
            case wire.Create():
                return wire.Done(call.call, await edge.create())
            case wire.Reopen():
                edge.reopen(call.uid, call.doors)
            case wire.Delete():
                await edge.delete(LiveInput(call.uid, edge.name, "", ""))
            case wire.Look():
                frame = await edge.frame(LiveInput(call.uid, edge.name, "", ""))
                if frame is not None and frame.digest == call.known:
                    return wire.Done(call.call, captured_at=frame.captured_at)
                return wire.Done(call.call, frame=frame)
            case wire.Announce():
                edge.announce()
        return wire.Done(call.call)

    async def _tell(self) -> None:
        """Hand events over in order; they wait here while the owner does not read."""
        async for event in self._edge.events():
            self._send(wire.Happened(event))
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(wire.PULSE_SECONDS)
            if self._writer.transport.get_write_buffer_size() < MAX_UNREAD:
                self._send(wire.Pulse(self._edge.media(), self._edge.stats()))

    def _send(self, report: wire.Report) -> None:
        if not self._writer.is_closing():
            self._writer.write(wire.framed(report))


async def serve(control: socket.socket, listener: socket.socket) -> None:
    """Serve as the edge that the first message describes, until the owner hangs up."""
    reader, writer = await asyncio.open_unix_connection(sock=control)
    begin = await wire.next_call(reader)
    if not isinstance(begin, wire.Begin):
        return
    _log_from(begin.log_level)
    edge = AiortcEdge(public_url=begin.public_url, name=begin.name, **begin.options)
    try:
        await edge.start()
    except StartError as error:
        writer.write(wire.framed(wire.Begun((error.detail, error.message))))
        await writer.drain()
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    loop = asyncio.get_running_loop()
    writer.write(wire.framed(wire.Begun(loop=type(loop).__module__.partition(".")[0])))
    try:
        await Shard(edge, listener, writer).run(reader)
    finally:
        writer.close()


class Log(io.TextIOBase):
    """Standard error, which the owner puts into its own log. Media never wait for an owner who does not read,
    or is gone: such lines are lost."""

    def write(self, text: str) -> int:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(2, text.encode(errors="replace"))
        return len(text)


def _log_from(level: int) -> None:
    """Say everything as lines of JSON."""
    os.set_blocking(2, False)
    stream = cast(TextIO, Log())
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
    ]
    rendered: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        processors=[*common, *rendered],
    )
    handler = logging.StreamHandler(stream)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[remove, *rendered])
    )
    logging.basicConfig(level=max(level, logging.ERROR), handlers=[handler])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The server's choice: uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> None:
    """Run until the owner hangs up. Signals are the owner's to handle: a service's stop is sent to all of its
    processes, and streams go on until the server has answered its last requests."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control, listener = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:3])
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(control, listener))


if __name__ == "__main__":
    main()
