"""Server-sent events on an aiohttp response (WHATWG HTML §9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from luxxon_core.http.operation import EventStream, ServerEvent
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.wire import encode

log = structlog.get_logger(__name__)

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RETRY = b"retry: 1000\n\n"
"""How long a client waits before it connects again, in milliseconds."""
PING = b": ping\n\n"

Recheck = Callable[[], Awaitable[object]]
"""Raises when the caller may listen no longer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how often a stream is looked after, and when something is done.

    Attributes:
        look: how often.
        ping: silence after which a comment is sent, so that neither proxies nor clients take the stream for
            dead, and so that a client that has left is noticed.
        recheck: how often the caller's right to listen is looked at again.
        stuck: how long a client may take nothing before its connection is cut; it resumes when it can.
    """

    look: float = 2.5
    ping: float = 12.0
    recheck: float = 12.0
    stuck: float = 20.0


PACE = Pace()


class Streams:
    """The streams of an application, which end when it shuts down and not a grace period later."""

    def __init__(self) -> None:
        self._stops: set[asyncio.Future[None]] = set()
        self._stopped = False

    def begun(self) -> asyncio.Future[None]:
        """A future for one stream, done when that has to end."""
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            stop.set_result(None)
        self._stops.add(stop)
        return stop

    def ended(self, stop: asyncio.Future[None]) -> None:
        self._stops.discard(stop)

    async def stop(self, _: web.Application) -> None:
        """End all streams, and those that begin from now on."""
        self._stopped = True
        for stop in self._stops:
            if not stop.done():
                stop.set_result(None)


STREAMS = web.AppKey("streams", Streams)


def install(app: web.Application) -> None:
    """Let the application's streams end when it shuts down."""
    app[STREAMS] = Streams()
    app.on_shutdown.append(app[STREAMS].stop)


async def stream(
    request: web.Request, answer: EventStream, recheck: Recheck | None = None, pace: Pace | None = None
) -> web.StreamResponse:
    """Write events until they end, the client leaves or takes nothing, it may listen no longer, or the server
    stops.

    Raises:
        LuxxonError: what the events themselves raised.
    """
    response = web.StreamResponse(headers=HEADERS)
    try:
        await response.prepare(request)
    except ConnectionError:  # the client has left before it was answered
        if isinstance(answer.events, AsyncGenerator):
            await answer.events.aclose()
        return response
    streams = request.app.get(STREAMS)
    stop = streams.begun() if streams is not None else asyncio.get_running_loop().create_future()
    writer = _Writer(response)
    writing = asyncio.create_task(writer.run(answer))
    try:
        await _look_after(request, writer, writing, stop, recheck, pace or PACE)
        if writing.done():
            writing.result()
    except ConnectionError:
        pass  # the client has left
    finally:
        if streams is not None:
            streams.ended(stop)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        if isinstance(answer.events, AsyncGenerator):
            await answer.events.aclose()
    return response


class _Writer:
    """Writes a stream, and knows when it last could."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self.written_at = self._loop.time()
        self.since: float | None = None
        """When the write that is under way began."""

    async def run(self, answer: EventStream) -> None:
        await self.write(RETRY)
        async for event in answer.events:
            await self.write(line(event))

    async def write(self, text: bytes) -> None:
        self.since = self._loop.time()
        await self._response.write(text)
        self.written_at, self.since = self._loop.time(), None


async def _look_after(
    request: web.Request,
    writer: _Writer,
    writing: asyncio.Task[None],
    stop: asyncio.Future[None],
    recheck: Recheck | None,
    pace: Pace,
) -> None:
    """Return when the stream has ended or has to."""
    loop = asyncio.get_running_loop()
    checked_at, failed = loop.time(), False
    while True:
        done, _ = await asyncio.wait({writing, stop}, timeout=pace.look, return_when=asyncio.FIRST_COMPLETED)
        now, transport = loop.time(), request.transport
        if done or transport is None or transport.is_closing():
            return
        if writer.since is not None:
            if now - writer.since >= pace.stuck:
                log.info("stream cut: its client takes nothing")
                transport.abort()
                return
        elif now - writer.written_at >= pace.ping and not await _pinged(writer, pace.stuck):
            transport.abort()
            return
        if recheck is not None and now - checked_at >= pace.recheck:
            checked_at = now
            try:
                await recheck()
                failed = False
            except LuxxonError as error:
                if error.status < 500 or failed:  # once it may be the service that is asked
                    log.info("stream ended: its caller may listen no longer", code=error.code)
                    return
                failed = True


async def _pinged(writer: _Writer, seconds: float) -> bool:
    """Whether the client took a comment in that time: what waits for it looks after nothing else."""
    try:
        async with asyncio.timeout(seconds):
            await writer.write(PING)
    except TimeoutError:
        log.info("stream cut: its client takes nothing")
        return False
    return True


def line(event: ServerEvent) -> bytes:
    """The event as bytes of the stream; JSON has no line breaks of its own."""
    identity = f"id: {event.id}\n" if event.id is not None else ""
    return f"{identity}event: {event.name}\ndata: ".encode() + encode(event.data) + b"\n\n"
