"""The embedded chain's JSON-RPC, as bytes on the wire: forms, errors, batches."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from eth_account import Account
from rpc_node import ETHER, GWEI, Node
from web3 import AsyncHTTPProvider, AsyncWeb3

from luxxon_core.adapters.chain.artifacts import artifact

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
