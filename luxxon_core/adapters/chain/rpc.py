"""The chain behind any JSON-RPC endpoint: embedded, anvil, Base Sepolia or Base.

Requests are put together here and sent by :class:`~luxxon_core.adapters.chain.node.Nodes`, because web3.py's
contract objects and middleware cost 8 ms of CPU a read where this costs less than 1, its provider knows one
node only, and a node's error objects are needed as they are, revert data included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from luxxon_core.adapters.chain.node import Nodes
from luxxon_core.adapters.chain.signer import Signer
from luxxon_core.adapters.chain.wire import NodeError
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError
from luxxon_core.wallet.ports import PoolBalance

SETTLED = "Settled(bytes32,address,address,uint256,uint256,uint256,uint256)"

__all__ = ["SETTLED", "NodeError", "RpcChain", "checksum", "quantity", "understood"]


class RpcChain:
    """Implements :class:`~luxxon_core.wallet.ports.Chain`; :mod:`.settlements` and :mod:`.logs` build on it.

    Errors of the transport name its kind only: the URL may hold a provider's key.

    Args:
        rpc_url: a JSON-RPC endpoint, or several of one chain, the preferred one first.
        settlement_address: the settlement contract.
        usdc_address: the token of its pools.
        signer: the relayer's account; None reads only.
        chain_id: what the endpoint answers to eth_chainId; signed into every transaction.
    """

    def __init__(
        self,
        rpc_url: str | Sequence[str],
        settlement_address: str,
        usdc_address: str,
        signer: Signer | None = None,
        *,
        chain_id: int,
    ) -> None:
        self.nodes = Nodes([rpc_url] if isinstance(rpc_url, str) else rpc_url, chain_id or None)
        self._chain_id = chain_id
        self._signer = signer
        self._settlement = checksum(settlement_address)
        self._usdc = checksum(usdc_address)

    async def close(self) -> None:
        await self.nodes.close()

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
        """Address of the relayer's account.

        Raises:
            StartError: there is none.
        """
        return self.key.address

    @property
    def key(self) -> Signer:
        """What signs for the relayer.

        Raises:
            StartError: this chain only reads.
        """
        if self._signer is None:
            raise StartError("chain:signer", "This chain was opened without a relayer's key")
        return self._signer

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

    async def request_all(self, method: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        """The results of requests of one method, in their order; in place of one that failed, the error that
        :meth:`request` raises."""
        return await self.nodes.request_all(method, calls)

    async def _rpc(self, method: str, *params: object) -> Any:
        """The result of one request.

        Raises:
            NodeError: the node answered with an error.
            ExternalError: it did not answer, or not in JSON-RPC.
        """
        return await self.nodes.request(method, *params)


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
