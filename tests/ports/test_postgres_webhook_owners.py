"""What owners do with their webhooks, on PostgreSQL and a real receiver."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from post_office import PostOffice
from webhook_receiver import Hit, Receiver, decoded

from luxxon_core.adapters.postgres.database import connection
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import Conflict, InvalidInput, NotFound
from luxxon_core.webhooks.domain import MOST_WEBHOOKS, State


def names(hits: list[Hit]) -> list[str]:
    return [hit.payload["data"]["videoBackendRef"] for hit in hits]


async def fanned_out(office: PostOffice, count: int) -> None:
    """Until so many deliveries have been made, by nobody who sends them."""
    async with asyncio.timeout(10):
        while await office.count() < count:
            await office.fan_out.step(utc_now())
            await asyncio.sleep(0.01)


async def blocked(office: PostOffice, *tasks: asyncio.Task[None]) -> None:
    """Until each has ended or waits for another's lock."""
    asked = "select count(*) from pg_locks where not granted"
    async with asyncio.timeout(10):
        while await office.room.market.value(asked) < sum(not task.done() for task in tasks):
            await asyncio.sleep(0.02)


async def test_a_test_is_sent_once_and_its_outcome_kept(office: PostOffice, receiver: Receiver) -> None:
    consumer = await office.room.market.consumer()
    webhook, secret = await office.subscribe(consumer, receiver.url)
    await office.hire()
    receiver.behave = lambda _: 404
    made = await office.webhooks.test(consumer, webhook.id, utc_now())
    await receiver.until(lambda: receiver.hits)
    await office.settled()
    found = await office.webhooks.delivery(consumer, webhook.id, made.id)
    assert found.state is State.FAILED
    assert [one.status for one in found.attempts] == [404]
    assert receiver.hits[0].payload["type"] == "webhook.test"
    assert receiver.hits[0].id == str(made.id)
    assert receiver.hits[0].signed_by(secret)
    assert (await office.look(webhook)).failing_since is None


async def test_during_the_overlap_both_secrets_sign(office: PostOffice, receiver: Receiver) -> None:
    consumer = await office.room.market.consumer()
    webhook, old = await office.subscribe(consumer, receiver.url)
    _, new = await office.webhooks.rotate(consumer, webhook.id, utc_now())
    await office.hire()
    await office.webhooks.test(consumer, webhook.id, utc_now())
    await receiver.until(lambda: receiver.hits)
    assert receiver.hits[0].signed_by(old)
    assert receiver.hits[0].signed_by(new)
    await office.room.market.rows("update webhook set former_until = now() - interval '1 s'")
    await office.webhooks.test(consumer, webhook.id, utc_now())
    await receiver.until(lambda: len(receiver.hits) == 2)
    assert not receiver.hits[1].signed_by(old)
    assert receiver.hits[1].signed_by(new)


async def test_the_database_holds_no_secret_that_can_be_read(office: PostOffice, receiver: Receiver) -> None:
    consumer = await office.room.market.consumer()
    webhook, secret = await office.subscribe(consumer, receiver.url)
    row = (await office.room.market.rows("select secret from webhook where id = $1", webhook.id))[0]
    assert decoded(secret) not in row["secret"]
    assert secret not in repr(webhook)
    assert repr(row["secret"]) not in repr(webhook)


