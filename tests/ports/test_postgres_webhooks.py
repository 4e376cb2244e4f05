"""Webhooks on PostgreSQL and a real receiver: what is told, in which order, and what outlives whom."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest
from aiohttp import web
from post_office import HASTY, PostOffice
from webhook_receiver import Hit, Receiver, date_of, names, receiving

from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import Conflict
from luxxon_core.webhooks.domain import Policy, State

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
