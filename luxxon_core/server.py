"""The marketplace on a socket: bind, run, end gracefully."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from luxxon_core.bootstrap import Deployment, deployed
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings

log = structlog.get_logger(__name__)

GRACE_SECONDS = 5.0
"""How long requests under way may take when the server ends."""


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

    Raises:
        StartError: the port is taken, or a part cannot start.
    """
    from aiohttp import web

    with _bound(settings.host, settings.port) as listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = settings.public_url or f"http://{host}:{listener.getsockname()[1]}"
        async with deployed(settings, url.rstrip("/"), utc_now) as deployment:
            runner = web.AppRunner(deployment.app, access_log=None, shutdown_timeout=GRACE_SECONDS)
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                yield Server(url.rstrip("/"), deployment)
            finally:
                await runner.cleanup()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise StartError(message=f"cannot listen on {host} port {port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


async def serve(settings: Settings) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP."""
    async with stop_signal() as stop, running(settings) as server:
        log.info("serving", url=server.api_url, rpc=server.deployment.config.rpc_url)
        await stop.wait()
        log.info("stopping")


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT, SIGTERM and the terminal's hang-up set while the block runs."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
