"""aiohttp's server, answering in our envelope also where no application is reached: what is no HTTP, heads
that are too large, expectations nobody meets."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from luxxon_core.http.envelope import failure, refused_by_aiohttp
from luxxon_core.http.observe import REQUEST_ID_HEADER, new_request_id
from luxxon_core.http.polled import POLLED
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import InvalidInput, LuxxonError

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 75.0
"""How long a connection may be idle, and how long the head of a request may take to arrive."""
LINGER_SECONDS = 5.0
"""How long an answered request's body, which nobody wants, is still read."""


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_clock",)

    def __init__(self, manager: web.Server, clock: Clock, **options: Any) -> None:
        super().__init__(manager, **options)
        self._clock = clock

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # raised by aiohttp before any of our code was asked
            resp = refused_by_aiohttp(resp, self._clock())
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser refuses (status 400) or our own code failed to catch.

        The parser's words are neither sent nor logged: they quote the request, secrets and all.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has been begun already")
        error: LuxxonError
        if status == 400:
            error = InvalidInput(_refused(exc))
            log.debug("request refused by the parser", reason=type(exc).__name__)
        else:
            error = LuxxonError()
            log.error("request failed outside of the application", exc_info=exc)
        response = failure(error, self._clock())
        response.headers[REQUEST_ID_HEADER] = new_request_id()
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """What goes wrong between two requests; the rest of a body that nobody could unpack is no failure."""
        error = options.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            log.debug("body refused by the parser", reason=type(error).__name__)
        else:
            super().log_exception(*args, **options)


def _refused(error: BaseException | None) -> str:
    if isinstance(error, LineTooLong):
        return "request:tooLong"
    return "request:method" if isinstance(error, BadHttpMethod) else "request:http"


class Server(web.Server):
    """Makes a :class:`Connection` of each accepted socket."""

    def __init__(self, inner: web.Server, clock: Clock, options: dict[str, Any]) -> None:
        super().__init__(inner.request_handler, request_factory=inner.request_factory)
        self._clock = clock
        self._options = options

    def __call__(self) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(self, self._clock, loop=loop, access_log=None, **self._options)


class Runner(web.AppRunner):
    """Serves an application through :class:`Server`.

    Args:
        grace: seconds that requests under way get when the server ends.
    """

    __slots__ = ("_clock", "_options")

    def __init__(self, app: web.Application, clock: Clock, *, grace: float) -> None:
        super().__init__(app, shutdown_timeout=grace, access_log=None)
        self._clock = clock
        self._options: dict[str, Any] = {
            "keepalive_timeout": KEEPALIVE_SECONDS,
            "lingering_time": LINGER_SECONDS,
        }

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if (polled := self.app.get(POLLED)) is not None:
            server.request_handler = polled.before(server.request_handler)
        return Server(server, self._clock, self._options)
