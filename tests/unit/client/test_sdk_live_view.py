"""From a point to a picture in one call, and lists that come in pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from wire_samples import SESSION

from luxxon_core.client import LiveOutcome, LiveViewResult, Luxxon
from luxxon_core.kernel.errors import InsufficientCredit, NoCoverage

AT = "2026-05-13T12:00:00.000Z"
ID = SESSION["id"]
ARGUMENTS = {"lat": 50.8, "lng": 4.3, "max_duration_seconds": 60}


class Told(httpx.AsyncByteStream):
    def __init__(self, market: Market) -> None:
        self._market = market

    async def __aiter__(self) -> AsyncIterator[bytes]:
        before = None
        while True:
            if self._market.state != before:
                before = self._market.state
                data = {"sessionId": ID, "at": AT, "session": self._market.session()}
                yield f"id: 7\nevent: session.state\ndata: {json.dumps(data)}\n\n".encode()
            await asyncio.sleep(0.01)


@dataclass
class Market:
    """One session, which moves on by itself when dispatched."""

    state: str = "REQUESTED"
    after_dispatch: tuple[str, ...] = ("ASSIGNED", "LIVE")
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    dispatched: asyncio.Event = field(default_factory=asyncio.Event)

    def session(self) -> dict[str, object]:
        return SESSION | {"state": self.state}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        last = request.url.path.rsplit("/", 1)[-1]
        name = request.method if last in (ID, "sessions") else last
        self.asked.append(name)
        if name in self.refusals:
            status, code = self.refusals[name]
            if name == "viewer-token":
                self.state = "ENDED"
            return httpx.Response(status, json={"code": code, "message": "No"})
        if name == "events":
            return httpx.Response(200, stream=Told(self), headers={"Content-Type": "text/event-stream"})
        if name == "dispatch":
            self.dispatched.set()
            self.state = self.after_dispatch[-1]
        elif name == "DELETE":
            if self.state not in ("REQUESTED", "ASSIGNED"):
                return httpx.Response(409, json={"code": "INVALID_STATE", "message": "No"})
            self.state = "CANCELLED"
        elif name == "viewer-token":
            token = {"videoBackendRef": "v", "whepUrl": "http://edge.test/whep/secret"}
            return httpx.Response(200, json={"data": token})
        return httpx.Response(200, json={"data": self.session()})


async def request(market: Market, **options: object) -> LiveViewResult:
    async with Luxxon("http://server.test", transport=httpx.MockTransport(market)) as api:
        return await api.request_live_view(**ARGUMENTS, **options)  # type: ignore[arg-type]


async def test_a_place_with_a_camera_is_watched() -> None:
    market = Market()
    result = await request(market)
    assert result.outcome is LiveOutcome.LIVE
    assert result.session.state == "LIVE"
    assert result.viewer is not None
    assert result.viewer.whep_url == "http://edge.test/whep/secret"
    assert "secret" not in repr(result)
    assert market.asked == ["POST", "dispatch", "events", "viewer-token"]


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_place_without_a_camera_is_an_answer(cancel: bool) -> None:
    market = Market(refusals={"dispatch": (503, "NO_COVERAGE")})
    result = await request(market, cancel=cancel)
    assert result.outcome is LiveOutcome.NOT_DISPATCHED
    assert isinstance(result.refusal, NoCoverage)
    assert (result.session.id, result.viewer) == (ID, None)
    assert result.session.state == market.state == ("CANCELLED" if cancel else "REQUESTED")
    assert market.asked.count("dispatch") == 1


@pytest.mark.parametrize("cancel", [False, True])
async def test_not_live_in_time_is_an_answer(cancel: bool) -> None:
    market = Market(after_dispatch=("ASSIGNED",))
    result = await request(market, timeout=0.1, cancel=cancel)
    assert result.outcome is LiveOutcome.TIMEOUT
    assert result.session.state == market.state == ("CANCELLED" if cancel else "ASSIGNED")


async def test_a_session_that_goes_live_while_it_is_cancelled_is_watched() -> None:
    class Late(Market):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                self.state = "LIVE"
            return await super().__call__(request)

    result = await request(Late(after_dispatch=("ASSIGNED",)), timeout=0.1, cancel=True)
    assert result.outcome is LiveOutcome.LIVE
    assert result.viewer is not None


@pytest.mark.parametrize(
    "market",
    [
        Market(after_dispatch=("ASSIGNED", "EXPIRED")),
        Market(refusals={"viewer-token": (409, "INVALID_STATE")}),
    ],
)
async def test_a_session_that_is_over_before_it_is_watched(market: Market) -> None:
    result = await request(market, cancel=True)
    assert (result.outcome, result.viewer) == (LiveOutcome.OVER, None)
    assert result.session.state == market.state
    assert "DELETE" not in market.asked


async def test_what_cannot_be_paid_is_an_error() -> None:
    market = Market(refusals={"POST": (400, "INSUFFICIENT_CREDIT")})
    with pytest.raises(InsufficientCredit):
        await request(market, cancel=True)
    assert market.asked == ["POST"]


async def test_a_caller_who_gives_up_leaves_no_session_if_so_asked() -> None:
    market = Market(after_dispatch=("ASSIGNED",))
    task = asyncio.create_task(request(market, cancel=True))
    await asyncio.wait_for(market.dispatched.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert market.state == "CANCELLED"


# -- pages ------------------------------------------------------------------------------------------------


@dataclass
class Archive:
    """Sessions, newest first; ``paged`` False is a server that answers all of them whatever is asked."""

    ids: list[str]
    paged: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        self.asked.append(params)
        found = self.ids
        if self.paged:
            first = found.index(params["cursor"]) + 1 if "cursor" in params else 0
            found = found[first : first + int(params["limit"])]
        return httpx.Response(200, json={"data": [SESSION | {"id": one} for one in found]})

    async def read(self, page: int) -> list[str]:
        async with Luxxon("http://server.test", transport=httpx.MockTransport(self)) as api:
            found = api.sessions.iterate(state=["LIVE", "ENDED"], side="consumer", page=page)
            return [session.id async for session in found]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 11])
@pytest.mark.parametrize("paged", [True, False])
async def test_every_item_comes_once(count: int, paged: bool) -> None:
    archive = Archive([str(UUID(int=number)) for number in range(count)], paged)
    assert await archive.read(5) == archive.ids
    assert all(asked["state"] == "LIVE,ENDED" and asked["side"] == "consumer" for asked in archive.asked)
    assert len(archive.asked) <= count // 5 + 1
