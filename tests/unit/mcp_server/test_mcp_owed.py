"""A picture that is paid is handed out also where its session cannot be ended; that goes on being tried."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from mcp import Client
from mcp.types import CallToolResult, ImageContent, TextContent

from luxxon_core.client import Luxxon, Retry
from luxxon_core.mcp_server import calls as calling
from luxxon_core.mcp_server import looking
from luxxon_core.mcp_server.answers import Answer
from luxxon_core.mcp_server.calls import Calls
from luxxon_core.mcp_server.server import Caller, made
from tests.unit.client.wire_samples import SESSION

ID = "6f0d1c1e-6d0b-4b43-9a60-0d1c7c6ff002"
JPEG = b"\xff\xd8 a picture \xff\xd9"
PLACE = {"lat": 1, "lng": 2}
SOON = 10.0


class Marketplace:
    """A camera that is LIVE at once; ``ending`` says what becomes of a request to end its session."""

    def __init__(self) -> None:
        self.state, self.shows = "REQUESTED", True
        self.ending: int | None = 503
        """The status that is answered; None: nothing is, ever; 200: it is ended."""
        self.tried = asyncio.Event()
        self.ended = asyncio.Event()
        self.tries = 0
        self.allowed = 1000
        """So many pictures, then too many were asked for."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path.endswith("/events"):
            return refused(404, "NOT_FOUND")
        if path.endswith("/frame"):
            if not self.shows:
                return refused(404, "FRAME_NOT_AVAILABLE")
            if self.allowed == 0:
                return refused(429, "RATE_LIMITED")
            self.allowed -= 1
            captured = {"X-Lx-Captured-At": datetime.now(UTC).isoformat(), "Content-Type": "image/jpeg"}
            return httpx.Response(200, content=JPEG, headers=captured)
        if path.endswith("/dispatch"):
            self.state = "LIVE"
        elif path.endswith("/end"):
            self.tries += 1
            self.tried.set()
            if self.ending is None:
                await asyncio.Event().wait()
            if self.ending != 200:
                return refused(self.ending or 0, "UNAVAILABLE" if self.ending == 503 else "NOT_AUTHORIZED")
            self.state = "ENDED"
            self.ended.set()
        asked = {"maxDurationSeconds": 30, "waitTimeoutSeconds": 5, "holdMicroUsdc": "30000"}
        asked |= {"id": ID, "consumerWorkspaceId": str(uuid4()), "state": self.state}
        asked |= {"ratePerSecondMicroUsdc": "1000", "chargedMicroUsdc": "0"}
        return httpx.Response(200, json={"statusCode": 200, "data": SESSION | asked})


