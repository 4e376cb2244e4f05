"""Word of new blocks by WebSocket: it wakes the watcher, and nothing depends on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from ledger_node import SETTLEMENT, ForkingNode, Refused

from luxxon_core.adapters.chain import heads as module
from luxxon_core.adapters.chain.heads import NewHeads

FOREVER_S = 20.0


@pytest.fixture
async def node() -> AsyncIterator[ForkingNode]:
    async with ForkingNode.serving() as serving:
        yield serving


@pytest.fixture
async def heads(node: ForkingNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NewHeads]:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.05, 0.2))
    monkeypatch.setattr(module, "SUBSCRIBED_S", FOREVER_S)
    subscribed = NewHeads([node.url.replace("http", "ws")], SETTLEMENT)
    running = asyncio.create_task(subscribed.run())
    await until(lambda: subscribed.subscribed)
    await subscribed.wait(0)  # that it stands is news as well
    yield subscribed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not node.sockets


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def woken_after(heads: NewHeads, seconds: float = FOREVER_S) -> float:
    began = time.monotonic()
    await heads.wait(seconds)
    return time.monotonic() - began


async def test_a_block_wakes_who_waits(node: ForkingNode, heads: NewHeads) -> None:
    asked = [params for method, params in node.asked if method == "eth_subscribe"]
    assert asked == [["newHeads"], ["logs", {"address": SETTLEMENT}]]
    for _ in range(3):
        waiting = asyncio.create_task(woken_after(heads))
        await asyncio.sleep(0)
        node.mine()
        await node.announce()
        assert await waiting < 1


async def test_a_block_that_came_while_nobody_waited_is_not_missed(
    node: ForkingNode, heads: NewHeads
) -> None:
    node.mine()
    await node.announce()
    await until(heads._news.is_set)
    assert await woken_after(heads) < 1


async def test_with_the_subscription_gone_one_looks_as_often_as_without(
    node: ForkingNode, heads: NewHeads
) -> None:
    waiting = asyncio.create_task(woken_after(heads))
    await asyncio.sleep(0)
    refusals = iter(range(3))
    subscribe = ForkingNode.eth_subscribe

    def refuse(self: ForkingNode, *what: object) -> str:
        if next(refusals, None) is not None:
            raise Refused("no subscriptions today")
        return subscribe(self, *what)

    node.eth_subscribe = refuse.__get__(node)  # type: ignore[method-assign]
    await node.hang_up()
    assert await waiting < 1
    assert await woken_after(heads, 0.01) < 0.5
    await until(lambda: heads.subscribed)
    await heads.wait(0)
    waiting = asyncio.create_task(woken_after(heads))
    await node.announce()
    assert await waiting < 1
