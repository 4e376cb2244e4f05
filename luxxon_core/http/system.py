"""The endpoints about the deployment itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.schemas import Config, Health, Ready
from luxxon_core.kernel.errors import NotReady

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""What was found less than this ago is told again: asking is public and must not cost much."""

Check = Callable[[], Awaitable[object]]
"""Raises when the part does not work."""


class Readiness:
    """Whether requests should be sent here."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._draining = False
        self._asking = asyncio.Lock()
        self._found: dict[str, bool] = {}
        self._asked_at = float("-inf")

    def drain(self) -> None:
        """From now on not ready: the server is about to end."""
        self._draining = True

    async def ready(self) -> Ready:
        """What works.

        Raises:
            NotReady: ``ready:draining``, or ``ready:`` and the parts that do not work.
        """
        if self._draining:
            raise NotReady("ready:draining")
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() - self._asked_at >= FRESH_SECONDS:
                passed = await asyncio.gather(*(self._passes(name) for name in self._checks))
                self._found = dict(zip(self._checks, passed, strict=True))
                self._asked_at = loop.time()
        missing = [name for name, passed in self._found.items() if not passed]
        if missing:
            raise NotReady(f"ready:{':'.join(missing)}")
        return Ready(ready=True, checks=dict(self._found))

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work
            log.warning("not ready", part=name, error=type(error).__name__)
            return False
        return True


def operations(config: Config, health: Health, readiness: Readiness) -> list[Operation]:
    async def get_health(_: Call[None]) -> Health:
        return health

    async def get_ready(_: Call[None]) -> Ready:
        return await readiness.ready()

    async def get_config(_: Call[None]) -> Config:
        return config

    return [
        Operation(
            method="GET",
            path="/health",
            handler=get_health,
            access=Access.PUBLIC,
            out=Health,
            tag="Health",
            summary="Whether the server answers",
        ),
        Operation(
            method="GET",
            path="/ready",
            handler=get_ready,
            access=Access.PUBLIC,
            out=Ready,
            tag="Health",
            summary="Whether every part of the server works and requests should be sent here",
            errors=(NotReady("ready:draining"), NotReady("ready:database")),
        ),
        Operation(
            method="GET",
            path="/config",
            handler=get_config,
            access=Access.PUBLIC,
            out=Config,
            tag="Config",
            summary="Chain, contracts and environment of this deployment",
        ),
    ]
