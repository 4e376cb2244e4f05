"""Several requests to a chain's nodes at once: as one batch where a node takes batches."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from ledger_node import CHAIN_ID, ForkingNode, Refused
from three_nodes import FAULTS, Three, quick, status

from luxxon_core.adapters.chain import node as module
from luxxon_core.adapters.chain.node import Nodes
from luxxon_core.adapters.chain.wire import MAX_BATCH, NodeError, Unreachable

NUMBERS = [[hex(number), False] for number in range(15)]


async def blocks(nodes: Nodes) -> list[str]:
    """The numbers of blocks, asked for at once."""
    found = await nodes.request_all("eth_getBlockByNumber", NUMBERS)
    return [one["number"] for one in found]


async def test_each_answer_is_that_of_its_request_in_whatever_order_they_come(three: Three) -> None:
    assert await blocks(three.asking) == [number for number, _ in NUMBERS]
    assert three.asked() == [len(NUMBERS), 0, 0]


async def test_a_node_that_takes_no_batches_is_asked_one_by_one(three: Three) -> None:
    three.first.takes_batches = False
    for _ in range(2):
        assert await blocks(three.asking) == [number for number, _ in NUMBERS]
    assert three.usable == [True, True, True]
    assert three.asked() == [2 * len(NUMBERS), 0, 0]


async def test_a_large_number_is_asked_for_in_parts(three: Three) -> None:
    three.mine(2 * MAX_BATCH)
    found = await three.asking.request_all("eth_getBlockByNumber", [[hex(at), False] for at in range(210)])
    assert [one["number"] for one in found] == [hex(at) for at in range(210)]


@pytest.mark.parametrize("kind", FAULTS)
async def test_the_next_node_answers_a_batch(
    three: Three, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(monkeypatch):
        three.first.fault = FAULTS[kind]
        assert await blocks(three.asking) == [number for number, _ in NUMBERS]
        assert three.usable == [False, True, True]


async def test_with_all_down_each_request_has_failed(three: Three) -> None:
    for node in three.each:
        node.fault = status(503)
    found = await three.asking.request_all("eth_getBlockByNumber", NUMBERS)
    assert all(isinstance(one, Unreachable) for one in found) and len(found) == len(NUMBERS)


async def test_only_what_one_node_did_not_answer_is_asked_of_the_next(three: Three) -> None:
    shown = three.first.eth_getBlockByNumber

    def limited(number: str, full: bool) -> dict[str, str] | None:
        if int(number, 16) > 10:
            raise Refused("rate limit: too many compute units")
        return shown(number, full)

    three.first.eth_getBlockByNumber = limited  # type: ignore[method-assign]
    assert await blocks(three.asking) == [number for number, _ in NUMBERS]
    assert three.asked()[:2] == [len(NUMBERS), 4]


async def test_an_error_about_one_request_is_the_answer_to_it_alone(three: Three) -> None:
    shown = three.first.eth_getBlockByNumber

    def refusing(number: str, full: bool) -> dict[str, str] | None:
        if number == hex(3):
            raise Refused("no such state")
        return shown(number, full)

    three.first.eth_getBlockByNumber = refusing  # type: ignore[method-assign]
    found = await three.asking.request_all("eth_getBlockByNumber", NUMBERS)
    assert [at for at, one in enumerate(found) if isinstance(one, NodeError)] == [3]
    assert three.usable == [True, True, True]


async def test_transactions_go_to_all_and_of_each_one_node_that_takes_it_is_enough(three: Three) -> None:
    three.first.fault = status(503)
    three.second.sent.append("0x02")
    raws = ["0x01", "0x02", "0x03"]
    found = await three.asking.request_all("eth_sendRawTransaction", [[raw] for raw in raws])
    async with asyncio.timeout(5):
        while sorted(three.third.sent) != raws:
            await asyncio.sleep(0.01)
    assert not any(isinstance(one, Unreachable) for one in found)
    assert sorted(three.second.sent) == raws and not three.first.sent


async def test_what_all_nodes_know_already_says_so(three: Three) -> None:
    for node in three.each:
        node.sent.append("0x02")
    found = await three.asking.request_all("eth_sendRawTransaction", [["0x01"], ["0x02"]])
    assert not isinstance(found[0], Exception)
    assert isinstance(found[1], NodeError) and "already known" in found[1].said


async def test_a_provider_that_limits_what_is_asked_for_at_once_is_asked_for_less() -> None:
    async with ForkingNode.serving() as node:
        for _ in range(99):
            node.mine()
        node.max_batch = 20
        nodes = Nodes([node.url], CHAIN_ID)
        calls = [[hex(number), False] for number in range(100)]
        try:
            found = await nodes.request_all("eth_getBlockByNumber", calls)
            assert [one["number"] for one in found] == [number for number, _ in calls]
        finally:
            await nodes.close()


async def test_what_a_silent_node_has_answered_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    async with ForkingNode.serving(takes_batches=False) as node:
        for _ in NUMBERS:
            node.mine()

        async def stalls(_: str) -> web.Response | None:
            if len(node.asked) > 10:
                await asyncio.sleep(5)
            return None

        node.fault = stalls
        nodes = Nodes([node.url], CHAIN_ID)
        try:
            async with asyncio.timeout(3):
                found = await nodes.request_all("eth_getBlockByNumber", NUMBERS)
        finally:
            await nodes.close()
        assert sum(isinstance(one, Unreachable) for one in found) == len(NUMBERS) - 10


async def test_over_a_websocket_they_go_side_by_side() -> None:
    async with ForkingNode.serving() as node:
        for _ in NUMBERS:
            node.mine()
        nodes = Nodes([node.url.replace("http", "ws")], CHAIN_ID)
        try:
            assert await blocks(nodes) == [number for number, _ in NUMBERS]
        finally:
            await nodes.close()
