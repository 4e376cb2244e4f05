"""One suite for every development chain: the contract through plain JSON-RPC, and the chain ports over it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from anvil import anvil_chain
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import HexStr
from paying import pay
from paying import signed as signed_for
from web3 import AsyncHTTPProvider, AsyncWeb3, Web3
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.embedded_keys import ChainKeys
from luxxon_core.adapters.chain.embedded_process import ChainProcess
from luxxon_core.adapters.chain.external import open_chain
from luxxon_core.adapters.chain.keys import KeySource, signer_of
from luxxon_core.adapters.chain.rpc import NodeError, RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError
from luxxon_core.settlement.domain import Payload, compose, session_key
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ContractPaused,
    InsufficientPool,
    NonceUsed,
    NotRelayer,
)

ETHER = 10**18
USDC = 10**6
PERMIT = {
    "owner": "address",
    "spender": "address",
    "value": "uint256",
    "nonce": "uint256",
    "deadline": "uint256",
}
RECEIVE = {
    "from": "address",
    "to": "address",
    "value": "uint256",
    "validAfter": "uint256",
    "validBefore": "uint256",
    "nonce": "bytes32",
}


@dataclass
class Development:
    """What a chain under test offers: addresses, roles and a source of test money."""

    chain: Any
    w3: AsyncWeb3[AsyncHTTPProvider]
    ports: RpcChain
    owner: LocalAccount
    relayer: LocalAccount

    def __post_init__(self) -> None:
        abi = artifact("LuxxonSettlement").abi
        self.relaying = RpcSettlements(self.ports)
        self.settlement = self.w3.eth.contract(address=self.chain.settlement_address, abi=abi)
        self.usdc = self.w3.eth.contract(address=self.chain.usdc_address, abi=artifact("TestUSDC").abi)

    async def wallet(self, *, eth: int = ETHER, usdc: int = 100 * USDC) -> LocalAccount:
        account: LocalAccount = Account.create()
        await self.chain.faucet(account.address, eth, usdc)
        return account

    async def send(self, account: LocalAccount, function: Any) -> Any:
        """Build, sign and send as any script does; the receipt of a transaction that succeeded."""
        fields = await function.build_transaction(
            {"from": account.address, "nonce": await self.w3.eth.get_transaction_count(account.address)}
        )
        tx_hash = await self.w3.eth.send_raw_transaction(account.sign_transaction(fields).raw_transaction)
        receipt = await self.w3.eth.wait_for_transaction_receipt(tx_hash, timeout=10)
        assert receipt["status"] == 1
        return receipt

    async def funded(self, pool: int) -> LocalAccount:
        """A consumer with ``pool`` µUSDC in its pool."""
        consumer = await self.wallet()
        await self.send(consumer, self.usdc.functions.approve(self.settlement.address, pool))
        await self.send(consumer, self.settlement.functions.deposit(pool))
        return consumer

    async def pay(self, payload: Payload) -> str:
        return await pay(self.relaying, payload)

    def typed(self, account: LocalAccount, name: str, fields: dict[str, str], message: dict[str, Any]) -> Any:
        return account.sign_typed_data(
            domain_data={
                "name": "USD Coin",
                "version": "2",
                "chainId": self.chain.chain_id,
                "verifyingContract": self.usdc.address,
            },
            message_types={name: [{"name": field, "type": kind} for field, kind in fields.items()]},
            message_data=message,
        )

    @contextmanager
    def reverts(self, error: str, contract: Any = None) -> Iterator[None]:
        abi = (contract or self.settlement).abi
        entry = next(entry for entry in abi if entry.get("name") == error and entry["type"] == "error")
        signature = f"{error}({','.join(field['type'] for field in entry['inputs'])})"
        with pytest.raises(ContractCustomError) as caught:
            yield
        assert str(caught.value.data).startswith("0x" + Web3.keccak(text=signature)[:4].hex())


@asynccontextmanager
async def embedded_chain(directory: Path) -> AsyncIterator[EmbeddedChain]:
    chain = await EmbeddedChain.start(directory)
    try:
        yield chain
    finally:
        await chain.close()


@pytest.fixture(params=["embedded", "anvil"])
async def dev(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Development]:
    async with AsyncExitStack() as stack:
        if request.param == "anvil":
            chain: Any = await stack.enter_async_context(anvil_chain(tmp_path))
            owner = chain.keys.owner
        else:
            chain = await stack.enter_async_context(embedded_chain(tmp_path))
            owner = ChainKeys.load(tmp_path / "keys").owner
        yield await stack.enter_async_context(developing(chain, owner))


@asynccontextmanager
async def developing(chain: Any, owner: LocalSigner) -> AsyncIterator[Development]:
    ports = RpcChain(
        chain.rpc_url,
        chain.settlement_address,
        chain.usdc_address,
        chain.relayer,
        chain_id=chain.chain_id,
    )
    w3 = AsyncWeb3(AsyncHTTPProvider(chain.rpc_url))
    yield Development(chain, w3, ports, account_of(owner), account_of(chain.relayer))
    await w3.provider.disconnect()
    await ports.close()


def account_of(signer: LocalSigner) -> LocalAccount:
    account: LocalAccount = Account.from_key(signer._key.to_bytes())
    return account


def payload_for(consumer: str, operator: str, *, rate: int = 1000, seconds: int = 600) -> Payload:
    return compose(
        session_id=uuid4(),
        consumer_wallet=consumer,
        operator_wallet=operator,
        rate_uusdc=rate,
        clean_seconds=seconds,
        fee_bps=1500,
    )


# ---------------------------------------------------------------- depositing


async def test_approve_and_deposit_fill_the_pool(dev: Development) -> None:
    consumer = await dev.wallet(usdc=50 * USDC)
    await dev.send(consumer, dev.usdc.functions.approve(dev.settlement.address, 50 * USDC))
    receipt = await dev.send(consumer, dev.settlement.functions.deposit(20 * USDC))
    pool = await dev.ports.pool(consumer.address.lower())
    assert (pool.amount_uusdc, pool.block_number) == (20 * USDC, receipt["blockNumber"])
    assert await dev.ports.usdc_balance(consumer.address) == 30 * USDC
    assert 0 < await dev.ports.eth_balance(consumer.address) < ETHER
    (event,) = dev.settlement.events.Deposited().process_receipt(receipt, errors=DISCARD)
    assert event["args"] == {"consumer": consumer.address, "amount": 20 * USDC}


async def test_a_signed_permit_deposits_in_one_transaction(dev: Development) -> None:
    consumer = await dev.wallet()
    deadline = int(time.time()) + 600
    message = {
        "owner": consumer.address,
        "spender": dev.settlement.address,
        "value": 7 * USDC,
        "nonce": 0,
        "deadline": deadline,
    }
    signed = dev.typed(consumer, "Permit", PERMIT, message)
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    # somebody submits the permit first: the deposit still goes through
    stranger = await dev.wallet()
    permit = dev.usdc.functions["permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"]
    await dev.send(
        stranger, permit(consumer.address, dev.settlement.address, 7 * USDC, deadline, signed.v, r, s)
    )
    deposit = dev.settlement.functions.depositWithPermit(7 * USDC, deadline, signed.v, r, s)
    await dev.send(consumer, deposit)
    assert (await dev.ports.pool(consumer.address)).amount_uusdc == 7 * USDC


async def test_an_authorization_deposits_for_a_wallet_without_eth(dev: Development) -> None:
    consumer, sponsor = await dev.wallet(eth=0), await dev.wallet()
    nonce, before = secrets.token_bytes(32), int(time.time()) + 600
    message = {
        "from": consumer.address,
        "to": dev.settlement.address,
        "value": 9 * USDC,
        "validAfter": 0,
        "validBefore": before,
        "nonce": nonce,
    }
    signed = dev.typed(consumer, "ReceiveWithAuthorization", RECEIVE, message)
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    deposit = dev.settlement.functions.depositWithAuthorization(
        consumer.address, 9 * USDC, 0, before, nonce, signed.v, r, s
    )
    await dev.send(sponsor, deposit)
    assert await dev.ports.eth_balance(consumer.address) == 0
    assert (await dev.ports.pool(consumer.address)).amount_uusdc == 9 * USDC
    assert (await dev.ports.pool(sponsor.address)).amount_uusdc == 0
    with pytest.raises(Exception, match="authorization is used or canceled"):
        await dev.send(sponsor, deposit)


async def test_a_deposit_for_somebody_else_is_theirs(dev: Development) -> None:
    giver, consumer = await dev.wallet(), await dev.wallet()
    await dev.send(giver, dev.usdc.functions.approve(dev.settlement.address, 5 * USDC))
    await dev.send(giver, dev.settlement.functions.depositFor(consumer.address, 5 * USDC))
    with dev.reverts("InsufficientPool"):
        await dev.send(giver, dev.settlement.functions.withdraw(1))
    await dev.send(consumer, dev.settlement.functions.withdraw(5 * USDC))
    assert await dev.ports.usdc_balance(consumer.address) == 105 * USDC


async def test_withdrawals_go_on_while_everything_else_is_paused(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    await dev.send(dev.owner, dev.settlement.functions.pause())
    with dev.reverts("EnforcedPause"):
        await dev.send(consumer, dev.settlement.functions.deposit(1))
    with pytest.raises(ContractPaused):
        await dev.pay(payload_for(consumer.address, dev.owner.address))
    await dev.send(consumer, dev.settlement.functions.withdraw(10 * USDC))
    assert await dev.ports.usdc_balance(consumer.address) == 100 * USDC


# ---------------------------------------------------------------- settling


async def test_a_settlement_pays_operator_and_platform_out_of_the_pool(dev: Development) -> None:
    consumer, operator = await dev.funded(10 * USDC), Account.create().address
    payload = payload_for(consumer.address, operator)
    assert not await dev.relaying.settled(payload.session_id)
    assert await dev.relaying.find_settlement(payload.session_id, utc_now()) is None
    tx_hash = await dev.pay(payload)
    receipt = (await dev.relaying.receipts([tx_hash])).get(tx_hash)
    assert receipt and receipt.succeeded and receipt.confirmations == 1
    assert abs(receipt.timestamp.timestamp() - time.time()) < 5
    assert await dev.ports.usdc_balance(operator) == payload.to_amount_uusdc == 510_000
    assert await dev.ports.usdc_balance(dev.chain.platform_wallet) == payload.fee_amount_uusdc == 90_000
    assert (await dev.ports.pool(consumer.address)).amount_uusdc == 10 * USDC - 600_000
    assert await dev.relaying.settled(payload.session_id)
    assert await dev.relaying.find_settlement(payload.session_id, utc_now()) == receipt


async def test_a_session_is_paid_once(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    payload = payload_for(consumer.address, Account.create().address)
    await dev.w3.eth.wait_for_transaction_receipt(HexStr(await dev.pay(payload)), timeout=10)
    with pytest.raises(AlreadySettled):
        await dev.pay(payload)


async def test_the_pool_is_the_limit(dev: Development) -> None:
    consumer = await dev.funded(599_999)
    with pytest.raises(InsufficientPool):
        await dev.pay(payload_for(consumer.address, Account.create().address))


async def test_the_relayer_cannot_charge_more_than_rate_times_seconds(dev: Development) -> None:
    consumer, operator = await dev.funded(10 * USDC), Account.create().address
    settle = dev.settlement.functions.settleFromPool
    with dev.reverts("ExceedsCharge"):
        await dev.send(
            dev.relayer,
            settle(secrets.token_bytes(32), consumer.address, operator, 1000, 600, 510_000, 90_001),
        )


async def test_the_relayer_cannot_strand_money_in_the_contract(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    settle = dev.settlement.functions.settleFromPool
    for nowhere in (dev.settlement.address, "0x" + "00" * 20):
        with dev.reverts("InvalidAddress"):
            await dev.send(
                dev.relayer, settle(secrets.token_bytes(32), consumer.address, nowhere, 1000, 600, 1, 0)
            )


async def test_only_the_relayer_settles(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    chain = dev.chain
    stranger = LocalSigner(secrets.token_bytes(32))
    ports = RpcChain(
        chain.rpc_url, chain.settlement_address, chain.usdc_address, stranger, chain_id=chain.chain_id
    )
    with pytest.raises(NotRelayer):
        await RpcSettlements(ports).simulate([payload_for(consumer.address, stranger.address)])
    await ports.close()


async def test_only_the_owner_changes_roles(dev: Development) -> None:
    with dev.reverts("OwnableUnauthorizedAccount"):
        await dev.send(dev.relayer, dev.settlement.functions.setPlatformWallet(dev.relayer.address))
    await dev.send(dev.owner, dev.settlement.functions.setPlatformWallet(dev.owner.address))
    assert await dev.settlement.functions.platformWallet().call() == dev.owner.address


async def test_a_batch_pays_all_or_none(dev: Development) -> None:
    consumer, operator = await dev.funded(10 * USDC), Account.create().address
    batch = dev.settlement.functions.settleBatch
    entries = [
        (session_key(uuid4()), consumer.address, operator, 1000, 100, 85_000, 15_000) for _ in range(3)
    ]
    with dev.reverts("AlreadySettled"):
        await dev.send(dev.relayer, batch([*entries, entries[0]]))
    await dev.send(dev.relayer, batch(entries))
    assert await dev.ports.usdc_balance(operator) == 3 * 85_000
    assert await dev.ports.usdc_balance(dev.chain.platform_wallet) == 3 * 15_000
    with dev.reverts("EmptyBatch"):
        await dev.send(dev.relayer, batch([]))
    with dev.reverts("BatchTooLarge"):
        await dev.send(dev.relayer, batch([entries[0]] * 101))


async def test_the_largest_batch_fits_into_what_a_node_estimates(dev: Development) -> None:
    consumer = await dev.funded(10 * USDC)
    entries = [
        (secrets.token_bytes(32), consumer.address, Account.create().address, 1000, 100, 85_000, 15_000)
        for _ in range(100)
    ]
    await dev.send(dev.relayer, dev.settlement.functions.settleBatch(entries))
    assert await dev.ports.usdc_balance(entries[-1][2]) == 85_000


# ---------------------------------------------------------------- the ports


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
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    with pytest.raises(StartError, match="no Ethereum node"):
        await open_chain(f"http://127.0.0.1:{port}", dev.chain.settlement_address)
    await runner.cleanup()


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
