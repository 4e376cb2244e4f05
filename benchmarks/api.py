"""What the API costs beside the least that any such server does, measured in one run.

Two servers on one database, taken in turns: ours, and a bare aiohttp application that reads (or inserts) one
row with asyncpg and answers it as JSON. Each is a process of its own; the requests come from a third, over
plain sockets that stay open, each for a session of its own. CPU is what the server's process used for a
request, children not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import structlog
import uvloop

from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.server import Server as Running

ROUNDS, SECONDS, CONNECTIONS = 5, 3.0, 32
READ_LIMIT = 0.7
POOL = 10**12
BRUSSELS = {"lat": 50.8466, "lng": 4.3528}
READ = """select id, consumer_workspace_id, operator_workspace_id, state, max_duration_s, wait_timeout_s,
       rate_uusdc, hold_uusdc, started_at, ended_at, clean_seconds, charged_uusdc, created_at,
       requested_lat, requested_lng
from session where id = $1"""
INSERT = """insert into session
    (id, consumer_workspace_id, state, requested_lat, requested_lng, geofence_radius_m, max_duration_s,
     wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps, created_at)
values ($1, $2, 'REQUESTED', $3, $4, 500, 10, 5, 1000, 10000, 1500, now())"""


# -- the two servers ---------------------------------------------------------------------------------------


async def bare(dsn: str, workspace: str) -> None:
    import asyncpg
    import msgspec
    from aiohttp import web

    pool = await asyncpg.create_pool(dsn, min_size=10, max_size=10)

    async def read(request: web.Request) -> web.Response:
        row = await pool.fetchrow(READ, UUID(request.match_info["id"]))
        return web.Response(body=msgspec.json.encode(dict(row)), content_type="application/json")

    async def insert(request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        made = uuid4()
        await pool.execute(INSERT, made, UUID(workspace), body["lat"], body["lng"])
        return web.Response(body=msgspec.json.encode({"id": made}), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/sessions/{id}", read), web.post("/sessions", insert)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


async def product(directory: str) -> None:
    from luxxon_core.server import running, settle_in
    from luxxon_core.settings import load

    settings = load(data_dir=Path(directory), durable=False, port=0, rate_limit_key=0)
    async with running(settings) as server:
        tenants = [await consumer(server, number) for number in range(CONNECTIONS)]
        sessions = []
        for _, key in tenants:
            async with Luxxon(server.api_url, api_key=key) as api:
                made = await api.sessions.create(
                    **BRUSSELS, max_duration_seconds=10, wait_timeout_seconds=3600
                )
            sessions.append(made.id)
        ready = {
            "port": int(server.url.rpartition(":")[2]),
            "keys": [key for _, key in tenants],
            "workspace": tenants[0][0],
            "sessions": sessions,
            "dsn": server.deployment.parts.dsn,
        }
        settle_in()  # as ``luxxon serve`` does
        print(json.dumps(ready), flush=True)
        await asyncio.Event().wait()


async def consumer(server: Running, number: int) -> tuple[str, str]:
    """A consumer with a full pool: workspace and API key."""
    wallet = LocalWallet.create()
    async with Luxxon(server.api_url) as api:
        challenge = await api.workspaces.challenge(wallet.address)
        made = await api.workspaces.create(
            slug=f"bench-{number}",
            name="bench",
            wallet_address=wallet.address,
            signature=wallet.sign_message(challenge.message),
            nonce=challenge.nonce,
            roles=["CONSUMER"],
        )
        challenge = await api.auth.challenge(wallet.address)
        await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        await api.auth.select_workspace(made.id)
        scopes = ["sessions:read", "sessions:create"]
        key = await api.workspaces.create_api_key(made.id, label="bench", scopes=scopes)
    deployment = server.deployment
    await deployment.parts.development_chain.faucet(wallet.address, 10**18, POOL)
    async with ChainClient(deployment.config) as chain:
        await chain.top_up(wallet, POOL)
    return made.id, key.plaintext


@dataclass
class Server:
    pid: int
    told: dict[str, Any]

    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def started(*arguments: str, file: str = __file__) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, file, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        yield Server(process.pid, json.loads(line))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


# -- the load ----------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """One connection with one request under way; the next leaves when the answer's last byte is here."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request, self._until = request, until
        self._seen, self._missing = b"", 0
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self._seen.decode()))
            self._transport.close()
            return
        self._seen = b""
        self.answers += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)


@dataclass
class Figure:
    per_second: float
    cpu_us: float


async def load(server: Server, requests: Sequence[bytes]) -> Figure:
    """Each connection repeats one of the requests."""
    loop, begun, cpu = asyncio.get_running_loop(), time.perf_counter(), server.cpu()
    until = begun + SECONDS
    clients: list[Client] = []
    for number in range(CONNECTIONS):
        made = functools.partial(Client, requests[number % len(requests)], until)
        _, client = await loop.create_connection(made, "127.0.0.1", server.told["port"])
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    answers = sum(client.answers for client in clients)
    return Figure(answers / (time.perf_counter() - begun), (server.cpu() - cpu) / answers * 1e6)


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def post(path: str, body: dict[str, object], *headers: str) -> bytes:
    text = json.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(text)}", "", text]).encode()


def show(name: str, ours: Sequence[Figure], least: Sequence[Figure], limit: float | None) -> bool:
    ratios = [a.per_second / b.per_second for a, b in zip(ours, least, strict=True)]
    ratio = statistics.median(ratios)
    rate, bare_rate = (statistics.median(f.per_second for f in of) for of in (ours, least))
    cpu, bare_cpu = (statistics.median(f.cpu_us for f in of) for of in (ours, least))
    verdict = "" if limit is None else f" (limit {limit}: {'met' if ratio >= limit else 'NOT MET'})"
    print(
        f"{name:28} {rate:7.0f}/s {cpu:5.0f} us CPU; bare {bare_rate:7.0f}/s {bare_cpu:5.0f} us:"
        f" {ratio:4.2f} of the bare rate, {min(ratios):4.2f} to {max(ratios):4.2f}{verdict}"
    )
    return limit is None or ratio >= limit


async def measure() -> None:
    with tempfile.TemporaryDirectory(prefix="luxxon-bench-") as directory:
        async with started("product", directory) as ours:
            told = ours.told
            async with started("bare", told["dsn"], told["workspace"]) as least:
                bearers = [f"Authorization: Bearer {key}" for key in told["keys"]]
                sessions = told["sessions"]
                body: dict[str, object] = {**BRUSSELS, "maxDurationSeconds": 10, "waitTimeoutSeconds": 5}
                pairs = {
                    "GET /sessions/:id": (
                        [
                            get(f"/api/v1/sessions/{id_}", by)
                            for id_, by in zip(sessions, bearers, strict=True)
                        ],
                        [get(f"/sessions/{id_}") for id_ in sessions],
                        READ_LIMIT,
                    ),
                    "POST /sessions": (
                        [post("/api/v1/sessions", body, bearer) for bearer in bearers],
                        [post("/sessions", body)],
                        None,
                    ),
                }
                for name, (request, bare_request, limit) in pairs.items():
                    await load(ours, request)
                    await load(least, bare_request)
                    figures = [
                        (await load(ours, request), await load(least, bare_request)) for _ in range(ROUNDS)
                    ]
                    show(name, [a for a, _ in figures], [b for _, b in figures], limit)


def run(**works: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Do the work that the command line names, ``measure`` where it names none."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    what, *arguments = sys.argv[1:] or ["measure"]
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(works[what](*arguments))


if __name__ == "__main__":
    run(measure=measure, product=product, bare=bare)
