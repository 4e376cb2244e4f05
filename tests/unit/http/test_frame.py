"""The frame around every operation, over a socket: envelopes, request ids, origins, ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import structlog
from aiohttp import web
from frame_server import ORIGIN, Desk, Served, envelope_of, framed, refused, serving

from luxxon_core.http import decoding
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.runner import log_to_stderr

SESSION = "0f1e2d3c-0000-4000-8000-000000000000"


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Served]:
    async with serving(framed(desk)) as server:
        yield server


HTTP = b"GET /look HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (b"nonsense\r\n\r\n", None),
        (b"GET /look HTTP/9.9\r\nHost: x\r\n\r\n", "request:http"),
        (b"BREW /look HTTP/1.1\r\nHost: x\r\n\r\n", "request:method"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", None),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "request:tooLong"),
        (HTTP + b"Cookie: " + b"x" * 9000 + b"\r\n\r\n", "request:tooLong"),
        (HTTP + b"Content-Length: -1\r\n\r\n", "request:http"),
        (HTTP + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "request:http"),
        (HTTP + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "request:http"),
        (HTTP + b"Bad Header: 1\r\n\r\n", "request:http"),
        (HTTP + b"Good: a\x00b\r\n\r\n", "request:http"),
        (HTTP + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n", None),
    ],
)
async def test_what_is_no_http_gets_the_envelope_too(served: Served, sent: bytes, detail: str | None) -> None:
    head, body = envelope_of(await served.raw(sent))
    assert head[0].split(b" ")[1] == b"400"
    assert any(line.lower().startswith(b"x-request-id: ") for line in head)
    assert (body["statusCode"], body["code"]) == (400, "INVALID_INPUT")
    assert body["detail"].startswith("request:")
    assert detail is None or body["detail"] == detail


async def test_a_refused_request_is_not_quoted(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own words would: they are for nobody's eyes."""
    log_to_stderr("debug")
    try:
        answer = await served.raw(HTTP + b"Authorization: Bearer lxxn_se\x00cret\r\n\r\n")
    finally:
        structlog.reset_defaults()
    assert b"lxxn" not in answer
    assert "lxxn" not in "".join(capsys.readouterr())


async def test_chunks_that_are_none_are_refused(served: Served) -> None:
    head = b"POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    lines, body = envelope_of(await served.raw(head + b"zz\r\n"))
    assert lines[0].split(b" ")[1] == b"400"
    assert body["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("method", ["TRACE", "PUT", "OPTIONS", "PROPFIND"])
async def test_other_methods_are_405_and_told_the_right_ones(served: Served, method: str) -> None:
    response = await served(method, "/look")
    assert refused(response) == (405, "NOT_FOUND", None)
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/%ff", "/%zz", "/%", "/look/", "//look", "/%00", "/look%2f"])
async def test_paths_that_lead_nowhere(served: Served, path: str) -> None:
    lines, body = envelope_of(
        await served.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    )
    assert body["statusCode"] == int(lines[0].split(b" ")[1])
    assert body["code"] in ("NOT_FOUND", "INVALID_INPUT")


async def test_head_is_get_without_the_body(served: Served) -> None:
    get, head = await served("GET", "/look"), await served("HEAD", "/look")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]
    assert (await served("HEAD", "/nothing")).status_code == 404
    stream = await served("HEAD", "/stream")
    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")


async def test_old_clients_are_answered(served: Served) -> None:
    lines, body = envelope_of(await served.raw(b"GET /look HTTP/1.0\r\n\r\n"))
    assert lines[0].split(b" ")[1] == b"200"
    assert body["data"] == {"ok": True}


async def test_expectations(served: Served) -> None:
    head = b"POST /public HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 12\r\n"
    answer = await served.raw(head + b"Expect: 100-continue\r\n\r\n", b'{"text":"a"}')
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    for path in (b"/look", b"/nothing"):
        sent = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: wonders\r\n\r\n"
        lines, body = envelope_of(await served.raw(sent))
        assert lines[0].split(b" ")[1] == b"400"
        assert body["detail"] == "request:expect"


async def test_a_body_that_never_comes_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "BODY_SECONDS", 0.1)
    head = b"POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    lines, body = envelope_of(await served.raw(head))
    assert lines[0].split(b" ")[1] == b"408"
    assert body["detail"] == "body:timeout"


async def test_half_a_request_does_nothing(
    served: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "BODY_SECONDS", 0.1)
    head = b"POST /signed HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    lines, body = envelope_of(await served.raw(head))
    assert lines[0].split(b" ")[1] == b"408"
    assert (body["detail"], desk.executed) == ("body:timeout", [])


