"""What webhooks cost the API, and how fast they are sent beside a bare client, measured in one run.

One server with a webhook, a receiver in a process of its own, the load of ``benchmarks/api.py``. In turns:
reads alone; reads while 1,000 events a second happen that no webhook asks for; and reads while each of the
1,000 is sent. The events are written and published by another process, as by a second server on the same
database, in 10 batches a second. CPU is that of the API's process alone, for a request: what the machine's
other work (database, courier, receiver, load, on the same cores) takes shows in the rate only. Then a backlog
is sent, and as many of the same bodies by a bare aiohttp client, as many at once.

Run: ``python benchmarks/webhooks.py``. About two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import astuple
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from api import BRUSSELS, CONNECTIONS, Figure, Server, consumer, get, load, run, started

from luxxon_core.adapters.postgres.events import PgEventLine
from luxxon_core.client import Luxxon

ROUNDS = 5
EVENTS_PER_SECOND = 1000
TICK = 0.1
BACKLOG, LANES = 6000, 400
AT_ONCE = 64
"""As the server has of one webhook."""
API_LIMIT = 0.9
"""Of the API's requests per second of its own CPU without webhooks."""
SEND_LIMIT = 0.4
"""Of the bare client's rate: a delivery is also claimed, signed and stored."""
BODY = {"webhook": "w", "data": {"sessionId": str(UUID(int=1)), "videoBackendRef": "x" * 300}}
ADD = """insert into event (kind, session_id, consumer_workspace_id, data, at)
select 'video.connected', s, $2, '{"uid": "bench"}', now() from unnest($1::uuid[]) s"""
SENT = "select count(*) from webhook_delivery where state = 'SUCCEEDED'"
BUSY = """select exists (select from webhook_lane) or exists (select from event where position is null)
    or (select position from webhook_tip) < (select position from event_tip)"""


