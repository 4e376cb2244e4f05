"""The store against the real SDK, its server a function that answers, tells, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from luxxon_tui.feed import live_view
from luxxon_tui.store import Readiness, Store, follow
from luxxon_tui.store.follow import Follower, backoff
from luxxon_tui.views import Loss, Offline, Online, Phase, SessionView

SESSION_ID = UUID("1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21")
TX = "0x" + "ab" * 32


FORBIDDEN = {
    "status": "error",
    "code": "NOT_AUTHORIZED",
    "message": "No",
    "detail": "workspace:no",
    "requestId": "r",
}


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
    others: int = 0
    """Older sessions, all over."""
    reset: bool = False
    """Whether a stream that resumes has to begin anew."""
    resumed: list[str | None] = field(default_factory=list)
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

    def stream(self, after: str | None) -> httpx.Response:
        self.streams.append(Stream())
        self.resumed.append(after)
        if after is not None and self.reset:
            self.tell("reset")
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
            return self.stream(request.headers.get("Last-Event-ID"))
        if path == "/sessions":
            return httpx.Response(200, json={"status": "success", "data": self.page(request.url.params)})
        if path.endswith("/end"):
            self.state = "ENDED"
            self.tell("session.state", session=self.session())
        if path.startswith("/workspaces"):
            return httpx.Response(403, json=FORBIDDEN)
        answers = {"config": self.config, "me": self.me, "wallet": self.wallet}
        answer = self.receipt if path.endswith("receipt") else answers.get(path.split("/")[1], self.session)
        return httpx.Response(200, json={"status": "success", "data": answer()})

    def page(self, asked: httpx.QueryParams) -> list[dict[str, Any]]:
        ids = [str(SESSION_ID)] * bool(self.state) + [str(UUID(int=n)) for n in range(self.others)]
        first = ids.index(asked["cursor"]) + 1 if "cursor" in asked else 0
        chosen = ids[first : first + int(asked["limit"])]
        old = {"state": "ENDED", "endedAt": iso(CREATED), "createdAt": iso(CREATED - timedelta(days=1))}
        return [
            self.session() if one == str(SESSION_ID) else {**self.session(), "id": one, **old}
            for one in chosen
        ]

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
    monkeypatch.setattr(follow, "backoff", lambda _attempt: 0.01)
    return Market()


class Following:
    """A store that is being filled."""

    def __init__(self, store: Store, follower: Follower, market: Market) -> None:
        self.store, self.follower, self.market = store, follower, market
        self.links: list[Online | Offline] = []
        self.task: asyncio.Task[None] | None = None
        store.link.watch(lambda: self.links.append(store.link.value))

    @property
    def session(self) -> SessionView:
        return self.store.sessions.value[str(SESSION_ID)]

    async def until(self, true: Callable[[], bool]) -> None:
        """Follow, and wait for the store to be as it should."""
        self.task = self.task or asyncio.create_task(self.follower.run())
        changed = asyncio.Event()
        unwatch = self.store.watch(
            ("sessions", "link", "readiness", "wallet", "activity", "missing"), changed.set
        )
        async with asyncio.timeout(10):
            while not true():
                await changed.wait()
                changed.clear()
        unwatch()

    async def ready(self) -> None:
        """Until everything has been read."""
        await self.until(
            lambda: (
                self.store.readiness.value is Readiness.READY
                and (not self.market.state or self.session.billed or self.market.state == "REQUESTED")
            )
        )


@asynccontextmanager
async def followed(market: Market) -> AsyncIterator[Following]:
    url = "http://market.test/api/v1"
    async with Luxxon(url, api_key="lxxn_test_k", transport=httpx.MockTransport(market)) as api:
        store = Store()
        follower = Follower(api, store, lambda: NOW)
        following = Following(store, follower, market)
        try:
            yield following
        finally:
            if following.task is not None:
                following.task.cancel()
                await asyncio.gather(following.task, return_exceptions=True)


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
