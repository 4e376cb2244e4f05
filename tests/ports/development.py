"""A development chain under test: its contracts through web3.py, and the chain ports over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from paying import pay
from relayer_chain import relayer_chain
from web3 import AsyncHTTPProvider, AsyncWeb3, Web3
from web3.exceptions import ContractCustomError

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.settlement.domain import Payload, compose

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


@asynccontextmanager
async def developing(chain: Any, owner: LocalSigner) -> AsyncIterator[Development]:
    ports = relayer_chain(chain)
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
