"""A contract is deployed as planned by every kind of key, compared, read, and paused by its owner."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from anvil import Anvil
from eth_account import Account
from kms_service import REGION, kms

from luxxon_core.adapters.chain import deployment
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.keys import KeySource, signer_of
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner, Signer
from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.errors import ExternalError, StartError
from luxxon_core.settlement.domain import Fee, compose

PLATFORM = "0x7A7a7A7a7a7a7a7A7a7a7a7A7a7A7A7A7A7A7a7A"
PASSPHRASE = "correct horse"
ETHER = 10**18
USDC = 10**6


@pytest.fixture(params=["embedded", "anvil"])
async def chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """A development chain with a faucet; anvil's is empty, so that the token is deployed as well."""
    async with AsyncExitStack() as stack:
        if request.param == "embedded":
            embedded = await EmbeddedChain.start(tmp_path)
            stack.push_async_callback(embedded.close)
            yield embedded
        else:
            node = await Anvil.start(tmp_path)
            stack.push_async_callback(node.close)
            yield Bare(node)


class Bare:
    """anvil without contracts."""

    usdc_address = None

    def __init__(self, node: Anvil) -> None:
        self.node, self.rpc_url = node, node.rpc_url

    async def faucet(self, address: str, eth_wei: int, usdc_micro: int) -> None:
        await self.node.rpc("anvil_setBalance", address, hex(eth_wei))


@pytest.fixture(params=["key", "keystore", "kms"])
async def signer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Signer]:
    with kms() as service:
        key = bytes(Account.create().key)
        keystore = tmp_path / "owner.json"
        keystore.write_text(json.dumps(Account.encrypt(key, PASSPHRASE, kdf="scrypt", iterations=4096)))
        source = {
            "key": KeySource("owner", key=key.hex()),
            "keystore": KeySource("owner", keystore=keystore, passphrase=PASSPHRASE),
            "kms": KeySource(
                "owner", kms_key=service.key(), kms_region=REGION, kms_endpoint=service.endpoint
            ),
        }[request.param]
        found = await signer_of(source)
        assert found is not None
        yield found


async def deployed(node: RpcChain, chain: Any, signer: Signer) -> tuple[deployment.Plan, str]:
    await chain.faucet(signer.address, ETHER, 0)
    planned = await deployment.plan(
        node,
        signer.address,
        usdc=chain.usdc_address,
        platform_wallet=PLATFORM,
        relayer=signer.address,
        owner=signer.address,
    )
    return planned, await deployment.deploy(node, signer, planned, lambda _: None)


@pytest.fixture
async def node(chain: Any) -> AsyncIterator[RpcChain]:
    connected = deployment.connected(chain.rpc_url)
    yield connected
    await connected.close()


async def test_every_kind_of_key_deploys_what_was_planned_and_settles(
    chain: Any, node: RpcChain, signer: Signer
) -> None:
    planned, address = await deployed(node, chain, signer)
    names = [one.contract for one in planned.creations]
    assert names == (["TestUSDC"] if chain.usdc_address is None else []) + ["LuxxonSettlement"]
    assert address == planned.settlement.address
    usdc = planned.settlement.arguments["usdc"]
    assert await deployment.facts(node, address) == deployment.Facts(
        chain_id=31337,
        address=address,
        owner=signer.address,
        pending_owner=None,
        relayer=signer.address,
        platform_wallet=PLATFORM,
        usdc=usdc,
        paused=False,
        balance_uusdc=0,
    )
    found = await deployment.compare(node, address)
    assert (found.difference, found.immutables) == (None, (usdc,))

    consumer = LocalWallet(Account.create())
    await chain.faucet(consumer.address, ETHER, 0)
    mint = deployment._selector("mint(address,uint256)") + deployment._word(consumer.address)
    call = mint + USDC.to_bytes(32, "big")
    await deployment._mined(
        node,
        await deployment._send(node, signer, 31337, bytes.fromhex(usdc[2:]), call, gas=200_000),
    )
    async with ChainClient(Config("TEST", 31337, "", chain.rpc_url, "", usdc, address)) as client:
        await client.top_up(consumer, USDC)
    payer = RpcChain(chain.rpc_url, address, usdc, signer, chain_id=31337)
    try:
        relaying = RpcSettlements(payer)
        payload = compose(
            session_id=uuid4(),
            consumer_wallet=consumer.address,
            operator_wallet="0x" + "0b" * 20,
            rate_uusdc=1000,
            clean_seconds=100,
            fee_bps=1500,
        )
        fees = await relaying.fees()
        fee = Fee(2 * fees.base_fee + fees.priority_fee, fees.priority_fee)
        nonce = await relaying.nonce(signer.address)
        version = await relaying.sign([payload], nonce, await relaying.simulate([payload]), fee)
        assert version.raw is not None
        await relaying.broadcast(version.raw)
        await deployment._mined(node, version.tx_hash)
        assert await relaying.settled(payload.session_id)
        assert (await payer.pool(consumer.address)).amount_uusdc == USDC - 100_000
    finally:
        await payer.close()


