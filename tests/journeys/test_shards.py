"""A server with two media processes: sessions spread over them, and one that is killed in mid-session."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
from filming import assigned, at, cast, moment, picture, windows
from luxxon_testcard.counter import read_counter
from production import Cameras, production
from test_session import PLACE, Operator, until

from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge
from luxxon_core.client.wallet import ChainClient
from luxxon_core.client.whep import WhepViewer
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party, fund, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import FrameNotAvailable
from luxxon_core.server import Server, running
from luxxon_core.settings import Settings, load
from luxxon_core.settlement.schemas import Receipt, Window

JPEG = b"\xff\xd8"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def two_processes(data_dir: Path, port: int = 0) -> Settings:
    return load(data_dir=data_dir, durable=False, port=port, media_processes=2)


@dataclass
class Filmed:
    """A LIVE session."""

    consumer: Party
    session_id: str
    whip_url: str
    whep_url: str

    @property
    def address(self) -> str:
        assert urlsplit(self.whep_url).netloc == urlsplit(self.whip_url).netloc
        return urlsplit(self.whep_url).netloc

    async def windows(self) -> list[Window]:
        return (await self.consumer.api.sessions.receipt(self.session_id)).windows

    async def lost_and_back(self) -> Window | None:
        windows = await self.windows()
        return windows[0] if windows and windows[0].closed_at is not None else None

    async def picture(self) -> bytes | None:
        try:
            return await self.consumer.api.sessions.frame(self.session_id)
        except FrameNotAvailable:
            return None

    async def watched(self) -> None:
        """Its WHEP URL gives a picture that moves on."""
        viewer = WhepViewer()
        try:
            await viewer.open(self.whep_url)
            counters = [read_counter(await asyncio.wait_for(viewer.frame(), 10)) for _ in range(10)]
            assert counters[-1] > counters[0]
        finally:
            await viewer.close()

    async def charged(self, more_than: int) -> int | None:
        clean = (await self.consumer.api.sessions.receipt(self.session_id)).clean_seconds
        return clean if clean > more_than else None

    async def paid(self) -> Receipt | None:
        receipt = await self.consumer.api.sessions.receipt(self.session_id)
        return receipt if receipt.settlement.state == "CONFIRMED" else None


@asynccontextmanager
async def filming(server: Server) -> AsyncIterator[tuple[Filmed, Filmed]]:
    """Two LIVE sessions, each with its operator in a process of its own."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        consumer = await enter(party(server.api_url, "viewer", "CONSUMER", CONSUMER_SCOPES))
        chain = await enter(ChainClient(server.deployment.config))
        await fund(server, chain, consumer, 400)
        sessions = []
        for _ in range(2):
            supplier = await enter(party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES))
            await supplier.api.workspaces.set_availability(
                supplier.workspace_id, "ONLINE", lat=PLACE.lat, lng=PLACE.lng, radius_meters=300
            )
            request = {"lat": PLACE.lat, "lng": PLACE.lng, "max_duration_seconds": 150}
            session = await consumer.api.sessions.create(**request)
            assert (await consumer.api.sessions.dispatch(session.id)).state == "ASSIGNED"
            begun = await supplier.api.sessions.start(session.id)
            operator = Operator(server.api_url, supplier)
            stack.push_async_callback(operator.kill)
            await operator.start()
            whep_url = (await consumer.api.sessions.viewer_token(session.id)).whep_url
            sessions.append(Filmed(consumer, session.id, begun.whip_url, whep_url))
        for one in sessions:
            assert (await consumer.api.sessions.wait_for(one.session_id, "LIVE")).state == "LIVE"
        yield sessions[0], sessions[1]


def shard_of(server: Server, session: Filmed) -> ShardEdge:
    secret = session.whip_url.rsplit("/", 1)[1]
    (found,) = [one for one in server.deployment.parts.media.shards if one.endpoint("whip", secret)]
    return found


