"""What clients do that nobody asked them to: they leave half-way, flood, lie about themselves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from frame_server import SECRET, Desk, framed, refused, serving

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.idempotency import PgAnswers
from luxxon_core.http import sse
from luxxon_core.http.idempotency import Idempotency
from luxxon_core.http.limits import Quotas
from luxxon_core.http.metrics import RequestMetrics
from luxxon_core.http.operation import EventStream, ServerEvent
from luxxon_core.kernel.clock import utc_now

START = b"POST /public HTTP/1.1\r\nHost: x\r\n"


class Counted(RequestMetrics):
    """Tells when so and so many answers have been counted."""

    def answers(self) -> dict[tuple[str, str, int, str], int]:
        return {place: one.count for place, one in self._answers.items()}

    async def until(self, number: int) -> dict[tuple[str, str, int, str], int]:
        async with asyncio.timeout(5):
            while sum(self.answers().values()) < number:
                await asyncio.sleep(0.01)
        return self.answers()


@pytest.mark.parametrize(
    "sent",
    [
        START + b"Content-Length: 100\r\n\r\n{",
        START + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
async def test_a_client_that_leaves_amid_its_body_is_no_failure_of_ours(desk: Desk, sent: bytes) -> None:
    metrics = Counted()
    async with serving(framed(desk, metrics=metrics)) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(5):
            while not metrics.in_flight:
                await asyncio.sleep(0.01)
        writer.transport.abort()
        assert list(await metrics.until(1)) == [("POST", "/public", 400, "INVALID_INPUT")]


@pytest.mark.parametrize(("path", "status"), [("/public", 400), ("/nowhere", 404)])
async def test_a_body_that_is_not_packed_as_it_says_is_no_failure_of_ours(
    desk: Desk, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    async with serving(framed(desk)) as served:
        response = await served("POST", path, headers={"Content-Encoding": "gzip"}, content=b"x" * 20)
    assert refused(response)[0] == status
    assert not caplog.records


async def test_what_leads_nowhere_is_counted_as_what_it_is_told(desk: Desk) -> None:
    metrics = Counted()
    async with serving(framed(desk, metrics=metrics)) as served:
        await served("GET", "/nowhere")
        await served("PUT", "/look")
        assert set(await metrics.until(2)) == {
            ("GET", "unmatched", 404, "NOT_FOUND"),
            ("PUT", "unmatched", 405, "NOT_FOUND"),
        }


async def test_a_refusal_that_is_told_again_is_counted_as_one(desk: Desk, database: Database) -> None:
    metrics = Counted()
    kept = Idempotency(database, PgAnswers(), utc_now, (SECRET,))
    async with serving(framed(desk, metrics=metrics, idempotency=kept)) as served:
        for _ in range(2):
            response = await served("POST", "/refused", key="k", json={"text": "a"})
            assert refused(response) == (409, "INVALID_STATE", "note:refuse:DONE")
        assert await metrics.until(2) == {("POST", "/refused", 409, "INVALID_STATE"): 2}


async def test_a_key_is_counted_also_where_its_scopes_are_too_few(desk: Desk) -> None:
    async with serving(framed(desk, quotas=Quotas(key=2))) as served:
        found = [refused(await served("GET", "/scoped"))[1] for _ in range(3)]
    assert found == ["INSUFFICIENT_SCOPE", "INSUFFICIENT_SCOPE", "RATE_LIMITED"]


async def test_a_header_that_the_handler_looks_at_is_part_of_the_request(
    desk: Desk, database: Database
) -> None:
    kept = Idempotency(database, PgAnswers(), utc_now, (SECRET,))
    async with serving(framed(desk, idempotency=kept)) as served:
        first = await served("POST", "/signed", key="k", headers={"X-Proof": "right"})
        assert first.status_code == 200
        other = await served("POST", "/signed", key="k", headers={"X-Proof": "wrong"})
        assert refused(other) == (409, "CONFLICT", "idempotency:mismatch")
        odd = await served("POST", "/signed", key="l", headers={"X-Proof": b"\xff\xfe"})
        assert odd.status_code == 200


async def test_a_request_that_is_cut_short_twice_leaves_nothing_behind(database: Database) -> None:
    kept = Idempotency(database, PgAnswers(), utc_now, (SECRET,))
    begun = asyncio.Event()

    async def execute(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept.once("key:one", "k", b"f" * 32, execute))  # type: ignore[arg-type]
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(task.cancel))
    await asyncio.gather(task, return_exceptions=True)
    assert not kept._running


async def test_a_comment_that_a_client_does_not_take_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream that has nothing to say fills the connection with comments alone; here with large ones."""
    monkeypatch.setattr(sse, "PING", b":" + b"." * 200_000 + b"\n\n")
    closed = asyncio.Event()

    async def events() -> AsyncIterator[ServerEvent]:
        try:
            await asyncio.Event().wait()
            yield ServerEvent("never", {})
        finally:
            closed.set()

    async def handler(request: web.Request) -> web.StreamResponse:
        return await sse.stream(request, EventStream(events()), pace=sse.Pace(0.02, 0.05, 60, 0.3))

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    loop = asyncio.get_running_loop()
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        try:
            await loop.sock_connect(reader, ("127.0.0.1", runner.addresses[0][1]))
            await loop.sock_sendall(reader, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(closed.wait(), 20)
        finally:
            await runner.cleanup()
