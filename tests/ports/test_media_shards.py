"""Edges in processes of their own: what a server and its publishers see when one of them dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import aioice.ice
import psutil
import pytest
from aiohttp import web
from edge_clients import GREEN, RED, Client, Pattern
from loopback import served
from structlog.testing import capture_logs

from luxxon_core.adapters.aiortc_edge import shard_process
from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.aiortc_edge.redirect import redirecting
from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError, VideoError
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind
from tests.unit.aiortc_edge.edge_peers import SDP, eventually, until

T = TypeVar("T")
CONNECTED, DISCONNECTED, FIRST_FRAME = (
    MediaEventKind.CONNECTED,
    MediaEventKind.DISCONNECTED,
    MediaEventKind.FIRST_FRAME,
)
OWNER = """
import asyncio, socket
from luxxon_core.adapters.aiortc_edge.shard_edge import ShardEdge
async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    edge = ShardEdge(name="embedded-ab-1", public_url="http://127.0.0.1:1", listener=listener)
    await edge.start()
    print(edge.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class Shard:
    """A running one, and what it has reported."""

    def __init__(self, edge: ShardEdge, http: aiohttp.ClientSession) -> None:
        self.edge, self.http = edge, http
        self.events: list[MediaEvent] = []
        self._clients: list[Client] = []

    def client(self) -> Client:
        self._clients.append(Client(self.http))
        return self._clients[-1]

    async def collect(self) -> None:
        async for event in self.edge.events():
            self.events.append(event)

    async def told(self, kind: MediaEventKind, count: int = 1) -> MediaEvent:
        def found() -> list[MediaEvent]:
            return [event for event in self.events if event.kind is kind]

        await until(lambda: len(found()) >= count)
        return found()[count - 1]

    async def filmed(self) -> tuple[LiveInput, Client]:
        """A live input with a picture, and its publisher."""
        live_input = await self.edge.create()
        publisher = self.client()
        await publisher.publish(live_input.whip_url, Pattern(RED), "VP8")
        await self.told(FIRST_FRAME)
        return live_input, publisher

    @property
    def pid(self) -> int:
        assert self.edge.pid is not None
        return self.edge.pid

    async def killed(self) -> None:
        """SIGKILL, and wait until its successor serves."""
        former = self.pid
        os.kill(former, signal.SIGKILL)
        await until(lambda: self.edge.pid not in {former, None})

    async def status(self, url: str) -> int:
        async with self.http.post(url, data="v=0\r\n", headers=SDP) as answer:
            return answer.status

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._clients))


def shard_edge(number: int = 1, **options: object) -> ShardEdge:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return ShardEdge(name=f"embedded-ab-{number}", public_url=url, listener=listener, options=options)


@asynccontextmanager
async def running(number: int = 1) -> AsyncIterator[Shard]:
    async with AsyncExitStack() as stack:
        edge = shard_edge(number)
        stack.push_async_callback(edge.close)
        await edge.start()
        await edge.open()
        # a connection for each request, as publishers and viewers come: a kept one dies with the process
        connector = aiohttp.TCPConnector(force_close=True)
        shard = Shard(edge, await stack.enter_async_context(aiohttp.ClientSession(connector=connector)))
        stack.push_async_callback(shard.close)
        collecting = asyncio.create_task(shard.collect())
        stack.callback(collecting.cancel)
        yield shard


@pytest.fixture
async def shard() -> AsyncIterator[Shard]:
    async with running() as one:
        yield one


async def soon(look: Callable[[], Awaitable[T | None]], seconds: float = 5) -> T:
    return await eventually(look, timeout=seconds)


async def test_a_killed_shard_s_publishers_count_as_gone_since_their_last_media(shard: Shard) -> None:
    live_input, _ = await shard.filmed()
    idle = await shard.edge.create()
    await asyncio.sleep(1)
    killed_at = utc_now()
    os.kill(shard.pid, signal.SIGKILL)
    lost = await shard.told(DISCONNECTED)
    assert utc_now() - killed_at < timedelta(seconds=0.5), "noticed at once"
    assert timedelta(seconds=-0.5) < lost.at - killed_at < timedelta(seconds=0.05)
    assert lost.uid == live_input.uid

    again = shard.client()
    await again.publish(live_input.whip_url, Pattern(GREEN), "VP8")
    back = await shard.told(CONNECTED, count=2)
    assert back.at > lost.at
    await shard.told(FIRST_FRAME, count=2)
    viewer = shard.client()
    await viewer.view(live_input.whep_url)
    await viewer.sees(GREEN)
    kinds = [event.kind for event in shard.events]
    assert kinds == [CONNECTED, FIRST_FRAME, DISCONNECTED, CONNECTED, FIRST_FRAME]
    assert {event.uid for event in shard.events} == {live_input.uid}
    assert set(shard.edge.serving(utc_now() + timedelta(1))) == {live_input.uid, idle.uid}