async def test_what_was_missed_is_replayed_once_and_what_arrived_is_not(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    begin = utc_now()
    await office.hire()
    await office.write(session_id, "one")
    await receiver.until(lambda: receiver.taken)
    await office.settled()
    await office.webhooks.change(consumer, webhook.id, utc_now(), enabled=False)
    await office.write(session_id, "two", "three")
    await office.settled()
    await office.webhooks.change(consumer, webhook.id, utc_now(), enabled=True)
    await office.write(session_id, "four")
    await office.settled()
    assert names(receiver.taken) == ["one", "four"]
    made = await office.webhooks.replay_since(consumer, webhook.id, begin, utc_now())
    assert (made.count, made.complete) == (2, True)
    await office.settled()
    assert names(receiver.taken) == ["one", "four", "two", "three"]
    again = await office.webhooks.replay_since(consumer, webhook.id, begin, utc_now())
    assert again.count == 0


async def test_a_replayed_delivery_is_the_same_event_under_an_id_of_its_own(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.hire()
    await office.write(session_id, "one")
    await office.settled()
    (done,) = await office.webhooks.page(consumer, webhook.id, None, None, 10)
    await office.webhooks.replay(consumer, webhook.id, done.id, utc_now())
    await office.settled()
    first, second = receiver.taken
    assert first.id != second.id
    assert first.body == second.body
    assert set(receiver.answered.values()) == {1}


async def test_nobody_reaches_the_webhooks_of_others(office: PostOffice, receiver: Receiver) -> None:
    consumer, stranger = await office.room.market.consumer(), await office.room.market.consumer()
    webhook, _ = await office.subscribe(consumer, receiver.url)
    now = utc_now()
    for attempt in (
        office.webhooks.get(stranger, webhook.id),
        office.webhooks.change(stranger, webhook.id, now, enabled=False),
        office.webhooks.rotate(stranger, webhook.id, now),
        office.webhooks.test(stranger, webhook.id, now),
        office.webhooks.replay_since(stranger, webhook.id, now, now),
        office.webhooks.page(stranger, webhook.id, None, None, 10),
        office.webhooks.remove(stranger, webhook.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await office.webhooks.of_workspace(stranger) == []


async def test_a_workspace_has_so_many_webhooks_and_a_removed_one_leaves_nothing(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    made = [(await office.subscribe(consumer, receiver.url))[0] for _ in range(MOST_WEBHOOKS)]
    with pytest.raises(Conflict):
        await office.subscribe(consumer, receiver.url)
    await office.write(session_id, "one")
    await fanned_out(office, 1)
    for one in made:
        await office.webhooks.remove(consumer, one.id)
    assert await office.count() == 0
    with pytest.raises(InvalidInput):
        await office.subscribe(consumer, "http://10.0.0.1/")


async def test_old_deliveries_and_secrets_are_forgotten(office: PostOffice, receiver: Receiver) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.webhooks.rotate(consumer, webhook.id, utc_now() - timedelta(days=2))
    await office.hire()
    await office.write(session_id, "one")
    await receiver.until(lambda: receiver.taken)
    await office.settled()
    now = utc_now()
    async with office.database.begin() as tx:
        assert await office.queue.sweep(tx, now - timedelta(days=7), now, 100) == 0
        assert await office.queue.sweep(tx, now + timedelta(seconds=1), now, 100) == 1
    assert await office.count() == 0
    assert await office.room.market.value("select former_secret from webhook") is None


async def test_what_one_receiver_puts_off_keeps_no_other_alive(
    office: PostOffice, receiver: Receiver
) -> None:
    """The oldest is not what is done first: nobody's deliveries wait behind it to be forgotten."""
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.hire()
    for event in ("one", "two", "three"):
        await office.write(session_id, event)
    await receiver.until(lambda: len(receiver.taken) == 3)
    await office.settled()
    oldest = "(select min(number) from webhook_delivery)"
    put_off = "update webhook_delivery set state = 'PENDING', finished_at = null"
    kept = await office.room.market.value(f"{put_off} where number = {oldest} returning number")
    later = utc_now() + timedelta(seconds=1)
    for swept in (1, 1, 0):
        async with office.database.begin() as tx:
            assert await office.queue.sweep(tx, later, later, 1) == swept
    assert await office.room.market.value("select number from webhook_delivery") == kept


async def test_what_comes_while_a_webhook_is_being_disabled_is_not_lost(
    office: PostOffice, receiver: Receiver
) -> None:
    """It is pending, in a lane: so it is given up later, and can be had again."""
    session_id, consumer, _ = await office.room.live()
    market = office.room.market
    other = (await market.live(consumer, await market.supplier(), now=utc_now())).id
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    begin = utc_now()
    await office.write(session_id, "one")
    await fanned_out(office, 1)

    async def disable() -> None:
        await office.webhooks.change(consumer, webhook.id, utc_now(), enabled=False)

    async with office.database.begin() as tx:
        await connection(tx).execute("select from webhook_delivery for update")
        disabling = asyncio.create_task(disable())
        await blocked(office, disabling)
        await office.write(other, "two")
        await fanned_out(office, 2)
        await office.write(session_id, "three")
        growing = asyncio.create_task(fanned_out(office, 3))
        await blocked(office, disabling, growing)
    await asyncio.gather(disabling, growing)
    heads = "select head from webhook_lane order by head"
    pending = "select number from webhook_delivery where state = 'PENDING' order by number"
    assert await office.count("state = 'PENDING'") == 2
    assert await office.room.market.rows(heads) == await office.room.market.rows(pending)
    now = utc_now()
    async with office.database.begin() as tx:
        assert await office.queue.sweep(tx, begin, now, 100) == 2
    assert await office.count("state = 'FAILED'") == 3
    await office.hire()
    await office.webhooks.change(consumer, webhook.id, now, enabled=True)
    assert (await office.webhooks.replay_since(consumer, webhook.id, begin, now)).count == 3
    await office.settled()
    assert sorted(names(receiver.taken)) == ["one", "three", "two"]


async def test_a_webhook_that_is_just_enabled_again_keeps_what_is_pending(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.write(session_id, "one")
    await fanned_out(office, 1)
    await office.room.market.rows("update webhook set disabled_at = now(), disabled_reason = 'gone'")
    now = utc_now()

    async def sweep() -> None:
        async with office.database.begin() as tx:
            await office.queue.sweep(tx, webhook.created_at, now, 100)

    async with office.database.begin() as tx:
        await connection(tx).execute("update webhook set disabled_at = null, disabled_reason = null")
        sweeping = asyncio.create_task(sweep())
        await blocked(office, sweeping)
    await sweeping
    assert await office.count("state = 'PENDING'") == 1