class Taking(asyncio.Protocol):
    """Answers every request with 200; all of one is one or two reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._seen = transport, b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while True:
            head, found, rest = self._seen.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            if len(rest) < length:
                return
            self._seen = rest[length:]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]


async def receiver() -> None:
    os.nice(10)  # it stands for other machines
    server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


async def product(directory: str, port: str) -> None:
    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.server import running, settle_in
    from luxxon_core.settings import load as settings_of

    settings = settings_of(
        data_dir=Path(directory),
        durable=False,
        port=0,
        rate_limit_key=0,
        webhook_networks="127.0.0.0/8",
        webhook_http=True,
    )
    async with running(settings) as server:
        workspace, key = await consumer(server, 1)
        other, _ = await consumer(server, 2)
        async with Luxxon(server.api_url, api_key=key) as api:
            session = await api.sessions.create(
                **BRUSSELS, max_duration_seconds=10, wait_timeout_seconds=3600
            )
        url = f"http://127.0.0.1:{port}/"
        webhooks = server.deployment.cases.webhooks
        webhook, _ = await webhooks.create(UUID(workspace), url, ["video.connected"], "", utc_now())
        ready = {
            "port": int(server.url.rpartition(":")[2]),
            "key": key,
            "workspace": workspace,
            "other": other,
            "session": session.id,
            "webhook": str(webhook.id),
            "dsn": server.deployment.parts.dsn,
        }
        settle_in()
        print(json.dumps(ready), flush=True)
        await asyncio.Event().wait()


async def bare(port: str) -> None:
    """Send as many as the backlog has; says how many a second."""
    import aiohttp

    os.nice(10)  # as the process that sends is
    left, body = iter(range(BACKLOG)), json.dumps(BODY).encode()

    async def sender(http: aiohttp.ClientSession) -> None:
        for _ in left:
            async with http.post(f"http://127.0.0.1:{port}/", data=body, allow_redirects=False) as response:
                await response.read()

    async with aiohttp.ClientSession() as http:
        begun = time.perf_counter()
        await asyncio.gather(*(sender(http) for _ in range(AT_ONCE)))
        print(json.dumps({"rate": BACKLOG / (time.perf_counter() - begun)}), flush=True)


@contextlib.asynccontextmanager
async def happening(
    server: Server, database: asyncpg.Connection[asyncpg.Record], workspace: str
) -> AsyncIterator[None]:
    """1,000 events a second while the block runs."""
    sessions = [uuid4() for _ in range(LANES)]
    line = PgEventLine(server.told["dsn"])

    async def write() -> None:
        loop, number = asyncio.get_running_loop(), 0
        begun = loop.time()
        each = int(EVENTS_PER_SECOND * TICK)
        while True:
            lanes = [sessions[(number * each + one) % LANES] for one in range(each)]
            await database.execute(ADD, lanes, UUID(workspace))
            line.ring()
            await line.wait()
            number += 1
            await asyncio.sleep(max(begun + number * TICK - loop.time(), 0))

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await line.close()


async def idle(database: asyncpg.Connection[asyncpg.Record], seconds: float = 120) -> None:
    """Until everything is sent."""
    async with asyncio.timeout(seconds):
        while True:
            if not await database.fetchval(BUSY):
                return
            await asyncio.sleep(0.05)


async def slowed(server: Server, database: asyncpg.Connection[asyncpg.Record]) -> None:
    told = server.told
    request = [get(f"/api/v1/sessions/{told['session']}", f"Authorization: Bearer {told['key']}")]
    await load(server, request)
    alone: list[Figure] = []
    unasked: list[Figure] = []
    beside: list[Figure] = []
    sent = []
    for _ in range(ROUNDS):
        alone.append(await load(server, request))
        async with happening(server, database, told["other"]):
            await asyncio.sleep(1)
            unasked.append(await load(server, request))
        await idle(database)
        before = await database.fetchval(SENT)
        begun = time.perf_counter()
        async with happening(server, database, told["workspace"]):
            await asyncio.sleep(1)
            beside.append(await load(server, request))
        await idle(database)
        sent.append((await database.fetchval(SENT) - before) / (time.perf_counter() - begun))
    print(f"GET /sessions/:id, {CONNECTIONS} connections:")
    for name, figures in (("alone", alone), ("events, no webhook", unasked), ("each event sent", beside)):
        rate, cost = (statistics.median(of) for of in zip(*map(astuple, figures), strict=True))
        print(f"  {name:20} {rate:6.0f}/s {cost:5.0f} us CPU of the API's process each")
    print(f"  {EVENTS_PER_SECOND} events/s; {statistics.median(sent):.0f} sent/s from the first to the last")
    compared("each event sent, of alone", beside, alone, API_LIMIT)
    compared("each event sent, of no webhook", beside, unasked, None)


def compared(name: str, ours: list[Figure], least: list[Figure], limit: float | None) -> None:
    costs = [b.cpu_us / a.cpu_us for a, b in zip(ours, least, strict=True)]
    rates = [a.per_second / b.per_second for a, b in zip(ours, least, strict=True)]
    ratio = statistics.median(costs)
    verdict = "" if limit is None else f" (limit {limit}: {'met' if ratio >= limit else 'NOT MET'})"
    print(
        f"{name}: requests per second of its own CPU {ratio:.2f},"
        f" {min(costs):.2f} to {max(costs):.2f}{verdict};"
        f" rate on {os.cpu_count()} cores with everything else on them {statistics.median(rates):.2f},"
        f" {min(rates):.2f} to {max(rates):.2f}",
        flush=True,
    )


async def backlog(server: Server, database: asyncpg.Connection[asyncpg.Record], port: str) -> None:
    ratios, ours = [], []
    told = server.told
    for _ in range(3):
        lanes = [uuid4() for _ in range(LANES)]
        webhook = UUID(told["webhook"])
        async with database.transaction():
            await database.execute(
                "insert into webhook_delivery (id, webhook_id, lane, cause, kind, body, state, created_at)"
                " select gen_random_uuid(), $1, l, 'TEST', 'bench', $3, 'PENDING', now()"
                " from unnest($2::uuid[]) l cross join generate_series(1, $4::int)",
                webhook,
                lanes,
                json.dumps(BODY),
                BACKLOG // LANES,
            )
            await database.execute(
                "insert into webhook_lane (webhook_id, lane, due_at, head)"
                " select $1, l, now(), 0 from unnest($2::uuid[]) l",
                webhook,
                lanes,
            )
        begun = time.perf_counter()
        await idle(database)
        ours.append(BACKLOG / (time.perf_counter() - begun))
        async with started("bare", port, file=__file__) as client:
            ratios.append(ours[-1] / client.told["rate"])
    ratio = statistics.median(ratios)
    print(
        f"backlog of {BACKLOG}, {AT_ONCE} at once: {statistics.median(ours):.0f} deliveries/s,"
        f" {ratio:.2f} of a bare aiohttp client, {min(ratios):.2f} to {max(ratios):.2f}"
        f" (limit {SEND_LIMIT}: {'met' if ratio >= SEND_LIMIT else 'NOT MET'})"
    )


async def measure() -> None:
    with tempfile.TemporaryDirectory(prefix="luxxon-bench-") as directory:
        async with started("receiver", file=__file__) as taking:
            port = str(taking.told["port"])
            async with started("product", directory, port, file=__file__) as server:
                database = await asyncpg.connect(server.told["dsn"])
                await asyncio.sleep(3)  # until the process that sends is there
                await slowed(server, database)
                await backlog(server, database, port)
                await database.close()


if __name__ == "__main__":
    run(measure=measure, product=product, receiver=receiver, bare=bare)
