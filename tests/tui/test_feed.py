"""The feed against the real SDK, its server a function that answers, tells, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from scenes import ASSIGNED, CREATED, NOW, STARTED

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.geo import Point
from luxxon_tui import feed as feeds
from luxxon_tui.feed import EventFeed, backoff
from luxxon_tui.views import LiveView, Loss, Offline, Online, Phase

SESSION_ID = UUID("1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21")
TX = "0x" + "ab" * 32
NEXT = {"PENDING": "SUBMITTED", "SUBMITTED": "CONFIRMED", "CONFIRMED": "CONFIRMED"}


class Stream(httpx.AsyncByteStream):
    """An event stream: what is put into it, ``None`` to break it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (told := await self.queue.get()) is not None:
            yield told
        raise httpx.ReadError("broken")


@dataclass
class Market:
    """Answers as the contract says; ``down`` refuses connections, ``refusal`` answers with an error."""

    state: str = "LIVE"
    settlement: str = "NOT_READY"
    down: bool = False
    refusal: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    lost_ms: int = 1_000
    open_window: bool = False

    def tell(self, name: str, **data: Any) -> None:
        """To the newest stream; ``ready`` and what has changed have ids."""
        fields = {"at": iso(NOW), "sessionId": str(SESSION_ID), **data}
        identity = "" if name in ("session.meter", "end") else "id: 7\n"
        self.streams[-1].queue.put_nowait(f"{identity}event: {name}\ndata: {json.dumps(fields)}\n\n".encode())

    def meter(self, elapsed_ms: int) -> None:
        clean = (elapsed_ms - self.lost_ms) // 1000
        self.tell(
            "session.meter",
            cleanSeconds=clean,
            chargedMicroUsdc=str(clean * 1000),
            elapsedMilliseconds=elapsed_ms,
            lostMilliseconds=self.lost_ms,
        )

    def settle(self, state: str) -> None:
        self.settlement = state
        amounts = {"chargedMicroUsdc": "101000", "toAmountMicroUsdc": "1", "feeAmountMicroUsdc": "1"}
        paid = {"state": state, "chargeableSeconds": 101, "txHash": TX, "confirmedAt": None}
        self.tell("settlement.state", **paid, **amounts)

    def cut(self) -> None:
        self.down = True
        for stream in self.streams:
            stream.queue.put_nowait(None)

    def stream(self) -> httpx.Response:
        self.streams.append(Stream())
        if self.state:
            self.tell("session.state", session=self.session())
        self.tell("ready")
        return httpx.Response(200, stream=self.streams[-1], headers={"Content-Type": "text/event-stream"})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.asked.append(f"{request.method} {path}")
        if self.down:
            raise httpx.ConnectError("refused")
        if self.refusal:
            status, code = self.refusal
            body = {
                "status": "error",
                "code": code,
                "message": "No",
                "detail": "session:no",
                "requestId": "r",
            }
            return httpx.Response(status, json=body)
        if path.endswith("/events"):
            return self.stream()
        if path.endswith("/end"):
            self.state = "ENDED"
            self.tell("session.state", session=self.session())
        answers = {"config": self.config, "me": self.me, "wallet": self.wallet}
        answer = self.receipt if path.endswith("receipt") else answers.get(path.split("/")[1], self.session)
        return httpx.Response(200, json={"status": "success", "data": answer()})

    def config(self) -> dict[str, Any]:
        return {
            "environment": "TEST",
            "chainId": 31337,
            "chainName": "Embedded",
            "rpcUrl": "http://127.0.0.1:1",
            "explorerUrl": "https://explorer.test/",
            "usdcAddress": "0x0",
            "settlementAddress": "0x0",
        }

    def me(self) -> dict[str, Any]:
        workspace = {"id": "w", "slug": "acme", "name": "acme-drones"}
        key = {"keyId": "k", "environment": "TEST", "scopes": []}
        return {"kind": "api_key", "workspaceId": "w", "workspace": workspace, **key}

    def wallet(self) -> dict[str, Any]:
        return {
            "workspaceId": "w",
            "walletAddress": "0x0",
            "trackedBalance": "12400000",
            "lastSyncBlock": "1",
            "updatedAt": iso(NOW),
        }

    def session(self) -> dict[str, Any]:
        session: dict[str, Any] = {
            "id": str(SESSION_ID),
            "consumerWorkspaceId": "w",
            "operatorWorkspaceId": "o",
            "state": self.state,
            "maxDurationSeconds": 300,
            "waitTimeoutSeconds": 60,
            "ratePerSecondMicroUsdc": "1000",
            "holdMicroUsdc": "300000",
            "startedAt": iso(STARTED) if self.state != "REQUESTED" else None,
            "endedAt": None,
            "cleanSeconds": 0,
            "chargedMicroUsdc": "0",
            "settlementTxHash": None,
            "videoBackendRef": None,
            "createdAt": iso(CREATED),
            "requestedLat": 50.8466,
            "requestedLng": 4.3524,
            "authorized": False,
        }
        return session | ({"whepUrl": "http://127.0.0.1:2/whep/secret"} if self.state == "LIVE" else {})

    def receipt(self) -> dict[str, Any]:
        started = self.state != "REQUESTED"
        settlement = {"sessionId": str(SESSION_ID), "state": self.settlement}
        if self.settlement in ("SUBMITTED", "CONFIRMED"):
            settlement["txHash"] = TX
        window = {
            "reason": "NETWORK_ERROR",
            "openedAt": iso(STARTED + timedelta(seconds=43)),
            "closedAt": None if self.open_window else iso(STARTED + timedelta(seconds=44)),
        }
        return {
            "sessionId": str(SESSION_ID),
            "state": self.state,
            "asOf": iso(NOW),
            "createdAt": iso(CREATED),
            "assignedAt": iso(ASSIGNED) if started else None,
            "startedAt": iso(STARTED) if started else None,
            "endedAt": iso(NOW) if self.state == "ENDED" else None,
            "elapsedMilliseconds": 102_150 if started else 0,
            "lostMilliseconds": 1_000 if started else 0,
            "cleanSeconds": 101 if started else 0,
            "ratePerSecondMicroUsdc": "1000",
            "maxDurationSeconds": 300,
            "chargedMicroUsdc": "101000" if started else "0",
            "toAmountMicroUsdc": "85850",
            "feeAmountMicroUsdc": "15150",
            "settlement": settlement,
            "windows": [window] if started else [],
        }


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    monkeypatch.setattr(feeds, "backoff", lambda _attempt: 0.01)
    return Market()


