"""The embedded chain's JSON-RPC, as bytes on the wire: forms, errors, batches."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncHTTPProvider, AsyncWeb3

from luxxon_core.adapters.chain import embedded_evm
from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain

ETHER = 10**18
GWEI = 10**9
QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
DATA = re.compile(r"0x([0-9a-f]{2})*")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
HASH = re.compile(r"0x[0-9a-f]{64}")
BLOOM = re.compile(r"0x[0-9a-f]{512}")

FIELDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (QUANTITY, "number timestamp gasLimit gasUsed size difficulty totalDifficulty baseFeePerGas blobGasUsed"),
    (QUANTITY, "excessBlobGas type nonce value gas gasPrice maxFeePerGas maxPriorityFeePerGas chainId v r s"),
    (QUANTITY, "yParity transactionIndex blockNumber status cumulativeGasUsed effectiveGasPrice logIndex"),
    (QUANTITY, "blockTimestamp"),
    (HASH, "hash parentHash sha3Uncles transactionsRoot stateRoot receiptsRoot mixHash blockHash"),
    (HASH, "transactionHash parentBeaconBlockRoot requestsHash withdrawalsRoot"),
    (ADDRESS, "from to miner address contractAddress"),
    (DATA, "input data extraData"),
    (BLOOM, "logsBloom"),
)
FORMS = {name: form for form, names in FIELDS for name in names.split()}


class Node:
    """A client without any library between."""

    def __init__(self, chain: EmbeddedChain, http: httpx.AsyncClient) -> None:
        self.chain, self.http = chain, http

    async def post(self, body: object) -> httpx.Response:
        return await self.http.post(self.chain.rpc_url, json=body)

    async def raw(self, body: bytes, content_type: str = "application/json") -> httpx.Response:
        headers = {"Content-Type": content_type, "Origin": "https://elsewhere.example"}
        return await self.http.post(self.chain.rpc_url, content=body, headers=headers)

    async def call(self, method: str, *params: object) -> Any:
        response = await self.post({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
        answer = response.json()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 7
        assert "result" in answer, answer
        return answer["result"]

    async def fails(self, method: str, *params: object) -> dict[str, Any]:
        response = await self.post({"jsonrpc": "2.0", "id": "x", "method": method, "params": list(params)})
        assert response.status_code == 200
        error: dict[str, Any] = response.json()["error"]
        return error

    async def funded(self) -> LocalAccount:
        account: LocalAccount = Account.create()
        await self.chain.faucet(account.address, ETHER, 0)
        return account

    async def transfer(self, account: LocalAccount, nonce: int, **fields: Any) -> str:
        transaction = {"to": "0x" + "22" * 20, "value": 1, "gas": 21_000, "nonce": nonce, "chainId": 31337}
        fees = {} if "gasPrice" in fields else {"maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": GWEI}
        raw = account.sign_transaction(transaction | fees | fields).raw_transaction
        tx_hash: str = await self.call("eth_sendRawTransaction", "0x" + raw.hex())
        return tx_hash


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    chain = await EmbeddedChain.start(None)
    async with httpx.AsyncClient() as http:
        yield Node(chain, http)
    await chain.close()


def assert_forms(document: dict[str, Any], *, but: tuple[str, ...] = ()) -> None:
    for name, value in document.items():
        if name in but or value is None or isinstance(value, list | bool):
            continue
        assert name in FORMS, name
        assert FORMS[name].fullmatch(value), (name, value)


async def test_plain_questions(node: Node) -> None:
    assert await node.call("eth_chainId") == "0x7a69"
    assert await node.call("net_version") == "31337"
    assert await node.call("eth_syncing") is False
    assert await node.call("eth_accounts") == []
    assert (await node.call("web3_clientVersion")).startswith("Luxxon")
    assert await node.call("eth_blockNumber") == "0x2"
    assert await node.call("eth_maxPriorityFeePerGas") == hex(GWEI)
    assert int(await node.call("eth_gasPrice"), 16) > GWEI


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("0x0", {"gasPrice": 3 * GWEI}),
        (
            "0x1",
            {
                "gasPrice": 3 * GWEI,
                "gas": 30_000,
                "accessList": [{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "00" * 32]}],
            },
        ),
        ("0x2", {}),
    ],
)
async def test_transactions_and_receipts_have_the_forms_of_the_specification(
    node: Node, kind: str, fields: dict[str, Any]
) -> None:
    account = await node.funded()
    tx_hash = await node.transfer(account, 0, **fields)
    transaction = await node.call("eth_getTransactionByHash", tx_hash)
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    assert_forms(transaction)
    assert_forms(receipt)
    assert transaction["type"] == receipt["type"] == kind
    assert transaction["from"] == receipt["from"] == account.address
    assert transaction["hash"] == receipt["transactionHash"] == tx_hash
    assert receipt["status"] == "0x1" and receipt["contractAddress"] is None
    assert int(receipt["effectiveGasPrice"], 16) == int(transaction["gasPrice"], 16)
    block = await node.call("eth_getBlockByHash", receipt["blockHash"], True)
    assert block["transactions"] == [transaction]
    for method, place in (("Number", block["number"]), ("Hash", block["hash"])):
        assert await node.call(f"eth_getTransactionByBlock{method}AndIndex", place, "0x0") == transaction
        assert await node.call(f"eth_getTransactionByBlock{method}AndIndex", place, "0x1") is None
    spent = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) + 1
    assert int(await node.call("eth_getBalance", account.address, "latest"), 16) == ETHER - spent
    if kind == "0x1":
        assert transaction["accessList"][0]["storageKeys"] == ["0x" + "00" * 32]
    if kind == "0x2":
        assert (transaction["maxFeePerGas"], transaction["maxPriorityFeePerGas"]) == (
            hex(5 * GWEI),
            hex(GWEI),
        )


async def test_blocks_have_the_forms_of_the_specification_and_follow_the_clock(node: Node) -> None:
    account = await node.funded()
    for nonce in range(5):
        await node.transfer(account, nonce)
    block = await node.call("eth_getBlockByNumber", "latest", False)
    assert_forms(block, but=("nonce",))
    assert abs(int(block["timestamp"], 16) - time.time()) <= 2  # five blocks in one second do not run ahead
    parent = await node.call("eth_getBlockByHash", block["parentHash"], False)
    assert int(parent["number"], 16) == int(block["number"], 16) - 1
    assert await node.call("eth_getBlockByNumber", "0xffff", False) is None
    assert (await node.call("eth_getBlockByNumber", "earliest", False))["transactions"] == []


async def test_errors_are_those_of_json_rpc(node: Node) -> None:
    garbled = await node.raw(b"{")
    assert garbled.json() == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "parse error"},
    }
    assert (await node.post("x")).json()["error"]["code"] == -32600
    assert (await node.post([])).json()["error"]["code"] == -32600
    assert (await node.fails("eth_mining"))["code"] == -32601
    assert (await node.fails("eth_getBalance"))["code"] == -32602
    assert (await node.fails("eth_getBalance", "0x12", "latest"))["code"] == -32602
    assert (await node.fails("eth_getBalance", "0x" + "11" * 20, "0xzz"))["code"] == -32602
    assert (await node.fails("eth_getBalance", "0x" + "11" * 20, "0xffff"))["code"] == -32000
    assert (await node.fails("eth_sendRawTransaction", "0x1234"))["code"] == -32000
    assert (await node.fails("luxxon_faucet", "0x" + "11" * 20, hex(10**30), "0x0"))["code"] == -32602


async def test_a_batch_is_answered_in_order_and_notifications_are_not(node: Node) -> None:
    request = {"jsonrpc": "2.0", "method": "eth_chainId", "params": []}
    answers = (await node.post([request | {"id": 1}, request, {"id": 2, "method": "nope"}])).json()
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["error"]["code"] == -32601
    assert (await node.post(request)).status_code == 204


async def test_pages_of_any_origin_may_ask(node: Node) -> None:
    asked = {"Origin": "https://wallet.example", "Access-Control-Request-Method": "POST"}
    preflight = await node.http.options(node.chain.rpc_url, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "content-type"
    answer = await node.post({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_revert_carries_its_data(node: Node) -> None:
    w3 = AsyncWeb3()
    settlement = w3.eth.contract(abi=artifact("LuxxonSettlement").abi)
    call = {"to": node.chain.settlement_address, "data": settlement.encode_abi("withdraw", args=[5])}
    for method in ("eth_call", "eth_estimateGas"):
        error = await node.fails(method, call)
        selector = w3.keccak(text="InsufficientPool(address,uint256,uint256)")[:4].hex()
        assert error["code"] == 3 and error["message"] == "execution reverted"
        assert error["data"].startswith("0x" + selector) and len(error["data"]) == 2 + 8 + 3 * 64
    usdc = w3.eth.contract(abi=artifact("TestUSDC").abi)
    burn = usdc.encode_abi("transfer", args=["0x" + "11" * 20, 5])
    error = await node.fails(
        "eth_call", {"from": "0x" + "44" * 20, "to": node.chain.usdc_address, "data": burn}
    )
    assert error["message"] == "execution reverted: ERC20: transfer amount exceeds balance"


async def test_a_transaction_that_reverts_is_mined_as_failed(node: Node) -> None:
    account = await node.funded()
    data = AsyncWeb3().eth.contract(abi=artifact("LuxxonSettlement").abi).encode_abi("withdraw", args=[5])
    tx_hash = await node.transfer(
        account, 0, to=node.chain.settlement_address, value=0, gas=90_000, data=data
    )
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    assert receipt["status"] == "0x0" and receipt["logs"] == []
    assert await node.call("eth_getTransactionCount", account.address, "latest") == "0x1"


async def test_what_a_pool_refuses_is_refused_in_its_words(node: Node) -> None:
    account = await node.funded()
    await node.transfer(account, 0)

    async def refused(nonce: int, **fields: Any) -> str:
        with pytest.raises(AssertionError) as caught:
            await node.transfer(account, nonce, **fields)
        return str(caught.value)

    assert "nonce too low" in await refused(0)
    assert "insufficient funds for gas * price + value" in await refused(1, value=2 * ETHER)
    assert "intrinsic gas too low" in await refused(1, gas=20_000)
    assert "exceeds block gas limit" in await refused(1, gas=40_000_000)
    assert "max fee per gas less than block base fee" in await refused(
        1, maxFeePerGas=1, maxPriorityFeePerGas=0
    )
    assert "invalid chain id" in await refused(1, chainId=1)
    assert await node.call("eth_getTransactionCount", account.address, "pending") == "0x1"


async def test_a_later_nonce_waits_for_the_earlier(node: Node) -> None:
    account = await node.funded()
    later = await node.transfer(account, 1)
    waiting = await node.call("eth_getTransactionByHash", later)
    assert waiting["blockHash"] is None and waiting["blockNumber"] is None
    assert await node.call("eth_getTransactionReceipt", later) is None
    await node.transfer(account, 0)
    assert (await node.call("eth_getTransactionReceipt", later))["status"] == "0x1"


async def test_the_past_can_be_asked_for(node: Node) -> None:
    account = await node.funded()
    before = await node.call("eth_getBlockByNumber", "latest", False)
    await node.transfer(account, 0)
    old = await node.call("eth_getBalance", account.address, before["number"])
    assert old == await node.call("eth_getBalance", account.address, {"blockHash": before["hash"]})
    assert int(old, 16) == ETHER > int(await node.call("eth_getBalance", account.address, "latest"), 16)
    assert await node.call("eth_getCode", node.chain.usdc_address, "earliest") == "0x"
    assert len(await node.call("eth_getCode", node.chain.usdc_address, "latest")) > 2000
    owner = await node.call("eth_getStorageAt", node.chain.settlement_address, "0x0", "latest")
    asked = {"to": node.chain.settlement_address, "data": "0x8da5cb5b"}  # owner()
    assert int(owner, 16) and owner == await node.call("eth_call", asked)


async def test_logs_are_found_by_address_topic_and_block(node: Node) -> None:
    alice, bob = Account.create().address, Account.create().address
    for receiver in (alice, bob, alice):
        await node.call("luxxon_faucet", receiver, "0x0", "0x5")
    transfer = "0x" + AsyncWeb3.keccak(text="Transfer(address,address,uint256)").hex()
    to_alice = "0x" + alice[2:].lower().rjust(64, "0")

    async def logs(**query: Any) -> list[Any]:
        found: list[Any] = await node.call("eth_getLogs", {"fromBlock": "0x0", **query})
        return found

    mints = await logs(address=node.chain.usdc_address, topics=[transfer, None, to_alice])
    assert [int(log["data"], 16) for log in mints] == [5, 5]
    assert_forms(mints[0])
    assert len(await logs(topics=[[transfer, "0x" + "00" * 32]])) == 3
    assert await logs(address=[bob]) == []
    assert await logs(topics=[transfer], toBlock="0x2") == []
    in_block = {"blockHash": mints[0]["blockHash"], "topics": [transfer]}
    assert await node.call("eth_getLogs", in_block) == [mints[0]]


async def test_fee_history_covers_the_blocks_and_the_next(node: Node) -> None:
    account = await node.funded()
    await node.transfer(account, 0)
    history = await node.call("eth_feeHistory", "0x2", "latest", [10, 90])
    assert history["oldestBlock"] == "0x3"
    assert len(history["baseFeePerGas"]) == 3 and len(history["gasUsedRatio"]) == 2
    assert history["reward"][-1] == [hex(GWEI), hex(GWEI)]
    w3 = AsyncWeb3(AsyncHTTPProvider(node.chain.rpc_url))
    assert (await w3.eth.fee_history(1024, "latest"))["oldestBlock"] == 0
    await w3.provider.disconnect()


async def test_the_faucet_gives_both_kinds_of_money(node: Node) -> None:
    receiver = Account.create().address
    hashes = await node.call("luxxon_faucet", receiver, hex(ETHER), hex(25_000_000))
    for tx_hash in hashes:
        assert (await node.call("eth_getTransactionReceipt", tx_hash))["status"] == "0x1"
    assert int(await node.call("eth_getBalance", receiver, "latest"), 16) == ETHER


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_a_deeply_nested_body_is_refused_before_it_is_parsed(node: Node, opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth, encoding in ((100_000, "utf-8"), (20_000, "utf-16"), (2_001, "utf-8")):
        nested = (opening * depth + b"1" + closing * depth).decode().encode(encoding)
        assert (await node.raw(nested)).json()["error"]["code"] == -32600
    nested = opening * 1_900 + b"1" + closing * 1_900
    request = b'{"id": 1, "method": "eth_getBalance", "params": [%b]}' % nested
    assert (await node.raw(request)).json()["error"]["code"] == -32602
    assert await node.call("eth_chainId") == "0x7a69"


async def test_only_json_of_a_sane_size_is_read(node: Node) -> None:
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = await node.raw(request, content_type)
        assert refused.status_code == 415 and refused.headers["access-control-allow-origin"] == "*"
    large = await node.raw(request + b" " * 2**21)
    assert large.status_code == 413 and large.headers["access-control-allow-origin"] == "*"
    assert (await node.raw(request, "application/json; charset=utf-8")).json()["result"] == "0x7a69"
    batch = b"[" + b",".join([request] * 101) + b"]"
    assert (await node.raw(batch)).json()["error"]["message"] == "batch too large"


HUGE = "0x" + "ff" * 32
SOMEBODY = "0x" + "11" * 20
CALL = {"to": SOMEBODY}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBlockByNumber", (HUGE, False)),
        ("eth_getBlockByNumber", ({"blockNumber": HUGE}, False)),
        ("eth_getBlockByNumber", ([], False)),
        ("eth_getBalance", (SOMEBODY, HUGE)),
        ("eth_getLogs", ({"fromBlock": HUGE},)),
        ("eth_getLogs", ({"toBlock": 2**64},)),
        ("eth_getLogs", ({"topics": 5},)),
        ("eth_getLogs", ({"topics": {"a": 1}},)),
        ("eth_getLogs", ({"address": [SOMEBODY] * 10_000},)),
        ("eth_getStorageAt", (SOMEBODY, 2**256, "latest")),
        ("eth_feeHistory", (1, HUGE)),
        ("eth_feeHistory", (1, "latest", 5)),
        ("eth_feeHistory", (1, "latest", [1] * 100_000)),
        ("eth_call", (CALL | {"accessList": "x"},)),
        ("eth_call", (CALL | {"accessList": ["x"]},)),
        ("eth_call", (CALL | {"accessList": [{"address": SOMEBODY, "storageKeys": 5}]},)),
        ("eth_call", (CALL | {"accessList": 5},)),
        ("eth_estimateGas", (CALL | {"accessList": [5]},)),
        ("eth_call", (CALL | {"value": 2**256},)),
        ("luxxon_faucet", (SOMEBODY, [], {})),
    ],
)
async def test_params_that_make_no_sense_are_the_callers_fault(
    node: Node, method: str, params: tuple[object, ...]
) -> None:
    assert (await node.fails(method, *params))["code"] == -32602


async def test_an_id_is_no_structure(node: Node) -> None:
    answer = (await node.post({"jsonrpc": "2.0", "id": [[]], "method": "eth_chainId"})).json()
    assert answer["id"] is None and answer["error"]["code"] == -32600


def precompiled(address: int, size: int) -> str:
    """Code that calls a precompile with ``size`` zero bytes for ever."""
    return f"0x5b5f5f62{size:06x}5f60{address:02x}5afa505f56"


@pytest.mark.parametrize(
    "code",
    ["0x5b5f56", precompiled(4, 32), precompiled(8, 192), precompiled(0x11, 128)],
    ids=["jumps", "copies", "pairings", "hashes to curve"],
)
async def test_an_endless_loop_holds_the_chain_for_seconds_only(node: Node, code: str) -> None:
    for method in ("eth_call", "eth_estimateGas"):
        began = time.monotonic()
        assert (await node.fails(method, {"data": code}))["code"] == -32000
        assert time.monotonic() - began < 3.5
    assert await node.call("eth_chainId") == "0x7a69"


async def test_one_call_of_a_precompile_is_short_too(node: Node) -> None:
    def status(address: int, size: int, first: int = 0) -> str:
        # the first word of the input, the call's outcome as the result
        return f"0x63{first:08x}60e01b5f525f5f62{size:06x}5f60{address:02x}5afa5f5260205ff3"

    async def works(code: str) -> int:
        return int(await node.call("eth_call", {"data": code}), 16)

    assert await works(status(8, 4 * 192)) == 1
    assert await works(status(8, 100 * 192)) == 0
    assert await works(status(9, 213, 12)) == 1
    assert await works(status(9, 213, 5_000_000)) == 0


async def test_a_transaction_that_takes_too_long_is_not_mined(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_evm, "MINING_SECONDS", 0.2)
    account = await node.funded()
    with pytest.raises(AssertionError, match="execution aborted"):
        await node.transfer(account, 0, to="", value=0, gas=20_000_000, data="0x5b5f56")
    assert await node.call("eth_getTransactionCount", account.address, "latest") == "0x0"
    await node.transfer(account, 0)
