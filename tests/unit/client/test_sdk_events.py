"""Event streams over sockets: every way in which a connection ends, and none that loses events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from loopback import served
from wire_samples import SESSION

from luxxon_core.client import ConnectionFailed, InvalidResponse, Luxxon, StreamEvent, events
from luxxon_core.client.sse import EventParser, ServerSentEvent
from luxxon_core.events.schemas import End, Ready, Reset, SessionMeter, SessionState, WindowOpened
from luxxon_core.kernel.errors import InvalidApiKey, LuxxonError, NotFound, SessionNotFound

AT = "2026-05-13T12:00:00.000Z"
ID = SESSION["id"]


def sse(name: str, id_: int | None = None, **data: Any) -> bytes:
    identity = f"id: {id_}\n" if id_ is not None else ""
    return f"{identity}event: {name}\ndata: {json.dumps({'at': AT, **data})}\n\n".encode()


def state(state: str, id_: int | None = None) -> bytes:
    return sse("session.state", id_, sessionId=ID, session=SESSION | {"state": state})


def meter(seconds: int) -> bytes:
    figures = {"elapsedMilliseconds": seconds * 1000, "lostMilliseconds": 0}
    charged = str(seconds * 1000)
    return sse("session.meter", sessionId=ID, cleanSeconds=seconds, chargedMicroUsdc=charged, **figures)


def window(id_: int) -> bytes:
    return sse("window.opened", id_, sessionId=ID, reason="NETWORK_ERROR", openedAt=AT)


READY = sse("ready", 10)
END = sse("end", sessionId=ID)
RETRY = b"retry: 20\n\n"

Until = Callable[..., Awaitable[None]]
Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Write], Awaitable[None]]


def saying(*parts: bytes) -> Script:
    """Says this, then ends the answer."""

    async def script(write: Write) -> None:
        for part in parts:
            await write(part)

    return script


def breaking(*parts: bytes) -> Script:
    """Says this, then cuts the connection."""

    async def script(write: Write) -> None:
        await saying(*parts)(write)
        raise ConnectionResetError

    return script


def staying(*parts: bytes) -> Script:
    """Says this, then nothing."""

    async def script(write: Write) -> None:
        await saying(*parts)(write)
        await asyncio.Event().wait()

    return script


@dataclass
class Newsroom:
    """Each connection gets the next script; the last one stays."""

    url: str = ""
    scripts: list[Script | web.Response] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    open: int = 0
    gets: int = 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Last-Event-ID"))
        self.at.append(monotonic())
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, web.Response):
            return script
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        self.open += 1
        try:
            await script(response.write)
        except ConnectionResetError:
            assert request.transport is not None
            request.transport.abort()
        finally:
            self.open -= 1
        return response

    async def get(self, _: web.Request) -> web.Response:
        self.gets += 1
        states = ["REQUESTED", "ASSIGNED", "LIVE"]
        return web.json_response({"data": SESSION | {"state": states[min(self.gets - 1, 2)]}})


def refused(status: int, code: str, **headers: str) -> web.Response:
    body = {"statusCode": status, "code": code, "message": "No"}
    return web.json_response(body, status=status, headers=headers)


@pytest.fixture
async def room() -> AsyncIterator[Newsroom]:
    room = Newsroom()
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_get("/events", room.stream)
    app.router.add_get("/sessions/{id}/events", room.stream)
    app.router.add_get("/sessions/{id}", room.get)
    async with served(app, shutdown_timeout=0.1, handler_cancellation=True) as room.url:
        yield room


@pytest.fixture
async def api(room: Newsroom) -> AsyncIterator[Luxxon]:
    async with Luxxon(room.url, api_key="lxxn_test_k") as api:
        yield api


async def heard(stream: Any, seconds: float = 10) -> list[StreamEvent]:
    async with asyncio.timeout(seconds):
        return [event async for event in stream]


def told(found: list[StreamEvent]) -> list[str]:
    return [
        f"{event.data.session.state}" if isinstance(event.data, SessionState) else event.name
        for event in found
    ]


async def test_events_are_typed_and_the_stream_of_a_finished_session_ends(
    room: Newsroom, api: Luxxon, until: Until
) -> None:
    room.scripts = [
        staying(RETRY, state("ASSIGNED"), READY, state("LIVE", 11), b": ping\n\n", meter(1), window(12), END)
    ]
    found = await heard(api.sessions.events(ID))
    kinds = [SessionState, Ready, SessionState, SessionMeter, WindowOpened, End]
    assert [type(event.data) for event in found] == kinds
    assert [event.id for event in found] == [None, "10", "11", None, "12", None]
    assert found[3].data.charged_micro_usdc == "1000"  # type: ignore[union-attr]
    assert room.asked == [None]
    await until(lambda: room.open == 0)


@pytest.mark.parametrize("ending", [saying, breaking])
async def test_a_connection_that_ends_is_resumed_after_the_last_event(
    room: Newsroom, api: Luxxon, ending: Callable[..., Script]
) -> None:
    room.scripts = [
        ending(RETRY, state("REQUESTED"), READY, state("ASSIGNED", 11), meter(1)),
        ending(),
        refused(503, "AUTHZ_ERROR"),
        refused(429, "RATE_LIMITED"),
        ending(state("LIVE", 12)),
        saying(window(13), sse("ready", 13), state("ENDED", 14), END),
    ]
    stream = api.sessions.events(ID)
    found = await heard(stream)
    assert told(found) == [
        "REQUESTED",
        "ready",
        "ASSIGNED",
        "session.meter",
        "LIVE",
        "window.opened",
        "ready",
        "ENDED",
        "end",
    ]
    assert room.asked == [None, "11", "11", "11", "11", "12"]
    assert stream.last_event_id == "14"


async def test_how_things_stand_is_not_told_twice_when_the_telling_breaks_off(
    room: Newsroom, api: Luxxon
) -> None:
    room.scripts = [
        breaking(RETRY, state("LIVE"), window(0).replace(b"id: 0\n", b"")),
        saying(state("LIVE"), READY),
        breaking(sse("reset"), state("LIVE")),
        saying(sse("reset"), state("LIVE"), sse("ready", 20), END),
    ]
    found = await heard(api.sessions.events(ID))
    assert told(found) == ["LIVE", "ready", "reset", "LIVE", "ready", "end"]
    assert isinstance(found[2].data, Reset)
    assert room.asked == [None, None, "10", "10"]


async def test_a_silent_connection_is_given_up(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [staying(RETRY, READY), saying(END)]
    began = monotonic()
    found = await heard(api.sessions.events(ID, silence=0.3))
    assert told(found) == ["ready", "end"]
    assert 0.3 <= monotonic() - began < 2
    assert room.asked == [None, "10"]


async def test_comments_keep_a_connection(room: Newsroom, api: Luxxon) -> None:
    async def pinging(write: Write) -> None:
        await write(READY)
        for _ in range(10):
            await asyncio.sleep(0.1)
            await write(b": ping\n\n")
        await write(END)

    room.scripts = [pinging]
    assert told(await heard(api.sessions.events(ID, silence=0.4))) == ["ready", "end"]
    assert len(room.asked) == 1


async def test_the_pause_is_the_servers_and_grows(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [saying(b"retry: 100\n\n", READY), saying(), saying(), saying(END)]
    await heard(api.sessions.events(ID))
    pauses = [after - before for before, after in zip(room.at, room.at[1:], strict=False)]
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert longest / 2 <= pause < longest + 0.1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: refused(401, "INVALID_API_KEY"), InvalidApiKey),
        (lambda: refused(404, "SESSION_NOT_FOUND"), SessionNotFound),
        (lambda: refused(404, "NOT_FOUND"), NotFound),
        (lambda: web.Response(text="<html>", content_type="text/html"), InvalidResponse),
        (lambda: web.Response(status=204), InvalidResponse),
        (lambda: saying(b"data: {}\nevent: session.state\n\n"), InvalidResponse),
        (lambda: saying(b"data: {\nevent: ready\n\n"), InvalidResponse),
        (lambda: staying(b"data: " + b"x" * (2 << 20)), InvalidResponse),
    ],
)
async def test_what_will_not_get_better_is_raised(
    room: Newsroom, api: Luxxon, answer: Callable[[], Any], kind: type[Exception]
) -> None:
    room.scripts = [answer()]
    with pytest.raises(kind):
        await heard(api.sessions.events(ID))
    assert len(room.asked) == 1


async def test_a_stream_that_is_not_to_reconnect_tells_what_broke_it(room: Newsroom, api: Luxxon) -> None:
    for script in (saying(READY), breaking(READY), refused(503, "AUTHZ_ERROR")):
        room.scripts = [script]
        with pytest.raises(LuxxonError) as caught:
            await heard(api.events(reconnect=False))
        assert caught.value.code in ("CONNECTION_FAILED", "AUTHZ_ERROR")
    assert len(room.asked) == 3


async def test_events_of_a_later_version_are_passed_over(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [
        breaking(RETRY, READY, b"id: 11\nevent: drone.landed\ndata: {}\n\n", b"data: hello\n\n"),
        saying(END),
    ]
    assert told(await heard(api.sessions.events(ID))) == ["ready", "end"]
    assert room.asked == [None, "11"]


@pytest.mark.parametrize("way", ["close", "cancel", "break"])
async def test_leaving_leaves_nothing_behind(room: Newsroom, way: str, until: Until) -> None:
    room.scripts = [staying(READY)]
    async with Luxxon(room.url) as api:
        if way == "close":
            async with api.events() as stream:
                await anext(stream)
            await stream.aclose()
        elif way == "cancel":
            task = asyncio.create_task(heard(api.events()))
            await until(lambda: room.open == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async for _ in api.events():
                break
        await until(lambda: room.open == 0)


async def test_a_hundred_and_fifty_streams_leave_room_for_calls(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [staying(READY)]
    streams = [api.events() for _ in range(150)]
    try:
        await asyncio.gather(*(anext(stream) for stream in streams))
        assert (await asyncio.wait_for(api.sessions.get(ID), 5)).id == ID
    finally:
        await asyncio.gather(*(stream.aclose() for stream in streams))


# -- waiting for a state ------------------------------------------------------------------------------------


async def test_waiting_is_told_and_does_not_ask(room: Newsroom, api: Luxxon, until: Until) -> None:
    room.scripts = [staying(state("REQUESTED"), READY, state("ASSIGNED", 11), state("LIVE", 12))]
    assert (await api.sessions.wait_for(ID, "LIVE", timeout=5)).state == "LIVE"
    assert (await api.sessions.wait_for(ID, "REQUESTED", timeout=5)).state == "REQUESTED"
    room.scripts = [staying(state("LIVE"), READY)]
    assert (await api.sessions.wait_for(ID, "ASSIGNED", timeout=5)).state == "LIVE", "it has been there"
    room.scripts = [staying(state("EXPIRED"), READY)]
    assert (await api.sessions.wait_for(ID, "LIVE", timeout=5)).state == "EXPIRED"
    assert room.gets == 0
    await until(lambda: room.open == 0)


async def test_waiting_goes_on_over_a_lost_connection(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [breaking(RETRY, state("REQUESTED"), READY), staying(state("LIVE", 11))]
    assert (await api.sessions.wait_for(ID, "LIVE", timeout=5)).state == "LIVE"
    assert room.asked == [None, "10"]


async def test_when_the_time_is_out_the_session_is_told_as_it_is(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [staying(state("REQUESTED"), READY)]
    assert (await api.sessions.wait_for(ID, "LIVE", timeout=0.2)).state == "REQUESTED"
    assert room.gets == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda: refused(404, "NOT_FOUND"),
        lambda: refused(405, "NOT_FOUND"),
        lambda: web.Response(status=404, text="Cannot GET"),
    ],
)
async def test_a_server_without_streams_is_asked_again_and_again(
    room: Newsroom, api: Luxxon, answer: Callable[[], web.Response]
) -> None:
    room.scripts = [answer()]
    assert (await api.sessions.wait_for(ID, "LIVE", timeout=5, interval=0.01)).state == "LIVE"
    assert room.gets == 3
    await api.sessions.wait_for(ID, "LIVE", timeout=5, interval=0.01)
    assert len(room.asked) == 1, "it is known to have none"


async def test_a_session_that_is_not_there_is_not_waited_for(room: Newsroom, api: Luxxon) -> None:
    room.scripts = [refused(404, "SESSION_NOT_FOUND")]
    with pytest.raises(SessionNotFound):
        await api.sessions.wait_for(ID, "LIVE", timeout=5)


# -- the parser ---------------------------------------------------------------------------------------------

TEXT = (
    '\ufeffretry: 300\r\n: hello\r\n\r\nid: 1\r\nevent: a\r\ndata: {"x": "\u2028\u0085é"}\r\n\r\n'
    "data:one\rdata: two\r\rid\nevent: empty\n\nid: 2\ndata\n\nretry: soon\nid: 3\0\nnonsense\ndata:  b\n\n"
    "data: not finished"
)
EVENTS_OF_TEXT = [
    ServerSentEvent("a", '{"x": "\u2028\u0085é"}', "1"),
    ServerSentEvent("message", "one\ntwo", None),
    ServerSentEvent("message", "", "2"),
    ServerSentEvent("message", " b", None),
]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_pieces_do_not_matter(sizes: list[int]) -> None:
    parser, found, rest = EventParser(), [], TEXT.encode()
    for size in [*sizes, len(rest)]:
        found += parser.feed(rest[:size])
        rest = rest[size:]
    assert found == EVENTS_OF_TEXT
    assert parser.retry_ms == 300


def test_pauses_stay_bounded() -> None:
    place = events._Place(None, retry=0.0)
    assert 0.05 <= place.pause(ConnectionFailed()) <= 0.1
    assert max(place.pause(ConnectionFailed()) for _ in range(2000)) <= events.LONGEST_PAUSE


async def test_a_stream_through_a_transport_of_the_callers_own() -> None:
    answer = httpx.Response(200, content=READY + END, headers={"Content-Type": "text/event-stream"})
    async with Luxxon("http://server.test", transport=httpx.MockTransport(lambda _: answer)) as api:
        assert told(await heard(api.sessions.events(ID))) == ["ready", "end"]
