"""What the use cases rely on in any edge; the edge in memory that their tests use must keep to it as well."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from marketplace import MemoryEdge

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import LiveInput
from luxxon_core.media.ports import Edge


@pytest.fixture(params=["memory", "aiortc"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    if request.param == "memory":
        memory = MemoryEdge()
        yield memory
        await memory.close()
        return
    real = AiortcEdge(public_url="http://127.0.0.1:1", clock=utc_now, udp_host="127.0.0.1", udp_port=0)
    await real.start()
    yield real
    await real.close()


async def test_live_inputs_are_distinct_and_secret(edge: Edge) -> None:
    made = [await edge.create() for _ in range(20)]
    assert all(re.fullmatch("[0-9a-f]{32}", one.uid) for one in made)
    assert len({one.uid for one in made}) == 20
    urls = [url for one in made for url in (one.whip_url, one.whep_url)]
    assert len(set(urls)) == 40
    assert all(len(url.rpartition("/")[2]) >= 22 for url in urls), "128 bits take 22 characters of base64"
    assert not [one for one in made if one.uid in one.whip_url or one.uid in one.whep_url]
    assert not [one for one in made if one.whip_url in repr(one) or one.whep_url in repr(one)]
    assert {one.edge for one in made} == {edge.name}


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
