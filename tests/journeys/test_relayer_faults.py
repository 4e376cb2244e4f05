"""The relayer behind an RPC provider that fails in every way it can, and fees that jump."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from anvil import Anvil, anvil_chain
from relaying import Books, opened, policy

from luxxon_core.adapters.chain import node
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.usecases import Relay

SEND = "eth_sendRawTransaction"
CAP = 10**12
ROUNDS = 24
SPIKES = {8: CAP // 10, 16: 2 * CAP}
"""Base fees by round: above what is offered, then above what may be."""
SAID = {
    "nonce too low": (-32000, "nonce too low: next nonce 9, tx nonce 3"),
    "underpriced": (-32000, "replacement transaction underpriced"),
    "limit": (-32005, "daily request count exceeded, request rate limited"),
}
OF_SENDING = ("nonce too low", "underpriced", "dropped", "gone", "silent", "silent afterwards")
FAULTS = ("429", "503", "gone", "dropped", "garbage", "silent", "silent afterwards", *SAID)
TIMEOUT_S = 0.2
"""What is waited for an answer, in place of ten seconds."""


class Provider:
    """A proxy in front of a node; ``share`` of the requests fail."""

    def __init__(self, node: Anvil, seed: int) -> None:
        self._node, self._random = node, random.Random(seed)
        self._of_sending = itertools.cycle(OF_SENDING)
        self._session = aiohttp.ClientSession()
        self.share = 0.0
        self.failed: Counter[str] = Counter()
        self.batches = 0
        self._closing = asyncio.Event()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serving(cls, node: Anvil, seed: int) -> AsyncIterator[Provider]:
        provider = cls(node, seed)
        app = web.Application()
        app.router.add_post("/", provider.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield provider
        finally:
            provider._closing.set()
            await provider._session.close()
            await runner.cleanup()

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        calls = asked if isinstance(asked, list) else [asked]
        self.batches += isinstance(asked, list)
        fault = self._fault(calls[0]["method"])
        if fault is not None:
            self.failed[fault] += 1
        match fault:
            case "429" | "503":
                return web.Response(status=int(fault))
            case "gone":
                return self._gone(request)
            case "garbage":
                return web.Response(text="<html>try again later</html>")
            case "limit" | "nonce too low" | "underpriced":
                code, message = SAID[fault]
                error = {"code": code, "message": message}
                said = [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]
                return web.json_response(said if calls is asked else said[0])
            case "silent":
                await self._closing.wait()
                return web.Response()
        async with self._session.post(self._node.rpc_url, json=asked) as response:
            answered: Any = await response.json()
        if fault == "silent afterwards":
            await self._closing.wait()
        return self._gone(request) if fault == "dropped" else web.json_response(answered)

    def _fault(self, method: str) -> str | None:
        if self._random.random() >= self.share:
            return None
        if method == SEND:
            return next(self._of_sending)
        return self._random.choice([one for one in FAULTS if one not in OF_SENDING[:2]])

    def _gone(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()


@pytest.mark.parametrize("batch", [1, 100], ids=["one by one", "in batches"])
async def test_whatever_a_provider_does_nothing_is_sent_twice_or_gets_stuck(
    tmp_path: Path, database: Database, dsn: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "TIMEOUT_S", TIMEOUT_S)
    async with anvil_chain(tmp_path) as chain, Provider.serving(chain.node, seed=5) as provider:
        books = Books(chain, database, dsn)
        for _ in range(2):
            await books.consumer(10**9)
        await chain.node.rpc("evm_setAutomine", False)
        view = opened(replace(books.place, rpc_url=provider.url))
        how = policy(batch, max_fee=CAP, reprice_after=timedelta(seconds=20))
        relay = Relay(database, PgSettlementStore(), RpcSettlements(view), how)
        now = utc_now()

        async def passes() -> None:
            nonlocal now
            now += timedelta(seconds=10)
            async with asyncio.timeout(30):
                while await relay.relay_once(now):
                    pass
            await chain.node.rpc("evm_mine")

        provider.share = 0.3
        for number in range(ROUNDS):
            await books.owe(2)
            if (spike := SPIKES.get(number)) is not None:
                await chain.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(spike))
            await passes()
        assert len(provider.failed) == len(FAULTS)
        assert provider.batches or batch > 1
        provider.share = 0.0
        async with asyncio.timeout(60):
            while not await books.all_final():
                await passes()
        await books.balance()
        assert await books.reverted() == 0  # what is sent twice reverts
        await view.close()