async def test_a_session_outlives_its_media_process(tmp_path: Path) -> None:
    async with running(two_processes(tmp_path / "data")) as server, filming(server) as (one, other):
        assert len({one.address, other.address, urlsplit(server.url).netloc}) == 3, "spread"
        shard, untouched = shard_of(server, one), shard_of(server, other)
        assert len({shard.pid, untouched.pid, os.getpid(), None}) == 4
        for session in (one, other):
            assert (await until(session.picture))[:2] == JPEG
            await session.watched()
        await until(lambda: one.charged(0))

        killed_at = utc_now()
        assert shard.pid is not None
        os.kill(shard.pid, signal.SIGKILL)
        gap = await until(one.lost_and_back)
        assert gap.reason == "NETWORK_ERROR"
        assert abs(gap.opened_at - killed_at) < timedelta(seconds=0.5)
        assert gap.closed_at is not None
        assert gap.closed_at - gap.opened_at < timedelta(seconds=15)
        assert (await until(one.picture))[:2] == JPEG
        await one.watched()
        clean = (await one.consumer.api.sessions.receipt(one.session_id)).clean_seconds
        await until(lambda: one.charged(clean))

        assert await other.windows() == []
        for session in (one, other):
            await session.consumer.api.sessions.end(session.session_id)
        bills = [await until(session.paid) for session in (one, other)]
        lost = (gap.closed_at - gap.opened_at) // timedelta(milliseconds=1)
        assert [bill.lost_milliseconds for bill in bills] == [lost, 0]
        assert await one.picture() is None
        async with aiohttp.ClientSession() as http, http.post(one.whip_url) as answer:
            assert answer.status == 404


async def test_sessions_go_on_at_the_same_urls_after_a_restart_of_the_server(tmp_path: Path) -> None:
    settings = two_processes(tmp_path / "data", free_port())
    async with AsyncExitStack() as people:
        async with running(settings) as server:
            sessions = await people.enter_async_context(filming(server))
            pids = [shard.pid for shard in server.deployment.parts.media.shards]
        for pid in pids:
            assert pid is not None
            assert not psutil.pid_exists(pid), "they end with the server"
        async with running(settings):
            for session in sessions:
                gap = await until(session.lost_and_back)
                assert gap.reason == "NETWORK_ERROR"
                whep_url = (await session.consumer.api.sessions.viewer_token(session.session_id)).whep_url
                assert whep_url == session.whep_url
                await session.watched()
            await people.aclose()


async def test_another_server_carries_on_what_the_processes_of_a_dead_one_served(
    postgis_dsn: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        market, cameras = await enter(production(postgis_dsn, tmp_path)), await enter(Cameras.running())
        a, b = market.server("a", LUXXON_MEDIA_PROCESSES="2"), market.server("b")
        await enter(market.servers(a, b))
        (consumer,), (supplier,) = await enter(cast(market, (a, b), 1, 1))
        on_a, on_b = await enter(at(a, consumer)), await enter(at(b, consumer))
        session_id = await assigned(on_a, supplier, PLACE)
        begun = await (await enter(at(a, supplier))).sessions.start(session_id)
        pids = [line["pid"] for line in a.log if line["event"] == "shard.started"]
        assert len(pids) == 2
        assert urlsplit(begun.whip_url).netloc not in {urlsplit(one.url).netloc for one in (a, b)}
        cameras.operate(b.api_url, supplier, PLACE)
        assert (await on_b.sessions.wait_for(session_id, "LIVE")).state == "LIVE"
        for api in (on_a, on_b):
            seen = await until(partial(picture, api, session_id))
            assert seen[:2] == JPEG, "also from another server's process"
        await asyncio.sleep(2)
        receipt = await on_b.sessions.receipt(session_id)
        assert not receipt.windows, "a process that lives is not taken for gone"

        killed_at = utc_now()
        await a.kill()
        (lost,) = await until(partial(windows, on_b, session_id, open_=True), 15)
        assert lost.reason == "NETWORK_ERROR"
        assert abs(moment(lost.opened_at) - killed_at) < timedelta(seconds=2)
        assert not [pid for pid in pids if psutil.pid_exists(pid)], "its processes end with it"
        await until(partial(windows, on_b, session_id, open_=False), 40)
        assert (await on_b.sessions.viewer_token(session_id)).whep_url.startswith(b.url)
        assert (await until(partial(picture, on_b, session_id)))[:2] == JPEG
