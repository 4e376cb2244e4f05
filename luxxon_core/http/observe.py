"""What is told of each request when it has been answered: its number, a log line, figures."""

from __future__ import annotations

import itertools
import logging
import os
import re
from time import monotonic

import structlog
from aiohttp import web

from luxxon_core.http.context import CURRENT, Exchange
from luxxon_core.http.metrics import RequestMetrics

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
EXCHANGE = web.RequestKey("exchange", Exchange)
QUIET = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose successes are logged at debug level: clients ask every second."""
UNMATCHED = "unmatched"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PROCESS = os.urandom(8).hex()
_numbers = itertools.count(1)


def new_request_id() -> str:
    """Unique among processes; no secret."""
    return f"{_PROCESS}-{next(_numbers):x}"


class Observer:
    """Opens and closes the record of each request."""

    def __init__(self, metrics: RequestMetrics) -> None:
        self._metrics = metrics
        # bound now: a logger that looks its configuration up costs 4 µs each time it says nothing
        self._log = log.bind() if structlog.is_configured() else None
        enabled = getattr(self._log, "is_enabled_for", None)
        self._quiet = enabled is not None and not enabled(logging.DEBUG)

    def begin(self, request: web.Request) -> Exchange:
        """Number the request, or take the number that it comes with, for its log lines and its answer."""
        given = request.headers.get(REQUEST_ID_HEADER)
        request_id = given if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()
        exchange = request[EXCHANGE] = Exchange(request_id)
        CURRENT.set(exchange)
        self._metrics.in_flight += 1
        return exchange

    def end(self, request: web.Request, exchange: Exchange, status: int) -> None:
        """Count and log; ``status`` 0 where nobody was left to be answered."""
        self._metrics.in_flight -= 1
        seconds = monotonic() - exchange.started
        method, code, route = request.method, exchange.code, exchange.route or pattern(request)
        self._metrics.add(method, route, status, code, None if exchange.streamed else seconds)
        if self._log is None or (self._quiet and status < 500 and method in QUIET):
            return
        quietly = self._log.debug if method in QUIET else self._log.info
        tell = self._log.warning if status >= 500 else quietly
        tell("request", method=method, route=route, status=status, code=code, ms=round(seconds * 1000, 2))


def pattern(request: web.Request) -> str:
    """The route's pattern, never the path itself: paths of the media edge are secrets."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNMATCHED
