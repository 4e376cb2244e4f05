"""Signatures of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), symmetric."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from datetime import timedelta

SECRET_BYTES = 32
"""Within the 24 to 64 bytes that the specification asks for."""
OVERLAP = timedelta(hours=24)
"""How long the secret before the last rotation goes on signing beside the new one."""


def written_secret(secret: bytes) -> str:
    """``whsec_`` and base64: how a secret is shown to its owner."""
    return "whsec_" + base64.b64encode(secret).decode()


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: for each secret ``v1,`` and the base64 of HMAC-SHA256 over
    ``id.timestamp.body``, blanks in between.

    Args:
        timestamp: seconds since 1970, as in ``webhook-timestamp``.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
