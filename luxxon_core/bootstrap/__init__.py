"""Settings → adapters → use cases → application: the only place that knows the adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from luxxon_core.bootstrap.cases import Cases, wired
from luxxon_core.bootstrap.couriers import couriers_of
from luxxon_core.bootstrap.parts import Parts, started
from luxxon_core.bootstrap.web import application, config_of, idempotency_of
from luxxon_core.bootstrap.work import WEBHOOK_SECONDS, begin
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.settings import Settings
from luxxon_core.workers import Workers

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Cases", "Deployment", "Parts", "deployed"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A marketplace that is ready to be bound to a socket."""

    parts: Parts
    cases: Cases
    config: Config
    app: web.Application = field(repr=False)


@asynccontextmanager
async def deployed(settings: Settings, public_url: str, clock: Clock) -> AsyncIterator[Deployment]:
    """Start every part, wire it, and run the workers; everything ends in reverse order.

    Raises:
        StartError: a part cannot start as the settings say.
    """
    async with AsyncExitStack() as stack:
        parts = await started(stack, settings, public_url, clock)
        cases = wired(parts, settings, public_url, clock)
        config = config_of(settings, parts)
        await cases.sessions.restore(clock())
        await parts.media.open()
        stack.push_async_callback(_hand_over, cases, clock)
        couriers = couriers_of(settings, parts)
        stack.push_async_callback(couriers.close)
        workers = Workers(clock)
        stack.push_async_callback(workers.close)
        idempotency = idempotency_of(settings, parts, clock)
        begin(workers, settings, parts, cases, idempotency)
        workers.every("webhook process", WEBHOOK_SECONDS, couriers.turn)
        app = application(settings, parts, cases, config, clock, public_url, idempotency, workers, couriers)
        yield Deployment(parts, cases, config, app)


async def _hand_over(cases: Cases, clock: Clock) -> None:
    """Leave our streams to the other servers; one that cannot be told sees by itself that we are gone."""
    try:
        await cases.sessions.retire(clock())
    except LuxxonError as error:
        log.warning("streams not handed over", code=error.code)
