"""Two ``luxxon serve`` processes on one database: what one leaves behind, the other carries on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from filming import (
    OVER,
    POOL,
    Follower,
    assigned,
    at,
    cast,
    moment,
    nothing_stuck,
    online,
    picture,
    seconds_charged,
    settled_once,
    started,
    windows,
)
from production import Cameras, ChainLine, Production, production, until
from trader import Clients, Load, Rival, Trader

from luxxon_core.adapters.chain.pools import HEAD_SECONDS
from luxxon_core.client import Luxxon
from luxxon_core.client.errors import ConnectionFailed
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.geo import Point
from luxxon_core.sessions.schemas import Session

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRADERS, RIVALS = 10, 6
BEFORE, AFTER = 500, 300
"""Requests answered before the server is killed, and by the other one after it."""
CUT_OFF = 3
"""POSTs at least that the killed server has begun to execute."""
POST: dict[str, Any] = {"lat": 61, "lng": 61, "max_duration_seconds": 10, "idempotency_key": "the-same-one"}
TOLERANCE = timedelta(seconds=2)
JPEG = b"\xff\xd8"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(postgis_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    async with production(postgis_dsn, tmp_path_factory.mktemp("two")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def cameras() -> AsyncIterator[Cameras]:
    async with Cameras.running() as running:
        yield running


async def executing(market: Production) -> int:
    """POSTs under an Idempotency-Key that are being executed."""
    rows = await market.rows("select count(*) from idempotency where answer is null and lease_until > now()")
    return int(rows[0][0])


async def posted(market: Production) -> list[str] | None:
    """The sessions that :data:`POST` has made."""
    rows = await market.rows("select id::text from session where requested_lat = $1", POST["lat"])
    return [row["id"] for row in rows] or None


async def cut_off(
    market: Production, way: ChainLine, api: Luxxon, keeper: asyncpg.Connection[Any]
) -> tuple[asyncio.Task[Session], str]:
    """:data:`POST`, under way at a server that has executed it and cannot store its answer, as ``keeper``
    holds the row; and the session that it made."""
    held = way.hold("eth_blockNumber")
    await asyncio.wait_for(held.caught.wait(), 10)
    await asyncio.sleep(2 * HEAD_SECONDS)  # what the server knew of the chain is too old by now
    asking = asyncio.create_task(api.with_retry(False).sessions.create(**POST))
    key_hash = hashlib.sha256(str(POST["idempotency_key"]).encode()).digest()
    await keeper.execute("begin")

    async def claimed() -> bool | None:
        found = "select answer is null from idempotency where key_hash = $1 for update"
        unanswered: bool | None = await keeper.fetchval(found, key_hash)
        return unanswered

    assert await until(claimed, 10, "the claim")
    held.release()
    (done,) = await until(partial(posted, market), 10, "the session")
    return asking, done


async def test_a_server_killed_under_load_is_missed_by_nobody(market: Production, cameras: Cameras) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        way = await enter(ChainLine(market.chain.rpc_url).open())
        a, b = market.server("a", LUXXON_RPC_URL=way.url), market.server("b")
        await enter(market.servers(a, b))
        consumers, suppliers = await enter(cast(market, (a, b), TRADERS + 2, TRADERS + 2 + 3 + 2))
        watcher, crowd = consumers[TRADERS:]
        pick, filming, waiting = suppliers[TRADERS:-5], suppliers[-5:-2], suppliers[-2:]
        where = [Point(-40 + number, -170 + 3 * number) for number in range(TRADERS + 6)]
        on_a, on_b = await enter(at(a, watcher)), await enter(at(b, watcher))

        # the load, and who is told of it
        http = await enter(httpx.AsyncClient(trust_env=False, timeout=25))
        clients = Clients(http, [a, b])
        traders = [
            Trader(clients, consumers[n], suppliers[n], where[n], random.Random(n)) for n in range(TRADERS)
        ]
        taken: set[str] = set()
        rivals = [Rival(clients, crowd, where[-1], random.Random(100 + n), taken) for n in range(RIVALS)]
        await asyncio.gather(*(online(one.supplier, one.place) for one in traders))
        await asyncio.gather(*(online(one, where[-1]) for one in pick))
        followers = [Follower.of(await enter(at(b, one.consumer))) for one in traders]
        watching = Follower.of(on_b)
        for follower in (*followers, watching):
            stack.push_async_callback(follower.close)
            await asyncio.wait_for(follower.ready.wait(), 20)
        load = Load.of(clients, [*traders, *rivals])
        stack.push_async_callback(load.close)

        # three sessions with a picture: two on A, of which one's operator asks again where to publish
        moving, staying, elsewhere = lives = [
            await started(watcher, filming[n], where[TRADERS + n], (a, a, b)[n], stack) for n in range(3)
        ]
        cameras.operate(b.api_url, moving.supplier, moving.place)
        cameras.publish(staying.begun.whip_url)
        cameras.publish(elsewhere.begun.whip_url)
        for one in lives:
            assert (await on_b.sessions.wait_for(one.session_id, "LIVE")).state == "LIVE"
            for api in (on_a, on_b):
                assert (await api.sessions.frame(one.session_id))[:2] == JPEG, "whichever server is asked"
        await until(partial(seconds_charged, on_b, moving.session_id), 20, "a second charged")

        # three that wait: for a supplier, for the supplier's start, for a picture
        await load.answered(BEFORE)
        short = {"max_duration_seconds": 10, "wait_timeout_seconds": 5}
        expiring = [
            (await on_a.sessions.create(lat=60, lng=60, **short)).id,
            await assigned(on_a, waiting[0], where[-3], **short),
            await assigned(on_a, waiting[1], where[-2], **short),
        ]
        await (await enter(at(a, waiting[1]))).sessions.start(expiring[2])

        # the kill: A has done what one POST asked for and cannot say so, and is in the middle of others
        keeper = await asyncpg.connect(market.dsn)
        stack.push_async_callback(keeper.close)
        unsaid, done = await cut_off(market, way, on_a, keeper)
        held = way.hold("eth_blockNumber")

        async def busy() -> bool | None:
            return True if await executing(market) > CUT_OFF else None

        await until(busy, 20, "requests being executed")
        answered = clients.total
        clients.doomed.add("a")
        killed_at, killed = utc_now(), time.monotonic()
        await a.kill()
        held.release(lost=True)
        await keeper.execute("rollback")
        with pytest.raises(ConnectionFailed):
            await unsaid
        repeated = asyncio.gather(*(on_b.sessions.create(**POST) for _ in range(2)))

        # B notices; who asks it where to publish goes on there
        for one in (moving, staying):
            lost = await until(partial(windows, on_b, one.session_id, open_=True), 15, "a window")
            assert [gap.reason for gap in lost] == ["NETWORK_ERROR"]
            assert abs(moment(lost[0].opened_at) - killed_at) < TOLERANCE
            assert await picture(on_b, one.session_id) is None
        noticed = time.monotonic() - killed
        await until(partial(windows, on_b, moving.session_id, open_=False), 40, "the stream's move")
        moved = time.monotonic() - killed
        assert (await on_b.sessions.viewer_token(moving.session_id)).whep_url.startswith(b.url)
        assert (await until(partial(picture, on_b, moving.session_id), 10, "a picture"))[:2] == JPEG
        for session_id in expiring:
            assert (await on_b.sessions.wait_for(session_id, "EXPIRED")).state == "EXPIRED"
        for supplier in waiting:
            there = await (await enter(at(b, supplier))).workspaces.get(supplier.workspace_id)
            assert there.availability_state == "ONLINE"

        # the load goes on: nothing was done twice, and followers at B know also what A did last
        await load.answered(answered + AFTER)
        await load.finish()
        created = {one.consumer.workspace_id: one.created for one in traders}
        rows = await market.rows(
            "select consumer_workspace_id::text as id, count(*) as n from session group by 1"
        )
        assert {row["id"]: row["n"] for row in rows if row["id"] in created} == created
        for trader, follower in zip(traders, followers, strict=True):
            await until(partial(follower.told, trader.history), 10, "the last event")

        assert [one.id for one in await repeated] == [done, done]
        assert await posted(market) == [done]
        await on_b.sessions.cancel(done)

        # A comes back: what is still its own goes on there, what has moved is known no more
        await a.start()
        back = time.monotonic() - killed
        await until(partial(windows, on_b, staying.session_id, open_=False), 30, "the publisher's return")
        sdp = {"Content-Type": "application/sdp"}
        assert (await http.post(moving.begun.whip_url, content="v=0", headers=sdp)).status_code == 404
        for one in lives:
            for api in (on_a, on_b):
                found = await until(partial(picture, api, one.session_id), 10, "a picture")
                assert found[:2] == JPEG
            clean = (await on_a.sessions.receipt(one.session_id)).clean_seconds
            await until(partial(seconds_charged, on_b, one.session_id, clean), 20, "another second")

        # the bills
        for one, api in zip(lives, (on_a, on_b, on_a), strict=True):
            await api.sessions.end(one.session_id)
        bills = [await settled_once(market, on_b, one.session_id) for one in lives]
        assert [bill.lost_milliseconds > 2000 for bill in bills] == [True, True, False]
        head = await market.ledger.head()
        left = await market.ledger.deposits(watcher.wallet.address, head)
        assert left == POOL - sum(int(bill.charged_micro_usdc) for bill in bills)
        told = [
            await until(partial(watching.told_to_the_end, one.session_id), 10, "the end") for one in lives
        ]
        assert told == [
            ["REQUESTED", "ASSIGNED", "LIVE", "opened", "LIVE", "closed", *OVER],
            ["REQUESTED", "ASSIGNED", "LIVE", "opened", "closed", *OVER],
            ["REQUESTED", "ASSIGNED", "LIVE", *OVER],
        ]
        await nothing_stuck(market)
        served = sum((one.served for one in rivals), start=Counter[str]())
        print(  # noqa: T201 - shown with -s
            f"answered {dict(clients.answered)}, {answered} before the kill; lost {dict(clients.lost)};"
            f" sessions {sum(created.values())}; rivals {dict(served)}; window after {noticed:.1f} s,"
            f" stream moved after {moved:.1f} s, A back after {back:.1f} s,"
            f" longest retry {clients.longest_retry:.1f} s"
        )


async def test_a_server_that_is_asked_to_stop_answers_and_hands_over(
    market: Production, cameras: Cameras
) -> None:
    async with AsyncExitStack() as stack:
        way = await stack.enter_async_context(ChainLine(market.chain.rpc_url).open())
        a, b = market.server("leaving", LUXXON_RPC_URL=way.url), market.server("staying")
        await stack.enter_async_context(market.servers(a, b))
        (consumer,), (supplier,) = await stack.enter_async_context(cast(market, (b,), 1, 1))
        place = Point(20, 20)
        live = await started(consumer, supplier, place, a, stack)
        cameras.operate(b.api_url, supplier, place)
        assert (await consumer.api.sessions.wait_for(live.session_id, "LIVE")).state == "LIVE"
        assert (await consumer.api.sessions.frame(live.session_id))[:2] == JPEG
        await until(partial(seconds_charged, consumer.api, live.session_id), 20, "a second charged")

        on_a = await stack.enter_async_context(at(a, consumer))
        stream = on_a.with_retry(False).events(reconnect=False)
        assert (await anext(stream)).name == "ready"
        held = way.hold("eth_blockNumber")
        asking = asyncio.create_task(
            on_a.with_retry(False).sessions.create(lat=2, lng=2, max_duration_seconds=60)
        )
        await asyncio.wait_for(held.caught.wait(), 15)
        a.terminate()
        asked_at, asked = utc_now(), time.monotonic()
        with pytest.raises(ConnectionFailed):
            async with asyncio.timeout(5):
                while True:
                    await anext(stream)
        assert not asking.done()
        assert a.process is not None
        assert a.process.returncode is None, "there is a request to be answered"
        held.release()
        made = await asyncio.wait_for(asking, 5)
        assert await asyncio.wait_for(a.gone(), 15) == 0
        gone_at, gone = utc_now(), time.monotonic() - asked
        assert (await consumer.api.sessions.get(made.id)).state == "REQUESTED"

        again = await (await stack.enter_async_context(at(b, supplier))).sessions.start(live.session_id)
        assert again.whip_url.startswith(b.url), "at once"
        lost = (await consumer.api.sessions.receipt(live.session_id)).windows
        assert [one.reason for one in lost] == ["NETWORK_ERROR"]
        assert asked_at <= moment(lost[0].opened_at) <= gone_at
        await until(partial(windows, consumer.api, live.session_id, open_=False), 30, "the stream's move")
        moved = time.monotonic() - asked - gone
        assert (await until(partial(picture, consumer.api, live.session_id), 10, "a picture"))[:2] == JPEG
        async with consumer.api.events(last_event_id=stream.last_event_id) as resumed:
            names = [(await anext(resumed)).name for _ in range(2)]
        assert names[0] in ("session.state", "window.opened")
        await consumer.api.sessions.cancel(made.id)
        await consumer.api.sessions.end(live.session_id)
        await settled_once(market, consumer.api, live.session_id)
        await nothing_stuck(market)
        print(f"gone after {gone:.1f} s, stream moved {moved:.1f} s later")  # noqa: T201 - shown with -s
