"""Webhooks while the database is away, or somebody else is at the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from aiohttp import web
from post_office import PostOffice
from webhook_receiver import Receiver, names

from luxxon_core.adapters.postgres.webhook_queue import PgQueue
from luxxon_core.adapters.postgres.webhooks import PgDeliveries, PgWebhooks
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import DatabaseError
from luxxon_core.kernel.ids import new_id
from luxxon_core.kernel.uow import Tx
from luxxon_core.webhooks.domain import Attempt, State, Verdict
from luxxon_core.webhooks.ports import Finding


async def test_what_succeeded_while_nothing_could_be_stored_is_not_sent_again(
    office: PostOffice, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease runs out meanwhile."""
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    settle, until = PgQueue.settle, asyncio.get_running_loop().time() + 1

    async def away(queue: PgQueue, tx: Tx, findings: Sequence[Finding], now: datetime) -> list[UUID]:
        if asyncio.get_running_loop().time() < until:
            raise DatabaseError("database:failed")
        return await settle(queue, tx, findings, now)

    monkeypatch.setattr(PgQueue, "settle", away)
    await office.hire(lease=timedelta(seconds=0.3))
    await office.write(session_id, "one", "two")
    await office.settled()
    assert names(receiver.hits) == ["one", "two"]


async def test_a_receiver_whose_answer_makes_no_sense_is_a_failed_attempt(
    office: PostOffice, receiver: Receiver
) -> None:
    """And no attempt that nobody has ever heard of, which would be made again for ever."""
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    never = "Wed, 13 May 99999999999999999999 12:00:30 GMT"
    receiver.behave = lambda _: web.Response(status=503, headers={"Retry-After": never})
    await office.hire(lease=timedelta(seconds=0.3))
    await office.write(session_id, "one")
    async with asyncio.timeout(20):
        while not await office.count("jsonb_array_length(attempts) >= 2"):
            await asyncio.sleep(0.02)
    (delivery,) = await office.webhooks.page(consumer, webhook.id, None, None, 10)
    assert {one.fault for one in delivery.attempts} == {"HTTP 503"}


async def test_a_receiver_that_was_idle_after_an_outage_is_not_disabled_by_the_next_failure(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = lambda _: 500
    await office.hire()
    await office.write(session_id, "one")
    await receiver.until(lambda: len(receiver.hits) >= 2)
    # 24 hours of failures, and 60 in which nothing was sent
    begun = utc_now() - timedelta(hours=84)
    await office.age(webhook, begun, begun + timedelta(hours=24))
    before = len(receiver.hits)
    await receiver.until(lambda: len(receiver.hits) >= before + 3)
    assert (await office.look(webhook)).disabled_at is None
    hours = await office.room.market.value("select extract(epoch from untried) / 3600 from webhook")
    assert 58.9 < hours < 59.1
    # and 48 more of trying
    await office.age(webhook, begun - timedelta(hours=48), utc_now())
    assert (await office.disabled(webhook)).disabled_reason is not None


async def test_an_owner_who_disables_it_and_an_answer_that_is_stored_wait_for_each_other_in_turn(
    office: PostOffice,
) -> None:
    """Each takes the webhook first and what is of it then: neither is a deadlock's victim."""
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, "https://example.com/", ["video.connected"])
    await office.write(session_id, "one")
    async with asyncio.timeout(10):
        while not await office.count():  # events get their positions in a while
            await office.fan_out.step(utc_now())
            await asyncio.sleep(0.01)
    now = utc_now()
    async with office.database.begin() as tx:
        (job,) = await office.queue.claim(tx, now, now + timedelta(seconds=30), new_id(), {}, 10)
    verdict = Verdict(State.PENDING, now + timedelta(seconds=5))
    finding = Finding(job, Attempt(now, 500, "HTTP 500", 1), verdict)

    async def settle() -> None:
        async with office.database.begin() as tx:
            await office.queue.settle(tx, [finding], now)

    async with office.database.begin() as tx:
        assert await PgWebhooks().lock(tx, consumer, webhook.id) is not None
        settling = asyncio.create_task(settle())
        async with asyncio.timeout(10):
            while not await office.room.market.rows("select from pg_locks where not granted"):
                await asyncio.sleep(0.01)
        assert await PgDeliveries().cancel(tx, webhook.id, now) == 1
    await asyncio.wait_for(settling, 10)
    assert await office.count("state = 'FAILED'") == 1
    assert (await office.look(webhook)).failing_since == now
