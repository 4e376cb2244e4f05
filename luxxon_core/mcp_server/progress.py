"""Tells a caller that asked for it how far a call is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Send = Callable[[float, float | None, str | None], Awaitable[None]]

TICK_SECONDS = 2.0
STUCK_SECONDS = 5.0
"""How long a caller that takes nothing may hold up a call which costs money."""


class Progress:
    """Values only rise, as the protocol wants it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = asyncio.get_running_loop().time()

    async def tell(self, done: float, total: float | None, message: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STUCK_SECONDS):
                await self._send(done, total, message)

    @asynccontextmanager
    async def ticking(self, total: float, message: str) -> AsyncIterator[None]:
        """Tell the seconds since the call began, of ``total``, while the block runs."""
        ticking = asyncio.create_task(self._tick(total, message), name="mcp-progress")
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self, total: float, message: str) -> None:
        loop = asyncio.get_running_loop()
        while (passed := loop.time() - self._begun) <= total:
            await self.tell(round(passed, 3), total, message)
            await asyncio.sleep(TICK_SECONDS)
