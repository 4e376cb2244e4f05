"""A call that is cancelled ends its session also where the first request to end it fails, or many do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from mcp import Client
from mcp.types import TextContent

from luxxon_core.client import Luxxon, Retry
from luxxon_core.mcp_server import calls as calling
from luxxon_core.mcp_server.answers import Answer
from luxxon_core.mcp_server.calls import Calls, let_go
from luxxon_core.mcp_server.progress import Progress
from luxxon_core.mcp_server.server import Caller, made
from luxxon_core.mcp_server.tools import TOOLS
from tests.unit.client.wire_samples import SESSION

ID = "6f0d1c1e-6d0b-4b43-9a60-0d1c7c6ff003"
SOON = 10.0
PLACE = {"lat": 1, "lng": 2}
TOOLS_THAT_PAY: dict[str, tuple[dict[str, object], str, str]] = {
    "request_live_view": (
        {**PLACE, "maxDurationSeconds": 3600, "timeoutMs": 60_000},
        "ASSIGNED",
        "CANCELLED",
    ),
    "observe": ({**PLACE, "waitTimeoutSeconds": 60}, "ASSIGNED", "CANCELLED"),
    "watch": ({"sessionId": ID, "everySeconds": 60, "maxFrames": 5}, "LIVE", "ENDED"),
}
"""What each is asked, the state in which it waits, and the one in which it is to leave its session."""

paying = pytest.mark.parametrize("tool", TOOLS_THAT_PAY)


class Marketplace:
    """Behind a gateway through which requests to end a session do not come; ``fails`` says how."""

    def __init__(self) -> None:
        self.state = "REQUESTED"
        self.fails: list[str] = []
        """What becomes of the next ones."""
        self.down: str | None = None
        """What becomes of those after them: None is success."""
        self.tries = 0
        self.tried = asyncio.Event()
        self.over = asyncio.Event()
        self.waited_for = asyncio.Event()
        """A call has come to where it waits."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path.endswith("/events"):
            self.waited_for.set()
            await asyncio.Event().wait()
        if path.endswith("/frame"):
            return httpx.Response(200, content=b"\xff\xd8\xff\xd9", headers={"Content-Type": "image/jpeg"})
        if path.endswith("/dispatch"):
            self.state = "ASSIGNED"
        elif request.method == "DELETE" or path.endswith("/end"):
            return await self._end(request)
        return self._told()

    async def _end(self, request: httpx.Request) -> httpx.Response:
        self.tries += 1
        self.tried.set()
        fails = self.fails.pop(0) if self.fails else self.down
        if fails == "502":
            return httpx.Response(502, text="<h1>Bad Gateway</h1>")
        if fails == "403":
            return httpx.Response(403, json={"statusCode": 403, "code": "NOT_AUTHORIZED", "message": "no"})
        if fails == "unanswered":
            await asyncio.Event().wait()
        if fails == "dropped":
            raise httpx.ReadError("connection lost", request=request)
        if self.state in ("ENDED", "CANCELLED"):
            refused = {"statusCode": 409, "code": "INVALID_STATE", "message": "it is over"}
            return httpx.Response(409, json=refused)
        self.state = "CANCELLED" if request.method == "DELETE" else "ENDED"
        self.over.set()
        if fails == "answer lost":
            raise httpx.RemoteProtocolError("peer closed connection", request=request)
        return self._told()

    def _told(self) -> httpx.Response:
        asked = {"maxDurationSeconds": 3600, "waitTimeoutSeconds": 300, "holdMicroUsdc": "3600000"}
        asked |= {"id": ID, "consumerWorkspaceId": str(uuid4()), "state": self.state}
        asked |= {"ratePerSecondMicroUsdc": "1000", "chargedMicroUsdc": "0"}
        return httpx.Response(200, json={"statusCode": 200, "data": SESSION | asked})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the usual seconds, in less of them."""
    monkeypatch.setattr(calling, "PATIENT", Retry(seconds=0.3))
    monkeypatch.setattr(calling, "AGAIN_SECONDS", 0.05)


@asynccontextmanager
async def reached(market: Marketplace) -> AsyncIterator[Luxxon]:
    network = httpx.MockTransport(market)
    async with Luxxon("http://market/api/v1", api_key="k", transport=network) as api:
        yield api


async def nobody(*_: object) -> None:
    """Takes progress."""


def calls_of(api: Luxxon, tool: str) -> Callable[[], Coroutine[Any, Any, Answer]]:
    return lambda: TOOLS[tool](api, TOOLS_THAT_PAY[tool][0], Progress(nobody))


async def waiting(
    market: Marketplace, api: Luxxon, calls: Calls, tool: str, gone: asyncio.Event | None = None
) -> asyncio.Task[Answer]:
    """The call, once it waits for what takes long."""
    _, state, _ = TOOLS_THAT_PAY[tool]
    if tool == "watch":
        market.state = state
    call = asyncio.create_task(calls.run(api, calls_of(api, tool), gone))
    await asyncio.wait_for(market.waited_for.wait(), SOON)
    assert market.state == state
    return call


@pytest.mark.parametrize("fails", ["502", "dropped", "answer lost"])
@paying
async def test_it_is_over_before_the_call_is_let_go(tool: str, fails: str) -> None:
    """A gateway answers, the connection breaks before the request is read, or before it is answered."""
    market, calls = Marketplace(), Calls()
    market.fails = [fails]
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool)
        call.cancel()
        await asyncio.wait((call,), timeout=SOON)
        assert call.cancelled()
        assert market.state == TOOLS_THAT_PAY[tool][2]
        assert market.tries == (1 if fails == "answer lost" else 2), "what was executed is not done again"
        assert calls.ending == 0, "nothing is owed"


@paying
async def test_who_leaves_ends_it_as_who_cancels_does(tool: str) -> None:
    market, calls, gone = Marketplace(), Calls(), asyncio.Event()
    market.fails = ["502", "502"]
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool, gone)
        gone.set()
        assert (await asyncio.wait_for(call, SOON)).failed
        assert (market.state, calls.ending) == (TOOLS_THAT_PAY[tool][2], 0)


@pytest.mark.parametrize("fails", ["502", "dropped", "unanswered"])
@paying
async def test_it_is_ended_later_where_patience_is_over_first(tool: str, fails: str, impatient: None) -> None:
    market, calls = Marketplace(), Calls()
    market.down = fails
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool)
        call.cancel()
        await asyncio.wait((call,), timeout=SOON)
        assert call.cancelled(), "also where nothing answers"
        assert (market.state, calls.ending) == (TOOLS_THAT_PAY[tool][1], 1)
        if fails == "unanswered":  # one request may take longer than this test
            await calls.close(0)
        else:
            market.down = None
            await asyncio.wait_for(market.over.wait(), SOON)
            await calls.close(SOON)
            assert market.state == TOOLS_THAT_PAY[tool][2]
        assert calls.ending == 0


async def test_what_is_refused_for_good_is_neither_insisted_on_nor_owed() -> None:
    market, calls = Marketplace(), Calls()
    market.down = "403"
    async with reached(market) as api:
        call = await waiting(market, api, calls, "watch")
        call.cancel()
        await asyncio.wait((call,), timeout=SOON)
        assert (market.tries, calls.ending) == (1, 0)


async def test_a_session_that_was_being_made_is_owed_just_as_well(impatient: None) -> None:
    market, calls = Marketplace(), Calls()
    market.down = "502"
    creating, may_create = asyncio.Event(), asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/sessions"):
            creating.set()
            await may_create.wait()
        return await market(request)

    async with Luxxon("http://m/api/v1", api_key="k", transport=httpx.MockTransport(slow)) as api:
        call = asyncio.create_task(calls.run(api, calls_of(api, "request_live_view")))
        await asyncio.wait_for(creating.wait(), SOON)
        call.cancel()
        await asyncio.sleep(0)
        may_create.set()
        await asyncio.wait((call,), timeout=SOON)
        assert call.cancelled()
        assert (market.state, calls.ending) == ("REQUESTED", 1)
        market.down = None
        await asyncio.wait_for(market.over.wait(), SOON)
        await calls.close(SOON)
    assert market.state == "CANCELLED"


async def test_an_answer_that_nobody_hears_is_owed_just_as_well(impatient: None) -> None:
    market, calls, gone = Marketplace(), Calls(), asyncio.Event()
    market.state, market.down = "LIVE", "502"

    async def call() -> Answer:
        gone.set()
        return Answer("LIVE", opened=ID)

    async with reached(market) as api:
        await asyncio.wait_for(calls.run(api, call, gone), SOON)
        assert (market.state, calls.ending) == ("LIVE", 1)
        market.down = None
        await asyncio.wait_for(market.over.wait(), SOON)
        await calls.close(SOON)


@paying
async def test_a_server_that_stops_tries_more_than_once(tool: str) -> None:
    market, calls = Marketplace(), Calls()
    market.fails = ["502"]
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool)
        await asyncio.wait_for(calls.close(5), SOON)
        answer = await asyncio.wait_for(call, SOON)
        assert (market.state, calls.ending) == (TOOLS_THAT_PAY[tool][2], 0)
    assert told(answer)["code"] == "UNAVAILABLE"
    assert "see that it is" not in told(answer)["message"]


@paying
async def test_a_server_that_stops_does_not_interrupt_what_is_being_undone(tool: str) -> None:
    """A call that has been cancelled before is cleaning up then."""
    market, calls = Marketplace(), Calls()
    market.down = "502"
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool)
        call.cancel()
        await asyncio.wait_for(market.tried.wait(), SOON)
        closing = asyncio.create_task(calls.close(5))
        await asyncio.sleep(0.05)
        assert not closing.done()
        market.down = None
        await asyncio.wait_for(closing, SOON)
        assert (market.state, calls.ending) == (TOOLS_THAT_PAY[tool][2], 0)
        await asyncio.wait((call,), timeout=SOON)


@pytest.mark.parametrize("down", ["502", "unanswered"])
@paying
async def test_a_server_that_stops_says_what_it_could_not_end_and_goes(tool: str, down: str) -> None:
    market, calls = Marketplace(), Calls()
    market.down = down
    async with reached(market) as api:
        call = await waiting(market, api, calls, tool)
        await asyncio.wait_for(calls.close(0.2), 2)
        answer = told(await asyncio.wait_for(call, 2))
        assert (market.state, calls.ending) == (TOOLS_THAT_PAY[tool][1], 0)
        tries = market.tries
        await asyncio.sleep(0.5)
        assert market.tries == tries, "nobody is left who would try"
    assert (answer["code"], answer["retryable"]) == ("UNAVAILABLE", True)
    assert f"the session {ID} could not be ended" in answer["message"]


async def test_whether_it_was_executed_is_what_the_session_says() -> None:
    market = Marketplace()
    async with reached(market) as api:
        for state, over in (("ASSIGNED", "CANCELLED"), ("LIVE", "ENDED")):
            market.state, market.fails, market.tries = state, ["answer lost"], 0
            assert (await let_go(api, ID, Retry(seconds=5))).state == over
            assert market.tries == 1


async def test_who_waits_for_a_session_may_stop_waiting() -> None:
    """It goes on, as documented: the call that has opened it has answered, and the host knows of it."""
    market, calls = Marketplace(), Calls()
    market.state = "ASSIGNED"
    async with reached(market) as api:
        asked = {"sessionId": ID, "timeoutMs": 60_000}
        call = asyncio.create_task(
            calls.run(api, lambda: TOOLS["wait_for_live"](api, asked, Progress(nobody)))
        )
        await asyncio.wait_for(market.waited_for.wait(), SOON)
        call.cancel()
        await asyncio.wait((call,), timeout=SOON)
        assert (market.state, market.tries, calls.ending) == ("ASSIGNED", 0, 0)


async def test_a_host_that_cancels_by_the_protocol() -> None:
    market, calls = Marketplace(), Calls()
    market.fails = ["502"]
    async with reached(market) as api:

        @asynccontextmanager
        async def opened(_: Any) -> AsyncIterator[Caller]:
            yield Caller(api)

        async with Client(made(opened, calls)) as client:
            asked, _, _ = TOOLS_THAT_PAY["request_live_view"]
            call = asyncio.create_task(client.call_tool("request_live_view", asked))
            await asyncio.wait_for(market.waited_for.wait(), SOON)
            call.cancel()
            await asyncio.wait((call,))
            await asyncio.wait_for(market.over.wait(), SOON)
        await calls.close(SOON)
    assert market.state == "CANCELLED"


def told(answer: Answer) -> dict[str, Any]:
    text = answer.result().content[-1]
    assert isinstance(text, TextContent)
    return dict(json.loads(text.text))