async def test_a_request_waits_for_the_successor_and_finds_the_same_live_inputs(shard: Shard) -> None:
    kept, deleted = await shard.edge.create(), await shard.edge.create()
    former = shard.pid
    os.kill(former, signal.SIGKILL)
    await until(lambda: not shard.edge.running)
    with pytest.raises(VideoError):
        await shard.edge.create()
    assert await shard.edge.frame(kept) is None
    await shard.edge.delete(deleted)
    restored = LiveInput(
        "0" * 32, shard.edge.name, kept.whip_url[:-1] + "-", kept.whep_url[:-1] + "-"
    )  # as after the server's own restart
    await shard.edge.restore(restored)
    statuses = [await shard.status(one.whip_url) for one in (kept, deleted, restored)]
    assert statuses == [400, 404, 400], "400: it reads the offer"
    assert shard.pid != former


async def test_counters_go_on_and_levels_do_not(shard: Shard) -> None:
    await shard.filmed()
    await until(lambda: shard.edge.stats().datagrams_received > 50)
    before = shard.edge.stats().datagrams_received
    await shard.killed()
    assert shard.edge.stats().datagrams_received >= before
    await until(lambda: shard.edge.stats().live_inputs == 1)
    assert shard.edge.stats().publishers == 0


async def test_a_shard_that_hangs_is_replaced(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_process, "SILENT_SECONDS", 2)
    live_input, _ = await shard.filmed()
    former = shard.pid
    os.kill(former, signal.SIGSTOP)
    stopped_at = utc_now()
    lost = await shard.told(DISCONNECTED)
    assert abs(lost.at - stopped_at) < timedelta(seconds=0.5)
    assert await shard.status(live_input.whip_url) == 400
    assert shard.pid != former


async def test_a_shard_ends_with_its_server_and_not_before() -> None:
    environment = {**os.environ, "LUXXON_COOKIE_SECRET": "a-secret-of-the-server-of-32-characters"}
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        line = b""
        async with asyncio.timeout(30):
            while not line.strip().isdigit():
                line = await owner.stdout.readline()
        process = psutil.Process(int(line))
        assert "LUXXON_COOKIE_SECRET" not in process.environ()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        await asyncio.sleep(0.5)
        assert process.is_running()
    finally:
        owner.kill()
        await owner.wait()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [process], 5)
    assert gone


async def test_a_shard_that_cannot_start_says_why_and_leaves_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        edge = shard_edge(udp_port=taken.getsockname()[1])
        with pytest.raises(StartError, match="Cannot bind UDP"):
            await edge.start()
    children = [child.cmdline() for child in psutil.Process().children() if child.status() != "zombie"]
    assert not [line for line in children if "luxxon_core.adapters.aiortc_edge.shard" in line]


async def test_what_a_shard_logs_is_in_the_server_s_log_with_its_name() -> None:
    with capture_logs() as lines:
        async with running() as shard:
            former = shard.pid
            await shard.killed()

            async def logged() -> bool | None:
                return True if [line["event"] for line in lines].count("edge.started") == 2 else None

            await soon(logged)
    shards = [line for line in lines if line.get("shard") == "embedded-ab-1"]
    events = [(line["event"], line["log_level"]) for line in shards]
    for wanted in (("shard.started", "info"), ("edge.started", "info"), ("shard.ended", "error")):
        assert wanted in events
    assert shards[0]["pid"] == former
    assert json.dumps(shards), "plain values"


async def test_two_shards_share_the_work_of_two_live_inputs() -> None:
    async with running(1) as one, running(2) as two:
        await asyncio.gather(one.filmed(), two.filmed())
        processes = [psutil.Process(shard.pid) for shard in (one, two)]
        before = [sum(process.cpu_times()[:2]) for process in processes]
        received = [shard.edge.stats().datagrams_received for shard in (one, two)]
        await asyncio.sleep(3)
        after = [sum(process.cpu_times()[:2]) for process in processes]
        assert all(late > early for early, late in zip(before, after, strict=True))
        now = [shard.edge.stats().datagrams_received for shard in (one, two)]
        assert all(late > early + 50 for early, late in zip(received, now, strict=True))


async def test_a_client_at_the_server_s_door_is_sent_to_the_shard(shard: Shard) -> None:
    async with AsyncExitStack() as stack:
        url = ""
        server = await stack.enter_async_context(AiortcEdge(public_url=lambda: url))
        app = web.Application()
        app.add_routes(redirecting(server.routes(), [shard.edge]))
        url = await stack.enter_async_context(served(app))

        live_input, its_own = await shard.edge.create(), await server.create()
        wrong = url + urlsplit(live_input.whip_url).path
        async with shard.http.post(wrong, data="v=0\r\n", headers=SDP, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (307, live_input.whip_url)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        publisher = shard.client()
        await publisher.publish(wrong, Pattern(RED), "VP8")
        assert publisher.session_url.startswith(live_input.whip_url)
        by_uid = f"{url}/whip/{live_input.uid}"
        async with shard.http.post(by_uid, headers=SDP, allow_redirects=False) as answer:
            assert answer.headers["Location"].endswith(f"/whip/{live_input.uid}")
        assert await shard.status(its_own.whip_url) == 400, "it reads the offer itself"
        assert await shard.status(wrong.replace("/whip/", "/whep/")) == 404
        await shard.edge.delete(live_input)
        assert await shard.status(wrong) == 404
