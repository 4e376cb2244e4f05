"""Who signs transactions: a port, and what it answers. For signers of our own and of plugins alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature over secp256k1 with low ``s`` (EIP-2) and the parity of R's y."""

    y_parity: int
    r: int
    s: int


class Signer(Protocol):
    """Signs with one key. It sees digests only, so that a key which never leaves its device fits as well."""

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
