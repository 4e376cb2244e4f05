"""Supervised loops: each calls one use case, again and again, whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import structlog

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError

log = structlog.get_logger(__name__)

T = TypeVar("T")

BACK_OFF_SECONDS = (1.0, 30.0)
"""First and longest pause after a failure; it doubles in between."""


class Workers:
    """Owns the tasks. A failing loop is logged, paused and goes on; it never takes another one down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self.failures: Counter[str] = Counter()
        """By worker."""

    def every(self, name: str, seconds: float, work: Callable[[datetime], Awaitable[object]]) -> None:
        """Call ``work(now)``; pause ``seconds`` after a call that found nothing, none after one that did."""
        self._tasks.append(asyncio.create_task(self._every(name, seconds, work), name=name))

    def follow(
        self,
        name: str,
        source: Callable[[], AsyncIterator[T]],
        work: Callable[[T, datetime], Awaitable[None]],
    ) -> None:
        """Call ``work(item, now)`` for each item, in order; an item that fails is tried until it passes."""
        self._tasks.append(asyncio.create_task(self._follow(name, source, work), name=name))

    def once(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Call ``work()`` in the background, for instance to have ready what a request would wait for."""

        async def call() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - logged by _failed; there is nothing to try again
                await self._failed(name, error, 0)

        self._tasks.append(asyncio.create_task(call(), name=name))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _every(self, name: str, seconds: float, work: Callable[[datetime], Awaitable[object]]) -> None:
        pause = BACK_OFF_SECONDS[0]
        while True:
            try:
                found = await work(self._clock())
            except Exception as error:  # noqa: BLE001 - logged and tried again by _failed
                pause = await self._failed(name, error, pause)
                continue
            pause = BACK_OFF_SECONDS[0]
            await asyncio.sleep(0 if found else seconds)

    async def _follow(
        self,
        name: str,
        source: Callable[[], AsyncIterator[T]],
        work: Callable[[T, datetime], Awaitable[None]],
    ) -> None:
        async for item in source():
            pause = BACK_OFF_SECONDS[0]
            while True:
                try:
                    await work(item, self._clock())
                except Exception as error:  # noqa: BLE001 - logged and tried again by _failed
                    pause = await self._failed(name, error, pause)
                    continue
                break

    async def _failed(self, name: str, error: Exception, pause: float) -> float:
        self.failures[name] += 1
        if isinstance(error, LuxxonError):
            log.warning("worker failed", worker=name, code=error.code, again_in=pause)
        else:
            log.error("worker failed", worker=name, again_in=pause, exc_info=error)
        await asyncio.sleep(pause)
        return min(pause * 2, BACK_OFF_SECONDS[1])