@pytest.fixture
async def feed(market: Market) -> AsyncIterator[EventFeed]:
    url = "http://market.test/api/v1"
    async with Luxxon(url, api_key="lxxn_test_k", transport=httpx.MockTransport(market)) as api:
        yield EventFeed(api, SESSION_ID, lambda: NOW)


async def first(feed: EventFeed, count: int) -> list[LiveView]:
    views: list[LiveView] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            views.append(view)
            if len(views) == count:
                break
    return views


async def test_a_live_session_comes_with_its_bill_so_far(feed: EventFeed) -> None:
    loading, live = await first(feed, 2)
    assert loading.phase is Phase.LOADING and live.phase is Phase.LIVE
    assert isinstance(live.link, Online) and live.as_of == NOW and live.pool_micro == 12_400_000
    assert (live.workspace, live.chain_name) == ("acme-drones", "Embedded")
    session = live.session
    assert session is not None and session.requested == Point(50.8466, 4.3524)
    assert (session.clean_seconds, session.charged_micro, session.lost_ms) == (101, 101_000, 1_000)
    assert session.losses == (Loss("NETWORK_ERROR", 43_000, 44_000),)
    assert session.stream_url == "http://127.0.0.1:2/whep/secret" and "secret" not in repr(live)


async def test_a_waiting_session_is_not_live(feed: EventFeed, market: Market) -> None:
    market.state = "REQUESTED"
    view = (await first(feed, 2))[1]
    assert view.phase is Phase.WAITING and view.session is not None and view.session.losses == ()


async def test_seconds_come_by_the_stream_and_nothing_is_asked_for_them(
    feed: EventFeed, market: Market
) -> None:
    figures, asked = [], 0
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            if view.phase is Phase.LIVE and view.session is not None:
                session = view.session
                figures.append((session.elapsed_ms, session.clean_seconds, session.charged_micro))
                asked = asked or len(market.asked)
                if len(figures) == 4:
                    break
                market.meter(102_150 + len(figures) * 1000)
    assert figures == [
        (102_150, 101, 101_000),
        (103_150, 102, 102_000),
        (104_150, 103, 103_000),
        (105_150, 104, 104_000),
    ]
    assert len(market.asked) == asked
    assert sum(path.endswith("/events") for path in market.asked) == 1


