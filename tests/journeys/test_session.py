"""A session between strangers over HTTP: a publisher that dies and comes back, a viewer, and the bill."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from luxxon_testcard.counter import read_counter

from luxxon_core.client.wallet import ChainClient
from luxxon_core.client.whep import WhepViewer
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party, balances, fund, party
from luxxon_core.kernel.clock import milliseconds
from luxxon_core.kernel.errors import (
    FrameNotAvailable,
    InsufficientCredit,
    InvalidState,
    NoCoverage,
    NotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.server import Server, running
from luxxon_core.settings import load
from luxxon_core.settlement.schemas import Receipt

T = TypeVar("T")
PLACE = Point(50.8466, 4.3528)
OPERATOR = """
import asyncio, sys
from luxxon_core.client import Luxxon
from luxxon_core.operator.agent import Location, OperatorAgent
from luxxon_core.plugins import load_plugins
async def main(url, workspace, lat, lng):
    key = sys.stdin.readline().strip()
    source_type, config = load_plugins().configure("testcard", {"width": 320, "height": 180})
    async with Luxxon(url, api_key=key) as api, await source_type.open(config) as source:
        location = Location(float(lat), float(lng))
        await OperatorAgent(api, source, workspace, location).run()
asyncio.run(main(*sys.argv[1:]))
"""


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = 20) -> T:
    async with asyncio.timeout(seconds):
        while (found := await look()) is None:
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(load(data_dir=tmp_path / "data", durable=False, port=0)) as opened:
        yield opened


class Operator:
    """The agent in a process of its own, that can be killed."""

    def __init__(self, url: str, supplier: Party) -> None:
        self._url, self._supplier = url, supplier
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        place = (str(PLACE.lat), str(PLACE.lng))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPERATOR, self._url, self._supplier.workspace_id, *place),
            stdin=asyncio.subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._supplier.api_key.encode())
        self._process.stdin.write_eof()

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def people(server: Server) -> AsyncIterator[tuple[Party, Party, ChainClient]]:
    async with (
        party(server.api_url, "viewer", "CONSUMER", CONSUMER_SCOPES) as consumer,
        party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES) as supplier,
        ChainClient(server.deployment.config) as chain,
    ):
        yield consumer, supplier, chain


async def test_seconds_without_a_picture_are_not_charged(server: Server) -> None:
    async with people(server) as (consumer, supplier, chain):
        request = {"lat": PLACE.lat, "lng": PLACE.lng, "max_duration_seconds": 120}
        with pytest.raises(InsufficientCredit):
            await consumer.api.sessions.create(**request)
        await fund(server, chain, consumer, 120)
        before = await balances(chain, consumer, supplier)
        session = await consumer.api.sessions.create(**request)
        with pytest.raises(NoCoverage):
            await consumer.api.sessions.dispatch(session.id)

        await supplier.api.workspaces.set_availability(
            supplier.workspace_id, "ONLINE", lat=PLACE.lat, lng=PLACE.lng, radius_meters=300
        )
        operator = Operator(server.api_url, supplier)
        await operator.start()
        viewer = WhepViewer()
        try:
            assert (await consumer.api.sessions.dispatch(session.id)).state == "ASSIGNED"
            live = await consumer.api.sessions.wait_for(session.id, "LIVE")
            assert live.state == "LIVE"
            assert (await consumer.api.sessions.frame(session.id))[:2] == b"\xff\xd8", "LIVE means a frame"

            await viewer.open((await consumer.api.sessions.viewer_token(session.id)).whep_url)
            counters = [read_counter(await asyncio.wait_for(viewer.frame(), 10)) for _ in range(10)]
            assert None not in counters
            assert counters == sorted(set(counters)), "the picture moves on"

            await operator.kill()

            async def window_opened() -> Receipt | None:
                receipt = await consumer.api.sessions.receipt(session.id)
                return receipt if receipt.windows else None

            opened = (await until(window_opened)).windows
            assert [(one.reason, one.closed_at) for one in opened] == [("NETWORK_ERROR", None)]
            await operator.start()

            async def window_closed() -> Receipt | None:
                receipt = await consumer.api.sessions.receipt(session.id)
                return receipt if receipt.windows[0].closed_at is not None else None

            await until(window_closed)
            frame = await asyncio.wait_for(viewer.frame(), 10)
            assert frame.width == 320, "the viewer sees the new publisher without a new connection"
            await asyncio.sleep(1.1)  # at least one more second to pay for
            ended = await consumer.api.sessions.end(session.id)
        finally:
            await viewer.close()
            await operator.kill()

        async def confirmed() -> Receipt | None:
            receipt = await consumer.api.sessions.receipt(session.id)
            return receipt if receipt.settlement.state == "CONFIRMED" else None

        bill = await until(confirmed)
        assert bill.started_at and bill.ended_at
        elapsed = milliseconds(bill.ended_at - bill.started_at)
        assert bill.lost_milliseconds >= 2000, "media is missed after two seconds, from its last packet on"
        assert bill.elapsed_milliseconds == elapsed
        assert ended.clean_seconds == bill.clean_seconds == (elapsed - bill.lost_milliseconds) // 1000 > 0
        charged = bill.clean_seconds * 1000
        after = await balances(chain, consumer, supplier)
        assert before.pool - after.pool == charged == int(bill.charged_micro_usdc)
        assert after.operator - before.operator == charged * 85 // 100
        with pytest.raises(FrameNotAvailable):
            await consumer.api.sessions.frame(session.id)
        with pytest.raises(InvalidState) as refused:
            await consumer.api.sessions.end(session.id)
        assert refused.value.detail == "session:end:ENDED"


async def test_a_cancelled_session_costs_nothing_and_frees_the_operator(server: Server) -> None:
    async with people(server) as (consumer, supplier, chain):
        await fund(server, chain, consumer, 60)
        await supplier.api.workspaces.set_availability(
            supplier.workspace_id, "ONLINE", lat=PLACE.lat, lng=PLACE.lng, radius_meters=300
        )
        session = await consumer.api.sessions.create(lat=PLACE.lat, lng=PLACE.lng, max_duration_seconds=60)
        await consumer.api.sessions.dispatch(session.id)
        started = await supplier.api.sessions.start(session.id)
        assert (await supplier.api.workspaces.get(supplier.workspace_id)).availability_state == "BUSY"

        cancelled = await consumer.api.sessions.cancel(session.id)
        assert (cancelled.state, cancelled.charged_micro_usdc) == ("CANCELLED", "0")
        assert (await supplier.api.workspaces.get(supplier.workspace_id)).availability_state == "ONLINE"
        assert (await consumer.api.settlements.get(session.id)).state == "NOT_READY"
        assert await chain.pool(consumer.wallet.address) == 60_000
        with pytest.raises(NotFound):
            await WhepViewer().open(started.whep_url)
