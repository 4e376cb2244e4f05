"""Requests that wait for observations which another server works on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from marketplace import NOON, at
from newsroom import Newsroom, newsroom
from observation_stage import ASKED, Stage, picture

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.observations import PgObservations
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.uow import Tx
from luxxon_core.observations.domain import Observation, Reason, Status

OBSERVATIONS, EACH = 40, 5
SOON = 10.0
"""Seconds for what takes milliseconds."""


@pytest_asyncio.fixture
async def news(dsn: str, database: Database) -> AsyncIterator[Newsroom]:
    async with newsroom(dsn) as opened:
        yield opened


@pytest.fixture
def stage(news: Newsroom, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(news.market, monkeypatch)


class Reads:
    """How often observations were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        get, finished = PgObservations.get, PgObservations.finished

        async def counted(store: PgObservations, tx: Tx, one: UUID) -> Observation | None:
            self.count += 1
            return await get(store, tx, one)

        async def counted_together(store: PgObservations, tx: Tx, ids: frozenset[UUID]) -> list[UUID]:
            self.count += 1
            return await finished(store, tx, ids)

        monkeypatch.setattr(PgObservations, "get", counted)
        monkeypatch.setattr(PgObservations, "finished", counted_together)


async def followed(news: Newsroom, count: int) -> None:
    async with asyncio.timeout(SOON):
        while news.feed.followers != count:
            await asyncio.sleep(0.01)


async def test_many_who_wait_cost_nothing_until_there_is_something_to_read(
    stage: Stage, news: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, other = await news.market.consumer(), stage.server(news.feed)
    made = [await stage.cases.create(consumer, ASKED, NOON) for _ in range(OBSERVATIONS)]
    reads = Reads(monkeypatch)
    waiting = [asyncio.create_task(other.wait(one, 60)) for one in made for _ in range(EACH)]
    await followed(news, len(waiting))
    await asyncio.sleep(0.5)
    begun = reads.count
    assert begun == len(waiting), "each has looked once: what was before is told to nobody"
    await asyncio.sleep(2.5)  # time is what would cost
    await other.hear(utc_now())
    assert reads.count == begun + 1, "the slow look is one statement for all of them"

    for one in made[: OBSERVATIONS // 2]:
        await news.market.sessions.cancel(one.id, consumer, at(1))
    await stage.turn(31)
    async with asyncio.timeout(SOON):
        found = await asyncio.gather(*waiting)
    reasons = [one.reason for one in found]
    assert set(reasons) == {Reason.CANCELLED, Reason.NO_OPERATOR}
    assert reasons.count(Reason.CANCELLED) == len(found) // 2
    assert news.feed.followers == 0


async def test_who_waits_elsewhere_hears_of_the_picture(stage: Stage, news: Newsroom) -> None:
    consumer, supplier = await news.market.consumer(), await news.market.supplier()
    made, other = await stage.live(consumer, supplier), stage.server(news.feed)
    waiting = asyncio.create_task(other.wait(made, 60))
    await followed(news, 1)
    stage.shown = picture(at(1.7))
    await stage.turn(2)
    found = await asyncio.wait_for(waiting, SOON)
    assert (found.status, found.captured_at) == (Status.READY, at(1.7))


async def test_what_the_log_does_not_tell_is_found_by_looking(stage: Stage, dsn: str) -> None:
    async with newsroom(dsn) as line:
        consumer, deaf = await stage.marketplace.consumer(), stage.server(line.feed)
        made = await stage.cases.create(consumer, ASKED, NOON)
        waiting = asyncio.create_task(deaf.wait(made, 60))
        await followed(line, 1)
    await stage.turn(31)
    await asyncio.sleep(0.3)
    assert not waiting.done(), "it hears nothing any more"
    await deaf.hear(utc_now())
    found = await asyncio.wait_for(waiting, SOON)
    assert (found.id, found.reason) == (made.id, Reason.NO_OPERATOR)


async def test_who_waits_for_nothing_is_answered_in_time(stage: Stage, news: Newsroom) -> None:
    consumer, other = await news.market.consumer(), stage.server(news.feed)
    made = await stage.cases.create(consumer, ASKED, NOON)
    assert (await asyncio.wait_for(other.wait(made, 0.2), SOON)).status is Status.PENDING
    begun = asyncio.get_running_loop().time()
    deaf = stage.server()  # whose feed has never begun: the database went away as it started
    assert (await asyncio.wait_for(deaf.wait(made, 0.2), SOON)).status is Status.PENDING
    assert asyncio.get_running_loop().time() - begun >= 0.2
    waiting = [asyncio.create_task(other.wait(made, 60)) for _ in range(3)]
    await followed(news, 3)
    await other.stop()
    async with asyncio.timeout(SOON):
        assert {one.status for one in await asyncio.gather(*waiting)} == {Status.PENDING}
    assert (await asyncio.wait_for(other.wait(made, 60), SOON)).status is Status.PENDING
