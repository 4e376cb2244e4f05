"""A chain behind several nodes, of which one or another fails, lags, limits or lies."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, deposit
from marketplace import NOON
from structlog.testing import capture_logs
from three_nodes import FAULTS, Hand, Three, quick, silence, status

from luxxon_core.adapters.chain import node as module
from luxxon_core.adapters.chain.logs import RpcLogs
from luxxon_core.adapters.chain.node import Nodes
from luxxon_core.adapters.chain.node_heads import MAX_LAG, STILL_S
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.wire import NodeError, Unreachable
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.ledger import PgLedger
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.wallet.usecases import Books, Watch

SECRET = "v2/hunter2"


@pytest.mark.parametrize("kind", FAULTS)
async def test_the_next_node_answers_and_the_first_is_returned_to(
    three: Three, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.first.fault = FAULTS[kind]
    with quick(monkeypatch):
        assert await three.head() == 20
    three.asked()
    for _ in range(10):
        assert await three.head() == 20  # nobody waits for the first again
    assert three.asked() == [0, 10, 0]
    assert three.usable == [False, True, True]
    three.first.fault = None
    await three.look()
    three.asked()
    await three.head()
    assert three.asked() == [1, 0, 0]
    assert three.usable == [True, True, True]


async def test_a_node_that_stays_down_is_probed_ever_less_often(three: Three) -> None:
    three.first.fault = status(503)
    await three.head()
    probes = 0
    for _ in range(120):
        three.hand.seconds += 1
        three.asked()
        await three.head()
        assert three.asking._check is not None
        await three.asking._check
        probes += three.asked()[0]
    assert 4 <= probes <= 12
    assert await three.head() == 20


async def test_an_error_of_json_rpc_is_an_answer(three: Three) -> None:
    three.first.max_range = 2
    with pytest.raises(NodeError, match="block range too large"):
        await three.asking.request("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x9"})
    assert three.asked() == [1, 0, 0]


async def test_with_all_down_each_is_tried_and_one_that_comes_back_answers(three: Three) -> None:
    for node in three.each:
        node.fault = status(503)
    with pytest.raises(Unreachable, match="HTTP 503"):
        await three.head()
    assert min(three.asked()) >= 3
    three.third.fault = None
    assert await three.head() == 20


async def test_a_node_is_left_alone_for_as_long_as_it_asks(three: Three) -> None:
    for retry_after in ("40", format_datetime(utc_now() + timedelta(seconds=40), usegmt=True)):
        three.first.fault = status(429, Retry_After=retry_after)
        three.asked()
        await three.head()
        assert three.asked()[0] == 1
        three.first.fault = None
        for _ in range(7):
            await three.look()
        assert three.asked()[0] == 0
        await three.look()
        await three.look()
        assert three.asked()[0] > 0
        assert three.usable[0]


async def test_one_node_alone_is_waited_for_briefly_and_not_for_long(three: Three) -> None:
    hand = Hand()
    alone = Nodes([three.first.url], CHAIN_ID, hand)
    try:
        three.first.fault = status(429, Retry_After="60")
        with pytest.raises(Unreachable, match="HTTP 429"):
            await alone.request("eth_blockNumber")
        with pytest.raises(Unreachable, match="asked to wait"):
            await alone.request("eth_blockNumber")
        assert three.asked()[0] == 1
        three.first.fault = None
        hand.seconds += 59.9
        assert await alone.request("eth_blockNumber") == "0x14"
    finally:
        await alone.close()


async def test_a_node_alone_that_hiccups_is_asked_again(three: Three) -> None:
    alone = Nodes([three.first.url], CHAIN_ID)
    left = iter([503, 503, 503])

    async def fault(_: str) -> web.Response | None:
        code = next(left, None)
        return None if code is None else web.Response(status=code)

    three.first.fault = fault
    try:
        assert await alone.request("eth_blockNumber") == "0x14"
    finally:
        await alone.close()


async def test_a_node_that_lags_is_passed_over_until_it_has_caught_up(three: Three) -> None:
    three.first.behind = MAX_LAG
    assert await three.head() == 20 - MAX_LAG  # as nodes do
    three.first.behind = MAX_LAG + 1
    assert await three.head() == 20  # back behind what it has told itself
    assert three.usable == [False, True, True]
    await three.look()
    three.asked()
    assert await three.head() == 20
    assert three.asked()[:2] == [0, 1]
    three.first.behind = 1
    await three.look()
    assert three.usable == [True, True, True]
    assert await three.head() == 19


async def test_a_node_that_stands_still_is_found_out(three: Three) -> None:
    for _ in range(3):
        three.mine(MAX_LAG)
        three.first.behind += MAX_LAG
        await three.look()
    assert three.usable == [False, True, True]
    assert await three.head() == 35


async def test_a_node_that_makes_up_a_head_has_not_the_others_look_old(three: Three) -> None:
    three.third.claims = 10**6
    await three.look()
    assert three.usable == [True, True, False]
    assert await three.head() == 20


@pytest.mark.parametrize("place", range(3))
async def test_two_that_lag_do_not_outvote_the_one_at_the_chains_end(three: Three, place: int) -> None:
    for node in three.each:
        node.spacing = 2
    three.mine(50)
    three.second.behind = three.third.behind = 40
    order = [three.second, three.third]
    order.insert(place, three.first)
    await three.ask_only(*order)
    for _ in range(6):
        three.mine()
        await three.look()
        assert await three.head() == three.first.head
        assert three.usable == [node is three.first for node in order]
    three.hand.seconds += STILL_S
    three.second.behind = three.third.behind = three.second.behind + 15  # they stop for that time
    three.mine(15)
    await three.look()
    assert three.usable == [node is three.first for node in order]
    three.second.behind = three.third.behind = 0
    await three.look()
    assert three.usable == [True, True, True]


async def test_two_that_lag_answer_where_the_one_at_the_chains_end_is_gone(three: Three) -> None:
    three.mine(100)
    three.second.behind = three.third.behind = 80
    await three.look()
    three.mine()
    await three.look()
    assert three.usable == [True, False, False]
    three.first.fault = status(503)
    three.mine()
    assert await three.head() == three.first.head - 80
    await three.look()
    assert three.usable == [False, True, True]


@pytest.mark.parametrize("ahead", [-3600, 0, 70, 3600])
async def test_a_chain_that_stands_still_or_has_a_clock_of_its_own(three: Three, ahead: int) -> None:
    three.ahead = ahead
    for blocks in (1, 1, 0, 0, 100, 1):
        three.mine(blocks)
        three.hand.seconds += STILL_S
        await three.look()
        assert (await three.head(), three.usable) == (three.first.head, [True, True, True])
    three.third.behind = 90  # there too one that lags is found out by two
    await three.look()
    assert three.usable == [True, True, False]
    three.third.behind, three.third.claims, three.third.fabricates = 0, 300, True  # and so is one that lies
    three.mine()
    await three.look()
    assert three.usable == [True, True, False]


async def test_a_block_that_a_node_should_have_is_got_from_another(three: Three) -> None:
    three.first.behind, three.first.claims = 3, 3
    assert await three.head() == 20
    block = await three.asking.request("eth_getBlockByNumber", hex(19), False)
    assert block["hash"] == three.second.blocks[19].hash
    assert await three.asking.request("eth_getBlockByNumber", hex(21), False) is None


async def test_a_chain_that_really_became_shorter_is_believed(three: Three) -> None:
    three.first.fork(8)
    await three.head()
    await three.look()
    await three.look()
    assert three.usable == [True, True, True]
    three.asked()
    assert await three.head() == 8
    assert three.asked() == [1, 0, 0]


async def test_a_node_of_another_chain_is_never_asked(three: Three) -> None:
    three.second.answers_chain_id = 1
    three.first.fault = status(503)
    nodes = Nodes([node.url for node in three.each], CHAIN_ID)
    try:
        with capture_logs() as lines:
            for _ in range(5):
                assert await nodes.request("eth_blockNumber") == "0x14"
        assert [one.usable for one in nodes.health()] == [False, False, True]
        assert "chain.node_foreign" in {line["event"] for line in lines}
        assert {method for method, _ in three.second.asked} == {"eth_chainId"}
    finally:
        await nodes.close()


async def test_a_transaction_goes_to_all_and_one_that_takes_it_is_enough(three: Three) -> None:
    three.first.fault = status(503)
    await three.asking.request("eth_sendRawTransaction", "0x02")
    three.first.fault = None
    await three.asking.request("eth_sendRawTransaction", "0x03")
    async with asyncio.timeout(5):
        while not all("0x03" in node.sent for node in three.each):
            await asyncio.sleep(0.01)
    with pytest.raises(NodeError, match="already known"):  # which the relayer takes for success
        await three.asking.request("eth_sendRawTransaction", "0x03")
    assert [node.sent.count("0x03") for node in three.each] == [1, 1, 1]
    three.first.fault = three.second.fault = three.third.fault = status(503)
    with pytest.raises(Unreachable):
        await three.asking.request("eth_sendRawTransaction", "0x04")


async def test_a_slow_node_holds_up_no_transaction(three: Three) -> None:
    three.first.fault = silence
    async with asyncio.timeout(1):
        await three.asking.request("eth_sendRawTransaction", "0x05")
    assert "0x05" in [*three.second.sent, *three.third.sent]


async def test_nothing_tells_more_of_a_url_than_its_host(three: Three) -> None:
    nodes = Nodes([f"http://user:hunter2@127.0.0.1:9/{SECRET}", f"ws://127.0.0.1:9/{SECRET}"], CHAIN_ID)
    try:
        with capture_logs() as lines, pytest.raises(Unreachable) as refused:
            await nodes.request("eth_blockNumber")
        await nodes.close()
    finally:
        told = f"{lines} {refused.value!r} {refused.value.__cause__!r} {nodes.health()} {nodes._nodes[1]!r}"
        assert "127.0.0.1" in told
        assert "hunter2" not in told


async def test_logs_that_one_node_withholds_are_had_from_another(three: Three) -> None:
    wallet = "0x" + "Ab" * 20
    chain = RpcChain([node.url for node in three.each], SETTLEMENT, USDC, chain_id=CHAIN_ID)
    logs = RpcLogs(chain)
    try:
        three.first.mine(deposit(wallet, 7))
        three.mine()
        three.first.withholds = {21}
        block, empty = await logs.block(21), await logs.block(22)
        assert block is not None and empty is not None
        while not all(one.usable and one.head for one in chain.nodes.health()):
            await asyncio.sleep(0.01)
        with capture_logs() as lines:
            assert [entry.amount_uusdc for entry in await logs.entries_of(block)] == [7]
        assert [line["event"] for line in lines] == ["chain.logs_withheld"]
        three.asked()
        assert await logs.entries_of(empty) == []
        assert three.asked() == [2, 0, 0]  # its filter rules them out
    finally:
        await chain.close()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_two_of_three_do_the_ledger_becomes_what_the_chain_is(
    three: Three, database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOWN_S", (0.01, 0.05))
    monkeypatch.setattr(module, "COMPARE_S", 0.05)
    dice = random.Random(seed)
    chain = RpcChain([node.url for node in three.each], SETTLEMENT, USDC, chain_id=CHAIN_ID)
    ledger, wallets = PgLedger(chain.contract), [f"0x{number:02x}" + "11" * 19 for number in (1, 2, 3)]
    watch, shared = Watch(database, ledger, RpcLogs(chain), 2), three.first
    with monkeypatch.context() as impatient:
        impatient.setattr(module, "SHARED_TIMEOUT_S", 0.05)
        impatient.setattr(module, "TIMEOUT_S", 0.1)
        for _ in range(40):
            for node in dice.sample(three.each, 2):
                node.fault = dice.choice([None, None, *FAULTS.values()])
                node.behind = dice.choice([0, 0, 1, 3, MAX_LAG + 4])
                node.claims = dice.choice([0, 0, 2, 300])
            if all(node.fault for node in three.each):
                dice.choice(three.each).fault = None
            if dice.random() < 0.2:
                shared.fork(max(1, shared.head - dice.randrange(8)))
            for _ in range(dice.randrange(1, 6)):
                shared.mine(deposit(dice.choice(wallets), dice.randrange(1, 1000)))
            for _ in range(3):
                with suppress(ExternalError):
                    await watch.watch(NOON)
    for node in three.each:
        node.fault, node.behind, node.claims = None, 0, 0
    three.mine(2)
    async with asyncio.timeout(20):
        while True:
            with suppress(ExternalError):
                consumed = await watch.watch(NOON)
                async with database.read() as tx:
                    cursor = await ledger.cursor(tx)
                if not consumed and cursor is not None and cursor.block_number == shared.head - 1:
                    break
            await asyncio.sleep(0.02)
    found = await Books(database, ledger, RpcLogs(chain), 2).check(NOON, lambda _read, _of: None)
    await chain.close()
    assert found.differences == ()
    assert found.entries == sum(len(block.happenings) for block in shared.blocks[: shared.head])


async def test_a_node_is_not_asked_for_logs_of_blocks_that_it_lacks(three: Three) -> None:
    three.first.behind = 2
    await three.look()
    three.asked()
    where = {"address": SETTLEMENT, "topics": [], "fromBlock": "0x1"}
    await three.asking.request("eth_getLogs", {**where, "toBlock": "0x14"})
    assert three.asked() == [0, 1, 0]
    await three.asking.request("eth_getLogs", {**where, "toBlock": "0x12"})
    assert three.asked() == [1, 0, 0]
    with pytest.raises(Unreachable, match="old head"):
        await three.asking.request("eth_getLogs", {**where, "toBlock": "0x99"})


async def test_a_websocket_serves_requests_too(three: Three) -> None:
    nodes = Nodes([three.first.url.replace("http", "ws")], CHAIN_ID)
    try:
        heads = await asyncio.gather(*(nodes.request("eth_blockNumber") for _ in range(20)))
        assert set(heads) == {"0x14"}
        assert len(three.first.sockets) == 1
        await three.first.hang_up()
        assert await nodes.request("eth_blockNumber") == "0x14"
        with pytest.raises(NodeError, match="missing trie node"):
            await nodes.request("eth_getCode", "0x", hex(99))
    finally:
        await nodes.close()
