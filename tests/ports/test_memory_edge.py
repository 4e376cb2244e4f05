"""What the use cases rely on in any edge; the edge in memory that their tests use must keep to it as well."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from marketplace import MemoryEdge

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.cloudflare.edge import CloudflareStream
from luxxon_core.adapters.mediamtx.edge import MediaMtx
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import LiveInput, kind_of
from luxxon_core.media.ports import Edge
from tests.unit.cloudflare.cloudflare_server import ACCOUNT, TOKEN, cloudflare_server
from tests.unit.mediamtx.mediamtx_server import CREDENTIALS, mediamtx_server


@asynccontextmanager
async def embedded() -> AsyncIterator[Edge]:
    async with AiortcEdge(public_url="http://127.0.0.1:1") as edge:
        yield edge


@asynccontextmanager
async def in_memory() -> AsyncIterator[Edge]:
    edge = MemoryEdge()
    yield edge
    await edge.close()


@asynccontextmanager
async def cloudflare() -> AsyncIterator[Edge]:
    async with cloudflare_server() as server:
        edge = CloudflareStream(account_id=ACCOUNT, api_token=TOKEN, api_url=server.url, name="cloudflare-1")
        await edge.start()
        yield edge
        await edge.close()


@asynccontextmanager
async def mediamtx() -> AsyncIterator[Edge]:
    async with mediamtx_server() as server:
        edge = MediaMtx(
            api_url=server.url,
            public_url="https://media.test:8889",
            credentials=CREDENTIALS,
            name="mediamtx-1",
        )
        await edge.start()
        yield edge
        await edge.close()


EDGES = {"memory": in_memory, "aiortc": embedded, "cloudflare": cloudflare, "mediamtx": mediamtx}


@pytest.fixture(params=EDGES)
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    async with EDGES[request.param]() as edge:
        yield edge


async def test_live_inputs_are_distinct_and_secret(edge: Edge) -> None:
    made = [await edge.create() for _ in range(20)]
    assert all(re.fullmatch("[0-9a-f]{32}", one.uid) for one in made)
    assert len({one.uid for one in made}) == 20
    urls = [url for one in made for url in (one.whip_url, one.whep_url)]
    assert len(set(urls)) == 40
    assert all(max(map(len, url.split("/")[3:])) >= 22 for url in urls), (
        "128 bits take 22 characters of base64"
    )
    if kind_of(edge.name) != "cloudflare":  # whose uid is the viewers' secret (api-contract §15.2)
        assert not [one for one in made if one.uid in one.whip_url or one.uid in one.whep_url]
    for one in made:  # whoever may watch does not learn how to publish
        secret = max(one.whip_url.split("/")[3:], key=len)
        assert secret not in one.whep_url
    assert not [one for one in made if one.whip_url in repr(one) or one.whep_url in repr(one)]
    assert {one.edge for one in made} == {edge.name}
    assert edge.names == {edge.name}
    assert edge.serving(utc_now() + timedelta(seconds=1)) == {one.uid: edge.name for one in made}
    assert edge.serving(utc_now() - timedelta(hours=1)) == {} or edge.name == "memory"


async def test_deleting_and_restoring_may_be_repeated(edge: Edge) -> None:
    made = await edge.create()
    for _ in range(2):
        await edge.restore(made)
    for _ in range(2):
        await edge.delete(made)
    await edge.restore(made)
    await edge.delete(LiveInput("0" * 32, edge.name, "https://edge.test/a", "https://edge.test/b"))
    await edge.delete(made)


async def test_there_is_no_frame_before_a_picture_nor_after_the_end(edge: Edge) -> None:
    made = await edge.create()
    assert await edge.frame(made) is None
    await edge.delete(made)
    assert await edge.frame(made) is None


async def test_events_end_with_the_edge(edge: Edge) -> None:
    async def read() -> int:
        return len([event async for event in edge.events()])

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await edge.close()  # type: ignore[attr-defined]
    assert await asyncio.wait_for(reading, timeout=5) == 0
