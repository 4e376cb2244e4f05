"""The marketplace on a socket: bind, run, end gracefully."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from luxxon_core.bootstrap import Deployment, deployed
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings

log = structlog.get_logger(__name__)

GRACE_SECONDS = 10.0
"""How long requests under way may take when the server ends."""
GC_THRESHOLDS = 20_000, 20, 50
BACKLOG = 1024
"""Connections that may wait to be accepted: clients come in crowds."""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    """Where clients reach it, without a trailing slash."""
    deployment: Deployment

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v1"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Server]:
    """Serve until the block ends.

    Then, in this order: ``/ready`` says no, calls of agents are undone, new connections are refused, event
    streams end, requests under way are answered, and the parts end.

    Raises:
        StartError: the port is taken, or a part cannot start.
    """
    from aiohttp import web

    from luxxon_core.bootstrap.agents import AGENTS
    from luxxon_core.http.operations import EXPORTER, READINESS, own_port
    from luxxon_core.http.protocol import Runner

    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bound(settings.host, settings.port))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = settings.public_url or f"http://{host}:{listener.getsockname()[1]}"
        deployment = await stack.enter_async_context(deployed(settings, url.rstrip("/"), utc_now))
        if settings.metrics_port is not None:
            exporter = deployment.app[EXPORTER]
            await stack.enter_async_context(own_port(exporter, "127.0.0.1", settings.metrics_port))
        runner = Runner(deployment.app, utc_now, grace=GRACE_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            yield Server(url.rstrip("/"), deployment)
        finally:
            deployment.app[READINESS].drain()
            await asyncio.sleep(settings.drain_seconds)
            await deployment.app[AGENTS].close()
            await runner.cleanup()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(message=f"cannot listen on {host} port {port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def settle_in() -> None:
    """Keep what exists by now, libraries above all, out of the garbage collector's way for good: it would go
    through all of it again and again under load. A request leaves hardly a cycle behind, so it also looks for
    them less often than after every 700 new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def serve(settings: Settings) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP."""
    async with stop_signal() as stop, running(settings) as server:
        settle_in()
        log.info("serving", url=server.api_url, rpc=server.deployment.config.rpc_url)
        await stop.wait()
        log.info("stopping")


def _let_go(terminals: Sequence[int]) -> None:
    """Put the null device in the place of those descriptors of terminals that are none any more."""
    gone = [descriptor for descriptor in terminals if not os.isatty(descriptor)]
    if gone:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in gone:
            os.dup2(null, descriptor)
        os.close(null)


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT, SIGTERM and the terminal's hang-up set while the block runs.

    What is written to a terminal that has hung up goes nowhere from then on: it would be an error (EIO), in
    the midst of what is still to be done.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def hung_up() -> None:
        _let_go(terminals)
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, hung_up if number is signal.SIGHUP else stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