@pytest.fixture
def local() -> LocalSigner:
    return LocalSigner(bytes(Account.create().key))


async def test_the_owner_pauses_and_resumes_and_nobody_else(
    chain: Any, node: RpcChain, local: LocalSigner
) -> None:
    _, address = await deployed(node, chain, local)
    with pytest.raises(StartError, match=f"only the owner, {local.address}"):
        await deployment.set_paused(node, LocalSigner(b"\x01" * 32), address, True)
    assert await deployment.set_paused(node, local, address, False) is None
    assert await deployment.set_paused(node, local, address, True)
    assert (await deployment.facts(node, address)).paused
    assert await deployment.set_paused(node, local, address, True) is None
    assert await deployment.set_paused(node, local, address, False)
    assert not (await deployment.facts(node, address)).paused


async def test_other_code_is_noticed_to_the_byte(tmp_path: Path, local: LocalSigner) -> None:
    anvil = await Anvil.start(tmp_path)
    node = deployment.connected(anvil.rpc_url)
    try:
        planned, address = await deployed(node, Bare(anvil), local)
        token = planned.creations[0].address
        assert (await deployment.compare(node, token)).difference is not None
        with pytest.raises(StartError, match="no settlement contract"):
            await deployment.facts(node, token)
        nowhere = "0x" + "12" * 20
        assert (await deployment.compare(node, nowhere)).difference == "there is no code at this address"
        with pytest.raises(StartError, match="no settlement contract"):
            await deployment.facts(node, nowhere)
        code = bytearray(await node.code(address))
        at = code.rindex(bytes.fromhex(token[2:]))
        for place, words in ((100, "first at byte 100"), (at + 19, "immutables")):
            changed = bytearray(code)
            changed[place] ^= 1
            await anvil.rpc("anvil_setCode", address, "0x" + changed.hex())
            found = await deployment.compare(node, address)
            assert found.difference is not None
            assert words in found.difference
    finally:
        await node.close()
        await anvil.close()


async def test_a_plan_that_no_longer_holds_is_not_carried_out(
    chain: Any, node: RpcChain, local: LocalSigner
) -> None:
    await chain.faucet(local.address, ETHER, 0)
    roles = {"platform_wallet": PLATFORM, "relayer": local.address, "owner": local.address}
    planned = await deployment.plan(node, local.address, usdc=chain.usdc_address, **roles)
    await deployment.deploy(node, local, planned, lambda _: None)
    with pytest.raises(StartError, match="next nonce"):
        await deployment.deploy(node, local, planned, lambda _: None)
    with pytest.raises(StartError, match="6 decimals"):
        await deployment.plan(node, local.address, usdc=PLATFORM, **roles)
    if chain.usdc_address is not None:
        refused = roles | {"relayer": "0x" + "00" * 20}
        with pytest.raises(StartError, match="InvalidAddress"):
            await deployment.plan(node, local.address, usdc=chain.usdc_address, **refused)


async def test_who_has_no_ether_is_told(chain: Any, node: RpcChain, local: LocalSigner) -> None:
    poor = LocalSigner(bytes(Account.create().key))
    await chain.faucet(local.address, ETHER, 0)
    roles = {"platform_wallet": PLATFORM, "relayer": local.address, "owner": local.address}
    planned = await deployment.plan(node, local.address, usdc=chain.usdc_address, **roles)
    assert planned.cost > 0
    stranger = deployment.Plan(31337, poor.address, 0, planned.max_fee, planned.creations)
    with pytest.raises((StartError, ExternalError), match=r"too little ETH|insufficient|funds"):
        await deployment.deploy(node, poor, stranger, lambda _: None)
