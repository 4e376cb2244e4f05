"""``/metrics`` in Prometheus' text format: requests, the event loop, and what other parts tell at a scrape.

Nothing here is for the public: on the API's own port only this machine is answered, and only where nothing
stands in front of the server; see :func:`for_this_machine`.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Literal

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "OTHER"
"""Any method that is none of ours: a client's invention must not become a time series."""
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_SECONDS = 0.25
FRESH_SECONDS = 2.0
"""Figures younger than this are told again, so that scraping often costs nothing."""
SOURCE_SECONDS = 2.0
"""A source that takes longer is left out of the scrape."""
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "X-Forwarded-Proto")


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as a part of the server tells it; each sample is its labels and its value."""

    name: str
    documentation: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    kind: Literal["gauge", "counter"] = "gauge"

    def family(self) -> Metric:
        labels = list(self.samples[0][0]) if self.samples else []
        made = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = made(self.name, self.documentation, labels=labels)
        for values, value in self.samples:
            family.add_metric([values[label] for label in labels], value)
        return family


Source = Callable[[], Awaitable[Sequence[Figure]]]
"""Asked at a scrape."""


class _Durations:
    """Counts by upper bound, and the sum. Observed on every request: prometheus_client's own costs three
    times as much, for locks that one event loop has no use for."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add(self, other: _Durations) -> None:
        self._counts = [mine + more for mine, more in zip(self._counts, other._counts, strict=True)]
        self._sum += other._sum

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets=buckets, sum_value=self._sum)


class _Answers:
    __slots__ = ("count", "durations")

    def __init__(self) -> None:
        self.count = 0
        self.durations = _Durations(DURATIONS)


class RequestMetrics:
    """Durations by route, method and status; answers by route, method and code.

    Args:
        outcomes: name and route of operations whose answers get a counter of their own.
    """

    def __init__(self, outcomes: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.in_flight = 0
        self._outcomes = outcomes or {}
        self._answers: dict[tuple[str, str, int, str], _Answers] = {}

    def add(self, method: str, route: str, status: int, code: str, seconds: float | None) -> None:
        """Count an answer; ``seconds`` is None for an event stream."""
        if method not in METHODS:
            method = OTHER
        place = (method, route, status, code)
        answers = self._answers.get(place)
        if answers is None:
            answers = self._answers[place] = _Answers()
        answers.count += 1
        if seconds is not None:
            answers.durations.observe(seconds)

    def histogram(self) -> Metric:
        family = HistogramMetricFamily(
            "luxxon_http_request_duration_seconds",
            "From a request's head to its answer; event streams are not in it",
            labels=["method", "route", "status"],
        )
        found: dict[tuple[str, str, int], _Durations] = {}
        for (method, route, status, _), answers in self._answers.items():
            found.setdefault((method, route, status), _Durations(DURATIONS)).add(answers.durations)
        for (method, route, status), durations in found.items():
            durations.add_to(family, [method, route, str(status)])
        return family

    def figures(self) -> list[Figure]:
        answers = [
            ({"method": method, "route": route, "status": str(status), "code": code}, float(one.count))
            for (method, route, status, code), one in self._answers.items()
        ]
        found = [
            Figure(
                "luxxon_http_requests_in_flight",
                "Requests being answered, event streams among them",
                [({}, float(self.in_flight))],
            ),
            Figure("luxxon_http_answers", "Answers by error code, OK for a success", answers, "counter"),
        ]
        for name, place in self._outcomes.items():
            samples = [
                ({"outcome": code}, float(one.count))
                for (method, route, _, code), one in self._answers.items()
                if (method, route) == place
            ]
            documentation = f"Answers of {' '.join(place)} by error code, OK for a success"
            found.append(Figure(name, documentation, samples, "counter"))
        return found


class LoopLag:
    """How late the event loop wakes a sleeper: what a request waits before its first line of code runs."""

    def __init__(self) -> None:
        self._lags = _Durations(LAGS)

    def histogram(self) -> Metric:
        family = HistogramMetricFamily("luxxon_event_loop_lag_seconds", "How late sleepers wake")
        self._lags.add_to(family, [])
        return family

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lags.observe(max(0.0, loop.time() - due))


class Exporter(Collector):
    """All figures of a process.

    Args:
        sources: of the figures that are not counted here; one that fails is left out of the scrape.
    """

    def __init__(self, requests: RequestMetrics, sources: Sequence[Source] = ()) -> None:
        self._requests = requests
        self._lag = LoopLag()
        self._sources = sources
        self._figures: Sequence[Figure] = ()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    @contextlib.asynccontextmanager
    async def measuring(self) -> AsyncIterator[None]:
        """Measure the event loop while the block runs."""
        watching = asyncio.create_task(self._lag.watch(), name="event loop lag")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def render(self) -> bytes:
        """The text of a scrape."""
        async with self._asking:
            if monotonic() - self._asked_at >= FRESH_SECONDS:
                self._figures = await self._ask()
                self._asked_at = monotonic()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield self._requests.histogram()
        yield self._lag.histogram()
        for figure in (*self._requests.figures(), *self._figures):
            yield figure.family()

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(body=await self.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ask(self) -> list[Figure]:
        found: list[Figure] = []
        for told in await asyncio.gather(*(self._told_by(source) for source in self._sources)):
            found.extend(told)
        return found

    async def _told_by(self, source: Source) -> Sequence[Figure]:
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await source()
        except Exception as error:  # noqa: BLE001 - a scrape shows what can be known
            log.warning("figures left out of a scrape", source=_name(source), error=type(error).__name__)
            return []


def for_this_machine(request: web.Request) -> bool:
    """Whether a process of this machine asks, and no proxy on it for somebody else.

    A proxy that tells nothing of itself cannot be seen here: where one stands in front of the server, give
    the figures a port of their own.
    """
    if any(name in request.headers for name in FORWARDED) or request.remote is None:
        return False
    try:
        return ip_address(request.remote).is_loopback
    except ValueError:
        return False


def _name(source: Source) -> str:
    return getattr(source, "__qualname__", type(source).__name__)
