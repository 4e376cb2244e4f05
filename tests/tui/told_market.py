"""A server that is a function: it answers, tells, or does not; and a store that follows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from scenes import ASSIGNED, CREATED, NOW, STARTED

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import iso
from luxxon_tui.store import Readiness, Store
from luxxon_tui.store.follow import Follower
from luxxon_tui.views import Offline, Online, SessionView

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


Answer = Callable[[httpx.Request], httpx.Response | Coroutine[None, None, httpx.Response]]


@asynccontextmanager
async def followed(market: Market, answer: Answer | None = None) -> AsyncIterator[Following]:
    """A store that can follow a market; ``answer`` takes its place on the wire."""
    url = "http://market.test/api/v1"
    async with Luxxon(url, api_key="lxxn_test_k", transport=httpx.MockTransport(answer or market)) as api:
        store = Store()
        follower = Follower(api, store, lambda: NOW)
        following = Following(store, follower, market)
        try:
            yield following
        finally:
            if following.task is not None:
                following.task.cancel()
                await asyncio.gather(following.task, return_exceptions=True)
