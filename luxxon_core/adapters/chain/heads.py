"""A node's word by WebSocket that something has happened, so that nobody need look every second.

It is a hint and nothing else: who is woken reads the chain as ever, and looks by itself now and then, since a
node may say nothing. Source: geth's ``eth_subscribe`` (newHeads, logs), which all providers have taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog

from luxxon_core.adapters.chain.wire import SocketWire, Unreachable

TIMEOUT_S = 10.0
BACK_OFF_S = (1.0, 30.0)
"""First and longest pause until a lost connection is made again; it doubles in between."""
SUBSCRIBED_S = 10.0
"""How long nobody looks while a subscription stands and says nothing."""

_log = structlog.get_logger(__name__)


class NewHeads:
    """Subscribes to the blocks of a chain, and to a contract's logs, which tell of those taken back as well.

    Args:
        urls: WebSocket addresses of nodes, tried in turn.
        contract: whose logs.
    """

    def __init__(self, urls: Sequence[str], contract: str) -> None:
        self._urls = urls
        self._contract = contract
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self.subscribed = False

    async def wait(self, seconds: float) -> None:
        """Until there is news; without a subscription, and before long with one, no longer than that."""
        try:
            async with asyncio.timeout(max(seconds, SUBSCRIBED_S) if self.subscribed else seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def run(self) -> None:
        """Keep the subscription until cancelled."""
        pause, turn = BACK_OFF_S[0], 0
        while True:
            url = self._urls[turn % len(self._urls)]
            if await self._follow(url):
                pause = BACK_OFF_S[0]
            turn += 1
            _log.warning("chain.subscription_lost", host=urlsplit(url).hostname, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACK_OFF_S[1])

    async def _follow(self, url: str) -> bool:
        """Stay subscribed until the connection ends; whether it came to that at all."""
        self._ended.clear()
        wire = SocketWire(url, self._notified, self._ended.set)
        try:
            for what in (("newHeads",), ("logs", {"address": self._contract})):
                answer = await wire.post("eth_subscribe", what, TIMEOUT_S)
                if "result" not in answer:
                    return False
            self.subscribed = True
            self._news.set()  # of what came before
            await self._ended.wait()
        except Unreachable:
            return False
        finally:
            self.subscribed = False
            self._news.set()  # whoever waits goes on by looking
            await wire.close()
        return True

    def _notified(self, _: Mapping[str, Any]) -> None:
        self._news.set()
