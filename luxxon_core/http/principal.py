"""Who is calling (api-contract §3), and what they may be asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from luxxon_core.kernel.geo import Circle


class Scope(StrEnum):
    """What an API key may be allowed to do (api-contract §3.4)."""

    SESSIONS_READ = "sessions:read"
    SESSIONS_CREATE = "sessions:create"
    SESSIONS_OPERATE = "sessions:operate"
    PRICING_READ = "pricing:read"
    WALLET_READ = "wallet:read"
    OPERATORS_WRITE = "operators:write"
    COVERAGE_WRITE = "coverage:write"
    WEBHOOKS_WRITE = "webhooks:write"


class MemberRole(IntEnum):
    """A member's role in a workspace; a higher one includes the lower (api-contract §3.5)."""

    VIEWER = 1
    ADMIN = 2
    OWNER = 3


class Permission(StrEnum):
    """What a wallet may do in a workspace: the permissions of ``contracts/schema.zed``."""

    VIEW = "view"
    OPERATE = "operate"
    MANAGE_KEYS = "manage_keys"
    MANAGE_MEMBERS = "manage_members"


@dataclass(frozen=True, slots=True)
class Area:
    """A circle that a key may ask for places in."""

    circle: Circle
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What an API key may spend, and where. It is fixed when the key is minted."""

    daily_cap_uusdc: int | None = None
    """What the sessions created on one UTC day may cost together; None: no cap."""
    session_cap_uusdc: int | None = None
    """What one session may cost; None: no cap."""
    areas: tuple[Area, ...] = ()
    """Requests must lie in one of them; none: anywhere."""


@dataclass(frozen=True, slots=True)
class ApiKeyPrincipal:
    key_id: UUID
    workspace_id: UUID
    scopes: frozenset[str]
    environment: str
    budget: Budget | None = None
    """None for a key that may spend as its workspace may."""


@dataclass(frozen=True, slots=True)
class WalletPrincipal:
    wallet_address: str
    workspace_id: UUID | None
    role: MemberRole | None


@dataclass(frozen=True, slots=True)
class LinkPrincipal:
    """Whoever holds a link: one side of one session, on behalf of the wallet or the key that made it."""

    session_id: UUID
    side: str
    """``consumer`` or ``operator``."""
    maker: str | UUID
    """A wallet's address or a key's id."""
    expires_at: datetime


Principal = ApiKeyPrincipal | WalletPrincipal | LinkPrincipal


def budgeted(principal: Principal | None) -> ApiKeyPrincipal | None:
    """The caller, where it is a key with a budget: whatever spends on its behalf has to be told."""
    return principal if isinstance(principal, ApiKeyPrincipal) and principal.budget is not None else None
