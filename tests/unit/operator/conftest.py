"""A media edge on loopback, waiting for things to become true, and an agent with its marketplace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agent_market import BRUSSELS, ME, Marketplace, Run

from luxxon_core.operator.agent import OperatorAgent
from luxxon_core.testing import FakeSource
from tests.running_edge import edge, until

__all__ = ["edge", "until"]


@pytest.fixture
def market() -> Marketplace:
    return Marketplace()


@pytest.fixture
async def camera() -> AsyncIterator[FakeSource]:
    async with FakeSource() as source:
        yield source


@pytest.fixture
async def run(market: Marketplace, camera: FakeSource) -> AsyncIterator[Run]:
    tasks: list[asyncio.Task[None]] = []

    async def start(**options: Any) -> OperatorAgent:
        agent = OperatorAgent(market, camera, ME, BRUSSELS, heartbeat_seconds=0.05, **options)
        tasks.append(asyncio.create_task(agent.run()))
        return agent

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
