"""A marketplace for commands: a consumer with money, and in Brussels a camera that others may move."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luxxon_core.client.keystore import write
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, fund, party
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.agent import Location, OperatorAgent
from luxxon_core.server import Server, running
from luxxon_core.settings import load
from luxxon_core.testing import FakeSource

BRUSSELS, GHENT = Point(50.8466, 4.3528), Point(51.0543, 3.7174)
SCOPES = ("sessions:read", "sessions:create", "pricing:read", "wallet:read")
WORDS = "correct horse battery"


@dataclass(frozen=True)
class Shell:
    """``luxxon`` in an environment and an empty folder."""

    folder: Path
    environment: dict[str, str]

    async def start(self, *arguments: str, out: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "luxxon_core", *arguments),
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        try:
            out, err = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        assert b"Traceback" not in err, err
        return process.returncode, out.decode(), err.decode()

    async def says(self, *arguments: str) -> str:
        """What it prints when all is well."""
        code, out, err = await self(*arguments)
        assert code == 0, err
        return out

    async def told(self, *arguments: str) -> Any:
        return json.loads(await self.says(*arguments, "--json"))

    async def refused(self, *arguments: str) -> str:
        """Why it was refused, in one line."""
        code, out, err = await self(*arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), (code, out, err)
        return err

    def having(self, **environment: str | None) -> Shell:
        """The same with other variables; None takes one away."""
        kept = {**self.environment, **environment}
        return replace(self, environment={name: text for name, text in kept.items() if text is not None})


@dataclass(frozen=True)
class Market:
    server: Server
    consumer: Party
    supplier: Party
    camera: FakeSource
    folder: Path

    def shell(self, of: Party) -> Shell:
        """With the key of a party and its wallet."""
        return self.wallet_shell(of.wallet).having(LUXXON_API_KEY=of.api_key)

    def wallet_shell(self, wallet: LocalWallet) -> Shell:
        """With a wallet's file, and no key."""
        folder = self.folder / wallet.address
        if not folder.exists():
            folder.mkdir()
            write(folder / "wallet.json", wallet, WORDS)
            (folder / "words").write_text(WORDS)
        environment = {
            "LUXXON_URL": self.server.url,
            "LUXXON_WALLET": str(folder / "wallet.json"),
            "LUXXON_WALLET_PASSPHRASE_FILE": str(folder / "words"),
        }
        return Shell(folder, environment)

    async def requested(self, at: Point = GHENT) -> str:
        """A session that nobody has taken."""
        made = await self.consumer.api.sessions.create(lat=at.lat, lng=at.lng, max_duration_seconds=20)
        return made.id

    @asynccontextmanager
    async def live(self) -> AsyncIterator[str]:
        """A session that is LIVE, and ends after it."""
        api = self.consumer.api
        view = await api.request_live_view(
            lat=BRUSSELS.lat, lng=BRUSSELS.lng, max_duration_seconds=60, cancel=True
        )
        assert view.viewer is not None, view.outcome
        try:
            yield view.session.id
        finally:
            if (await api.sessions.get(view.session.id)).state == "LIVE":
                await api.sessions.end(view.session.id)


@asynccontextmanager
async def market_in(folder: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(running(load(data_dir=folder / "data", durable=False, port=0)))
        consumer = await enter(party(server.api_url, "twin", "CONSUMER", SCOPES))
        supplier = await enter(party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES))
        chain = await enter(ChainClient(await consumer.api.config.get()))
        await fund(server, chain, consumer, 1000)
        camera = FakeSource()
        await enter(_online(supplier, camera))
        yield Market(server, consumer, supplier, camera, folder)


@asynccontextmanager
async def _online(supplier: Party, camera: FakeSource) -> AsyncIterator[None]:
    location = Location(BRUSSELS.lat, BRUSSELS.lng)
    agent = OperatorAgent(supplier.api, camera, supplier.workspace_id, location, controls=("ptz", "zoom"))
    task = asyncio.create_task(agent.run(), name="operator")
    try:
        await asyncio.wait_for(agent.online.wait(), 20)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
