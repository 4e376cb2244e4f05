"""What the Python blocks of a page take for granted: the names that the text around them speaks of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from doc_market import WORDS

from luxxon_core.client import Luxxon
from luxxon_core.demo.stage import GAS_WEI

Names = Callable[[str], Awaitable[dict[str, Any]]]
"""Of a block's text the names that it may use."""


@asynccontextmanager
async def readme(place: SimpleNamespace) -> AsyncIterator[Names]:
    async def names(_text: str) -> dict[str, Any]:
        return {"key": place.market.consumer.api_key}

    yield names


@asynccontextmanager
async def live(place: SimpleNamespace) -> AsyncIterator[Names]:
    """An ``api``, and the ``session_id`` of a LIVE session; one whose events a block follows is ended."""
    market = place.market
    session_id = place.home.environment["SESSION_ID"] = await market.live()
    endings: list[asyncio.Task[None]] = []
    async with Luxxon(market.server.api_url, api_key=market.consumer.api_key) as api:

        async def names(text: str) -> dict[str, Any]:
            nonlocal session_id
            if (await api.sessions.get(session_id)).state != "LIVE":
                session_id = await market.live()
            if "sessions.events(" in text:
                endings.append(asyncio.create_task(end_when_metered(market.consumer.api, session_id)))
            return {"api": api, "session_id": session_id}

        try:
            yield names
        finally:
            await asyncio.gather(*endings)


async def end_when_metered(api: Luxxon, session_id: str) -> None:
    async with asyncio.timeout(30), api.sessions.events(session_id) as stream:
        async for event in stream:
            if event.name == "session.meter":
                await api.sessions.end(session_id)
                return


@asynccontextmanager
async def sdk(place: SimpleNamespace) -> AsyncIterator[Names]:
    """Besides, the wallet's file with what opens it, and what the events are matched on."""
    schemas = import_module("luxxon_core.events.schemas")
    market = place.market
    chain = market.server.deployment.parts.development_chain
    await chain.faucet(market.consumer.wallet.address, GAS_WEI, 20_000_000)
    async with live(place) as with_session:

        async def names(text: str) -> dict[str, Any]:
            found = await with_session(text)
            found |= {name: getattr(schemas, name) for name in ("SessionMeter", "SessionState")}
            found |= {"Luxxon": Luxxon, "key": market.consumer.api_key, "passphrase": WORDS}
            return found | {"path": Path(place.home.environment["LUXXON_WALLET"])}

        yield names


@asynccontextmanager
async def console(place: SimpleNamespace) -> AsyncIterator[Names]:
    async def names(_text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for module in ("screens.pane", "actions", "widgets", "rows", "format"):
            found |= vars(import_module(f"luxxon_tui.{module}"))
        return found

    yield names


NAMES: dict[str, Callable[[SimpleNamespace], AbstractAsyncContextManager[Names]]] = {
    "README.md": readme,
    "docs/console.md": console,
    "docs/media.md": live,
    "docs/sdk.md": sdk,
}
