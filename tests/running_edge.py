"""A media edge on loopback, and waiting for things to become true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from loopback import served

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.media.domain import LiveInput


@dataclass
class RunningEdge:
    edge: AiortcEdge

    async def create(self) -> LiveInput:
        return await self.edge.create()

    async def delete(self, live_input: LiveInput) -> None:
        await self.edge.delete(live_input)

    @property
    def publishers(self) -> int:
        return self.edge.stats().publishers

    @property
    def viewers(self) -> int:
        return self.edge.stats().viewers

    def disconnect(self, live_input: LiveInput) -> None:
        """Throw everybody out of a live input that goes on existing."""
        channel = self.edge.channel("whip", live_input.whip_url.rsplit("/", 1)[1])
        assert channel is not None
        for peer in list(channel.sessions.values()):
            peer.close()


@asynccontextmanager
async def running_edge() -> AsyncIterator[RunningEdge]:
    app = web.Application()
    base = ""
    async with AiortcEdge(public_url=lambda: base) as running:
        app.add_routes(running.routes())
        async with served(app) as base:
            yield RunningEdge(running)


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with running_edge() as running:
        yield running


Until = Callable[..., object]


@pytest.fixture
def until() -> Until:
    async def wait(true: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.02)

    return wait
