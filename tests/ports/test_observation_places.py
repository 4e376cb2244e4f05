"""Two hundred observations at once, some of them of cameras whose edge does not answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from marketplace import Marketplace, at
from observation_stage import PRICE, Running, TwoEdges, live, picture

from luxxon_core.adapters.postgres.observations import PgObservations
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.observations.domain import Status
from luxxon_core.observations.usecases import observations as working
from luxxon_core.observations.usecases.places import AT_ONCE, IN_ALL

IN_TIME = 40.0
"""For what takes a second or two: a machine may be busy."""


@pytest.fixture
def stage(marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch) -> Running:
    return Running(marketplace, monkeypatch)


@pytest.fixture
def edges(stage: Running) -> TwoEdges:
    edge = TwoEdges()
    market = stage.marketplace
    market.edge = edge
    market.sessions = replace(market.sessions, edge=edge)
    stage.cases = stage.server()
    return edge


async def ready(stage: Running, count: int) -> None:
    """So many are READY."""
    asked = "select count(*) from observation where status = $1"
    async with asyncio.timeout(IN_TIME):
        while await stage.marketplace.value(asked, Status.READY) < count:
            await asyncio.sleep(0.05)


async def test_an_edge_that_does_not_answer_holds_up_no_other(
    stage: Running, edges: TwoEdges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a moment: it answers nobody before all the others have been served."""
    monkeypatch.setattr(working, "FRAME_SECONDS", 10 * IN_TIME)
    await live(stage, edges, "slow", 100)
    quick = await live(stage, edges, "memory", 100)
    edges.shown = picture(at(1.5))
    async with stage.working(2):
        await ready(stage, 100)
        rows = await stage.marketplace.rows("select id from observation where status = 'READY'")
        assert {row["id"] for row in rows} == set(quick)
        assert 0 < edges.most <= AT_ONCE < IN_ALL, "nor is it asked by all who wait for it"
        edges.answer.set()
        await ready(stage, 200)
    charged = await stage.marketplace.rows("select charged_uusdc from session")
    assert [row["charged_uusdc"] for row in charged] == [PRICE] * 200


async def test_what_waits_for_a_slow_edge_ends_at_its_deadline(
    stage: Running, edges: TwoEdges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "FRAME_SECONDS", 10 * IN_TIME)
    await live(stage, edges, "slow", AT_ONCE + 4, wait_s=5)
    asked = "select count(*) from observation where status = 'FAILED' and reason = 'NO_PICTURE'"

    async def failed(count: int) -> None:
        async with asyncio.timeout(IN_TIME):
            while await stage.marketplace.value(asked) < count:
                await asyncio.sleep(0.05)

    async with stage.working(3):
        await failed(4)
        assert edges.asked == AT_ONCE
        edges.answer.set()
        await failed(AT_ONCE + 4)
    assert await stage.marketplace.value("select sum(charged_uusdc) from session") == 0


async def test_who_is_under_way_is_not_begun_twice(stage: Running, edges: TwoEdges) -> None:
    await live(stage, edges, "slow", 3)
    async with asyncio.TaskGroup() as group:
        begun = [await stage.cases.begin(group, at(seconds)) for seconds in (2, 3, 4)]
        edges.answer.set()
    assert begun == [3, 0, 0]
    async with asyncio.TaskGroup() as group:
        assert await stage.cases.begin(group, at(5)) == 3


async def test_what_is_under_way_stays_claimed_where_there_is_room_for_no_more(
    stage: Running, edges: TwoEdges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every other server would ask the edge for the same picture."""
    monkeypatch.setattr(working, "AT_ONCE", 2)
    await live(stage, edges, "slow", 2)
    async with asyncio.TaskGroup() as group:
        assert await stage.cases.begin(group, at(2)) == 2
        assert await stage.cases.begin(group, at(3)) == 0
        assert await stage.server().begin(group, at(3.1)) == 0
        edges.answer.set()


def test_a_few_edges_that_do_not_answer_leave_room_for_others() -> None:
    """What docs/observations.md promises."""
    assert IN_ALL * 10 < working.AT_ONCE


async def test_a_database_that_fails_is_told_as_such(
    stage: Running, edges: TwoEdges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whoever has it begun again; what was under way goes on then."""
    await live(stage, edges, "slow", 2)

    async def fails(*_: object) -> None:
        raise DatabaseError("database:failed")

    running = asyncio.create_task(stage.cases.run(at(2)))
    async with asyncio.timeout(IN_TIME):
        while edges.asked < 2:
            await asyncio.sleep(0.02)
        with monkeypatch.context() as patched:
            patched.setattr(PgObservations, "claim", fails)
            with pytest.raises(DatabaseError):
                await running
    assert edges.asked == 0
    edges.shown = picture(at(1.5))
    edges.answer.set()
    async with stage.working(3):
        await ready(stage, 2)
