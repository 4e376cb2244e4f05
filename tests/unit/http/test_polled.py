"""What clients ask for each second goes a shorter way through the server, with the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from frame_server import ORIGIN, Desk, Served, framed, refused, serving

from luxxon_core.http import whole
from luxxon_core.http.operation import Access, Binary, Call, Operation
from luxxon_core.http.whole import Whole
from luxxon_core.kernel.errors import SessionNotFound

SESSION = "0f1e2d3c-0000-4000-8000-000000000000"
SHORT = f"/api/v1/sessions/{SESSION}/frame"
LONG = [f"/sessions/{SESSION}/frame", f"{SHORT}?some=thing", SHORT.replace("0f1e", "%30f1e")]
PICTURE = bytes(range(256)) * 400


class Booth(Desk):
    """Shows one picture."""

    async def frame(self, call: Call[None]) -> Binary:
        self.executed.append(call.path["session_id"])
        if self.fails:
            raise self.fails.pop()
        return Binary(PICTURE, "image/jpeg", {"Cache-Control": "no-store", "ETag": '"one"'})

    def operations(self) -> list[Operation]:
        picture = Operation(
            method="GET",
            path="/sessions/{session_id}/frame",
            handler=self.frame,
            access=Access.WORKSPACE,
            out=Binary,
            tag="t",
            summary="s",
            errors=(SessionNotFound,),
        )
        return [*super().operations(), picture]


@pytest.fixture
def booth() -> Booth:
    return Booth()


@pytest.fixture
async def served(booth: Booth) -> AsyncIterator[Served]:
    async with serving(framed(booth)) as server:
        yield server


def told(response: httpx.Response) -> dict[str, str]:
    """The headers that must be the same on every way."""
    assert response.headers["x-request-id"] and response.headers["date"].endswith("GMT")
    changing = ("date", "x-request-id", "ratelimit")
    return {name: value for name, value in response.headers.items() if name not in changing}


@pytest.mark.parametrize("more", [{}, {"Origin": ORIGIN}, {"Origin": "https://elsewhere.example"}])
async def test_every_way_has_the_same_answer(served: Served, booth: Booth, more: dict[str, str]) -> None:
    short = await served("GET", SHORT, headers=more)
    assert (short.status_code, short.content) == (200, PICTURE)
    assert short.headers["content-length"] == str(len(PICTURE))
    assert short.headers["ratelimit"].startswith('"key";r=')
    for path in LONG:
        other = await served("GET", path, headers=more)
        assert (other.status_code, other.content) == (200, PICTURE)
        assert told(other) == told(short)
    assert booth.executed == [SESSION] * 4
    closing = await served("GET", SHORT, headers={"Connection": "close", **more})  # as aiohttp answers
    assert told(closing) == {**told(short), "connection": "close"}
    head = await served("HEAD", SHORT, headers=more)
    assert (head.content, told(head)) == (b"", told(short))


async def test_a_request_number_comes_back(served: Served) -> None:
    assert (await served("GET", SHORT, headers={"X-Request-Id": "mine"})).headers["x-request-id"] == "mine"


async def test_requests_that_come_at_once_are_answered_one_after_the_other(served: Served) -> None:
    asked = f"GET {SHORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good-one\r\n".encode()
    answer = await served.raw((asked + b"\r\n") * 3 + asked + b"Connection: close\r\n\r\n")
    for _ in range(4):
        head, _, answer = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.count(b"Content-Length: ") == 1
        assert answer.startswith(PICTURE)
        answer = answer[len(PICTURE) :]
    assert answer == b""


@pytest.mark.parametrize("path", [SHORT, LONG[0]])
async def test_refusals_are_the_same_on_every_way(served: Served, booth: Booth, path: str) -> None:
    headers = {"Origin": ORIGIN, "X-Request-Id": "mine"}
    response = await served("GET", path, bearer="bad", headers=headers)
    assert refused(response) == (401, "INVALID_API_KEY", None)
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-request-id"] == "mine"
    booth.fails = [RuntimeError("out of the blue"), SessionNotFound()]
    assert refused(await served("GET", path))[:2] == (404, "SESSION_NOT_FOUND")
    assert refused(await served("GET", path))[:2] == (500, "INTERNAL_SERVER_ERROR")
    response = await served("PUT", path)
    assert refused(response)[:2] == (405, "NOT_FOUND")
    assert response.headers["allow"] == "GET, HEAD"
    assert refused(await served("GET", path, headers={"Expect": "wonders"}))[0] == 400


class SlowClient:
    """A connection's transport and writer; what is written is read when the test says so."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.output_size = 0
        self.reads = asyncio.Event()
        self.gone = False

    def is_closing(self) -> bool:
        return self.gone

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writelines(self, chunks: Sequence[bytes]) -> None:
        self.sent += chunks

    async def drain(self) -> None:
        await self.reads.wait()


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    client = SlowClient()
    request: Any = SimpleNamespace(writer=client, transport=client)
    sending = asyncio.create_task(Whole(b"small", {}).prepare(request))
    while not client.sent:
        await asyncio.sleep(0)
    sent = b"".join(client.sent)
    assert sent.endswith(b"\r\n\r\nsmall") and client.output_size == len(sent)
    assert not sending.done()
    client.reads.set()
    await asyncio.wait_for(sending, 5)


@pytest.mark.parametrize("skips", [False, True])
async def test_no_python_is_given_what_it_cannot_wait_for(
    monkeypatch: pytest.MonkeyPatch, *, skips: bool
) -> None:
    """Some take many pieces without ever pausing (CVE-2024-12254), and spin on an empty one."""
    monkeypatch.setattr(whole, "SKIP_WRITELINES", skips)
    for body, pieces in ((b"picture", 1 if skips else 2), (b"", 1)):
        client = SlowClient()
        client.reads.set()
        request: Any = SimpleNamespace(writer=client, transport=client)
        await Whole(body, {}).prepare(request)
        assert len(client.sent) == pieces and b"".join(client.sent).endswith(b"\r\n\r\n" + body)


async def test_nothing_is_sent_to_a_client_that_has_gone() -> None:
    client = SlowClient()
    client.gone = True
    for transport in (client, None):
        request: Any = SimpleNamespace(writer=client, transport=transport)
        with pytest.raises(ConnectionError):
            await Whole(b"small", {}).prepare(request)
    assert client.sent == []


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb"])
def test_a_header_has_one_line(value: str) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        Whole(b"", {"ETag": value})
