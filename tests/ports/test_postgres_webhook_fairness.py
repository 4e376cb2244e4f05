"""Who may take how much of the courier, and who comes and goes while deliveries are made."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from post_office import PostOffice
from webhook_receiver import Hit, Receiver, receiving

from luxxon_core.adapters.postgres import webhook_queue
from luxxon_core.adapters.postgres.webhooks import PgDeliveries, PgWebhooks
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.ids import new_id
from luxxon_core.webhooks.domain import Cause, Planned, Webhook


async def queue(office: PostOffice, webhook: Webhook, lanes: int, each: int = 1) -> None:
    """Deliveries of sessions that there are not."""
    now, sessions = utc_now(), [uuid4() for _ in range(lanes)]
    planned = [
        Planned(new_id(), webhook.id, session, Cause.EVENT, "video.connected", None, body(session, number))
        for number in range(each)
        for session in sessions
    ]
    async with office.database.begin() as tx:
        await PgDeliveries().queue(tx, planned, now)


def body(session: UUID, number: int) -> str:
    return f'{{"id": "{number}", "data": {{"sessionId": "{session}"}}}}'


async def test_slow_receivers_of_one_workspace_leave_room_for_those_of_another(
    office: PostOffice, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they could fill the courier many times over; each has its share, and the workspace its own."""
    monkeypatch.setattr(webhook_queue, "UNDER_WAY", 4)
    monkeypatch.setattr(webhook_queue, "UNDER_WAY_WORKSPACE", 6)
    office.deliveries_at_once = 8
    release = asyncio.Event()

    async def stall(_: Hit) -> int:
        await release.wait()
        return 200

    consumer, other = await office.room.market.consumer(), await office.room.market.consumer()
    async with receiving() as slow:
        slow.behave = stall
        stalled = [(await office.subscribe(consumer, f"{slow.url}/{number}"))[0] for number in range(4)]
        quick, _ = await office.subscribe(other, receiver.url)
        for webhook in stalled:
            await queue(office, webhook, 20)
        post = await office.hire(timeout_s=15)
        await slow.until(lambda: len(slow.hits) == 6)
        await queue(office, quick, 20, 2)
        await receiver.until(lambda: len(receiver.taken) == 40, 10)
        assert len(slow.hits) == 6, "and not one more meanwhile"
        assert max(slow.paths.values()) == 4
        release.set()
        await slow.until(lambda: len(slow.taken) == 80)
        await office.settled()
        assert post.courier.under_way == 0


async def test_a_session_that_goes_on_and_on_leaves_room_for_the_others(
    office: PostOffice, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next delivery follows at once, for a while; then it waits behind them."""
    monkeypatch.setattr(webhook_queue, "UNDER_WAY", 1)
    monkeypatch.setattr(webhook_queue, "KEPT", timedelta(seconds=0.2))

    async def take(_: Hit) -> int:
        await asyncio.sleep(0.02)
        return 200

    receiver.behave = take
    webhook, _ = await office.subscribe(await office.room.market.consumer(), receiver.url)
    await queue(office, webhook, 1, 60)
    await queue(office, webhook, 1, 1)
    await office.hire()
    await office.settled()
    order = [hit.session for hit in receiver.taken]
    place = next(place for place, one in enumerate(order) if order.count(one) == 1)
    assert 1 <= place < 50
    of_long = [int(hit.event) for hit in receiver.taken if order.count(hit.session) > 1]
    assert of_long == list(range(60))


async def test_events_find_their_way_past_a_webhook_that_is_being_removed(
    office: PostOffice, receiver: Receiver
) -> None:
    """It was there when the event was read, and is not when the delivery is stored."""
    session_id, consumer, _ = await office.room.live()
    going, _ = await office.subscribe(consumer, "https://example.com/", ["video.connected"])
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.write(session_id, "one")
    async with asyncio.timeout(5):
        while await office.room.market.value("select count(*) from event where position is null"):
            await asyncio.sleep(0.01)
    async with office.database.begin() as tx:
        assert await PgWebhooks().remove(tx, consumer, going.id)
        telling = asyncio.create_task(office.fan_out.step(utc_now()))
        async with asyncio.timeout(10):
            while not await office.room.market.rows("select from pg_locks where not granted"):
                await asyncio.sleep(0.01)
    assert await asyncio.wait_for(telling, 10)
    assert await office.count() == 1
    await office.hire()
    await receiver.until(lambda: receiver.taken)
