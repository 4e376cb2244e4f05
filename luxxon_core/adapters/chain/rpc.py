"""The chain behind any JSON-RPC endpoint, over web3.py's provider: embedded, anvil, Base Sepolia or Base.

The provider brings the transport (connection reuse, retries); requests are put together here, because
``AsyncWeb3``'s contract objects and middleware cost 8 ms of CPU a read where this costs 1, and because the
provider hands over a node's error objects as they are, revert data included.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from luxxon_core.adapters.chain.reverts import refusal
from luxxon_core.adapters.chain.signer import DynamicFeeTransaction, Signer
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError
from luxxon_core.settlement.domain import Payload, session_key
from luxxon_core.settlement.ports import InsufficientGasFunds, NonceUsed, Receipt, SignedSettlement
from luxxon_core.wallet.ports import PoolBalance

if TYPE_CHECKING:
    from web3 import AsyncHTTPProvider

TIMEOUT_S = 10
SETTLE = "settleFromPool(bytes32,address,address,uint256,uint256,uint256,uint256)"
SETTLED = "Settled(bytes32,address,address,uint256,uint256,uint256,uint256)"
KNOWN = ("already known", "known transaction", "already imported")
NONCE_TOO_LOW = ("nonce too low", "nonce is too low")
EXECUTION_REVERTED = 3
MAX_MESSAGE = 300
"""Characters of a node's error message that are kept."""

_log = structlog.get_logger(__name__)


class NodeError(ExternalError):
    """A node's JSON-RPC error; ``data`` is what it gave beside the message."""

    def __init__(self, code: int, message: str, data: object) -> None:
        shown = "".join(one for one in message[:MAX_MESSAGE] if one.isprintable())  # it is logged and stored
        super().__init__("chain:node", f"The chain's node answers: {shown}")
        self.said, self.data = shown.lower(), data
        self.reverted = code == EXECUTION_REVERTED or "revert" in self.said


