"""Several edges as one: each live input goes back to the edge that minted it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from marketplace import NOON, MemoryEdge

from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.ports import Edge
from luxxon_core.media.usecases import Edges

LATER = datetime.max.replace(tzinfo=UTC)


class PictureEdge(MemoryEdge):
    """Says which edge it is in its pictures."""

    async def frame(self, live_input: LiveInput) -> Frame | None:
        return Frame(self.name.encode(), 1, 1, NOON)


async def test_the_chosen_edge_mints_and_each_serves_its_own() -> None:
    old, new = PictureEdge("embedded-1"), PictureEdge("mediamtx-1")
    former = await old.create()
    edges: Edge = Edges([new], [old])
    assert edges.name == "mediamtx-1"
    assert edges.names == {"embedded-1", "mediamtx-1"}
    made = await edges.create()
    assert made.edge == "mediamtx-1"
    assert edges.serving(LATER) == {former.uid: "embedded-1", made.uid: "mediamtx-1"}

    frames = [await edges.frame(one) for one in (former, made)]
    assert [frame.jpeg for frame in frames if frame is not None] == [b"embedded-1", b"mediamtx-1"]
    await edges.delete(former)
    assert edges.serving(LATER) == {made.uid: "mediamtx-1"}
    await edges.restore(former)
    assert former.uid in old.served


async def test_of_equals_the_one_that_serves_fewest_mints_the_next() -> None:
    group = [MemoryEdge(f"embedded-{i}") for i in range(3)]
    edges = Edges(group)
    made = [await edges.create() for _ in range(9)]
    assert [len(one.served) for one in group] == [3, 3, 3]
    for live_input in [one for one in made if one.edge == "embedded-1"]:
        await edges.delete(live_input)
    assert [(await edges.create()).edge for _ in range(3)] == ["embedded-1"] * 3


async def test_an_edge_that_refuses_is_passed_over_until_none_is_left() -> None:
    group = [MemoryEdge("embedded-0"), MemoryEdge("embedded-1")]
    edges = Edges(group)
    group[0].unreachable = True
    assert {(await edges.create()).edge for _ in range(3)} == {"embedded-1"}
    group[1].unreachable = True
    with pytest.raises(VideoError):
        await edges.create()


async def test_a_live_input_of_an_edge_that_is_no_longer_configured() -> None:
    edges = Edges([PictureEdge("embedded-1")])
    stray = LiveInput("0" * 32, "cloudflare-1", "https://edge.test/a", "https://edge.test/b")
    assert await edges.frame(stray) is None
    await edges.delete(stray)
    with pytest.raises(VideoError) as refused:
        await edges.restore(stray)
    assert refused.value.detail == "video:edge:unknown"


async def test_what_another_server_minted_is_asked_of_the_edge_of_its_kind() -> None:
    embedded, mediamtx = PictureEdge("embedded-1"), PictureEdge("mediamtx-1")
    made = await mediamtx.create()
    edges = Edges([embedded], [mediamtx])
    theirs = replace(made, edge="mediamtx-2")
    frame = await edges.frame(theirs)
    assert frame is not None
    assert frame.jpeg == b"mediamtx-1"
    await edges.delete(theirs)
    assert made.uid not in mediamtx.served
    with pytest.raises(VideoError):  # it is for that server to serve it
        await edges.restore(theirs)


async def test_events_of_all_edges_in_one_stream_that_ends_with_them() -> None:
    group = [MemoryEdge("embedded-0"), MemoryEdge("mediamtx-0")]
    edges = Edges(group[:1], group[1:])
    uids = [(await one.create()).uid for one in group]
    for edge, uid in zip(group, uids, strict=True):
        edge.flowing.add(uid)
    edges.announce()

    async def read() -> list[str]:
        return [event.uid async for event in edges.events()]

    reading = asyncio.create_task(read())
    for one in group:
        await one.close()
    assert sorted(await asyncio.wait_for(reading, 5)) == sorted(uids)


async def test_a_reader_that_stops_leaves_no_task_behind() -> None:
    edge = MemoryEdge("embedded-0")
    edge.flowing.add("0" * 32)
    before = asyncio.all_tasks()
    edge.announce()
    events: AsyncIterator[MediaEvent] = Edges([edge]).events()
    async with aclosing(events) as reading:  # type: ignore[type-var]
        assert (await anext(reading)).kind is MediaEventKind.CONNECTED
    assert asyncio.all_tasks() == before
