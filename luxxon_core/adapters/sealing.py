"""Secrets that have to be read again, encrypted with a key that is not in the database."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from uuid import UUID

_NONCE_BYTES = 12
_PURPOSE = b"luxxon webhook secrets"


class AesSealer:
    """Implements :class:`~luxxon_core.webhooks.ports.Sealer` by AES-256-GCM, bound to the webhook."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Args:
        keys: the first seals, all open.
        """
        self._keys = [hmac.digest(key, _PURPOSE, "sha256") for key in keys]

    def seal(self, secret: bytes, webhook_id: UUID) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._keys[0]).encrypt(nonce, secret, webhook_id.bytes)

    def open(self, sealed: bytes, webhook_id: UUID) -> bytes | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self._keys:
            try:
                return AESGCM(key).decrypt(nonce, text, webhook_id.bytes)
            except InvalidTag:
                continue
        return None