class RpcChain:
    """Implements :class:`~luxxon_core.wallet.ports.Chain` and
    :class:`~luxxon_core.settlement.ports.SettlementChain`.

    Errors of the transport name its kind only: the URL may hold a provider's key.

    Args:
        rpc_url: an HTTP JSON-RPC endpoint.
        settlement_address: the settlement contract.
        usdc_address: the token of its pools.
        signer: the relayer's account; None reads only.
        chain_id: what the endpoint answers to eth_chainId; signed into every transaction.
    """

    def __init__(
        self,
        rpc_url: str,
        settlement_address: str,
        usdc_address: str,
        signer: Signer | None = None,
        *,
        chain_id: int,
    ) -> None:
        self._rpc_url = rpc_url
        self._provider: AsyncHTTPProvider | None = None
        self._connecting = asyncio.Lock()
        self._chain_id = chain_id
        self._signer = signer
        self._settlement = checksum(settlement_address)
        self._usdc = checksum(usdc_address)

    async def close(self) -> None:
        if self._provider is not None:
            await self._provider.disconnect()

    async def connect(self) -> AsyncHTTPProvider:
        """The provider, made at first use; calling it early keeps web3's import out of the first request."""
        async with self._connecting:
            if self._provider is None:
                await asyncio.to_thread(import_module, "web3")
                self._provider = self._make_provider()
        return self._provider

    def _make_provider(self) -> AsyncHTTPProvider:
        from aiohttp import ClientError, ClientTimeout
        from web3 import AsyncHTTPProvider
        from web3.providers.rpc.utils import ExceptionRetryConfiguration

        # below WARNING web3 logs the URL, which may hold a key
        logging.getLogger("web3").setLevel(logging.WARNING)
        return AsyncHTTPProvider(
            self._rpc_url,
            request_kwargs={"timeout": ClientTimeout(total=TIMEOUT_S)},
            exception_retry_configuration=ExceptionRetryConfiguration(
                errors=(ClientError,), retries=3, backoff_factor=0.1
            ),
        )

    # ---------------------------------------------------------------- wallets

    async def pool(self, wallet: str) -> PoolBalance:
        address = checksum(wallet)
        number = await self.head()
        return PoolBalance(await self.deposits(address, number), number)

    async def deposits(self, wallet: str, block_number: int) -> int:
        """The pool of a wallet after a block, in µUSDC.

        Raises:
            NodeError: the node has no such block, or has lost its state.
            ExternalError: the chain does not answer.
        """
        return await self._read(self._settlement, "deposits(address)", _word(wallet), hex(block_number))

    async def usdc_balance(self, wallet: str) -> int:
        return await self._read(self._usdc, "balanceOf(address)", _word(wallet))

    async def eth_balance(self, wallet: str) -> int:
        return quantity(await self._rpc("eth_getBalance", checksum(wallet), "latest"), bits=256)

    # ---------------------------------------------------------------- relayer

    @property
    def signer(self) -> str:
        return self._key.address

    @property
    def _key(self) -> Signer:
        if self._signer is None:
            raise StartError("chain:signer", "This chain was opened without a relayer's key")
        return self._signer

    async def settled(self, session_id: UUID) -> bool:
        return bool(await self._read(self._settlement, "settled(bytes32)", session_key(session_id)))

    async def find_settlement(self, session_id: UUID) -> Receipt | None:
        topics = [_hex(_keccak(SETTLED.encode())), _hex(session_key(session_id))]
        try:
            logs = await self._rpc(
                "eth_getLogs", {"address": self._settlement, "topics": topics, "fromBlock": "earliest"}
            )
        except NodeError as error:  # many providers limit the range of blocks
            _log.warning("chain.log_query_refused", reason=error.message)
            return None
        with understood():
            tx_hash = logs[0]["transactionHash"] if logs else None
        return None if tx_hash is None else await self.receipt(tx_hash)

    async def account_nonce(self, account: str, *, pending: bool) -> int:
        block = "pending" if pending else "latest"
        return quantity(await self._rpc("eth_getTransactionCount", checksum(account), block))

    async def sign(self, payload: Payload, nonce: int) -> SignedSettlement:
        key = self._key
        call = _selector(SETTLE) + b"".join(
            (
                session_key(payload.session_id),
                _word(payload.consumer_wallet),
                _word(payload.operator_wallet),
                payload.rate_uusdc.to_bytes(32, "big"),
                payload.chargeable_seconds.to_bytes(32, "big"),
                payload.to_amount_uusdc.to_bytes(32, "big"),
                payload.fee_amount_uusdc.to_bytes(32, "big"),
            )
        )
        try:
            gas, block, tip = await asyncio.gather(
                self._rpc(
                    "eth_estimateGas", {"from": key.address, "to": self._settlement, "data": _hex(call)}
                ),
                self._rpc("eth_getBlockByNumber", "latest", False),
                self._rpc("eth_maxPriorityFeePerGas"),
            )
        except NodeError as error:
            if error.reverted:
                raise refusal(error.data, error.said) from None
            raise
        with understood():
            tip, base_fee = quantity(tip), quantity(block["baseFeePerGas"])
        transaction = DynamicFeeTransaction(
            chain_id=self._chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=tip,
            # stands five full blocks in a row, each 1/8 dearer than the one before
            max_fee_per_gas=2 * base_fee + tip,
            gas=quantity(gas) * 5 // 4,
            to=bytes.fromhex(self._settlement[2:]),
            data=call,
        )
        raw = transaction.signed(await key.sign_digest(transaction.digest()))
        return SignedSettlement(raw, _hex(_keccak(raw)), key.address, nonce)

    async def broadcast(self, raw: bytes) -> None:
        try:
            await self._rpc("eth_sendRawTransaction", _hex(raw))
        except NodeError as error:
            if any(words in error.said for words in KNOWN):
                return
            if any(words in error.said for words in NONCE_TOO_LOW):
                raise NonceUsed("settlement:nonce") from None
            if "insufficient funds" in error.said:
                raise InsufficientGasFunds("settlement:gas") from None
            raise

    async def receipt(self, tx_hash: str) -> Receipt | None:
        found = await self._rpc("eth_getTransactionReceipt", tx_hash)
        if found is None:
            return None
        with understood():
            succeeded, block_hash = found["status"] == "0x1", found["blockHash"]
            if found["blockNumber"] is None:
                return None
            number = quantity(found["blockNumber"])
        head, block = await asyncio.gather(self.head(), self._rpc("eth_getBlockByNumber", hex(number), False))
        with understood():
            if block is None or block["hash"] != block_hash:
                return None  # its block has just been replaced
            return Receipt(
                tx_hash=tx_hash,
                succeeded=succeeded,
                block_number=number,
                confirmations=max(1, head - number + 1),
                timestamp=datetime.fromtimestamp(quantity(block["timestamp"]), UTC),
            )

    # ---------------------------------------------------------------- contracts

    @property
    def contract(self) -> str:
        """Names the settlement contract among all of all chains."""
        return f"{self._chain_id}:{self._settlement}"

    @property
    def chain_id(self) -> int:
        return self._chain_id

    @property
    def settlement_address(self) -> str:
        return self._settlement

    @property
    def usdc_address(self) -> str:
        return self._usdc

    async def code(self, address: str) -> bytes:
        """The code at an address; empty for an account without any.

        Raises:
            ExternalError: the chain does not answer.
        """
        return _bytes(await self._rpc("eth_getCode", checksum(address), "latest"))

    async def call(self, to: str | None, data: bytes, *, sender: str, gas: int) -> bytes:
        """What a call on top of the newest block puts out; nothing of it stays.

        Without ``to``, ``data`` is creation code and what it returns comes back.

        Raises:
            NodeError: it failed; ``reverted`` tells whether the contract did so itself.
            ExternalError: the chain does not answer.
        """
        call = {"from": checksum(sender), "data": _hex(data), "gas": hex(gas)}
        if to is not None:
            call["to"] = checksum(to)
        return _bytes(await self._rpc("eth_call", call, "latest"))

    # ---------------------------------------------------------------- transport

    async def head(self) -> int:
        """The number of the newest block."""
        return quantity(await self._rpc("eth_blockNumber"))

    async def _read(self, contract: str, function: str, argument: bytes = b"", block: str = "latest") -> int:
        """Call a view function that returns one static value, as a number."""
        call = {"to": contract, "data": _hex(_selector(function) + argument)}
        word = _bytes(await self._rpc("eth_call", call, block))
        if len(word) != 32:
            raise ExternalError("chain:answer", f"The chain answers {function} with {len(word)} bytes")
        return int.from_bytes(word, "big")

    async def request(self, method: str, *params: object) -> Any:
        """The result of one JSON-RPC request of any kind; raises as :meth:`_rpc` does."""
        return await self._rpc(method, *params)

    async def _rpc(self, method: str, *params: object) -> Any:
        """The result of one request.

        Raises:
            NodeError: the node answered with an error.
            ExternalError: it did not answer, or not in JSON-RPC.
        """
        provider = await self.connect()
        from aiohttp import ClientError
        from web3.types import RPCEndpoint

        try:
            response = await provider.make_request(RPCEndpoint(method), list(params))
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            raise ExternalError(
                "chain:rpc", f"The chain cannot be reached ({type(error).__name__})"
            ) from None
        failure: Any = response.get("error") if isinstance(response, dict) else {}
        if failure is not None and not isinstance(failure, dict):
            failure = {"message": failure}
        if failure is not None:
            code, message = failure.get("code", 0), str(failure.get("message", "no JSON-RPC answer"))
            raise NodeError(code, message, failure.get("data"))
        return response.get("result")


