"""One suite for every development chain: the chain ports, and chains that somebody else runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from development import (
    USDC,
    Development,
    payload_for,
)
from eth_typing import HexStr
from loopback import served
from paying import signed as signed_for

from luxxon_core.adapters.chain.embedded_process import ChainProcess
from luxxon_core.adapters.chain.external import open_chain
from luxxon_core.adapters.chain.keys import KeySource, signer_of
from luxxon_core.adapters.chain.rpc import NodeError, RpcChain
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError
from luxxon_core.settlement.ports import (
    NonceUsed,
)


async def test_a_transaction_broadcast_twice_is_one(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    nonce = await dev.relaying.nonces_used(dev.ports.signer, 1)
    signed = await signed_for(dev.relaying, payload_for(consumer.address, dev.owner.address), nonce=nonce)
    assert (await dev.relaying.receipts([signed.tx_hash])).get(signed.tx_hash) is None
    await dev.relaying.broadcast(signed.raw)
    await dev.w3.eth.wait_for_transaction_receipt(HexStr(signed.tx_hash), timeout=10)
    with pytest.raises(NonceUsed):  # it has been mined
        await dev.relaying.broadcast(signed.raw)
    receipt = (await dev.relaying.receipts([signed.tx_hash])).get(signed.tx_hash)
    assert receipt and receipt.succeeded
    assert await dev.relaying.nonces_used(dev.ports.signer, 1) == nonce + 1


async def test_a_transaction_whose_nonce_is_gone_is_told_apart(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    late = await signed_for(dev.relaying, payload_for(consumer.address, dev.owner.address), nonce=0)
    paid = await dev.pay(payload_for(consumer.address, dev.owner.address))
    await dev.w3.eth.wait_for_transaction_receipt(HexStr(paid), timeout=10)
    with pytest.raises(NonceUsed):
        await dev.relaying.broadcast(late.raw)


async def test_a_transaction_may_arrive_before_its_predecessor(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    first, second = [
        await signed_for(dev.relaying, payload_for(consumer.address, dev.owner.address), nonce=nonce)
        for nonce in (0, 1)
    ]
    await dev.relaying.broadcast(second.raw)
    await dev.relaying.broadcast(second.raw)  # known already, and no error
    assert (await dev.relaying.receipts([second.tx_hash])).get(second.tx_hash) is None
    await dev.relaying.broadcast(first.raw)
    receipts = [
        (await dev.relaying.receipts([signed.tx_hash])).get(signed.tx_hash) for signed in (first, second)
    ]
    assert [receipt.succeeded for receipt in receipts] == [True, True]


async def test_a_chain_that_does_not_answer_keeps_the_url_to_itself(dev: Development) -> None:
    chain = dev.chain
    url = "http://127.0.0.1:9/v2/provider-key"
    ports = RpcChain(url, chain.settlement_address, chain.usdc_address, chain_id=chain.chain_id)
    with pytest.raises(ExternalError) as caught:
        await ports.pool(dev.owner.address)
    assert "provider-key" not in f"{caught.value} {caught.value.message} {caught.value.__cause__}"
    with pytest.raises(InvalidInput):
        await ports.pool("0x1234")
    await ports.close()


# ---------------------------------------------------------------- a chain that somebody else runs


async def test_a_chain_is_opened_by_its_address_alone(dev: Development) -> None:
    chain = dev.chain
    opened = await open_chain(chain.rpc_url, chain.settlement_address.lower(), signer=chain.relayer)
    assert (opened.chain_id, opened.usdc_address) == (chain.chain_id, chain.usdc_address)
    assert opened.contract == f"{chain.chain_id}:{chain.settlement_address}"
    assert opened.signer == chain.relayer.address
    await opened.close()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"rpc_url": "http://127.0.0.1:9/v2/provider-key"}, "setting rpc_url: The chain cannot be reached"),
        ({"chain_id": 84532}, "setting chain_id: the chain at rpc_url is 31337, not 84532"),
        ({"settlement_address": "0x" + "12" * 20}, "setting settlement_address: no contract there"),
        ({"settlement_address": "0x12"}, "setting settlement_address: not an address"),
        ({"settlement_address": "usdc"}, "setting settlement_address: the contract there has no usdc()"),
        ({"usdc_address": "0x" + "12" * 20}, "setting usdc_address: the contract's token is 0x"),
    ],
)
async def test_what_is_wrong_with_a_chain_is_said_in_one_line(
    dev: Development, wrong: dict[str, Any], line: str
) -> None:
    chain = dev.chain
    given = {"rpc_url": chain.rpc_url, "settlement_address": chain.settlement_address, **wrong}
    if given["settlement_address"] == "usdc":
        given["settlement_address"] = chain.usdc_address
    with pytest.raises(StartError) as caught:
        await open_chain(**given)
    assert caught.value.message.startswith(line)
    assert "\n" not in caught.value.message and "provider-key" not in caught.value.message


async def test_what_is_no_ethereum_node_is_refused(dev: Development) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 0, "result": None})

    app = web.Application()
    app.router.add_post("/", answer)
    async with served(app) as url:
        with pytest.raises(StartError, match="no Ethereum node"):
            await open_chain(url, dev.chain.settlement_address)


async def test_a_second_server_takes_the_relayers_key_from_the_first_ones_files(tmp_path: Path) -> None:
    process = await ChainProcess.start(tmp_path)
    try:
        keys = tmp_path / "keys"
        source = KeySource("relayer", keystore=keys / "relayer.json", passphrase_file=keys / "passphrase")
        relayer = await signer_of(source)
        assert relayer is not None
        opened = await open_chain(process.rpc_url, process.settlement_address, signer=relayer)
        assert opened.signer == process.relayer.address
        await opened.close()
    finally:
        await process.close()


async def test_a_pool_is_told_exactly_as_of_its_block(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    before = await dev.ports.pool(consumer.address)
    await dev.send(consumer, dev.settlement.functions.withdraw(4 * USDC))
    after = await dev.ports.pool(consumer.address)
    assert (after.amount_uusdc, after.block_number) == (6 * USDC, before.block_number + 1)
    assert await dev.ports.deposits(consumer.address, before.block_number) == 10 * USDC
    with pytest.raises(NodeError):
        await dev.ports.deposits(consumer.address, after.block_number + 1)


async def test_many_are_broadcast_and_read_together(dev: Development) -> None:
    consumer, poor = await dev.funded(10 * USDC), await dev.wallet()
    first = await dev.relaying.nonce(dev.ports.signer)
    payloads = [payload_for(consumer.address, dev.owner.address) for _ in range(4)]
    signed = [
        await signed_for(dev.relaying, payload, nonce=first + place) for place, payload in enumerate(payloads)
    ]
    late = signed.pop()
    assert await dev.relaying.broadcast_all([one.raw for one in signed if one.raw]) == [None] * 3
    await dev.w3.eth.wait_for_transaction_receipt(HexStr(signed[-1].tx_hash), timeout=10)
    assert late.raw and signed[0].raw
    said = await dev.relaying.broadcast_all([signed[0].raw, late.raw])
    assert isinstance(said[0], NonceUsed) and said[1] is None
    receipts = await dev.relaying.receipts([one.tx_hash for one in signed])
    assert all(receipts[one.tx_hash].succeeded for one in signed)
    unpaid = payload_for(consumer.address, dev.owner.address).session_id
    paid = await dev.relaying.settled_of([payloads[0].session_id, unpaid])
    assert paid == {payloads[0].session_id: True, unpaid: False}
    assert await dev.relaying.settled_of([payloads[0].session_id], 50) == {payloads[0].session_id: False}
    pools = await dev.relaying.pools([consumer.address, poor.address])
    assert pools == {
        wallet: (await dev.ports.pool(wallet)).amount_uusdc for wallet in (consumer.address, poor.address)
    }
