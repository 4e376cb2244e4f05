"""What goes wrong at an operator's, with a real server and edge: what is lost is not charged, and no more."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from killable_server import server as killable
from operating import BRUSSELS, PARIS, Desk, consumer_of, outside, server, until, watched, window

from luxxon_core.client import Luxxon
from luxxon_core.client.whep import WhepViewer
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.geo import Point
from luxxon_core.operator import camera as cameras
from luxxon_core.operator.camera import Camera, CameraState
from luxxon_core.operator.config import operate_table
from luxxon_core.operator.fleet import Fleet
from luxxon_core.server import Server
from luxxon_core.source import SourceNotReady
from luxxon_core.testing import FakeSource, FakeSourceType
from luxxon_core.testing.fake import FakeConfig

__all__ = ["outside", "server"]
DEAD_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "6"))
CABLE = SourceNotReady("fake:lost", "the cable is out")


@dataclass
class Rig:
    """A consumer, and cameras of type fake in one fleet."""

    server: Server
    consumer: Party
    cameras: list[Camera] = field(default_factory=list)
    types: list[FakeSourceType] = field(default_factory=list)

    async def add(self, stack: AsyncExitStack, at: Point, password: str = "") -> Camera:
        supplier = await stack.enter_async_context(
            party(self.server.api_url, "cam", "SUPPLIER", SUPPLIER_SCOPES)
        )
        kind = FakeSourceType(password=password)
        made = Camera(
            name=f"camera-{len(self.cameras)}",
            source_type=kind,
            config=FakeConfig(),
            table=operate_table("x", {"lat": at.lat, "lng": at.lng}),
            connect=lambda: Luxxon(self.server.api_url, api_key=supplier.api_key),
            wallet=supplier.wallet,
            heartbeat_seconds=1.0,
        )
        self.types.append(kind)
        self.cameras.append(made)
        return made

    @property
    def source(self) -> FakeSource:
        return self.types[0].opened[-1]


@asynccontextmanager
async def rig(server: Server, *passwords: str) -> AsyncIterator[Rig]:
    """A fleet with a camera for each password, the first in Brussels, the second in Paris."""
    async with AsyncExitStack() as stack:
        made = Rig(server, await stack.enter_async_context(consumer_of(server)))
        for place, password in zip((BRUSSELS, PARIS), passwords, strict=False):
            await made.add(stack, place, password)
        stop = asyncio.Event()
        task = asyncio.create_task(Fleet(made.cameras).run(stop))
        try:
            await asyncio.wait_for(made.cameras[0].settled.wait(), 20)
            yield made
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)


async def lost_between(made: Rig, session_id: str, begin: datetime, end: datetime) -> None:
    """One window, from ``begin`` to ``end`` within a second, and nothing charged for it."""
    api = made.consumer.api
    receipt = await api.sessions.receipt(session_id)
    [lost] = receipt.windows
    assert lost.reason == "NETWORK_ERROR"
    assert lost.closed_at is not None
    assert abs((lost.opened_at - begin).total_seconds()) < 1
    assert abs((lost.closed_at - end).total_seconds()) < 1
    await asyncio.sleep(1.5)
    ended = await api.sessions.end(session_id)
    bill = await api.sessions.receipt(session_id)
    assert ended.state == "ENDED"
    assert ended.clean_seconds == (bill.elapsed_milliseconds - bill.lost_milliseconds) // 1000 > 0


@pytest.mark.parametrize("patience", [60.0, 1.0], ids=["waited for", "opened anew"])
async def test_a_camera_that_is_dead_for_a_while_costs_the_time_it_was_dead(
    server: Server, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(cameras, "SOURCE_PATIENCE", patience)
    async with rig(server, "") as made:
        session_id = await watched(made.consumer, BRUSSELS)
        await asyncio.sleep(1.5)
        kind, begin = made.types[0], utc_now()
        kind.open_error = made.source.frame_error = CABLE
        await window(made.consumer, session_id, closed=False)
        await asyncio.sleep(DEAD_SECONDS - (utc_now() - begin).total_seconds())
        kind.open_error = made.source.frame_error = None
        end = utc_now()
        await window(made.consumer, session_id, closed=True)
        assert (len(kind.opened) > 1) == (patience == 1.0)
        await lost_between(made, session_id, begin, end)
        beats = made.cameras[0].agent
        assert beats is not None and beats.status.beacons > 0


async def test_a_camera_with_a_wrong_password_is_not_sold_and_disturbs_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "SLOW", (0.3, 0.3))
    async with rig(server, "", "hunter2") as made:
        good, bad = made.cameras
        await asyncio.wait_for(bad.settled.wait(), 10)
        assert (bad.state, good.state) == (CameraState.FAILED, CameraState.OFFERED)
        assert "credentials" in (bad.reason or "")
        [covered] = await made.consumer.api.coverage.list()
        assert covered.lat == BRUSSELS.lat
        session_id = await watched(made.consumer, BRUSSELS)
        made.types[1].password = ""

        async def offered() -> bool:
            return bad.state is CameraState.OFFERED

        await until(offered)
        assert (await made.consumer.api.sessions.receipt(session_id)).windows == []
        assert len(await made.consumer.api.coverage.list()) == 1, "the busy one is not on offer"


async def test_a_password_that_changes_in_the_middle_stops_the_meter(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "SOURCE_PATIENCE", 0.5)
    monkeypatch.setattr(cameras, "SLOW", (0.3, 0.3))
    async with rig(server, "") as made:
        session_id = await watched(made.consumer, BRUSSELS)
        await asyncio.sleep(1.5)
        begin, made.types[0].password, made.source.frame_error = utc_now(), "changed", CABLE
        await window(made.consumer, session_id, closed=False)
        await asyncio.sleep(DEAD_SECONDS - (utc_now() - begin).total_seconds())
        assert made.cameras[0].state is CameraState.FAILED
        ended = await made.consumer.api.sessions.end(session_id)
        assert ended.clean_seconds <= 3


async def test_a_stream_that_changes_its_size_goes_on(server: Server) -> None:
    async with rig(server, "") as made:
        session_id = await watched(made.consumer, BRUSSELS)
        viewer = WhepViewer()
        try:
            await viewer.open((await made.consumer.api.sessions.viewer_token(session_id)).whep_url)
            assert (await asyncio.wait_for(viewer.frame(), 10)).width == 320
            made.source.resize(640, 360)
            async with asyncio.timeout(10):
                while (frame := await viewer.frame()).width != 640:
                    pass
            assert frame.height == 360
        finally:
            await viewer.close()
        assert (await made.consumer.api.sessions.receipt(session_id)).windows == []


async def test_the_server_dies_and_comes_back_in_the_middle(outside: Path) -> None:
    """Its edge dies with it: what is lost is the time without it, and the session goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    desk = Desk(outside, f"http://127.0.0.1:{port}")
    arguments = ("testcard", "--lat", "50.8466", "--lng", "4.3528", "--field", "width=320", "--field")
    try:
        async with killable(outside / "data", port, "new") as first:
            told = first.told
            operator = await desk.start(*arguments, "height=180", "--json", LUXXON_API_KEY=told["supplier"])
            await operator.logs("agent.online")
            async with Luxxon(told["url"], api_key=told["consumer"]) as consumer:
                session = await consumer.sessions.create(
                    lat=BRUSSELS.lat, lng=BRUSSELS.lng, max_duration_seconds=300
                )
                await consumer.sessions.dispatch(session.id)
                live = await consumer.sessions.wait_for(session.id, "LIVE")
                assert live.state == "LIVE"
                await asyncio.sleep(1.5)
            await first.kill()
        killed_at = utc_now()
        async with killable(outside / "data", port) as second:
            up_at = utc_now()
            async with Luxxon(second.told["url"], api_key=told["consumer"]) as consumer:

                async def closed() -> Any:
                    windows = (await consumer.sessions.receipt(session.id)).windows
                    return windows if windows and windows[-1].closed_at else None

                [lost] = await until(closed, 20)
                assert lost.reason == "NETWORK_ERROR"
                assert abs((lost.opened_at - killed_at).total_seconds()) < 2, "it was noted once a second"
                assert (lost.closed_at - up_at).total_seconds() < 1
                await asyncio.sleep(1.2)
                ended = await consumer.sessions.end(session.id)
                bill = await consumer.sessions.receipt(session.id)
                assert ended.clean_seconds == (bill.elapsed_milliseconds - bill.lost_milliseconds) // 1000
                assert operator.process.returncode is None
                operator.process.send_signal(signal.SIGTERM)
                assert await operator.ends() == 0
    finally:
        await desk.end()