@pytest.mark.parametrize("losing", [False, True])
async def test_a_counter_does_not_skip_where_seconds_change(
    feed: EventFeed, market: Market, losing: bool
) -> None:
    market.open_window = losing
    seconds = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            if view.phase is Phase.LIVE and view.session is not None:
                seconds.append((view.session.elapsed_ms // 1000, view.session.clean_seconds))
                if len(seconds) == 4:
                    break
                market.meter([102_990, 104_005, 104_998][len(seconds) - 1])
    told = [101, 103, 103] if losing else [102, 103, 104]
    assert seconds[1:] == list(zip([103, 104, 105], told, strict=True))


async def test_a_loss_shows_as_soon_as_it_is_told(feed: EventFeed, market: Market) -> None:
    views = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            views.append(view)
            if len(views) == 2:
                market.open_window = True
                market.tell("window.opened", reason="NETWORK_ERROR", openedAt=iso(NOW))
            elif len(views) == 3:
                break
    assert views[1].session is not None and views[1].session.lost_now is None
    assert views[2].session is not None and views[2].session.lost_now is not None


async def test_losing_the_server_keeps_what_was_loaded(feed: EventFeed, market: Market) -> None:
    views: list[LiveView] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            views.append(view)
            if len(views) == 2:
                market.cut()
            market.down = 2 <= len(views) < 4
            if len(views) == 5:
                break
    _, live, one, two, back = views
    assert isinstance(one.link, Offline) and isinstance(two.link, Offline)
    assert (one.link.attempt, two.link.attempt) == (1, 2) and one.link.since == two.link.since
    assert one.session == two.session == live.session and two.phase is Phase.LIVE
    assert isinstance(back.link, Online)


async def test_a_refusal_is_final_and_says_what_to_do(feed: EventFeed, market: Market) -> None:
    market.refusal = (404, "SESSION_NOT_FOUND")
    views = await first(feed, 99)
    assert views[-1].phase is Phase.FAILED
    assert views[-1].failure is not None and "session's id" in views[-1].failure.remedy


async def test_a_broken_server_is_tried_again(feed: EventFeed, market: Market) -> None:
    market.refusal = (502, "EXTERNAL_ERROR")
    assert isinstance((await first(feed, 3))[2].link, Offline)


async def test_the_settlement_is_followed_until_it_is_confirmed(feed: EventFeed, market: Market) -> None:
    states: list[str] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            if view.phase is Phase.LIVE:
                market.settlement = "PENDING"
                await feed.end()
            elif view.session is not None:
                states.append(view.session.settlement)
                market.settle(NEXT[view.session.settlement])
    assert states == ["PENDING", "SUBMITTED", "CONFIRMED"]
    assert view.session is not None and view.session.tx_url == f"https://explorer.test/tx/{TX}"
    assert view.session.to_micro == 85_850 and view.session.fee_micro == 15_150
    assert f"POST /sessions/{SESSION_ID}/end" in market.asked


async def test_the_end_of_the_stream_is_the_end_of_the_feed(feed: EventFeed, market: Market) -> None:
    market.state = "EXPIRED"
    async with asyncio.timeout(10), aclosing(feed.views()) as every:
        async for view in every:
            if view.phase is Phase.OVER:
                market.tell("end")
    assert view.phase is Phase.OVER


async def test_without_a_session_the_pool_is_followed(market: Market) -> None:
    transport = httpx.MockTransport(market)
    async with Luxxon("http://market.test/api/v1", transport=transport) as api, asyncio.timeout(10):
        pools = []
        async with aclosing(EventFeed(api, None, lambda: NOW).views()) as every:
            async for view in every:
                pools.append((view.phase, view.pool_micro))
                if len(pools) == 3:
                    break
                if len(pools) == 2:
                    market.settle("CONFIRMED")
    assert pools == [(Phase.LOADING, None), (Phase.EMPTY, 12_400_000), (Phase.EMPTY, 12_400_000)]
    assert "GET /events" in market.asked


async def test_retry_does_not_wait_for_the_countdown(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "backoff", lambda _attempt: 3600.0)
    market.down = True
    transport = httpx.MockTransport(market)
    async with Luxxon("http://market.test/api/v1", transport=transport) as api, asyncio.timeout(10):
        feed = EventFeed(api, SESSION_ID, lambda: NOW)
        async with aclosing(feed.views()) as every:
            async for view in every:
                if isinstance(view.link, Offline):
                    market.down = False
                    feed.retry()
                if view.phase is Phase.LIVE:
                    return


def test_back_off_doubles_up_to_fifteen_seconds() -> None:
    assert [backoff(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 15, 15]