async def test_who_keeps_the_body_back_does_not_act_in_the_past(
    served: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, read = asyncio.Event(), decoding.read

    async def told(request: web.Request) -> bytes | InvalidInput:
        reading.set()
        return await read(request)

    monkeypatch.setattr(decoding, "read", told)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /signed HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
    await asyncio.wait_for(reading.wait(), 5)
    began = utc_now()
    while (kept_back_until := utc_now()) <= began:  # the clock has milliseconds
        await asyncio.sleep(0.001)
    writer.write(b"{}")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200")
    writer.close()
    assert desk.times[0] >= kept_back_until


async def test_an_unforeseen_error_is_an_envelope(served: Served) -> None:
    assert refused(await served("GET", "/crash")) == (500, "INTERNAL_SERVER_ERROR", None)


# -- request ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/look", "/nothing", "/crash", "/busy", "/mine"])
async def test_every_answer_has_a_request_id(served: Served, path: str) -> None:
    one, other = await served("GET", path, bearer="bad"), await served("GET", path, bearer="bad")
    assert one.headers["x-request-id"] != other.headers["x-request-id"]
    given = await served("GET", path, headers={"X-Request-Id": "my-id_1.2"})
    assert given.headers["x-request-id"] == "my-id_1.2"


@pytest.mark.parametrize("bad", ["", "a b", "a" * 129, 'x"', "a\tb", "a:b"])
async def test_a_request_id_that_is_none_is_replaced(served: Served, bad: str) -> None:
    response = await served("GET", "/look", headers={"X-Request-Id": bad})
    assert response.status_code == 200
    assert response.headers["x-request-id"] not in (bad, "")


async def test_a_log_line_knows_its_request_and_no_secret(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("debug", "json")
    try:
        async with serving(framed(desk)) as served:
            headers = {"X-Request-Id": "my-id"}
            await served("GET", f"/sessions/{SESSION}/look?secret=1", headers=headers)
            await served("POST", "/notes", json={"text": "secret"}, headers=headers)
            await served("GET", "/sessions/a%0Ab/look", headers=headers)
            await served("GET", "/secret", headers=headers)
            await served("GET", "/busy", headers=headers)
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert "secret" not in told
    assert "good-" not in told
    lines = [json.loads(line) for line in told.splitlines()]
    seen = [line for line in lines if line["event"] == "request"]
    assert {line["request_id"] for line in seen} == {"my-id"}
    assert [(one["method"], one["route"], one["status"], one["code"], one["level"]) for one in seen] == [
        ("GET", "/sessions/{session_id}/look", 200, "OK", "debug"),
        ("POST", "/notes", 200, "OK", "info"),
        ("GET", "/sessions/{session_id}/look", 200, "OK", "debug"),
        ("GET", "unmatched", 404, "NOT_FOUND", "debug"),
        ("GET", "/busy", 503, "UNAVAILABLE", "warning"),
    ]
    assert seen[0]["session"] == SESSION
    assert seen[1]["key"] and seen[1]["workspace"]
    assert "session" not in seen[2]
    failed = next(line for line in lines if line["event"] == "request failed")
    assert failed["request_id"] == "my-id"


# -- origins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/look", "/nothing", "/crash", "/mine"])
async def test_a_listed_origin_may_read_every_answer(served: Served, path: str) -> None:
    response = await served("GET", path, headers={"Origin": ORIGIN}, bearer="bad")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "Origin"
    exposed = response.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "idempotency-replayed"} <= set(
        exposed
    )


async def test_a_stream_has_the_headers_of_every_answer(served: Served, desk: Desk) -> None:
    response = await served("GET", "/stream", headers={"Origin": ORIGIN, "X-Request-Id": "mine"})
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["ratelimit-policy"] == '"key";q=12000;w=60'
    assert b'data: {"number":1}' in response.content


async def test_a_preflight_allows_our_headers(served: Served) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    response = await served("OPTIONS", "/notes", headers=headers, bearer=None)
    assert response.status_code == 204
    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert {"idempotency-key", "x-request-id", "last-event-id", "authorization"} <= set(allowed)
    response = await served("OPTIONS", "/notes", headers={**headers, "Origin": "https://evil.example"})
    assert refused(response)[0] == 405
    assert "access-control-allow-origin" not in response.headers


# -- the end ----------------------------------------------------------------------------------------------


async def test_a_request_under_way_is_answered_when_the_server_ends() -> None:
    desk = Desk()
    async with serving(framed(desk)) as served:
        await served("GET", "/look")  # a connection that is idle when the server ends
        under_way = asyncio.create_task(served("GET", "/slow"))
        await asyncio.wait_for(desk.entered.wait(), 5)
        ending = asyncio.create_task(served.runner.cleanup())
        await refuses_connections(served.port)
        assert not under_way.done()
        desk.gate.set()
        assert (await under_way).json()["data"] == {"ok": True}
        await asyncio.wait_for(ending, 5)


async def test_a_stream_ends_at_once_when_the_server_ends() -> None:
    desk = Desk()
    async with serving(framed(desk), grace=60) as served:
        under_way = asyncio.create_task(served("GET", "/stream"))
        await asyncio.wait_for(desk.entered.wait(), 5)
        await asyncio.wait_for(served.runner.cleanup(), 5)
        assert b'data: {"number":1}' in (await under_way).content


async def refuses_connections(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.01)
