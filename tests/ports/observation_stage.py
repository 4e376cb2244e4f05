"""The use cases of observations on a database, with a clock and an edge's picture to set."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, MemoryEdge, at
from PIL import Image

from luxxon_core.adapters.light import PillowLightmeter
from luxxon_core.adapters.postgres.events import PgEventLine, PgEventLog
from luxxon_core.adapters.postgres.observations import PgObservations
from luxxon_core.events.usecases import Feed
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import Frame, LiveInput
from luxxon_core.observations.domain import Asked, Observation
from luxxon_core.observations.usecases import Observations, Policy
from luxxon_core.sessions.domain import Session

UNIT_S = 10
PRICE = RATE * UNIT_S
ASKED = Asked(GRAND_PLACE, 30, PRICE)
POLICY = Policy(UNIT_S, timedelta(days=7), 1 << 20, 1 << 30, timedelta(days=30))


def picture(captured_at: datetime, width: int = 640, noise: bool = False, luma: int = 100) -> Frame:
    shape = (width // 2, width, 3)
    rows = np.random.default_rng(1).integers(0, 255, shape) if noise else np.full(shape, luma)
    out = io.BytesIO()
    Image.fromarray(rows.astype(np.uint8)).save(out, "JPEG")
    return Frame(out.getvalue(), width, width // 2, captured_at)


class Stage:
    def __init__(self, marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marketplace, self.now = marketplace, NOON
        self.shown: Frame | None = None
        self.store = PgObservations()
        self.cases = self.server()

        async def frame(_: object) -> Frame | None:
            return self.shown

        monkeypatch.setattr(marketplace.edge, "frame", frame)

    def server(self, feed: Feed | None = None, **changed: object) -> Observations:
        """One more server on the same database; without a feed one that hears nothing of the others."""
        market = self.marketplace
        return Observations(
            PgObservations(),
            PillowLightmeter(),
            market.sessions,
            market.dispatch,
            feed or Feed(PgEventLine(""), market.database, PgEventLog(), utc_now),
            self.clock,
            replace(POLICY, **changed),  # type: ignore[arg-type]
        )

    def clock(self) -> datetime:
        return self.now

    async def turn(self, seconds: float, cases: Observations | None = None) -> None:
        """What is due then is taken a step further."""
        self.now = at(seconds)
        async with asyncio.TaskGroup() as group:
            await (cases or self.cases).begin(group, self.now)

    async def live(self, consumer: UUID, supplier: UUID) -> Observation:
        """One whose session went LIVE at noon and a second."""
        made = await self.cases.create(consumer, ASKED, NOON)
        await self.turn(0.1)
        started = await self.marketplace.sessions.start(made.id, supplier, at(0.5))
        await self.marketplace.first_frame(started, at(1))
        return made

    async def session(self, observation: Observation) -> Session:
        found = await self.marketplace.sessions.current.get(observation.id)
        assert found is not None
        return found


class Running(Stage):
    """Its time goes on from the moment at which observations are worked on."""

    _begun_at: float | None = None

    def clock(self) -> datetime:
        if self._begun_at is None:
            return self.now
        return self.now + timedelta(seconds=time.monotonic() - self._begun_at)

    @asynccontextmanager
    async def working(self, seconds: float) -> AsyncIterator[None]:
        self.now, self._begun_at = at(seconds), time.monotonic()
        task = asyncio.create_task(self.cases.run(utc_now()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))


class TwoEdges(MemoryEdge):
    """``memory`` shows a picture at once, and ``slow`` keeps whoever asks until it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Frame | None = None
        self.minting = "memory"
        self.answer = asyncio.Event()
        self.asked = self.most = 0

    @property
    def names(self) -> frozenset[str]:
        return frozenset({"memory", "slow"})

    async def create(self) -> LiveInput:
        uid = secrets.token_hex(16)
        url = f"https://edge.test/{uid}"
        made = self.served[uid] = LiveInput(uid, self.minting, url, url)
        return made

    async def frame(self, live_input: LiveInput) -> Frame | None:
        if live_input.edge == "slow":
            self.asked += 1
            self.most = max(self.most, self.asked)
            try:
                await self.answer.wait()
            finally:
                self.asked -= 1
        return self.shown


async def live(stage: Running, edges: TwoEdges, edge: str, count: int, wait_s: int = 600) -> list[UUID]:
    """So many observations of one consumer whose sessions are LIVE at an edge."""
    asked = replace(ASKED, max_wait_s=wait_s)
    edges.minting, market, made = edge, stage.marketplace, []
    consumer = await market.consumer()
    for _ in range(count):
        supplier = await market.supplier()
        one = await stage.cases.create(consumer, asked, NOON)
        await market.sessions.accept(one.id, supplier, at(0.1))
        await market.first_frame(await market.sessions.start(one.id, supplier, at(0.5)), at(1))
        made.append(one.id)
    return made
