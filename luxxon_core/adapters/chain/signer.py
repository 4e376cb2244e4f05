"""Signs transactions with a key in memory (the port is :mod:`luxxon_core.kernel.signing`), and encodes
them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luxxon_core.kernel.errors import StartError
from luxxon_core.kernel.signing import Signature, Signer

__all__ = ["DeferredSigner", "DynamicFeeTransaction", "LocalSigner", "Signature", "Signer"]


class LocalSigner:
    """A key in this process's memory; it never shows in ``repr`` or logs."""

    def __init__(self, key: bytes) -> None:
        from coincurve import PrivateKey as Secret
        from eth_keys.datatypes import PrivateKey

        self._key = PrivateKey(key)
        self._secret = Secret(key)
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
        signature = self._secret.sign_recoverable(digest, hasher=None)  # r, s, y parity; RFC 6979, low s
        return Signature(
            signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        )

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

    def _fields(self) -> list[_Item]:
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


_Item = int | bytes | list["_Item"]


def _typed(fields: list[_Item]) -> bytes:
    return b"\x02" + _encoded(fields)


def _encoded(item: _Item) -> bytes:
    """RLP (Yellow Paper, appendix B). The library's finds out for each item what it is, at five times the
    cost; a relayer does little else than this and signatures."""
    if isinstance(item, list):
        return _prefixed(0xC0, b"".join(map(_encoded, item)))
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _prefixed(0x80, item)


def _prefixed(kind: int, body: bytes) -> bytes:
    if len(body) < 56:
        return bytes((kind + len(body),)) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((kind + 55 + len(length),)) + length + body
