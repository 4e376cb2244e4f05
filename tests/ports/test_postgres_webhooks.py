"""Webhooks on PostgreSQL and a real receiver: what is told, in which order, and what outlives whom."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from post_office import HASTY, PostOffice, post_office
from webhook_receiver import Hit, Receiver, date_of, receiving

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import Conflict, InvalidInput, NotFound
from luxxon_core.webhooks.domain import MOST_WEBHOOKS, Policy, State


@pytest.fixture
async def office(database: Database, dsn: str) -> AsyncIterator[PostOffice]:
    async with post_office(dsn) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


def names(hits: list[Hit]) -> list[str]:
    return [hit.payload["data"]["videoBackendRef"] for hit in hits]


# -- what is told -----------------------------------------------------------------------------------------


async def test_both_sides_are_told_of_a_session_signed_and_without_urls(
    office: PostOffice, receiver: Receiver
) -> None:
    async with receiving() as other:
        market = office.room.market
        consumer, supplier = await market.consumer(), await market.supplier()
        _, secret = await office.subscribe(consumer, receiver.url)
        _, others = await office.subscribe(supplier, other.url)
        await office.hire()
        session = await market.live(consumer, supplier, now=utc_now())
        await receiver.until(lambda: len(receiver.taken) >= 4)
        await office.settled()
        states = [hit.payload["data"]["session"]["state"] for hit in receiver.taken]
        assert states[0] == "REQUESTED"
        assert states[-1] == "LIVE"
        assert [hit.payload["data"]["session"]["state"] for hit in other.taken] == states[1:]
        assert receiver.events == sorted(receiver.events, key=int)
        for hit in receiver.taken:
            assert hit.payload["type"] == "session.state"
            assert hit.session == str(session.id)
            assert hit.headers["content-type"] == "application/json"
            assert hit.signed_by(secret)
            assert not hit.signed_by(others)
            assert b"whip" not in hit.body.lower().replace(b"whipurl", b"") or b"https://edge" not in hit.body
            assert b"edge.test" not in hit.body


async def test_what_was_before_and_what_is_not_asked_for_is_not_told(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.write(session_id, "before")
    async with asyncio.timeout(5):
        while await office.room.market.value("select count(*) from event where position is null"):
            await asyncio.sleep(0.01)
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    await office.hire()
    await office.write(session_id, "after")
    await office.room.market.sessions.end(session_id, consumer, utc_now())
    await office.settled()
    assert names(receiver.hits) == ["after"]


async def test_other_workspaces_are_told_nothing(office: PostOffice, receiver: Receiver) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(await office.room.market.consumer(), receiver.url)
    async with receiving() as right:
        await office.subscribe(consumer, right.url)
        await office.hire()
        await office.write(session_id, "one")
        await right.until(lambda: right.taken)
        await office.settled()
    assert receiver.hits == []


# -- order ------------------------------------------------------------------------------------------------


async def test_a_failing_delivery_holds_back_its_session_and_no_other(
    office: PostOffice, receiver: Receiver
) -> None:
    first, consumer, _ = await office.room.live()
    supplier = await office.room.market.supplier()
    second = (await office.room.market.live(consumer, supplier, now=utc_now())).id
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    mended = asyncio.Event()
    receiver.behave = lambda hit: 200 if mended.is_set() or hit.session == str(second) else 500
    await office.hire()
    await office.write(first, "a1", "a2", "a3")
    await office.write(second, "b1", "b2")
    await receiver.until(lambda: names(receiver.taken) == ["b1", "b2"])
    await receiver.until(lambda: sum(name == "a1" for name in names(receiver.hits)) >= 3)
    assert "a2" not in names(receiver.hits)
    mended.set()
    await office.settled()
    assert names(receiver.taken).count("a1") >= 1
    last = [name for name in names(receiver.hits) if name.startswith("a")]
    assert last[-3:] == ["a1", "a2", "a3"]
    assert set(receiver.answered.values()) == {1}


async def test_one_slow_receiver_does_not_hold_up_another(office: PostOffice, receiver: Receiver) -> None:
    session_id, consumer, _ = await office.room.live()
    release = asyncio.Event()

    async def stall(_: Hit) -> int:
        await release.wait()
        return 200

    async with receiving() as slow:
        slow.behave = stall
        await office.subscribe(consumer, slow.url, ["video.connected"])
        await office.subscribe(consumer, receiver.url, ["video.connected"])
        await office.hire(timeout_s=5)
        await office.write(session_id, *(f"e{number}" for number in range(20)))
        await receiver.until(lambda: len(receiver.taken) == 20, 4)
        release.set()
        await office.settled()
        assert names(slow.taken) == names(receiver.taken)


# -- whoever dies -----------------------------------------------------------------------------------------


def hanging(receiver: Receiver) -> asyncio.Event:
    """Have it keep whoever comes waiting; set as soon as one has come."""
    hung = asyncio.Event()

    async def hang(_: Hit) -> int:
        hung.set()
        await asyncio.sleep(30)
        return 200

    receiver.behave = hang
    return hung


async def test_what_a_killed_courier_had_under_way_is_taken_up(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    hung = hanging(receiver)
    doomed = await office.hire(lease=timedelta(seconds=1), timeout_s=20)
    await office.write(session_id, "one", "two")
    await asyncio.wait_for(hung.wait(), 5)
    await doomed.die()
    receiver.behave = lambda _: 200
    before = len(receiver.hits)
    await office.hire(lease=timedelta(seconds=1))
    await office.settled()
    assert names(receiver.hits[before:]) == ["one", "two"]


async def test_what_is_under_way_at_an_end_is_given_back_at_once(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    hung = hanging(receiver)
    leaving = await office.hire(lease=timedelta(hours=1), timeout_s=20)
    await office.write(session_id, "one")
    await asyncio.wait_for(hung.wait(), 5)
    await leaving.close()
    receiver.behave = lambda _: 200
    await office.hire()
    await office.settled(5)
    assert names(receiver.taken) == ["one"]


async def test_several_couriers_share_the_work_and_nothing_is_sent_twice(
    office: PostOffice, receiver: Receiver
) -> None:
    market = office.room.market
    consumer = await market.consumer()
    sessions = [(await market.live(consumer, await market.supplier(), now=utc_now())).id for _ in range(8)]
    await office.subscribe(consumer, receiver.url, ["video.connected"])
    fails: dict[str, int] = defaultdict(int)

    def flaky(hit: Hit) -> int:
        fails[hit.id] += 1
        return 503 if hash(hit.id) % 3 == 0 and fails[hit.id] < 3 else 200

    receiver.behave = flaky
    for _ in range(3):
        await office.hire()
    for number in range(15):
        await asyncio.gather(*(office.write(one, f"{number}") for one in sessions))
    await office.settled(40)
    assert set(receiver.answered.values()) == {1}
    assert len(receiver.answered) == 8 * 15
    for one in sessions:
        of_one = [hit for hit in receiver.taken if hit.session == str(one)]
        last = {hit.id: hit for hit in of_one}
        assert names(list(last.values())) == [str(number) for number in range(15)]


# -- what receivers answer --------------------------------------------------------------------------------


async def test_gone_disables_the_webhook(office: PostOffice, receiver: Receiver) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = lambda _: 410
    await office.hire()
    await office.write(session_id, "one", "two", "three")
    found = await office.disabled(webhook)
    assert found.disabled_reason == "the receiver answered 410 Gone"
    await office.write(session_id, "four")
    await office.settled()
    assert len(receiver.hits) == 1
    assert await office.count("state = 'FAILED'") >= 1
    with pytest.raises(Conflict):
        await office.webhooks.test(consumer, webhook.id, utc_now())


async def test_long_failure_disables_the_webhook_and_says_why(office: PostOffice, receiver: Receiver) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = lambda _: 500
    await office.hire()
    await office.write(session_id, "one")
    await receiver.until(lambda: len(receiver.hits) >= 2)
    await office.age(webhook, utc_now() - timedelta(hours=73))
    found = await office.disabled(webhook)
    assert found.disabled_reason == "no delivery succeeded for 72 hours; the last one: HTTP 500"


async def test_a_delivery_is_given_up_in_the_end_and_the_next_one_goes_on(
    office: PostOffice, receiver: Receiver
) -> None:
    session_id, consumer, _ = await office.room.live()
    webhook, _ = await office.subscribe(consumer, receiver.url, ["video.connected"])
    receiver.behave = lambda hit: 500 if names([hit]) == ["bad"] else 200
    await office.hire(policy=Policy(HASTY.first_retry, HASTY.longest_retry, give_up=timedelta(seconds=0.5)))
    await office.write(session_id, "bad", "good")
    await office.settled()
    assert names(receiver.taken) == ["good"]
    good, bad = await office.webhooks.page(consumer, webhook.id, None, None, 10)
    assert (good.state, bad.state) == (State.SUCCEEDED, State.FAILED)
    assert len(bad.attempts) >= 3
    assert {one.fault for one in bad.attempts} == {"HTTP 500"}
    assert names(receiver.hits).count("bad") == len(bad.attempts)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured_by_all_sessions_of_a_busy_receiver(
    office: PostOffice, receiver: Receiver, form: str
) -> None:
    session_id, consumer, _ = await office.room.live()
    supplier = await office.room.market.supplier()
    second = (await office.room.market.live(consumer, supplier, now=utc_now())).id
    await office.subscribe(consumer, receiver.url, ["video.connected"])

    def busy(_: Hit) -> web.Response | int:
        asked = "2" if form == "seconds" else date_of(utc_now() + timedelta(seconds=3))
        return web.Response(status=429, headers={"Retry-After": asked}) if len(receiver.hits) == 1 else 200

    receiver.behave = busy
    await office.hire()
    await office.write(session_id, "one")
    await receiver.until(lambda: receiver.hits)
    await asyncio.sleep(0.2)
    await office.write(second, "two")
    await office.settled()
    assert [hit.at - receiver.hits[0].at >= 1.5 for hit in receiver.hits[1:]] == [True, True]


# -- what owners do ---------------------------------------------------------------------------------------


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
    from webhook_receiver import decoded

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
    async with asyncio.timeout(5):
        while not await office.count():
            await office.fan_out.step(utc_now())
            await asyncio.sleep(0.01)
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
