"""The polling feed against the real SDK, its server a function that answers or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from scenes import ASSIGNED, CREATED, LIVE, NOW, SESSION, STARTED

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.geo import Point
from luxxon_tui import feed as feeds
from luxxon_tui.feed import PollingFeed, backoff
from luxxon_tui.views import LiveView, Loss, Offline, Online, Phase

SESSION_ID = UUID("1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21")
TX = "0x" + "ab" * 32
NEXT = {"PENDING": "SUBMITTED", "SUBMITTED": "CONFIRMED", "CONFIRMED": "CONFIRMED"}


@dataclass
class Market:
    """Answers as the contract says; ``down`` refuses connections, ``refusal`` answers with an error."""

    state: str = "LIVE"
    settlement: str = "NOT_READY"
    down: bool = False
    refusal: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)

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
        if path.endswith("/end"):
            self.state = "ENDED"
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
            "closedAt": iso(STARTED + timedelta(seconds=44)),
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
    for name in ("INTERVAL", "SETTLING", "PAST_SECOND"):
        monkeypatch.setattr(feeds, name, 0.01)
    monkeypatch.setattr(PollingFeed, "_pause", lambda _self: 0.01)
    monkeypatch.setattr(feeds, "backoff", lambda _attempt: 0.01)
    return Market()


@pytest.fixture
async def feed(market: Market) -> AsyncIterator[PollingFeed]:
    url = "http://market.test/api/v1"
    async with Luxxon(url, api_key="lxxn_test_k", transport=httpx.MockTransport(market)) as api:
        yield PollingFeed(api, SESSION_ID, lambda: NOW)


async def first(feed: PollingFeed, count: int) -> list[LiveView]:
    views: list[LiveView] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:  # type: ignore[type-var]
        async for view in every:
            views.append(view)
            if len(views) == count:
                break
    return views


async def test_a_live_session_comes_with_its_bill_so_far(feed: PollingFeed) -> None:
    loading, live = await first(feed, 2)
    assert loading.phase is Phase.LOADING and live.phase is Phase.LIVE
    assert isinstance(live.link, Online) and live.as_of == NOW and live.pool_micro == 12_400_000
    assert (live.workspace, live.chain_name) == ("acme-drones", "Embedded")
    session = live.session
    assert session is not None and session.requested == Point(50.8466, 4.3524)
    assert (session.clean_seconds, session.charged_micro, session.lost_ms) == (101, 101_000, 1_000)
    assert session.losses == (Loss("NETWORK_ERROR", 43_000, 44_000),)
    assert session.stream_url == "http://127.0.0.1:2/whep/secret" and "secret" not in repr(live)


async def test_a_waiting_session_is_not_live(feed: PollingFeed, market: Market) -> None:
    market.state = "REQUESTED"
    view = (await first(feed, 2))[1]
    assert view.phase is Phase.WAITING and view.session is not None and view.session.losses == ()


async def test_losing_the_server_keeps_what_was_loaded(feed: PollingFeed, market: Market) -> None:
    views: list[LiveView] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:  # type: ignore[type-var]
        async for view in every:
            views.append(view)
            market.down = 2 <= len(views) < 4
            if len(views) == 5:
                break
    _, live, one, two, back = views
    assert isinstance(one.link, Offline) and isinstance(two.link, Offline)
    assert (one.link.attempt, two.link.attempt) == (1, 2) and one.link.since == two.link.since
    assert one.session == two.session == live.session and two.phase is Phase.LIVE
    assert isinstance(back.link, Online)


async def test_a_refusal_is_final_and_says_what_to_do(feed: PollingFeed, market: Market) -> None:
    market.refusal = (404, "SESSION_NOT_FOUND")
    views = await first(feed, 99)
    assert views[-1].phase is Phase.FAILED
    assert views[-1].failure is not None and "session's id" in views[-1].failure.remedy


async def test_a_broken_server_is_tried_again(feed: PollingFeed, market: Market) -> None:
    market.refusal = (502, "EXTERNAL_ERROR")
    assert isinstance((await first(feed, 3))[2].link, Offline)


async def test_the_settlement_is_followed_until_it_is_confirmed(feed: PollingFeed, market: Market) -> None:
    states: list[str] = []
    async with asyncio.timeout(10), aclosing(feed.views()) as every:  # type: ignore[type-var]
        async for view in every:
            if view.phase is Phase.LIVE:
                await feed.end()
                market.settlement = "PENDING"
            elif view.session is not None:
                states.append(view.session.settlement)
                market.settlement = NEXT[view.session.settlement]
    assert states == ["PENDING", "SUBMITTED", "CONFIRMED"]
    assert view.session is not None and view.session.tx_url == f"https://explorer.test/tx/{TX}"
    assert view.session.to_micro == 85_850 and view.session.fee_micro == 15_150
    assert f"POST /sessions/{SESSION_ID}/end" in market.asked


async def test_retry_does_not_wait_for_the_countdown(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "backoff", lambda _attempt: 3600.0)
    market.down = True
    transport = httpx.MockTransport(market)
    async with Luxxon("http://market.test/api/v1", transport=transport) as api, asyncio.timeout(10):
        feed = PollingFeed(api, SESSION_ID, lambda: NOW)
        async with aclosing(feed.views()) as every:  # type: ignore[type-var]
            async for view in every:
                if isinstance(view.link, Offline):
                    market.down = False
                    feed.retry()
                if view.phase is Phase.LIVE:
                    return


def test_back_off_doubles_up_to_fifteen_seconds() -> None:
    assert [backoff(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 15, 15]


def test_the_next_reading_falls_just_after_a_full_second() -> None:
    feed = PollingFeed.__new__(PollingFeed)
    for elapsed_ms in range(5_000, 6_000, 50):
        feed._view = replace(LIVE, session=replace(SESSION, elapsed_ms=elapsed_ms))
        pause = PollingFeed._pause(feed)
        assert 0.1 < pause <= 1.2
        assert (elapsed_ms / 1000 + pause) % 1 == pytest.approx(feeds.PAST_SECOND)
