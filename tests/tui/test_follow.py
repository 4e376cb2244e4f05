"""The store against the real SDK, its server a function that answers, tells, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from scenes import NOW, STARTED
from told_market import SESSION_ID, TX, Following, Market, followed

from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.geo import Point
from luxxon_tui.feed import live_view
from luxxon_tui.store import Readiness, follow
from luxxon_tui.store.follow import backoff
from luxxon_tui.views import Loss, Offline, Online, Phase


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    monkeypatch.setattr(follow, "backoff", lambda _attempt: 0.01)
    return Market()


@pytest.fixture
async def following(market: Market) -> AsyncIterator[Following]:
    async with followed(market) as found:
        yield found


async def test_a_live_session_comes_with_its_bill_so_far(following: Following) -> None:
    assert live_view(following.store, str(SESSION_ID)).phase is Phase.LOADING
    await following.ready()
    view = live_view(following.store, str(SESSION_ID))
    assert view.phase is Phase.LIVE
    assert isinstance(view.link, Online) and view.link.latency_ms is not None
    assert view.as_of == NOW and view.pool_micro == 12_400_000
    assert (view.workspace, view.chain_name) == ("acme-drones", "Embedded")
    session = following.session
    assert session.requested == Point(50.8466, 4.3524) and session.side == "consumer"
    assert (session.clean_seconds, session.charged_micro, session.lost_ms) == (101, 101_000, 1_000)
    assert session.losses == (Loss("NETWORK_ERROR", 43_000, 44_000),)
    assert session.stream_url == "http://127.0.0.1:2/whep/secret" and "secret" not in repr(view)


async def test_a_waiting_session_is_not_live(following: Following, market: Market) -> None:
    market.state = "REQUESTED"
    await following.ready()
    assert live_view(following.store, following.store.shown).phase is Phase.WAITING
    assert following.session.losses == ()


async def test_seconds_come_by_the_stream_and_nothing_is_asked_for_them(
    following: Following, market: Market
) -> None:
    await following.ready()
    asked = len(market.asked)
    for second in (103, 104, 105):
        market.meter(second * 1000 + 150)
        await following.until(lambda second=second: following.session.elapsed_ms == second * 1000 + 150)
        session = following.session
        assert (session.clean_seconds, session.charged_micro) == (second - 1, (second - 1) * 1000)
    assert len(market.asked) == asked
    assert sum(path.endswith("/events") for path in market.asked) == 1


@pytest.mark.parametrize("losing", [False, True])
async def test_a_counter_does_not_skip_where_seconds_change(
    following: Following, market: Market, losing: bool
) -> None:
    market.open_window = losing
    await following.ready()
    seconds = []
    for elapsed in (102_990, 104_005, 104_998):
        market.meter(elapsed)
        before = following.session
        await following.until(lambda before=before: following.session != before)
        seconds.append((following.session.elapsed_ms // 1000, following.session.clean_seconds))
    told = [101, 103, 103] if losing else [102, 103, 104]
    assert seconds == list(zip([103, 104, 105], told, strict=True))


async def test_a_loss_shows_as_soon_as_it_is_told(following: Following, market: Market) -> None:
    await following.ready()
    assert following.session.lost_now is None
    asked = len(market.asked)
    opened = iso(STARTED + timedelta(seconds=97))
    market.tell("window.opened", reason="OUTSIDE_GEOFENCE", openedAt=opened)
    await following.until(lambda: following.session.lost_now == Loss("OUTSIDE_GEOFENCE", 97_000, None))
    market.tell(
        "window.closed",
        reason="OUTSIDE_GEOFENCE",
        openedAt=opened,
        closedAt=iso(STARTED + timedelta(seconds=99)),
    )
    await following.until(lambda: following.session.losses[-1] == Loss("OUTSIDE_GEOFENCE", 97_000, 99_000))
    assert len(following.session.losses) == 2 and len(market.asked) == asked
    assert "outside the area" in following.store.activity.value[-1].words


async def test_losing_the_server_keeps_what_was_loaded_and_resumes(
    following: Following, market: Market
) -> None:
    await following.ready()
    before, lists = following.session, market.asked.count("GET /sessions")
    market.cut()
    await following.until(lambda: len([one for one in following.links if isinstance(one, Offline)]) >= 2)
    one, two = [each for each in following.links if isinstance(each, Offline)][:2]
    assert (one.attempt, two.attempt) == (1, 2) and one.since == two.since == NOW
    assert following.session == before
    market.down = False
    await following.until(lambda: isinstance(following.store.link.value, Online))
    assert market.resumed == [None, "7"]
    assert market.asked.count("GET /sessions") == lists, "nothing was missed, so nothing is read again"


async def test_a_gap_is_closed_by_reading_everything_again(following: Following, market: Market) -> None:
    await following.ready()
    market.reset = True
    market.cut()
    market.down = False
    market.state = "ENDED"
    await following.until(lambda: following.session.state == "ENDED")
    assert market.asked.count("GET /sessions") == 2


async def test_a_refusal_is_final_until_it_is_asked_again(market: Market) -> None:
    market.refusal = (401, "UNAUTHORIZED")
    async with followed(market) as following:
        await following.until(lambda: following.store.readiness.value is Readiness.FAILED)
        failure = following.store.failure.value
        assert failure is not None and "API key" in failure.remedy
        market.refusal = None
        following.follower.retry()
        await following.ready()
        assert following.store.failure.value is None


async def test_a_session_that_is_not_there_says_what_to_do(following: Following, market: Market) -> None:
    await following.ready()
    market.refusal = (404, "SESSION_NOT_FOUND")
    await following.follower.bill(str(UUID(int=9)))
    view = live_view(following.store, str(UUID(int=9)))
    assert view.phase is Phase.FAILED and view.failure is not None and "session's id" in view.failure.remedy


async def test_a_broken_server_is_tried_again(market: Market) -> None:
    market.refusal = (502, "EXTERNAL_ERROR")
    async with followed(market) as following:
        await following.until(lambda: isinstance(following.store.link.value, Offline))


async def test_the_settlement_is_followed_until_it_is_confirmed(following: Following, market: Market) -> None:
    await following.ready()
    market.settlement = "PENDING"
    market.state = "ENDED"
    market.tell("session.state", session=market.session())
    await following.until(
        lambda: following.session.settlement == "PENDING" and following.session.to_micro == 85_850
    )
    for state in ("SUBMITTED", "CONFIRMED"):
        market.settle(state)
        await following.until(lambda state=state: following.session.settlement == state)
    session = following.session
    assert session.tx_url == f"https://explorer.test/tx/{TX}" and session.settled
    assert session.to_micro is not None and session.fee_micro is not None


async def test_a_bill_that_is_overtaken_takes_no_settlement_back() -> None:
    market = Market(state="ENDED", settlement="SUBMITTED")
    taken = asyncio.Event()

    async def late(request: httpx.Request) -> httpx.Response:
        answer = market(request)
        if request.url.path.endswith("receipt") and market.settlement == "SUBMITTED":
            market.settle("CONFIRMED")
            await taken.wait()
        return answer

    async with followed(market, late) as following:
        following.store.watched.set(str(SESSION_ID))
        sessions = following.store.sessions
        await following.until(lambda: bool(sessions.value) and following.session.settlement == "CONFIRMED")
        taken.set()
        await following.until(lambda: following.session.billed)
        assert following.session.settlement == "CONFIRMED"


async def test_older_sessions_come_by_pages(market: Market) -> None:
    market.others = 150
    async with followed(market) as following:
        await following.ready()
        assert len(following.store.sessions.value) == 100 and not following.store.complete.value
        await following.follower.older()
        assert len(following.store.sessions.value) == 151 and following.store.complete.value


async def test_a_session_of_which_nothing_is_known_appears(market: Market) -> None:
    market.state = ""
    async with followed(market) as following:
        await following.ready()
        assert live_view(following.store, following.store.shown).phase is Phase.EMPTY
        market.state = "REQUESTED"
        market.tell("session.state", session=market.session())
        await following.until(lambda: following.store.shown == str(SESSION_ID))


async def test_retry_does_not_wait_for_the_countdown(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "backoff", lambda _attempt: 3600.0)
    market.down = True
    async with followed(market) as following:
        await following.until(lambda: isinstance(following.store.link.value, Offline))
        market.down = False
        following.follower.retry()
        await following.ready()


def test_back_off_doubles_up_to_fifteen_seconds() -> None:
    assert [backoff(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 15, 15]
