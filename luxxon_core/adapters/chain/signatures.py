"""Addresses and signatures of Ethereum wallets: accounts with a key, and contracts, deployed or not yet."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Protocol

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.rpc import NodeError
from luxxon_core.kernel.errors import ExternalError, InvalidInput

MAX_SIGNATURE = 8192
"""Bytes, the wrapper of ERC-6492 included; a passkey's signature with a factory call has about 2,000."""

CHECK_SECONDS = 10.0
"""What asking the chain may take altogether."""

CALL_GAS = 8_000_000
"""The validator spends at most 7 million on the wallet and its factory, the rest on reading its arguments."""

SENDER = "0x6492649264926492649264926492649264926492"
"""Nobody. The zero address, which nodes put in otherwise, tells some wallets that they are only simulated."""

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_HEX = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})*)")
_WRAPPED = bytes.fromhex("6492" * 16)
_WRAPPER = ("address", "bytes", "bytes")
_ARGUMENTS = ("address", "bytes32", "bytes", "address", "bytes")
_EXECUTION_FAILED = ("out of gas", "outofgas", "execution aborted", "execution timeout", "invalid opcode")


class Contracts(Protocol):
    """Reads contracts of the chain; :class:`~luxxon_core.adapters.chain.rpc.RpcChain` does."""

    async def code(self, address: str) -> bytes:
        """The code at an address; empty for an account without any.

        Raises:
            ExternalError: the chain does not answer.
        """
        ...

    async def call(self, to: str | None, data: bytes, *, sender: str, gas: int) -> bytes:
        """What a call puts out; without ``to``, what the creation code in ``data`` returns.

        Raises:
            NodeError: it failed.
            ExternalError: the chain does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """What a signature says about itself (ERC-6492); a plain one names no factory."""

    signature: bytes
    factory: str = "0x" + "00" * 20
    prepare: bytes = b""


class EthereumWallets:
    """Implements :class:`~luxxon_core.access.ports.Wallets`.

    Args:
        contracts: the chain that smart wallets live on; None knows accounts with a key only.
    """

    def __init__(self, contracts: Contracts | None = None) -> None:
        self._contracts = contracts

    def checksum(self, address: str) -> str:
        from eth_utils import is_hex_address, to_checksum_address

        if not address.startswith(("0x", "0X")) or not is_hex_address(address):
            raise InvalidInput("auth:walletAddress")
        return str(to_checksum_address(address))

    async def verify(self, wallet_address: str, message: str, signature: str) -> bool:
        """Whether ``signature`` is the wallet's over ``message`` as a personal message (EIP-191).

        A key's own signature is recovered here, without the chain, also where the account has code
        (EIP-7702). Any other is put to the contract at the address (ERC-1271), deployed for the occasion if
        the signature says how (ERC-6492). What is malformed is just wrong, and so is what makes the contract
        fail.

        Raises:
            ExternalError: the chain had to be asked and does not answer.
        """
        match = _HEX.fullmatch(signature) if len(signature) <= 2 + 2 * MAX_SIGNATURE else None
        if match is None:
            return False
        signed, account = bytes.fromhex(match[1]), bytes.fromhex(wallet_address[2:])
        digest = await asyncio.to_thread(personal_hash, message)
        if await asyncio.to_thread(recover, digest, signed) == account:
            return True
        if self._contracts is None or not signed:
            return False
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._agrees(self._contracts, wallet_address, digest, signed)
        except TimeoutError:
            raise ExternalError("chain:rpc", "The chain takes too long to check a signature") from None

    async def _agrees(self, contracts: Contracts, wallet: str, digest: bytes, signed: bytes) -> bool:
        wrapped = signed.endswith(_WRAPPED)
        wrapper = _unwrapped(signed) if wrapped else _Wrapper(signed)
        if wrapper is None or not (wrapped or await contracts.code(wallet)):
            return False
        question = _question(wallet, digest, wrapper)
        try:
            answer = await contracts.call(None, question, sender=SENDER, gas=CALL_GAS)
        except NodeError as error:
            if error.reverted or any(words in error.said for words in _EXECUTION_FAILED):
                return False
            raise
        return answer == b"\x01"


def personal_hash(message: str) -> bytes:
    """What a wallet signs for a text: version 0x45 of EIP-191."""
    from eth_utils.crypto import keccak

    text = message.encode()
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)


def recover(digest: bytes, signature: bytes) -> bytes | None:
    """The 20 bytes of the account that signed; None when that cannot be a key's signature.

    Takes ``r ‖ s ‖ v`` with v of 0, 1, 27 or 28, and the compact 64 bytes of EIP-2098. As in transactions,
    ``s`` is in the lower half (EIP-2): of a signature there is one form, and wallets write no other.
    """
    if len(signature) not in (64, 65):
        return None
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature, ValidationError

    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if len(signature) == 64:
        parity, s = s >> 255, s & (2**255 - 1)
    else:
        parity = signature[64] - 27 if signature[64] >= 27 else signature[64]
    if parity not in (0, 1) or s > HALF_ORDER:
        return None
    try:
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError):
        return None
    return key.to_canonical_address()


def _unwrapped(signature: bytes) -> _Wrapper | None:
    """``abi.encode(factory, factoryCalldata, signature)`` before the suffix; None when it is not that."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        factory, prepare, inner = decode(_WRAPPER, signature[: -len(_WRAPPED)])
    except (DecodingError, OverflowError):
        return None
    return _Wrapper(inner, factory, prepare)


def _question(wallet: str, digest: bytes, wrapper: _Wrapper) -> bytes:
    """The validator's creation code with its arguments (``contracts/src/SignatureValidator.sol``)."""
    from eth_abi.abi import encode

    arguments = (wallet, digest, wrapper.signature, wrapper.factory, wrapper.prepare)
    return artifact("SignatureValidator").bytecode + encode(_ARGUMENTS, arguments)
