"""Who signs transactions: a port of this folder, with the key in memory behind it.

A signer sees digests only, so that a key which never leaves its device fits as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from luxxon_core.kernel.errors import StartError


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature over secp256k1 with low ``s`` (EIP-2) and the parity of R's y."""

    y_parity: int
    r: int
    s: int


class Signer(Protocol):
    @property
    def address(self) -> str:
        """EIP-55 address of the key."""
        ...

    async def sign_digest(self, digest: bytes) -> Signature:
        """Sign 32 bytes as they are.

        Raises:
            ExternalError: the device that holds the key failed.
        """
        ...


class LocalSigner:
    """A key in this process's memory; it never shows in ``repr`` or logs."""

    def __init__(self, key: bytes) -> None:
        from eth_keys.datatypes import PrivateKey

        self._key = PrivateKey(key)
        self.address: str = self._key.public_key.to_checksum_address()

    @classmethod
    def from_keystore(cls, path: Path, passphrase: str) -> LocalSigner:
        """The key in an encrypted keystore file (Web3 Secret Storage, version 3).

        Raises:
            StartError: the file cannot be read, or the passphrase does not open it.
        """
        import json

        from eth_keyfile.keyfile import decode_keyfile_json

        try:
            return cls(decode_keyfile_json(json.loads(path.read_text()), passphrase.encode()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            raise StartError("chain:keystore", f"Keystore {path} cannot be opened") from error

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    def sign(self, digest: bytes) -> Signature:
        signature = self._key.sign_msg_hash(digest)
        return Signature(signature.v, signature.r, signature.s)

    async def sign_digest(self, digest: bytes) -> Signature:
        return self.sign(digest)


class DeferredSigner:
    """A key loaded when the first signature is asked for: loading imports and decrypts for a while."""

    def __init__(self, address: str, load: Callable[[], LocalSigner]) -> None:
        self.address = address
        self._load = load
        self._loaded: LocalSigner | None = None

    def __repr__(self) -> str:
        return f"DeferredSigner({self.address})"

    async def sign_digest(self, digest: bytes) -> Signature:
        if self._loaded is None:
            loaded = await asyncio.to_thread(self._load)
            if loaded.address != self.address:
                raise StartError("chain:keystore", f"The keystore does not hold the key of {self.address}")
            self._loaded = loaded
        return self._loaded.sign(digest)


@dataclass(frozen=True, slots=True)
class DynamicFeeTransaction:
    """An unsigned transaction of type 2 (EIP-1559). Fees are wei per gas; ``to`` empty creates a contract."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas: int
    to: bytes
    data: bytes
    value: int = 0

    def _fields(self) -> list[object]:
        return [
            self.chain_id,
            self.nonce,
            self.max_priority_fee_per_gas,
            self.max_fee_per_gas,
            self.gas,
            self.to,
            self.value,
            self.data,
            [],  # access list
        ]

    def digest(self) -> bytes:
        """What the sender signs."""
        from eth_utils.crypto import keccak

        return keccak(_typed(self._fields()))

    def signed(self, signature: Signature) -> bytes:
        """The transaction as it is broadcast."""
        return _typed([*self._fields(), signature.y_parity, signature.r, signature.s])


def _typed(fields: list[object]) -> bytes:
    import rlp

    return b"\x02" + bytes(rlp.encode(fields))
