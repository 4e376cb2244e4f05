"""What comes twice, and only then: a receiver has answered 2xx, and nobody could write that down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from post_office import PostOffice
from webhook_receiver import Hit, Receiver, names

from luxxon_core.adapters.postgres import figures
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.webhook_queue import PgQueue
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.uow import Tx
from luxxon_core.webhooks.domain import State
from luxxon_core.webhooks.ports import Finding

LEASE = timedelta(seconds=1)


class Shut:
    """The log of deliveries, shut from the moment of an answer: reading and writing it waits."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.connection: asyncpg.Connection | None = None

    async def shut(self) -> None:
        self.connection = await asyncpg.connect(self._dsn)
        await self.connection.execute("begin; lock table webhook_delivery in access exclusive mode")

    async def open(self) -> None:
        if self.connection is not None:
            await self.connection.close()

    async def answer(self, _: Hit) -> int:
        if self.connection is None:
            await self.shut()
        return 200


@pytest.fixture
async def log(dsn: str, office: PostOffice) -> AsyncIterator[Shut]:
    shut = Shut(dsn)
    yield shut
    await shut.open()


async def test_an_answer_that_dies_with_its_courier_is_sent_again_under_the_same_id(
    office: PostOffice, receiver: Receiver, log: Shut
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, secret = await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = log.answer
    doomed = await office.hire(lease=LEASE)
    await office.write(session_id, "one", "two")
    await receiver.until(lambda: len(receiver.taken) == 1)
    async with asyncio.timeout(10):
        while not doomed.courier._findings:  # it has read the answer
            await asyncio.sleep(0.02)
    await doomed.die()
    await log.open()
    await office.hire(lease=LEASE)
    await office.settled()
    assert names(receiver.taken) == ["one", "one", "two"]
    first, again, other = receiver.taken
    assert first.id == again.id != other.id, "who has taken it knows it by its id"
    assert first.body == again.body
    assert all(hit.signed_by(secret) for hit in receiver.taken)
    page = await office.webhooks.page(webhook.workspace_id, webhook.id, None, None, 10)
    assert [(one.state, len(one.attempts)) for one in page] == [(State.SUCCEEDED, 1)] * 2


class Away(PgQueue):
    """A database that takes no answers for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.back, self.asked = asyncio.Event(), asyncio.Event()

    async def settle(self, tx: Tx, findings: Sequence[Finding], now: datetime) -> list[UUID]:
        self.asked.set()
        if not self.back.is_set():
            raise DatabaseError("away")
        return await super().settle(tx, findings, now)


async def test_an_answer_outlives_a_database_that_is_away_for_less_than_the_lease(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    office.queue = away = Away()
    await office.hire(lease=timedelta(seconds=30))
    await office.write(session_id, "one", "two")
    await asyncio.wait_for(away.asked.wait(), 10)
    away.back.set()
    await office.settled()
    assert names(receiver.taken) == ["one", "two"]


async def test_a_database_that_is_away_from_one_server_for_longer_has_another_send_it_again(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    near, office.queue = office.queue, Away()
    away = office.queue
    await office.hire(lease=LEASE)
    await office.write(session_id, "one", "two")
    await asyncio.wait_for(away.asked.wait(), 10)
    office.queue = near  # of another server, which can reach it
    await office.hire(lease=timedelta(seconds=30))
    await office.settled()
    assert names(receiver.taken) == ["one", "one", "two"]
    first, again, _ = receiver.taken
    assert first.id == again.id
    away.back.set()  # what it knows is no news any more
    await office.posts[0].close()
    assert await office.count("state = 'SUCCEEDED' and jsonb_array_length(attempts) = 1") == 2


async def test_figures_tell_what_is_pending_and_since_when(
    office: PostOffice, receiver: Receiver, database: Database
) -> None:
    async def told() -> dict[str, float]:
        return {one.name: one.samples[0][1] for one in await figures.webhooks(database, utc_now)}

    pending, oldest = "luxxon_webhook_deliveries_pending", "luxxon_webhook_oldest_pending_seconds"
    assert await told() == {pending: 0, oldest: 0}
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = lambda _: 500
    post = await office.hire()
    await office.write(session_id, "one", "two")
    await receiver.until(lambda: len(receiver.hits) >= 3)
    await office.room.market.rows(
        "update webhook_delivery set created_at = created_at - interval '1 h'"
        " where number = (select min(number) from webhook_delivery)"
    )
    found = await told()
    assert found[pending] == 2
    assert 3600 <= found[oldest] < 3660
    receiver.behave = lambda _: 200
    await office.settled()
    assert await told() == {pending: 0, oldest: 0}
    assert post.courier.outcomes["5xx"] == len(receiver.hits) - 2
    assert post.courier.outcomes["2xx"] == 2
