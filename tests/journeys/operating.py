"""``luxxon operate`` beside a running marketplace: its processes, its settings file, and who asks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from luxxon_core.client.keystore import write
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.demo.stage import CONSUMER_SCOPES, Party, fund, party
from luxxon_core.kernel.geo import Point
from luxxon_core.server import Server, running
from luxxon_core.settings import load
from luxxon_core.settlement.schemas import Receipt

T = TypeVar("T")
BRUSSELS, PARIS = Point(50.8466, 4.3528), Point(48.8584, 2.2945)
PASSPHRASE = "the tests' own"


async def until(look: Callable[[], Awaitable[T | None]], seconds: float = 20) -> T:
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


class Operator:
    """One process of the command, and what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.said = b""
        self._stirred = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said += line
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))
            self._stirred.set()

    def logged(self, event: str, **fields: str) -> list[dict[str, Any]]:
        return [
            line
            for line in self.lines
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
        ]

    async def logs(self, event: str, seconds: float = 30, **fields: str) -> dict[str, Any]:
        """Wait until an event has been logged."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.logged(event, **fields)):
                    self._stirred.clear()
                    await self._stirred.wait()
                return found[-1]
        except TimeoutError:
            raise AssertionError(f"no {event} in {self.said.decode()}") from None

    async def ends(self, seconds: float = 20) -> int:
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reading
        return code

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.ends()


class Desk:
    """A folder with luxxon.toml and a wallet, where the command is run."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.data_dir = folder / "operator"
        self.wallet = LocalWallet.create()
        write(folder / "wallet.json", self.wallet, PASSPHRASE)
        (folder / "words").write_text(PASSPHRASE)
        self._started: list[Operator] = []

    def cameras(self, text: str) -> None:
        (self.folder / "luxxon.toml").write_text(text)

    def environment(self, **more: str) -> Mapping[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
        return {
            **clean,
            "LUXXON_URL": self.url,
            "LUXXON_DATA_DIR": str(self.data_dir),
            "LUXXON_WALLET": str(self.folder / "wallet.json"),
            "LUXXON_WALLET_PASSPHRASE_FILE": str(self.folder / "words"),
            **more,
        }

    async def start(self, *arguments: str, **environment: str) -> Operator:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "luxxon_core", "operate", *arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        operator = Operator(process)
        self._started.append(operator)
        return operator

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """To its end: exit code and standard output."""
        operator = await self.start(*arguments, **environment)
        assert operator.process.stdout is not None
        printed = await asyncio.wait_for(operator.process.stdout.read(), 60)
        return await operator.ends(), printed.decode()

    async def end(self) -> None:
        for operator in self._started:
            await operator.kill()


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that is not below pytest's own: another run takes back the permissions on that."""
    with tempfile.TemporaryDirectory(prefix="luxxon-operate-") as folder:
        yield Path(folder)


@pytest.fixture
async def server(outside: Path) -> AsyncIterator[Server]:
    async with running(load(data_dir=outside / "data", durable=False, port=0)) as opened:
        yield opened


@asynccontextmanager
async def consumer_of(server: Server, seconds: int = 600) -> AsyncIterator[Party]:
    async with (
        party(server.api_url, "viewer", "CONSUMER", CONSUMER_SCOPES) as consumer,
        ChainClient(server.deployment.config) as chain,
    ):
        await fund(server, chain, consumer, seconds)
        yield consumer


async def watched(consumer: Party, at: Point, seconds: int = 120) -> str:
    """A session at a place that is LIVE."""
    session = await consumer.api.sessions.create(lat=at.lat, lng=at.lng, max_duration_seconds=seconds)
    await consumer.api.sessions.dispatch(session.id)
    live = await consumer.api.sessions.wait_for(session.id, "LIVE")
    assert live.state == "LIVE"
    return session.id


async def window(consumer: Party, session_id: str, *, closed: bool, seconds: float = 30) -> Receipt:
    """The receipt once there is a window, open or closed."""

    async def look() -> Receipt | None:
        receipt = await consumer.api.sessions.receipt(session_id)
        windows = receipt.windows
        return receipt if windows and (windows[-1].closed_at is not None) == closed else None

    return await until(look, seconds)
