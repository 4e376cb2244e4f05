"""Nodes that tell of more blocks than there are, alone or beside honest ones: nothing stops for that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from ledger_chains import CONSUMER, caught_up, chain_of, ledger_of, watcher
from ledger_node import ForkingNode, Refused, deposit
from structlog.testing import capture_logs
from three_nodes import Three, status

from luxxon_core.adapters.chain.node_heads import MAX_LAG, SILENT_S, STILL_S
from luxxon_core.adapters.chain.pools import BlockPools
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.wire import NodeError, Unreachable
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.wallet.ports import PoolBalance
from luxxon_core.wallet.usecases import TAIL

LIES = [2, MAX_LAG, 300]

BESIDE: dict[str, Callable[[Three], tuple[ForkingNode, ...]]] = {
    "alone": lambda three: (three.first,),
    "first of two": lambda three: (three.first, three.second),
    "second of two": lambda three: (three.second, three.first),
    "first of three": lambda three: (three.first, three.second, three.third),
    "last of three": lambda three: (three.second, three.third, three.first),
}


@pytest.fixture(params=BESIDE)
async def beside(three: Three, request: pytest.FixtureRequest) -> Three:
    """Nodes of which ``first`` is to lie."""
    await three.ask_only(*BESIDE[request.param](three))
    return three


@pytest.mark.parametrize("lie", LIES)
async def test_the_head_is_the_newest_block_that_is_shown(beside: Three, lie: int) -> None:
    three = beside
    three.first.claims = lie
    for _ in range(3):
        await three.look()
        assert await three.head() == three.first.head
        three.mine()
        assert await three.head() == three.first.head
    for one in three.asking.health():
        assert one.head is not None and one.head <= three.first.head
    assert three.usable.count(False) == (lie > MAX_LAG)
    three.first.claims = 0
    await three.look()
    assert all(three.usable)
    assert await three.head() == three.first.head


@pytest.mark.parametrize("lie", LIES)
async def test_pools_are_read_and_the_watcher_goes_on(beside: Three, database: Database, lie: int) -> None:
    three, ports = beside, beside.chain
    watch, pools = watcher(database, ports, 3), BlockPools(ports, three.hand)
    await caught_up(watch)
    three.first.claims = lie
    total = 0
    for amount in range(1, TAIL + 10):
        three.first.mine(deposit(CONSUMER, amount))
        total += amount
        if amount % 8 == 0:
            three.hand.seconds += 1
            assert await pools.pool(CONSUMER) == PoolBalance(total, three.first.head)
            await caught_up(watch)
            entries, _ = await ledger_of(database, ports)
            assert len(entries) == amount - 2  # with three confirmations each
    await pools.close()


async def test_an_honest_node_is_not_left_for_one_that_lies(three: Three) -> None:
    await three.ask_only(three.first, three.second)
    three.second.claims = 300
    for _ in range(3):
        await three.look()
    three.asked()
    assert await three.head() == 20
    assert three.asked() == [1, 0, 0]


async def test_one_that_lied_is_returned_to(three: Three) -> None:
    three.first.claims = 300
    with capture_logs() as lines:
        assert await three.head() == 20
        await three.look()
    assert [line["event"] for line in lines] == ["chain.node_doubted"]
    three.asked()
    await three.head()
    assert three.asked()[:2] == [0, 1]
    three.first.claims = 0
    await three.look()
    three.asked()
    await three.head()
    assert three.asked() == [1, 0, 0]


async def test_a_liar_is_asked_for_what_it_shows_where_the_honest_one_is_gone(three: Three) -> None:
    await three.ask_only(three.first, three.second)
    three.first.claims = 300
    await three.look()
    three.second.fault = status(503)
    assert await three.head() == 20


@pytest.mark.parametrize("lie", LIES)
async def test_a_newest_block_that_is_not_there_by_its_number_is_not_believed(three: Three, lie: int) -> None:
    def shown(number: str, full: bool) -> dict[str, str] | None:
        block = ForkingNode.eth_getBlockByNumber(three.first, number, full)
        if number == "latest" and block is not None:
            block["number"] = three.first.eth_blockNumber()
        return block

    three.first.eth_getBlockByNumber = shown  # type: ignore[method-assign]
    three.first.claims = lie
    assert await three.head() == 20
    assert three.usable == [False, True, True]
    with capture_logs() as lines:
        await three.ask_only(three.second, three.first)
    assert (await three.head(), three.usable) == (20, [True, False])
    assert [line["event"] for line in lines] == ["chain.node_doubted"]  # it is not down
    with pytest.raises(Unreachable, match="without its block"):
        await three.ask_only(three.first)
    three.first.claims = 0
    await three.look()
    assert (await three.head(), three.usable) == (20, [True])


async def test_a_node_that_answers_any_number_adds_no_confirmations(beside: Three) -> None:
    three = beside
    three.first.claims, three.first.lenient = 300, True
    await three.look()
    assert await three.head() == 20
    assert await three.chain.pool(CONSUMER) == PoolBalance(0, 20)


async def test_refusing_to_answer_for_a_block_is_not_to_show_it(beside: Three) -> None:
    def refuses(number: str, full: bool) -> dict[str, str] | None:
        block = ForkingNode.eth_getBlockByNumber(beside.first, number, full)
        if block is None:
            raise Refused("Unknown block number")
        return block

    beside.first.eth_getBlockByNumber = refuses  # type: ignore[method-assign]
    beside.first.claims = 300
    await beside.look()
    assert await beside.head() == 20


@pytest.mark.parametrize("place", range(3))
async def test_made_up_blocks_are_found_out_by_two_others(three: Three, place: int) -> None:
    liar = three.each[place]
    liar.claims, liar.fabricates = 300, True
    assert await three.head() == 20  # not even once, where the others have been heard
    await three.look()
    assert three.usable == [at != place for at in range(3)]
    three.mine(2)
    assert await three.head() == 22
    liar.claims = 0
    await three.look()
    await three.look()
    assert three.usable == [True, True, True]


async def test_made_up_blocks_are_found_out_from_the_start(three: Three) -> None:
    three.first.claims, three.first.fabricates = 300, True
    await three.ask_only(*three.each)
    assert (await three.head(), three.usable) == (20, [False, True, True])


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("spacing", [1, 0], ids=["tells the future", "tells this time"])
async def test_one_that_was_found_out_stays_out_when_an_honest_one_goes(
    three: Three, place: int, spacing: int
) -> None:
    liar = three.each[place]
    honest, gone = (node for node in three.each if node is not liar)
    liar.claims, liar.fabricates = 300, True
    for node in three.each:
        node.spacing = spacing
    await three.ask_only(*three.each)
    assert (await three.head(), three.usable) == (20, [node is not liar for node in three.each])
    gone.fault = status(503)
    for head in range(21, 26):
        three.mine()
        await three.look()
        assert (await three.head(), three.usable) == (head, [node is honest for node in three.each])
    gone.fault = None
    three.hand.seconds += 30
    await three.look()
    await three.look()
    assert three.usable == [node is not liar for node in three.each]
    liar.claims = 0
    await three.look()
    await three.look()
    assert (await three.head(), three.usable) == (25, [True, True, True])


async def look_in_vain(three: Three) -> None:
    with suppress(Unreachable):
        await three.look()
    assert three.asking._check is not None
    await three.asking._check


async def test_made_up_blocks_are_not_believed_where_nobody_else_answers(three: Three) -> None:
    three.third.claims, three.third.fabricates = 300, True
    await three.look()
    three.first.fault = three.second.fault = status(503)
    for silence in (0, SILENT_S, SILENT_S):
        three.hand.seconds += silence
        await look_in_vain(three)
        three.asked()
        with pytest.raises(Unreachable):
            await three.asking.request("eth_getCode", "0x", hex(20))
        assert three.asked()[2] == 0
    three.first.fault = None
    assert await three.head() == 20


@pytest.fixture
async def accused(three: Three) -> Three:
    """Nodes of which the first is honest, and two that lag a little have found it out."""
    three.mine(MAX_LAG + 2)
    three.second.behind = three.third.behind = MAX_LAG + 2
    await three.look()
    await three.look()
    assert (await three.head(), three.usable) == (20, [False, True, True])
    return three


async def test_an_honest_one_that_was_found_out_is_returned_to_once_the_others_are_long_gone(
    accused: Three,
) -> None:
    accused.second.fault = accused.third.fault = status(503)
    await look_in_vain(accused)
    with pytest.raises(Unreachable):
        await accused.head()
    accused.hand.seconds += SILENT_S
    await look_in_vain(accused)
    assert (await accused.head(), accused.usable) == (27, [True, False, False])


async def test_an_honest_one_that_was_found_out_is_returned_to_once_the_others_lag_by_far(
    accused: Three,
) -> None:
    accused.mine(101)
    accused.second.behind = accused.third.behind = 100
    await accused.look()
    await accused.look()
    assert (await accused.head(), accused.usable) == (accused.first.head, [True, False, False])


async def test_an_honest_one_that_was_found_out_is_returned_to_where_one_that_stands_still_is_left(
    accused: Three,
) -> None:
    accused.third.fault = status(503)
    for _ in range(int((SILENT_S + STILL_S) / 5) + 1):
        accused.mine(5)
        accused.second.behind += 5
        await accused.look()
    assert (await accused.head(), accused.usable[0]) == (accused.first.head, True)


async def test_two_that_stand_still_do_not_stop_the_third(three: Three) -> None:
    three.mine(MAX_LAG + 4)
    three.second.behind = three.third.behind = MAX_LAG + 4
    assert await three.head() == 20  # nobody knows yet who is right
    for _ in range(int(STILL_S / 5)):
        three.mine()
        three.second.behind = three.third.behind = three.second.behind + 1
        await three.look()
    assert await three.head() == three.first.head
    assert three.usable[0]


async def test_after_a_long_silence_the_newest_head_is_believed_at_once(three: Three) -> None:
    three.hand.seconds += 4
    three.mine(50)
    assert await three.head() == 70
    assert three.usable == [True, True, True]


async def test_a_chain_that_became_shorter_has_its_blocks_shown_anew(three: Three) -> None:
    await three.ask_only(three.first)
    three.first.fork(8)
    assert await three.head() == 8
    three.first.claims = 4
    assert await three.head() == 8


@pytest.mark.parametrize("nodes", [1, 2, 3])
async def test_of_each_new_block_one_more_question_is_asked(three: Three, nodes: int) -> None:
    await three.ask_only(*three.each[:nodes])
    for _ in range(5):
        three.mine()
        for _ in range(10):
            await three.head()
    methods = [method for method, _ in three.first.asked]
    assert methods.count("eth_getBlockByNumber") == 5
    assert three.asked() == [55, 0, 0]


# ---------------------------------------------------------------- what one has not got


async def test_a_state_that_one_node_has_lost_is_had_from_another(three: Three) -> None:
    three.first.mine(deposit(CONSUMER, 7))
    three.first.state_from = 10**6
    three.asked()
    assert await three.chain.pool(CONSUMER) == PoolBalance(7, 21)
    found = await three.asking.request_all("eth_getCode", [["0x", hex(at)] for at in range(3)])
    assert found == ["0x60"] * 3
    assert three.usable == [True, True, True]


async def test_what_none_has_is_said_by_the_preferred_one(three: Three) -> None:
    for node in three.each:
        node.state_from = 10
    with pytest.raises(NodeError, match="missing trie node"):
        await three.asking.request("eth_getCode", "0x", hex(9))
    assert three.asked() == [1, 1, 1]
    known, missing = await three.asking.request_all("eth_getCode", [["0x", hex(10)], ["0x", hex(9)]])
    assert known == "0x60" and isinstance(missing, NodeError)
    assert three.asked() == [2, 1, 1]
    three.second.fault = three.third.fault = status(503)
    (missing,) = await three.asking.request_all("eth_getCode", [["0x", hex(9)]])
    assert isinstance(missing, NodeError)
    with pytest.raises(NodeError, match="missing trie node"):
        await three.asking.request("eth_getCode", "0x", hex(9))


async def test_logs_of_a_block_that_one_node_does_not_know_are_had_from_another(three: Three) -> None:
    three.first.mine(deposit(CONSUMER, 7))
    where = {"blockHash": three.first.blocks[21].hash, "address": "0x" + "5e" * 20, "topics": []}
    three.first.behind = 1
    assert len(await three.asking.request("eth_getLogs", where)) == 1


@pytest.mark.parametrize("nodes", [1, 3])
async def test_a_transaction_that_is_refused_goes_nowhere_twice(three: Three, nodes: int) -> None:
    def refuses(_: str) -> str:
        raise Refused("missing trie node")

    await three.ask_only(*three.each[:nodes])
    for node in three.each:
        node.eth_sendRawTransaction = refuses  # type: ignore[method-assign]
    with pytest.raises(NodeError, match="missing trie node"):
        await three.asking.request("eth_sendRawTransaction", "0x02")
    assert three.asked() == [1] * nodes + [0] * (3 - nodes)
    (said,) = await three.asking.request_all("eth_sendRawTransaction", [["0x02"]])
    assert isinstance(said, NodeError)
    assert three.asked() == [1] * nodes + [0] * (3 - nodes)


async def test_a_reverted_call_is_an_answer_whatever_it_says(three: Three) -> None:
    def reverts(*_: Any) -> str:
        raise Refused("execution reverted: block not found")

    three.first.eth_call = reverts  # type: ignore[method-assign]
    with pytest.raises(NodeError, match="reverted"):
        await three.chain.deposits(CONSUMER, 20)
    assert three.asked() == [1, 0, 0]


# ---------------------------------------------------------------- the watcher


async def test_the_watcher_reads_as_far_as_there_are_blocks(
    node: ForkingNode, ports: RpcChain, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.mine(deposit(CONSUMER, 5))
    await caught_up(watcher(database, ports))
    for amount in range(1, 40):
        node.mine(deposit(CONSUMER, amount))

    async def head() -> int:
        return node.head + 300

    with monkeypatch.context() as patched:
        patched.setattr(ports, "head", head)
        await caught_up(watcher(database, ports))
        told, _ = await ledger_of(database, ports)
    entries, _ = await chain_of(ports)
    assert told == entries
    node.mine(deposit(CONSUMER, 1))
    await caught_up(watcher(database, ports))
    assert await ledger_of(database, ports) == await chain_of(ports)
