"""One suite for every development chain: the contract through plain JSON-RPC."""

from __future__ import annotations

import secrets
import time
from uuid import uuid4

import pytest
from development import (
    ETHER,
    PERMIT,
    RECEIVE,
    USDC,
    Development,
    payload_for,
)
from eth_account import Account
from eth_typing import HexStr
from web3.logs import DISCARD

from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.domain import session_key
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ContractPaused,
    InsufficientPool,
    NotRelayer,
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