def refused(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"statusCode": status, "code": code, "message": "no"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the usual seconds, in less of them."""
    monkeypatch.setattr(looking, "PROMPT", Retry(attempts=1), raising=False)
    monkeypatch.setattr(looking, "ENDING_SECONDS", 0.3, raising=False)
    monkeypatch.setattr(looking, "PICTURE_SECONDS", 0.3)
    monkeypatch.setattr(calling, "AGAIN_SECONDS", 0.05, raising=False)


@asynccontextmanager
async def host(market: Marketplace, calls: Calls) -> AsyncIterator[Client]:
    network = httpx.MockTransport(market)
    async with Luxxon("http://market/api/v1", api_key="k", retry=False, transport=network) as api:

        @asynccontextmanager
        async def opened(_: Any) -> AsyncIterator[Caller]:
            yield Caller(api)

        async with Client(made(opened, calls)) as client:
            yield client
        await calls.close(0)


def told(result: CallToolResult) -> Any:
    text = result.content[-1]
    assert isinstance(text, TextContent)
    return json.loads(text.text)


@pytest.mark.parametrize("ending", [503, None], ids=["refused", "unanswered"])
@pytest.mark.parametrize(
    ("tool", "asked"),
    [("observe", PLACE), ("watch", {"sessionId": ID, "maxFrames": 1, "endWhenDone": True})],
    ids=["observe", "watch"],
)
async def test_a_paid_picture_is_not_lost_with_the_end(
    tool: str, asked: dict[str, object], ending: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, calls = Marketplace(), Calls()
    market.ending = ending
    if tool == "watch":
        market.state = "LIVE"
    async with host(market, calls) as client:
        result = await asyncio.wait_for(client.call_tool(tool, asked), SOON)
        assert not result.is_error, told(result)
        assert isinstance(result.content[0], ImageContent)
        answer = told(result)
        assert answer["state"] == "LIVE", "as it is"
        assert answer.get("chargedMicroUsdc", "0") == "0"
        assert "1000 µUSDC a second, 30000 at most" in answer["hint"]
        market.tried.clear()
        market.ending = 200
        if ending is not None:
            await asyncio.wait_for(market.ended.wait(), SOON)
            assert market.state == "ENDED"


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "goes-on"])
async def test_paid_pictures_are_not_lost_with_one_that_fails(ends: bool) -> None:
    market, calls = Marketplace(), Calls()
    market.state, market.ending, market.allowed = "LIVE", 200, 1
    asked = {"sessionId": ID, "maxFrames": 3, "everySeconds": 1, "endWhenDone": ends}
    async with host(market, calls) as client:
        result = await asyncio.wait_for(client.call_tool("watch", asked), SOON)
        assert not result.is_error, told(result)
        assert isinstance(result.content[0], ImageContent)
        assert (told(result)["count"], told(result)["stopped"]) == (1, "STALLED")
        assert told(result)["state"] == market.state == ("ENDED" if ends else "LIVE")


@pytest.mark.parametrize("ending", [200, 503], ids=["ended", "owed"])
async def test_a_watch_that_fails_ends_what_it_was_to_end(ending: int) -> None:
    market, calls = Marketplace(), Calls()
    market.state, market.ending, market.allowed = "LIVE", ending, 0
    async with host(market, calls) as client:
        asked = {"sessionId": ID, "endWhenDone": True}
        result = await asyncio.wait_for(client.call_tool("watch", asked), SOON)
        assert (result.is_error, told(result)["code"]) == (True, "RATE_LIMITED")
        assert told(result).get("state") == ("ENDED" if ending == 200 else None)
        market.ending = 200
        await asyncio.wait_for(market.ended.wait(), SOON)


async def test_what_is_not_live_yet_is_not_ended_by_a_watch() -> None:
    market, calls = Marketplace(), Calls()
    market.ending = 200
    async with host(market, calls) as client:
        result = await client.call_tool("watch", {"sessionId": ID, "endWhenDone": True})
        assert (result.is_error, told(result)["code"], market.state) == (True, "INVALID_STATE", "REQUESTED")


async def test_it_goes_on_being_tried_for_as_long_as_it_takes() -> None:
    market, calls = Marketplace(), Calls()
    async with host(market, calls) as client:
        await asyncio.wait_for(client.call_tool("observe", PLACE), SOON)
        async with asyncio.timeout(SOON):
            while market.tries < 4:
                market.tried.clear()
                await market.tried.wait()
        market.ending = 200
        await asyncio.wait_for(market.ended.wait(), SOON)


async def test_without_a_picture_it_is_ended_later_just_as_well() -> None:
    market, calls = Marketplace(), Calls()
    market.shows = False
    async with host(market, calls) as client:
        result = await asyncio.wait_for(client.call_tool("observe", PLACE), SOON)
        answer = told(result)
        assert (result.is_error, answer["code"], answer["state"]) == (True, "FRAME_NOT_AVAILABLE", "LIVE")
        market.ending = 200
        await asyncio.wait_for(market.ended.wait(), SOON)


async def test_what_is_refused_for_good_is_not_tried_again() -> None:
    market, calls = Marketplace(), Calls()
    market.ending = 403
    async with host(market, calls) as client:
        assert told(await client.call_tool("observe", PLACE))["state"] == "LIVE"
        async with asyncio.timeout(SOON):
            while calls.ending:
                await asyncio.sleep(0.01)
        assert market.tries == 2, "once by the call, once after it"


async def test_a_server_that_stops_ends_what_is_owed_first() -> None:
    """And does not wait for longer than it may."""
    market, calls = Marketplace(), Calls()

    async def call() -> Answer:
        return Answer("a picture", owed=ID)

    async with Luxxon("http://market/api/v1", api_key="k", transport=httpx.MockTransport(market)) as api:
        market.state, market.ending = "LIVE", None
        await calls.run(api, call)
        await asyncio.wait_for(market.tried.wait(), SOON)
        await asyncio.wait_for(calls.close(0.1), SOON)
        assert (market.state, calls.ending) == ("LIVE", 0)
        market.ending = 503
        await calls.run(api, call)
        closing = asyncio.create_task(calls.close(SOON))
        market.ending = 200
        await asyncio.wait_for(closing, SOON)
    assert market.state == "ENDED"