def checksum(address: str) -> str:
    """An address in EIP-55 form.

    Raises:
        InvalidInput: it is none.
    """
    from eth_utils.address import to_checksum_address

    try:
        return to_checksum_address(address)
    except (ValueError, TypeError) as error:
        raise InvalidInput("wallet:address") from error


@contextmanager
def understood() -> Iterator[None]:
    """Reads a node's answer.

    Raises:
        ExternalError: it is not what it should be.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError, OSError, InvalidInput):
        raise ExternalError("chain:answer", "The chain's node answers in no known form") from None


def quantity(answer: object, *, bits: int = 63) -> int:
    """A number out of a node's answer; by default one that a column holds.

    Raises:
        ExternalError: it is none, or needs more bits.
    """
    with understood():
        if not isinstance(answer, str) or not 0 <= (number := int(answer, 16)) < 1 << bits:
            raise ValueError
    return number


def _word(address: str) -> bytes:
    return bytes.fromhex(checksum(address)[2:]).rjust(32, b"\0")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(answer: object) -> bytes:
    """Bytes out of a node's answer.

    Raises:
        ExternalError: it is none.
    """
    try:
        return bytes.fromhex(str(answer).removeprefix("0x"))
    except ValueError:
        raise ExternalError("chain:answer", "The chain's node answers with what is not data") from None


def _selector(signature: str) -> bytes:
    return _keccak(signature.encode())[:4]


def _keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak

    return keccak(data)
