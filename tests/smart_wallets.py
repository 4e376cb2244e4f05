"""Wallets that are contracts, deployed on a running development chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_utils.abi import function_signature_to_4byte_selector as selector
from eth_utils.address import to_checksum_address

from luxxon_core.adapters.chain.artifacts import artifact

ETHER = 10**18
GWEI = 10**9
SUFFIX = bytes.fromhex("6492" * 16)

Faucet = Callable[[str, int, int], Awaitable[object]]


def signed(owner: LocalAccount, message: str) -> bytes:
    """An account's 65 bytes over a personal message."""
    return bytes(owner.sign_message(encode_defunct(text=message)).signature)


def wrapped(factory: str, call: bytes, signature: bytes) -> bytes:
    """The form of ERC-6492: what to call before the wallet is asked."""
    return encode(["address", "bytes", "bytes"], [factory, call, signature]) + SUFFIX


def creation(owner: str, salt: int) -> bytes:
    """The factory's call that deploys a wallet."""
    return selector("create(address,bytes32)") + encode(
        ["address", "bytes32"], [owner, salt.to_bytes(32, "big")]
    )


@dataclass
class Deployer:
    """An account of its own that puts contracts on the chain, one after the other."""

    rpc_url: str
    http: httpx.AsyncClient
    account: LocalAccount = field(default_factory=Account.create)
    nonce: int = 0

    @classmethod
    async def funded(cls, rpc_url: str, faucet: Faucet, http: httpx.AsyncClient) -> Deployer:
        made = cls(rpc_url, http)
        await faucet(made.account.address, ETHER, 0)
        return made

    async def rpc(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = (await self.http.post(self.rpc_url, json=body)).json()
        assert "result" in answer, answer
        return answer["result"]

    async def send(self, to: str, data: bytes) -> dict[str, Any]:
        transaction = {
            "to": to,
            "data": "0x" + data.hex(),
            "gas": 3_000_000,
            "nonce": self.nonce,
            "chainId": int(await self.rpc("eth_chainId"), 16),
            "maxFeePerGas": 20 * GWEI,
            "maxPriorityFeePerGas": GWEI,
        }
        raw = self.account.sign_transaction(transaction).raw_transaction
        self.nonce += 1
        receipt = dict(
            await self.rpc(
                "eth_getTransactionReceipt", await self.rpc("eth_sendRawTransaction", "0x" + raw.hex())
            )
        )
        assert receipt["status"] == "0x1", receipt
        return receipt

    async def deploy(self, creation_code: bytes) -> str:
        return str((await self.send("", creation_code))["contractAddress"])

    async def raw(self, code: str) -> str:
        """A contract with exactly this code, in hexadecimal."""
        body = bytes.fromhex(code)
        # PUSH2 size, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN
        return await self.deploy(
            b"\x61" + len(body).to_bytes(2, "big") + b"\x80\x60\x0a\x5f\x39\x5f\xf3" + body
        )

    async def wallet(self, owner: str, *, active: bool = True) -> str:
        return await self.deploy(
            artifact("SmartWallet").bytecode + encode(["address", "bool"], [owner, active])
        )

    async def factory(self) -> str:
        return await self.deploy(artifact("SmartWalletFactory").bytecode)

    async def future_wallet(self, factory: str, owner: str, salt: int) -> str:
        """Where the factory will put the wallet; nothing is there yet."""
        call = selector("addressOf(address,bytes32)") + creation(owner, salt)[4:]
        answer = await self.rpc("eth_call", {"to": factory, "data": "0x" + call.hex()}, "latest")
        return str(to_checksum_address("0x" + answer[-40:]))
