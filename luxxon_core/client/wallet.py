"""A wallet of one's own: signs in, reads the chain and tops up the pool.

The key stays here. What leaves are signatures and signed transactions, the latter by standard JSON-RPC to the
``rpcUrl`` of the server's configuration.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from luxxon_core.client.errors import ConnectionFailed
from luxxon_core.client.local_wallet import LocalWallet
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.wallet.schemas import DepositAuthorization

__all__ = ["TOP_UP_GAS", "ChainClient", "ChainHead", "ChainRefused", "LocalWallet", "encode_call"]

RECEIPT_SECONDS = 60.0
POLL_SECONDS = 0.2
GAS_LIMIT_MARGIN = 12, 10
"""Estimates of token calls fall a little short when storage is cold; a fifth more is never spent in vain."""

TOP_UP_GAS = 200_000
"""What approve and deposit take, with room."""
MOST_GAS_WEI = 5 * 10**16
"""Most that a transaction may cost; a node that tells of dearer gas is not believed."""
SEND_TRIES = 5
AUTHORIZED_SECONDS = 3600
RECEIVE_WITH_AUTHORIZATION = {
    "from": "address",
    "to": "address",
    "value": "uint256",
    "validAfter": "uint256",
    "validBefore": "uint256",
    "nonce": "bytes32",
}


class ChainRefused(ExternalError):
    """The node refused a call or a transaction reverted."""

    code, default_message = "CHAIN_REFUSED", "The chain refused"


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest block, and what gas costs in it.

    Attributes:
        base_fee: wei for a gas (EIP-1559).
        fee_at_most: wei for a gas that a transaction sent now would offer.
    """

    number: int
    base_fee: int
    fee_at_most: int


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

    async def eth(self, wallet: str) -> int:
        """Wei that the wallet holds."""
        return _quantity(await self._rpc("eth_getBalance", wallet, "latest"), "eth_getBalance")

    async def allowance(self, wallet: str) -> int:
        """µUSDC of the wallet that the settlement contract may take: what a top-up need not approve."""
        return await self._read(
            self._config.usdc_address, "allowance(address,address)", wallet, self._config.settlement_address
        )

    async def head(self) -> ChainHead:
        """The newest block."""
        block, (most, tip) = await asyncio.gather(
            self._rpc("eth_getBlockByNumber", "latest", False), self._fees()
        )
        number = _quantity(_member(block, "number"), "eth_getBlockByNumber")
        return ChainHead(number, (most - tip) // 2, most)

    async def pays_gas(self, wallet: str) -> bool:
        """Whether the wallet's ETH is enough for the two transactions of a top-up."""
        fee, eth = await asyncio.gather(self._fees(), self.eth(wallet))
        return eth >= TOP_UP_GAS * fee[0]

    async def platform_wallet(self) -> str:
        """Who receives the fees."""
        word = await self._read(self._config.settlement_address, "platformWallet()")
        return f"0x{word:040x}"

    async def top_up(
        self,
        wallet: LocalWallet,
        amount_uusdc: int,
        step: Callable[[str], None] = lambda _: None,
        sent: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Move USDC of the wallet into its pool: approve where the allowance is too small, then deposit.

        Args:
            step: told ``approve`` and ``deposit`` as each begins.
            sent: told the hash of each transaction once the node has it.

        Raises:
            ChainRefused: a transaction reverted; ConnectionFailed: no answer.
        """
        config = self._config
        if await self.allowance(wallet.address) < amount_uusdc:
            step("approve")
            await self._send(
                wallet,
                config.usdc_address,
                "approve(address,uint256)",
                config.settlement_address,
                amount_uusdc,
                sent=sent,
            )
        step("deposit")
        await self._send(wallet, config.settlement_address, "deposit(uint256)", amount_uusdc, sent=sent)

    async def withdraw(
        self, wallet: LocalWallet, amount_uusdc: int, sent: Callable[[str], None] = lambda _: None
    ) -> None:
        """Move USDC out of the wallet's pool into the wallet; works while the contract is paused.

        Raises:
            ChainRefused: the pool holds less, or the transaction reverted; ConnectionFailed: no answer.
        """
        await self._send(
            wallet, self._config.settlement_address, "withdraw(uint256)", amount_uusdc, sent=sent
        )

    async def faucet(self, wallet: str, wei: int, amount_uusdc: int) -> None:
        """Test money for an address, from an embedded chain; mined when this returns.

        Raises:
            ChainRefused: another chain, which has no faucet, or too much; ConnectionFailed: no answer.
        """
        await self._rpc("luxxon_faucet", wallet, hex(wei), hex(amount_uusdc))

    async def authorize(
        self, wallet: LocalWallet, amount_uusdc: int, seconds: int = AUTHORIZED_SECONDS
    ) -> DepositAuthorization:
        """Permission to move the wallet's USDC into its own pool, for the platform to send (ERC-3009,
        ReceiveWithAuthorization): it can move it nowhere else, and costs the wallet no ETH.

        Args:
            seconds: how long it can be used.

        Raises:
            ChainRefused, ConnectionFailed: the token could not be read.
        """
        name, version = await asyncio.gather(self._text("name()"), self._text("version()"))
        nonce, until = secrets.token_bytes(32), int(time.time()) + seconds
        domain = {
            "name": name,
            "version": version,
            "chainId": self._config.chain_id,
            "verifyingContract": self._config.usdc_address,
        }
        message = {
            "from": wallet.address,
            "to": self._config.settlement_address,
            "value": amount_uusdc,
            "validAfter": 0,
            "validBefore": until,
            "nonce": nonce,
        }
        fields = [{"name": field, "type": kind} for field, kind in RECEIVE_WITH_AUTHORIZATION.items()]
        signature = await asyncio.to_thread(
            wallet.sign_typed, domain, {"ReceiveWithAuthorization": fields}, message
        )
        return DepositAuthorization(
            from_=wallet.address,
            amount=str(amount_uusdc),
            valid_after=0,
            valid_before=until,
            nonce="0x" + nonce.hex(),
            signature=signature,
        )

    async def deposited(self, authorization: DepositAuthorization) -> None:
        """Wait until an authorization has been used: the pool is filled then.

        Raises:
            ConnectionFailed: it has not been in a minute.
        """
        deadline = time.monotonic() + RECEIPT_SECONDS
        nonce = bytes.fromhex(authorization.nonce[2:])
        while True:
            try:
                used = await self._read(
                    self._config.usdc_address,
                    "authorizationState(address,bytes32)",
                    authorization.from_,
                    nonce,
                )
                reason = "not mined yet"
            except (ConnectionFailed, ChainRefused) as error:
                used, reason = 0, error.message
            if used:
                return
            if time.monotonic() > deadline:
                raise ConnectionFailed(message=f"the deposit was sent: {reason}")
            await asyncio.sleep(POLL_SECONDS)

    async def _text(self, signature: str) -> str:
        """A view function of the token that returns a string."""
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        call = {"to": self._config.usdc_address, "data": encode_call(signature)}
        answer = await self._rpc("eth_call", call, "latest")
        try:
            return str(decode(["string"], bytes.fromhex(str(answer)[2:]))[0])
        except (ValueError, DecodingError):
            raise ChainRefused(message=f"{signature} of the token: the chain answered no text") from None

    async def _fees(self) -> tuple[int, int]:
        """Most that is offered for a gas, and the tip in it, in wei (EIP-1559)."""
        tip, block = await asyncio.gather(
            self._rpc("eth_maxPriorityFeePerGas"), self._rpc("eth_getBlockByNumber", "latest", False)
        )
        priority_fee = _quantity(tip, "eth_maxPriorityFeePerGas")
        base_fee = _quantity(_member(block, "baseFeePerGas"), "baseFeePerGas")
        return 2 * base_fee + priority_fee, priority_fee

    async def _read(self, contract: str, signature: str, *arguments: object) -> int:
        call = {"to": contract, "data": encode_call(signature, *arguments)}
        return _quantity(await self._rpc("eth_call", call, "latest"), f"{signature} of {contract}")

    async def _send(
        self,
        wallet: LocalWallet,
        contract: str,
        signature: str,
        *arguments: object,
        sent: Callable[[str], None] = lambda _: None,
    ) -> None:
        data = encode_call(signature, *arguments)
        call = {"from": wallet.address, "to": contract, "data": data}
        estimate, (max_fee, priority_fee), nonce = await asyncio.gather(
            self._rpc("eth_estimateGas", call),
            self._fees(),
            self._rpc("eth_getTransactionCount", wallet.address, "pending"),
        )
        more, per = GAS_LIMIT_MARGIN
        gas = _quantity(estimate, "eth_estimateGas") * more // per
        if gas * max_fee > MOST_GAS_WEI:
            raise ChainRefused(
                message=f"{signature}: the node asks for {gas * max_fee / 10**18:.3f} ETH of gas"
            )
        fields = {
            "type": 2,
            "chainId": self._config.chain_id,
            "nonce": _quantity(nonce, "eth_getTransactionCount"),
            "to": contract,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxPriorityFeePerGas": priority_fee,
            "maxFeePerGas": max_fee,
        }
        raw = await asyncio.to_thread(wallet.sign_transaction, fields)
        tx_hash = await self._broadcast(raw)
        sent(str(tx_hash))
        await self._mined(str(tx_hash), signature)

    async def _broadcast(self, raw: str) -> str:
        """Hand a transaction to the node; its hash. A lost answer may have been to one that was taken: the
        same is sent again then, for another one would move the money twice.

        Raises:
            ChainRefused: the node does not take it; ConnectionFailed: there is no answer.
        """
        from eth_utils.crypto import keccak

        tx_hash = "0x" + keccak(hexstr=raw).hex()
        for again in range(SEND_TRIES):
            try:
                return str(await self._rpc("eth_sendRawTransaction", raw))
            except ConnectionFailed as error:
                reason = error.message
            except ChainRefused:
                if again == 0:
                    raise
                return tx_hash  # known already, or mined already: the receipt tells
            await asyncio.sleep(POLL_SECONDS)
        raise ConnectionFailed(message=f"{tx_hash} may have been sent: {reason}")

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
        if self._http.is_closed:
            raise ConnectionFailed(message=f"{method}: this client is closed", sent=False)
        try:
            answer = (await self._http.post(self._config.rpc_url, json=request)).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
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
