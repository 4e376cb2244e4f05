"""Challenges, keys and cookies: how a caller proves who it is (api-contract §3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from luxxon_core.http.principal import Area, Budget, MemberRole, Scope, WalletPrincipal
from luxxon_core.kernel.clock import iso
from luxxon_core.kernel.errors import Conflict, InvalidInput, InvalidToken, NotAuthenticated, NotAuthorized
from luxxon_core.kernel.geo import EARTH_RADIUS_M, Point, distance_m
from luxxon_core.kernel.money import short_usdc
from luxxon_core.kernel.text import is_line

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
MAX_CAP_UUSDC = 10**15
"""A thousand million USDC, far more than there will be in a pool."""
MAX_AREAS = 32
MAX_AREA_RADIUS_M = math.ceil(math.pi * EARTH_RADIUS_M)
"""From a pole to the other: the whole Earth."""
AREAS_NAMED = 3
"""Areas that a refusal names; ``GET /me`` lists them all."""
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
    budget: Budget | None = None

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
    if not 1 <= len(label.strip()) <= 80 or not is_line(label):
        raise InvalidInput("apiKey:label")
    if environment != deployment:
        raise InvalidInput("apiKey:environment")
    if not scopes or not set(scopes) <= set(Scope):
        raise InvalidInput("apiKey:scopes")


def check_budget(budget: Budget) -> Budget | None:
    """The rules of a new key's budget; None of one that limits nothing.

    Raises:
        InvalidInput: ``apiKey:budget``, with what is wrong in words.
    """
    for cap in (budget.daily_cap_uusdc, budget.session_cap_uusdc):
        if cap is not None and not 0 <= cap <= MAX_CAP_UUSDC:
            raise InvalidInput("apiKey:budget", f"A cap is 0 to {MAX_CAP_UUSDC} µUSDC")
    if len(budget.areas) > MAX_AREAS:
        raise InvalidInput("apiKey:budget", f"A key has at most {MAX_AREAS} areas")
    for area in budget.areas:
        if not 1 <= area.circle.radius_m <= MAX_AREA_RADIUS_M:
            raise InvalidInput("apiKey:budget", f"An area's radius is 1 to {MAX_AREA_RADIUS_M} m")
        if area.name is not None and not (1 <= len(area.name) <= 80 and is_line(area.name)):
            raise InvalidInput("apiKey:budget", "An area's name is 1 to 80 printable characters")
    return budget if budget != Budget() else None


def budget_day(at: datetime) -> tuple[datetime, datetime]:
    """The UTC day that something created at ``at`` counts on: its beginning, and that of the next one."""
    begins = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return begins, begins + timedelta(days=1)


def check_area(budget: Budget, point: Point) -> None:
    """Refuse a point outside all of the budget's areas; where there are none, any will do.

    Raises:
        NotAuthorized: ``apiKey:area``; the message names the nearest ones.
    """
    if not budget.areas or any(area.circle.contains(point) for area in budget.areas):
        return

    def outside_m(area: Area) -> float:
        return distance_m(area.circle.center, point) - area.circle.radius_m

    nearest = sorted(budget.areas, key=outside_m)[:AREAS_NAMED]
    named, more = "; ".join(map(_described, nearest)), len(budget.areas) - len(nearest)
    raise NotAuthorized(
        "apiKey:area",
        f"This API key may only ask for places in its areas: {named}{f' and {more} more' if more else ''}."
        f" The point is {math.ceil(outside_m(nearest[0]))} m outside the nearest",
    )


def _described(area: Area) -> str:
    circle = area.circle
    where = (
        f"{short(circle.radius_m, 1)} m around {short(circle.center.lat, 6)},{short(circle.center.lng, 6)}"
    )
    return f"{area.name} ({where})" if area.name else where


def short(number: float, decimals: int) -> str:
    """A number without the zeros behind it."""
    return f"{number:.{decimals}f}".rstrip("0").rstrip(".")


def check_session_cap(budget: Budget, rate_uusdc: int, duration_s: int) -> None:
    """Refuse a session that could cost more than the key may spend on one.

    Raises:
        NotAuthorized: ``apiKey:sessionCap:<seconds>``: the longest duration that the cap allows at this rate.
    """
    cap, cost = budget.session_cap_uusdc, rate_uusdc * duration_s
    if cap is None or cost <= cap:
        return
    longest = cap // rate_uusdc
    raise NotAuthorized(
        f"apiKey:sessionCap:{longest}",
        f"This API key may spend {short_usdc(cap)} USDC on a session and this one could cost"
        f" {short_usdc(cost)}. {_longest(longest)}",
    )


def left_today(budget: Budget, spent_uusdc: int) -> int | None:
    """µUSDC that are left of the daily cap, never less than nothing; None where there is no cap."""
    return None if budget.daily_cap_uusdc is None else max(0, budget.daily_cap_uusdc - spent_uusdc)


def check_daily_cap(
    budget: Budget, spent_uusdc: int, rate_uusdc: int, duration_s: int, created_at: datetime
) -> None:
    """Refuse a session that could take the key past its daily cap.

    Args:
        spent_uusdc: what the key's sessions of that day cost, and those still open may cost at most.

    Raises:
        NotAuthorized: ``apiKey:dailyCap:<seconds>``: the longest duration that what is left allows.
    """
    left, cost = left_today(budget, spent_uusdc), rate_uusdc * duration_s
    if left is None or cost <= left:
        return
    longest = left // rate_uusdc
    assert budget.daily_cap_uusdc is not None
    raise NotAuthorized(
        f"apiKey:dailyCap:{longest}",
        f"This API key may spend {short_usdc(budget.daily_cap_uusdc)} USDC a day (UTC), of which"
        f" {short_usdc(left)} are left until {iso(budget_day(created_at)[1])}, and this session could cost"
        f" {short_usdc(cost)}. {_longest(longest)}",
    )


def _longest(seconds: int) -> str:
    return f"Ask for at most {seconds} s" if seconds else "Not even one second fits"


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
