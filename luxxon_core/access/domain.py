"""Challenges, keys and cookies: how a caller proves who it is (api-contract §3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from luxxon_core.http.principal import MemberRole, Scope, WalletPrincipal
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import Conflict, InvalidInput, InvalidToken, NotAuthenticated

CHALLENGE_TTL = timedelta(minutes=5)
COOKIE_TTL = timedelta(hours=12)
COOKIE_SKEW = timedelta(minutes=1)
"""How far the clock of the server that sealed a cookie may be ahead of ours."""
COOKIE_LENGTH = 1024
"""Characters; ours have about 300."""
GRACE = timedelta(seconds=60)
"""How long a revoked key keeps working, so that clients can change over."""
LAST_USED_EVERY = timedelta(minutes=1)
PREFIX_LENGTH = 20
NONCE = re.compile("[0-9a-f]{32}")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Purpose(StrEnum):
    """What a challenge may be used for; never the other."""

    LOGIN = "login"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class SignInDomain:
    """Where signatures are valid: the EIP-4361 fields that name this deployment."""

    host: str
    uri: str
    chain_id: int


@dataclass(frozen=True, slots=True)
class Challenge:
    nonce: str = field(repr=False)
    wallet_address: str
    purpose: Purpose
    message: str = field(repr=False)
    expires_at: datetime


STATEMENTS = {
    Purpose.LOGIN: "Luxxon — sign in to prove wallet ownership.",
    Purpose.WORKSPACE: "Luxxon — create a workspace owned by this wallet.",
}


def new_challenge(
    domain: SignInDomain, wallet_address: str, purpose: Purpose, nonce: str, now: datetime
) -> Challenge:
    """A challenge whose message is an EIP-4361 document, so that wallets can warn of phishing."""
    expires_at = now + CHALLENGE_TTL
    message = (
        f"{domain.host} wants you to sign in with your Ethereum account:\n{wallet_address}\n\n"
        f"{STATEMENTS[purpose]}\n\n"
        f"URI: {domain.uri}\nVersion: 1\nChain ID: {domain.chain_id}\nNonce: {nonce}\n"
        f"Issued At: {iso(now)}\nExpiration Time: {iso(expires_at)}"
    )
    return Challenge(nonce, wallet_address, purpose, message, expires_at)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored: its hash, what it may do, and how long it still works."""

    id: UUID
    workspace_id: UUID
    hash: bytes = field(repr=False)
    prefix: str
    label: str
    environment: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by_wallet: str
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    grace_period_end: datetime | None = None

    def works_at(self, now: datetime) -> bool:
        return self.grace_period_end is None or now < self.grace_period_end


@dataclass(frozen=True, slots=True)
class Member:
    wallet_address: str
    role: MemberRole
    created_at: datetime


def spare_last_owner(owners: list[str], wallet_address: str, role: MemberRole | None) -> None:
    """Refuse to make the only one of ``owners`` something else, or nothing (``role`` None).

    Raises:
        Conflict: ``member:lastOwner``.
    """
    if owners == [wallet_address] and role is not MemberRole.OWNER:
        raise Conflict("member:lastOwner")


def key_plaintext(environment: str, workspace_id: UUID, secret: bytes) -> str:
    """``lxxn_test_`` + 6 hex of the workspace + ``_`` + ``secret`` (32 bytes) in base62 (43 characters)."""
    number, digits = int.from_bytes(secret), []
    for _ in range(43):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return f"lxxn_{environment.lower()}_{workspace_id.hex[:6]}_{''.join(reversed(digits))}"


def key_hash(plaintext: str) -> bytes:
    """What is stored of a key.

    Raises:
        InvalidToken: not in the form of a Luxxon key.
    """
    known = plaintext.startswith(("lxxn_test_", "lxxn_live_"))
    if not known or len(plaintext) > 128 or not plaintext.isascii():
        raise InvalidToken
    return hashlib.sha256(plaintext.encode()).digest()


def check_mint(label: str, environment: str, scopes: list[str], deployment: str) -> None:
    """The rules of a new key (api-contract §6.5).

    Raises:
        InvalidInput: naming the field.
    """
    if not 1 <= len(label.strip()) <= 80 or not label.isprintable():
        raise InvalidInput("apiKey:label")
    if environment != deployment:
        raise InvalidInput("apiKey:environment")
    if not scopes or not set(scopes) <= set(Scope):
        raise InvalidInput("apiKey:scopes")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def seal(principal: WalletPrincipal, now: datetime, secret: bytes) -> str:
    """The ``lx_session`` value: payload and HMAC-SHA256, base64url unpadded (clients split at ``=``)."""
    payload = {
        "walletAddress": principal.wallet_address,
        "workspaceId": str(principal.workspace_id) if principal.workspace_id else None,
        "role": principal.role.name if principal.role is not None else None,
        "iat": int(now.timestamp()),
        "exp": int((now + COOKIE_TTL).timestamp()),
    }
    body = _b64(json.dumps(payload, separators=(",", ":")).encode())
    return f"{body}.{_b64(hmac.digest(secret, body.encode(), 'sha256'))}"


def unseal(value: str, now: datetime, secrets: Sequence[bytes]) -> WalletPrincipal:
    """The principal of a cookie sealed with any of the secrets.

    Raises:
        NotAuthenticated: forged, malformed, expired, or sealed more than a minute from now.
    """
    if len(value) > COOKIE_LENGTH or not value.isascii():
        raise NotAuthenticated
    body, _, signature = value.partition(".")
    seals = (_b64(hmac.digest(secret, body.encode(), "sha256")) for secret in secrets)
    if not any(hmac.compare_digest(signature.encode(), one.encode()) for one in seals):
        raise NotAuthenticated
    try:
        return _opened(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), now.timestamp())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotAuthenticated from None  # sealed by us, but by another version of us


def _opened(payload: dict[str, Any], now: float) -> WalletPrincipal:
    wallet, workspace_id, role = payload["walletAddress"], payload["workspaceId"], payload["role"]
    issued, expires = payload["iat"], payload["exp"]
    if not (isinstance(wallet, str) and isinstance(issued, int) and isinstance(expires, int)):
        raise NotAuthenticated
    if expires <= now or issued > now + COOKIE_SKEW.total_seconds():
        raise NotAuthenticated
    return WalletPrincipal(
        wallet,
        UUID(workspace_id) if workspace_id is not None else None,
        MemberRole[role] if role is not None else None,
    )
