"""What harms the embedded chain's JSON-RPC for a moment at most: nesting, size, nonsense, endless loops."""

from __future__ import annotations

import time

import pytest
from rpc_node import Node

from luxxon_core.adapters.chain import embedded_evm


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_a_deeply_nested_body_is_refused_before_it_is_parsed(node: Node, opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth, encoding in ((100_000, "utf-8"), (20_000, "utf-16"), (1_001, "utf-8")):
        nested = (opening * depth + b"1" + closing * depth).decode().encode(encoding)
        assert (await node.raw(nested)).json()["error"]["code"] == -32600
    nested = opening * 900 + b"1" + closing * 900
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
