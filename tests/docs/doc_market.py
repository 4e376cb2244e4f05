"""The one marketplace that the pages share: a consumer with money, and in Brussels a camera that turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from luxxon_core.client.keystore import write
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, fund, party
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.agent import Location, OperatorAgent
from luxxon_core.server import Server, running
from luxxon_core.settings import load
from luxxon_core.testing import FakeSource

BRUSSELS = Point(50.8466, 4.3528)
SCOPES = ("sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read")
WORDS = "correct horse battery"
UNDECIDED = ("REQUESTED", "ASSIGNED", "LIVE")


@dataclass(frozen=True)
class Market:
    server: Server
    consumer: Party
    supplier: Party

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    def environment(self, folder: Path) -> dict[str, str]:
        """What a consumer of this marketplace has set; the wallet's file is made in ``folder``."""
        (folder / "words").write_text(WORDS)
        write(folder / "wallet.json", self.consumer.wallet, WORDS)
        return {
            "LUXXON_URL": self.server.url,
            "LUXXON_PORT": "0",  # of servers that a page starts beside it
            "LUXXON_API_KEY": self.consumer.api_key,
            "LUXXON_WALLET": str(folder / "wallet.json"),
            "LUXXON_WALLET_PASSPHRASE_FILE": str(folder / "words"),
        }

    async def live(self, seconds: int = 60) -> str:
        """A session that is LIVE."""
        view = await self.consumer.api.request_live_view(
            lat=BRUSSELS.lat, lng=BRUSSELS.lng, max_duration_seconds=seconds, cancel=True
        )
        assert view.viewer is not None, view.outcome
        return view.session.id

    async def quiet(self) -> None:
        """End what a page has left open, so that the next finds the camera free."""
        api = self.consumer.api
        for session in await api.sessions.list(state=UNDECIDED):
            await (api.sessions.end if session.state == "LIVE" else api.sessions.cancel)(session.id)


@asynccontextmanager
async def market_at(folder: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(running(load(data_dir=folder / "data", durable=False, port=0)))
        consumer = await enter(party(server.api_url, "reader", "CONSUMER", SCOPES))
        supplier = await enter(party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES))
        chain = await enter(ChainClient(await consumer.api.config.get()))
        await fund(server, chain, consumer, 5000)
        await enter(online(supplier))
        yield Market(server, consumer, supplier)


@asynccontextmanager
async def online(supplier: Party) -> AsyncIterator[None]:
    """The supplier's agent with a camera that others may move."""
    location = Location(BRUSSELS.lat, BRUSSELS.lng)
    agent = OperatorAgent(
        supplier.api, FakeSource(), supplier.workspace_id, location, controls=("ptz", "zoom")
    )
    running = asyncio.create_task(agent.run(), name="operator")
    try:
        await asyncio.wait_for(agent.online.wait(), 20)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
