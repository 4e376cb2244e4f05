"""The people of the demo: a consumer with a funded pool, and an operator with a camera."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.demo.report import Balances
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.geo import Point
from luxxon_core.server import Server

if TYPE_CHECKING:
    from luxxon_core.operator.agent import OperatorAgent
    from luxxon_core.source import Source

CONSUMER_SCOPES = ("sessions:read", "sessions:create", "pricing:read", "wallet:read")
SUPPLIER_SCOPES = ("sessions:read", "sessions:operate")
GAS_WEI = 10**18


@dataclass(frozen=True, slots=True)
class Party:
    """A wallet, its workspace, and a client with a key of that workspace."""

    wallet: LocalWallet
    workspace_id: str
    name: str
    api: Luxxon
    api_key: str = field(repr=False)


@contextlib.asynccontextmanager
async def party(api_url: str, slug: str, role: str, scopes: tuple[str, ...]) -> AsyncIterator[Party]:
    """A fresh wallet creates a workspace, signs in and mints a key for it: all by the public API."""
    wallet = await asyncio.to_thread(LocalWallet.create)
    name = f"{slug}-{wallet.address[2:8].lower()}"
    async with Luxxon(api_url) as visitor:
        challenge = await visitor.workspaces.challenge(wallet.address)
        workspace = await visitor.workspaces.create(
            slug=name,
            name=name,
            wallet_address=wallet.address,
            signature=wallet.sign_message(challenge.message),
            nonce=challenge.nonce,
            roles=[role],
        )
        challenge = await visitor.auth.challenge(wallet.address)
        await visitor.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        await visitor.auth.select_workspace(workspace.id)
        key = await visitor.workspaces.create_api_key(workspace.id, label="demo", scopes=scopes)
    async with Luxxon(api_url, api_key=key.plaintext) as api:
        yield Party(wallet, workspace.id, name, api, key.plaintext)


async def fund(server: Server, chain: ChainClient, consumer: Party, seconds: int) -> None:
    """Test money from the development chain, then approve and deposit, signed by the consumer."""
    amount = server.deployment.cases.pricing.tariff.base_rate_uusdc * seconds
    await server.deployment.parts.development_chain.faucet(consumer.wallet.address, GAS_WEI, amount)
    await chain.top_up(consumer.wallet, amount)


async def balances(chain: ChainClient, consumer: Party, supplier: Party) -> Balances:
    """What the chain says now."""
    platform = await chain.platform_wallet()
    pool, operator, fee = await asyncio.gather(
        chain.pool(consumer.wallet.address), chain.usdc(supplier.wallet.address), chain.usdc(platform)
    )
    return Balances(pool, operator, fee)


@dataclass
class Operator:
    """The running agent, and when it sent its WHIP offer."""

    agent: OperatorAgent
    posted_at: datetime | None = None


@contextlib.asynccontextmanager
async def operating(supplier: Party, source: Source, at: Point) -> AsyncIterator[Operator]:
    """The operator's agent, ONLINE and waiting; it goes OFFLINE when the block ends."""
    import httpx

    from luxxon_core.operator.agent import Location, OperatorAgent

    async def note_offer(request: httpx.Request) -> None:
        if request.method == "POST" and operator.posted_at is None:
            operator.posted_at = utc_now()

    async with httpx.AsyncClient(event_hooks={"request": [note_offer]}, trust_env=False) as http:
        agent = OperatorAgent(
            supplier.api,
            source,
            supplier.workspace_id,
            Location(at.lat, at.lng),
            device_kind="FIXED",
            http=http,
        )
        operator = Operator(agent)
        task = asyncio.create_task(agent.run(), name="operator")
        online = asyncio.create_task(agent.online.wait(), name="online")
        try:
            await asyncio.wait({task, online}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield operator
        finally:
            for one in (online, task):
                one.cancel()
            await asyncio.gather(online, task, return_exceptions=True)
