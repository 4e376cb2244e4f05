"""A wallet without ETH fills its pool by a signature, and nobody burns the relayer's gas with it."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from api_wire import Tenant, Wire
from eth_account import Account

from luxxon_core.client.wallet import ChainClient, LocalWallet
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.wallet.schemas import DepositAuthorization

pytestmark = pytest.mark.asyncio(loop_scope="session")

USDC = 10**6
SECONDS = 30.0


async def wallet_with(wire: Wire, amount: int) -> LocalWallet:
    """USDC and not one wei."""
    made = LocalWallet(Account.create())
    if amount:
        await wire.server.deployment.parts.development_chain.faucet(made.address, 0, amount)
    return made


async def authorized(wire: Wire, wallet: LocalWallet, amount: int) -> dict[str, Any]:
    async with ChainClient(wire.server.deployment.config) as chain:
        return dict(to_builtins(await chain.authorize(wallet, amount)))


async def pool_of(wire: Wire, wallet: LocalWallet, amount: int) -> None:
    """Wait for a pool."""
    async with ChainClient(wire.server.deployment.config) as chain, asyncio.timeout(SECONDS):
        while await chain.pool(wallet.address) != amount:
            await asyncio.sleep(0.1)


async def relayer_nonce(wire: Wire) -> int:
    rpc = wire.server.deployment.parts.rpc
    return int(await rpc.request("eth_getTransactionCount", rpc.signer, "pending"), 16)


async def test_a_signature_fills_the_pool_of_a_wallet_without_ether(wire: Wire, stranger: Tenant) -> None:
    wallet = await wallet_with(wire, 5 * USDC)
    body = await authorized(wire, wallet, 3 * USDC)
    first = await wire.data("POST", "/wallet/deposits", auth=stranger, json=body)
    assert re.fullmatch("0x[0-9a-f]{64}", first["txHash"])
    again = await wire.data("POST", "/wallet/deposits", auth=stranger, json=body)
    assert again == first
    await pool_of(wire, wallet, 3 * USDC)
    async with ChainClient(wire.server.deployment.config) as chain:
        assert await chain.usdc(wallet.address) == 2 * USDC
        assert await chain.eth(wallet.address) == 0
    second = await authorized(wire, wallet, 2 * USDC)
    await wire.data("POST", "/wallet/deposits", auth=stranger, json=second)
    await pool_of(wire, wallet, 5 * USDC)


async def test_a_wallet_that_is_signed_in_needs_no_workspace(wire: Wire) -> None:
    wallet = await wallet_with(wire, USDC)
    cookie = await wire.login(wallet._account)
    body = await authorized(wire, wallet, USDC)
    auth = {"Cookie": f"lx_session={cookie}"}
    await wire.data("POST", "/wallet/deposits", auth=auth, json=body)
    await pool_of(wire, wallet, USDC)


async def test_what_the_chain_would_refuse_costs_no_gas(wire: Wire, stranger: Tenant) -> None:
    wallet = await wallet_with(wire, 2 * USDC)
    good = await authorized(wire, wallet, 2 * USDC)
    signature = bytes.fromhex(good["signature"][2:])
    poor = await wallet_with(wire, 0)
    now = int(time.time())
    before = await relayer_nonce(wire)
    refused = {
        "deposit:amount": [
            {**good, "amount": str(USDC - 1)},
            {**good, "amount": "01"},
            {**good, "amount": "-5"},
            {**good, "amount": "9" * 200},
        ],
        "deposit:validBefore": [{**good, "validBefore": now + 30}, {**good, "validBefore": 0}],
        "deposit:validAfter": [{**good, "validAfter": now + 600}, {**good, "validAfter": -1}],
        "deposit:from": [{**good, "from": "0x12"}, {**good, "from": "0x" + "zz" * 20}],
        "deposit:nonce": [{**good, "nonce": "0x12"}],
        "deposit:signature": [
            {**good, "signature": "0x" + bytes([signature[0] ^ 1, *signature[1:]]).hex()},
            {**good, "signature": "0x" + "00" * 65},
            {**good, "signature": "0x12"},
            {**good, "amount": str(USDC)},
            {**good, "from": stranger.account.address},
        ],
        "deposit:balance": [await authorized(wire, poor, 2 * USDC)],
    }
    for detail, bodies in refused.items():
        for body in bodies:
            found = await wire.refused("POST", "/wallet/deposits", auth=stranger, json=body)
            assert found == (400, "INVALID_INPUT", detail), body
    assert await relayer_nonce(wire) == before


async def test_a_used_authorization_is_a_conflict(wire: Wire, stranger: Tenant) -> None:
    wallet = await wallet_with(wire, 4 * USDC)
    first = await authorized(wire, wallet, USDC)
    await wire.data("POST", "/wallet/deposits", auth=stranger, json=first)
    await pool_of(wire, wallet, USDC)
    await wire.data("POST", "/wallet/deposits", auth=stranger, json=await authorized(wire, wallet, USDC))
    await pool_of(wire, wallet, 2 * USDC)
    found = await wire.refused("POST", "/wallet/deposits", auth=stranger, json=first)
    assert found == (409, "CONFLICT", "deposit:nonce")


async def test_a_wallet_has_so_many_an_hour(wire: Wire, stranger: Tenant) -> None:
    deposits = wire.server.deployment.cases.deposits
    wallet = await wallet_with(wire, 20 * USDC)
    for count in range(1, deposits.hourly.quota + 1):
        body = await authorized(wire, wallet, USDC)
        await wire.data("POST", "/wallet/deposits", auth=stranger, json=body)
        await pool_of(wire, wallet, count * USDC)
    body = await authorized(wire, wallet, USDC)
    found = await wire.refused("POST", "/wallet/deposits", auth=stranger, json=body)
    assert found == (429, "RATE_LIMITED", "rate:deposits")


async def test_the_relayer_forgets_what_is_mined(wire: Wire, stranger: Tenant) -> None:
    """The deposit is one of its transactions: followed, and closed when it is final."""
    wallet = await wallet_with(wire, USDC)
    body = await authorized(wire, wallet, USDC)
    sent = await wire.data("POST", "/wallet/deposits", auth=stranger, json=body)
    async with asyncio.timeout(SECONDS):
        while True:
            (row,) = await wire.rows(
                "select closed_at, raw from settlement_tx join settlement_tx_version on tx_id = id"
                " where tx_hash = $1",
                sent["txHash"],
            )
            if row["closed_at"] is not None:
                break
            await asyncio.sleep(0.2)
    assert row["raw"] is None


async def test_a_server_without_a_relayer_says_so(wire: Wire) -> None:
    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.kernel.errors import Unavailable

    wallet = await wallet_with(wire, USDC)
    body = msgspec.convert(await authorized(wire, wallet, USDC), DepositAuthorization)
    nobody = replace(wire.server.deployment.cases.deposits, sponsor=None)
    with pytest.raises(Unavailable, match="with your own ETH"):
        await nobody.deposit(body.authorization(), utc_now())
