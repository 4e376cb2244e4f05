"""Three nodes of one chain, what asks them, and what a node may do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest
from aiohttp import web
from ledger_node import CHAIN_ID, GENESIS, SETTLEMENT, USDC, ForkingNode

from luxxon_core.adapters.chain import node as module
from luxxon_core.adapters.chain.node import COMPARE_S, Nodes
from luxxon_core.adapters.chain.rpc import RpcChain


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Three:
    """Three nodes of one chain, and what asks them.

    Attributes:
        ahead: seconds that the time is ahead of the chain's newest block.
    """

    def __init__(self, nodes: list[ForkingNode], hand: Hand) -> None:
        self.first, self.second, self.third = self.each = nodes
        self.hand = hand
        self.ahead = 0.0
        self.asking = Nodes([node.url for node in nodes], CHAIN_ID, hand, self.wall)

    async def close(self) -> None:
        await self.asking.close()

    async def ask_only(self, *nodes: ForkingNode) -> None:
        """From now on ask these alone, the preferred one first."""
        await self.asking.close()
        self.asking = Nodes([node.url for node in nodes], CHAIN_ID, self.hand, self.wall)
        await self.look()
        self.asked()

    @property
    def chain(self) -> RpcChain:
        """The ports to the chain over what is asked."""
        ports = RpcChain(self.first.url, SETTLEMENT, USDC, chain_id=CHAIN_ID)
        ports.nodes = self.asking
        return ports

    def wall(self) -> float:
        return GENESIS + self.first.head * self.first.spacing + self.ahead

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.first.mine()  # they share their blocks

    async def head(self) -> int:
        return int(await self.asking.request("eth_blockNumber"), 16)

    async def look(self) -> None:
        """Let the comparison that is due take place."""
        self.hand.seconds += COMPARE_S
        await self.head()
        if self.asking.several:
            assert self.asking._check is not None
            await self.asking._check

    def asked(self) -> list[int]:
        """How many requests each has had since the last call."""
        counts = [len(node.asked) for node in self.each]
        for node in self.each:
            node.asked.clear()
        return counts

    @property
    def usable(self) -> list[bool]:
        return [one.usable for one in self.asking.health()]


@asynccontextmanager
async def three_nodes() -> AsyncIterator[Three]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(ForkingNode.serving())
        others = [await stack.enter_async_context(ForkingNode.serving(blocks=first.blocks)) for _ in "23"]
        made = Three([first, *others], Hand())
        stack.push_async_callback(made.close)
        made.mine(20)
        await made.look()
        made.asked()
        yield made


Fault = Callable[[str], Awaitable[web.Response | None]]


def status(code: int, **headers: str) -> Fault:
    async def answer(_: str) -> web.Response:
        return web.Response(status=code, headers={name.replace("_", "-"): headers[name] for name in headers})

    return answer


def limits(code: int, message: str) -> Fault:
    async def answer(_: str) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})

    return answer


async def silence(_: str) -> web.Response | None:
    await asyncio.sleep(1.5)
    return None


async def nonsense(_: str) -> web.Response:
    return web.Response(text="<html>maintenance</html>")


async def hang_up(_: str) -> web.Response:
    raise asyncio.CancelledError  # aiohttp drops the connection


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(module, "SHARED_TIMEOUT_S", 0.2)
        yield


FAULTS = {
    "time-out": silence,
    "429": status(429),
    "502": status(502),
    "401": status(401),
    "rate limit": limits(-32005, "daily request count exceeded, request rate limited"),
    "limit": limits(-32005, "limit exceeded"),
    "nonsense": nonsense,
    "dropped": hang_up,
}
