"""What the people who run a server look at: figures, and whether it should be sent requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from luxxon_core.http.metrics import Exporter, for_this_machine
from luxxon_core.http.system import Readiness
from luxxon_core.kernel.errors import StartError

READINESS = web.AppKey("readiness", Readiness)
EXPORTER = web.AppKey("exporter", Exporter)
PATH = "/metrics"


def expose(app: web.Application, exporter: Exporter, *, direct: bool) -> None:
    """Measure while the application runs and, where nothing stands in front of the server (``direct``),
    answer ``/metrics`` on its port to processes of this machine."""

    async def measuring(_: web.Application) -> AsyncIterator[None]:
        async with exporter.measuring():
            yield

    async def metrics(request: web.Request) -> web.Response:
        if not for_this_machine(request):
            raise web.HTTPNotFound
        return await exporter.answer(request)

    app.cleanup_ctx.append(measuring)
    if direct:
        app.router.add_get(PATH, metrics)


@asynccontextmanager
async def own_port(exporter: Exporter, host: str, port: int) -> AsyncIterator[int]:
    """Answer ``/metrics``, and nothing else, to whoever reaches the port; gives the port.

    Raises:
        StartError: the port is taken.
    """
    app = web.Application()
    app.router.add_get(PATH, exporter.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise StartError(message=f"cannot listen on {host} port {port}: {error.strerror}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
