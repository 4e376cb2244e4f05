"""A wallet of one's own: signs in, reads the chain and tops up the pool.

The key stays here. What leaves are signatures and signed transactions, the latter by standard JSON-RPC to the
``rpcUrl`` of the server's configuration.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from luxxon_core.client.errors import ConnectionFailed
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.errors import ExternalError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

RECEIPT_SECONDS = 60.0
POLL_SECONDS = 0.2
GAS_LIMIT_MARGIN = 12, 10
"""Estimates of token calls fall a little short when storage is cold; a fifth more is never spent in vain."""


class ChainRefused(ExternalError):
    """The node refused a call or a transaction reverted."""

    code, default_message = "CHAIN_REFUSED", "The chain refused"


class LocalWallet:
    """An externally owned account held in this process."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    @classmethod
    def create(cls) -> LocalWallet:
        """A fresh random key."""
        from eth_account import Account

        return cls(Account.create())

    @property
    def address(self) -> str:
        """EIP-55 checksummed."""
        return str(self._account.address)

    def sign_message(self, message: str) -> str:
        """The EIP-191 personal-message signature of ``message``, 0x hex."""
        from eth_account.messages import encode_defunct

        return "0x" + bytes(self._account.sign_message(encode_defunct(text=message)).signature).hex()

    def sign_transaction(self, fields: dict[str, Any]) -> str:
        """A raw signed transaction, 0x hex."""
        return "0x" + bytes(self._account.sign_transaction(fields).raw_transaction).hex()

    def __repr__(self) -> str:
        return f"LocalWallet({self.address})"


class ChainClient:
    """Standard JSON-RPC to the deployment's chain: balances for anyone, transactions for a wallet."""

    def __init__(self, config: Config, timeout: float = 15.0) -> None:
        import httpx

        self._config = config
        self._http = httpx.AsyncClient(timeout=timeout, trust_env=False)
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def pool(self, wallet: str) -> int:
        """µUSDC in the wallet's pool of the settlement contract."""
        return await self._read(self._config.settlement_address, "deposits(address)", wallet)

    async def usdc(self, wallet: str) -> int:
        """µUSDC that the wallet itself holds."""
        return await self._read(self._config.usdc_address, "balanceOf(address)", wallet)

    async def platform_wallet(self) -> str:
        """Who receives the fees."""
        word = await self._read(self._config.settlement_address, "platformWallet()")
        return f"0x{word:040x}"

    async def top_up(
        self, wallet: LocalWallet, amount_uusdc: int, step: Callable[[str], None] = lambda _: None
    ) -> None:
        """Move USDC of the wallet into its pool: approve where the allowance is too small, then deposit.

        Raises:
            ChainRefused: a transaction reverted; ConnectionFailed: no answer.
        """
        config = self._config
        allowance = await self._read(
            config.usdc_address, "allowance(address,address)", wallet.address, config.settlement_address
        )
        if allowance < amount_uusdc:
            step("approve")
            await self._send(
                wallet,
                config.usdc_address,
                "approve(address,uint256)",
                config.settlement_address,
                amount_uusdc,
            )
        step("deposit")
        await self._send(wallet, config.settlement_address, "deposit(uint256)", amount_uusdc)

    async def _read(self, contract: str, signature: str, *arguments: object) -> int:
        call = {"to": contract, "data": encode_call(signature, *arguments)}
        return _quantity(await self._rpc("eth_call", call, "latest"), f"{signature} of {contract}")

    async def _send(self, wallet: LocalWallet, contract: str, signature: str, *arguments: object) -> None:
        data = encode_call(signature, *arguments)
        call = {"from": wallet.address, "to": contract, "data": data}
        estimate, tip, block, nonce = await asyncio.gather(
            self._rpc("eth_estimateGas", call),
            self._rpc("eth_maxPriorityFeePerGas"),
            self._rpc("eth_getBlockByNumber", "latest", False),
            self._rpc("eth_getTransactionCount", wallet.address, "pending"),
        )
        more, per = GAS_LIMIT_MARGIN
        priority_fee = _quantity(tip, "eth_maxPriorityFeePerGas")
        base_fee = _quantity(_member(block, "baseFeePerGas"), "baseFeePerGas")
        raw = wallet.sign_transaction(
            {
                "type": 2,
                "chainId": self._config.chain_id,
                "nonce": _quantity(nonce, "eth_getTransactionCount"),
                "to": contract,
                "value": 0,
                "data": data,
                "gas": _quantity(estimate, "eth_estimateGas") * more // per,
                "maxPriorityFeePerGas": priority_fee,
                "maxFeePerGas": 2 * base_fee + priority_fee,
            }
        )
        tx_hash = await self._rpc("eth_sendRawTransaction", raw)
        await self._mined(str(tx_hash), signature)

    async def _mined(self, tx_hash: str, signature: str) -> None:
        deadline = time.monotonic() + RECEIPT_SECONDS
        while True:
            try:
                receipt = await self._rpc("eth_getTransactionReceipt", tx_hash)
                reason = "not mined yet"
            except (ConnectionFailed, ChainRefused) as error:
                # The transaction is out: that a node does not tell of it now says nothing about it.
                receipt, reason = None, error.message
            if receipt is not None:
                break
            if time.monotonic() > deadline:
                raise ConnectionFailed(message=f"{signature} was sent in {tx_hash}: {reason}")
            await asyncio.sleep(POLL_SECONDS)
        if _quantity(_member(receipt, "status"), f"the receipt of {tx_hash}") != 1:
            raise ChainRefused(message=f"{signature} reverted in {tx_hash}")

    async def _rpc(self, method: str, *params: object) -> Any:
        import httpx

        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = (await self._http.post(self._config.rpc_url, json=request)).json()
        except (httpx.HTTPError, ValueError) as error:
            raise ConnectionFailed(message=f"{method}: {type(error).__name__}") from error
        if (refusal := _member(answer, "error")) is not None:
            reason = refusal if isinstance(refusal, str) else _member(refusal, "message")
            raise ChainRefused(message=f"{method}: {reason or 'refused'}")
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainRefused(message=f"{method}: the node's answer is not JSON-RPC")
        return answer["result"]


def _member(answer: object, name: str) -> Any:
    return answer.get(name) if isinstance(answer, dict) else None


def _quantity(answer: object, what: str) -> int:
    """A hexadecimal quantity or word. ``0x`` is what calling an address without code answers."""
    try:
        return int(str(answer), 16)
    except ValueError:
        raise ChainRefused(message=f"{what}: the chain answered no number") from None


def encode_call(signature: str, *arguments: object) -> str:
    """Contract ABI call data, 0x hex: selector of ``name(types)`` and the encoded arguments."""
    from eth_abi.abi import encode
    from eth_utils import function_signature_to_4byte_selector

    inside = signature[signature.index("(") + 1 : -1]
    types = inside.split(",") if inside else []
    return "0x" + (function_signature_to_4byte_selector(signature) + encode(types, arguments)).hex()
