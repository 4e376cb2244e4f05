"""What a wallet makes of a node that is away for a moment, or answers oddly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from loopback import served

from luxxon_core.client import ConnectionFailed
from luxxon_core.client import wallet as wallet_module
from luxxon_core.client.wallet import ChainClient, ChainRefused, LocalWallet
from luxxon_core.http.schemas import Config

WORD = "0x" + "0" * 63 + "1"
TX_HASH = "0x" + "ab" * 32
MINED = {"status": "0x1"}


class Node:
    """JSON-RPC answers by method; a list is used up one by one, its last one stays."""

    def __init__(self) -> None:
        self.results: dict[str, list[object]] = {
            "eth_call": [WORD],
            "eth_estimateGas": ["0x5208"],
            "eth_maxPriorityFeePerGas": ["0x1"],
            "eth_getBlockByNumber": [{"baseFeePerGas": "0x7"}],
            "eth_getTransactionCount": ["0x0"],
            "eth_sendRawTransaction": [TX_HASH],
            "eth_getTransactionReceipt": [None, MINED],
        }
        self.whole: object = None
        """Sent instead of an envelope, if set."""
        self.asked: list[str] = []
        self.params: dict[str, list[Any]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        call = await request.json()
        method = call["method"]
        self.asked.append(method)
        self.params.setdefault(method, []).append(call["params"])
        if self.whole is not None:
            return web.json_response(self.whole)
        left = self.results[method]
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Exception):
            return web.Response(status=502, text="bad gateway")
        key = "error" if isinstance(result, dict) and "code" in result else "result"
        return web.json_response({"jsonrpc": "2.0", "id": 1, key: result})


Chain = tuple[Node, ChainClient]


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    node = Node()
    app = web.Application()
    app.router.add_post("/", node.answer)
    async with served(app) as url:
        config = Config("test", 31337, "test", f"{url}/", "", "0x" + "11" * 20, "0x" + "22" * 20)
        async with ChainClient(config) as client:
            yield node, client


@pytest.mark.parametrize("lost", [OSError(), {"code": -32000, "message": "indexing is in progress"}])
async def test_a_lost_poll_does_not_lose_the_deposit(chain: Chain, lost: object) -> None:
    node, client = chain
    node.results["eth_getTransactionReceipt"] = [lost, None, lost, MINED]
    await client.top_up(LocalWallet.create(), 1)
    assert node.asked.count("eth_getTransactionReceipt") == 4
    assert node.asked.count("eth_sendRawTransaction") == 1


async def test_who_gives_up_waiting_names_the_transaction(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, client = chain
    monkeypatch.setattr(wallet_module, "RECEIPT_SECONDS", 0.3)
    node.results["eth_getTransactionReceipt"] = [OSError()]
    with pytest.raises(ConnectionFailed, match=TX_HASH):
        await client.top_up(LocalWallet.create(), 1)


async def test_a_revert_is_refused(chain: Chain) -> None:
    node, client = chain
    node.results["eth_getTransactionReceipt"] = [{"status": "0x0"}]
    with pytest.raises(ChainRefused, match="reverted"):
        await client.top_up(LocalWallet.create(), 1)


@pytest.mark.parametrize("then", [TX_HASH, {"code": -32000, "message": "already known"}])
async def test_a_lost_answer_has_the_same_transaction_sent_again(chain: Chain, then: object) -> None:
    node, client = chain
    node.results["eth_sendRawTransaction"] = [OSError(), OSError(), then]
    await client.withdraw(LocalWallet.create(), 1)
    sent = node.params["eth_sendRawTransaction"]
    assert len(sent) == 3 and len({str(one) for one in sent}) == 1
    assert node.asked.count("eth_getTransactionCount") == 1


async def test_a_node_that_takes_none_from_the_first_on_is_believed(chain: Chain) -> None:
    node, client = chain
    node.results["eth_sendRawTransaction"] = [{"code": -32000, "message": "insufficient funds"}]
    with pytest.raises(ChainRefused, match="insufficient"):
        await client.withdraw(LocalWallet.create(), 1)


@pytest.mark.parametrize("lie", ["eth_maxPriorityFeePerGas", "eth_estimateGas"])
async def test_a_node_cannot_have_a_wallet_burn_its_ether(chain: Chain, lie: str) -> None:
    node, client = chain
    node.results[lie] = [hex(10**16)]
    with pytest.raises(ChainRefused, match="ETH of gas"):
        await client.withdraw(LocalWallet.create(), 1)
    assert "eth_sendRawTransaction" not in node.asked


Act = Callable[[ChainClient], Awaitable[Any]]


async def read(client: ChainClient) -> int:
    return await client.pool("0x" + "33" * 20)


async def top_up(client: ChainClient) -> None:
    await client.top_up(LocalWallet.create(), 1)


@pytest.mark.parametrize(
    ("method", "result", "act"),
    [
        ("eth_call", "0x", read),  # an address without code
        ("eth_call", None, read),
        ("eth_estimateGas", ["0x1"], top_up),
        ("eth_getBlockByNumber", None, top_up),
        ("eth_getBlockByNumber", {}, top_up),
        ("eth_getTransactionReceipt", "mined", top_up),
        ("eth_getTransactionReceipt", {"status": None}, top_up),
    ],
)
async def test_a_result_of_the_wrong_kind_is_refused(
    chain: Chain, method: str, result: object, act: Act
) -> None:
    node, client = chain
    node.results[method] = [result]
    with pytest.raises(ChainRefused):
        await act(client)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([], "not JSON-RPC"),
        ({"jsonrpc": "2.0"}, "not JSON-RPC"),
        ("hello", "not JSON-RPC"),
        ({"error": "rate limited"}, "rate limited"),
        ({"error": {"code": -1, "message": "no such method"}}, "no such method"),
        ({"error": {}}, "refused"),
        ({"error": [1]}, "refused"),
    ],
)
async def test_an_answer_that_is_no_json_rpc_is_refused(chain: Chain, answer: object, says: str) -> None:
    node, client = chain
    node.whole = answer
    with pytest.raises(ChainRefused, match=says):
        await read(client)


async def test_a_null_error_beside_a_result_is_none(chain: Chain) -> None:
    node, client = chain
    node.whole = {"result": WORD, "error": None}
    assert await read(client) == 1
