"""Wire types of access (api-contract §5.9 to §5.12)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from luxxon_core.access.domain import MAX_AREA_RADIUS_M, MAX_AREAS, Challenge, budget_day, left_today, short
from luxxon_core.access.domain import ApiKey as DomainApiKey
from luxxon_core.access.domain import Member as DomainMember
from luxxon_core.access.ports import Membership
from luxxon_core.http.principal import Area, Scope
from luxxon_core.http.principal import Budget as Limits
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.wire import (
    Address,
    Latitude,
    Longitude,
    MicroUsdc,
    Printable,
    Timestamp,
    Uuid,
    one_of,
)

Nonce = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
Signature = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"pattern": "^0x([0-9a-fA-F]{2})+$"},
        description="EIP-191 of an account, or what a smart wallet takes (EIP-1271, EIP-6492)",
    ),
]
Role = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["VIEWER", "ADMIN", "OWNER"]})]
Environment = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["TEST", "LIVE"]})]
ScopeName = Annotated[str, one_of(Scope)]
_NUMBER = r"[-+]?[0-9]{1,8}(?:\.[0-9]{1,15})?"
AREA = re.compile(
    rf"(?P<lat>{_NUMBER})\s*,\s*(?P<lng>{_NUMBER})\s*,\s*(?P<radius>{_NUMBER})\s*(?P<unit>k?m)"
    r"(?:\s*,(?P<name>.*))?",
    re.ASCII,
)
CAP = "0|[1-9][0-9]{0,14}|10{15}"
Cap = Annotated[str, Meta(extra_json_schema={"pattern": f"^({CAP})$"}, description="µUSDC")]


class ChallengeRequest(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: Address


class ChallengeResponse(msgspec.Struct, frozen=True, rename="camel"):
    nonce: Nonce
    message: str
    expires_at: Timestamp

    @classmethod
    def of(cls, challenge: Challenge) -> ChallengeResponse:
        return cls(challenge.nonce, challenge.message, Timestamp.of(challenge.expires_at))


class LoginRequest(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: Address
    nonce: Nonce
    signature: Signature

    def __repr__(self) -> str:
        return f"LoginRequest({self.wallet_address})"  # the rest proves the wallet


class WorkspaceMembership(msgspec.Struct, frozen=True, rename="camel"):
    id: Uuid
    slug: str
    name: str
    role: Role

    @classmethod
    def of(cls, membership: Membership) -> WorkspaceMembership:
        return cls(str(membership.id), membership.slug, membership.name, membership.role.name)


class Login(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: Address
    workspaces: list[WorkspaceMembership]


class SelectRequest(msgspec.Struct, frozen=True, rename="camel"):
    workspace_id: Uuid


class Selected(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: Address
    workspace_id: Uuid
    role: Role


MemberRole = Literal["VIEWER", "ADMIN", "OWNER"]
WalletAddress = Annotated[str, msgspec.Meta(pattern="^0[xX][0-9a-fA-F]{40}$")]


class MemberRequest(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: WalletAddress
    role: MemberRole


class Member(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: Address
    role: Role
    created_at: Timestamp

    @classmethod
    def of(cls, member: DomainMember) -> Member:
        return cls(member.wallet_address, member.role.name, Timestamp.of(member.created_at))


class MemberChanged(Member, frozen=True, rename="camel"):
    consistency_token: str | None = None

    @classmethod
    def told(cls, member: DomainMember, token: str | None) -> MemberChanged:
        return cls(member.wallet_address, member.role.name, Timestamp.of(member.created_at), token)


class MemberRemoved(msgspec.Struct, frozen=True, rename="camel"):
    removed: bool
    wallet_address: Address
    consistency_token: str | None


class Ok(msgspec.Struct, frozen=True):
    ok: bool = True


class WalletMe(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="wallet_session"):
    wallet_address: Address
    active_workspace_id: Uuid | None
    active_role: Role | None
    workspaces: list[WorkspaceMembership]


class WorkspaceName(msgspec.Struct, frozen=True, rename="camel"):
    id: Uuid
    slug: str
    name: str


class KeyArea(msgspec.Struct, frozen=True, rename="camel"):
    """A circle that a key may ask for places in."""

    lat: Latitude
    lng: Longitude
    radius_meters: Annotated[float, Meta(ge=1, le=MAX_AREA_RADIUS_M)]
    name: Printable | None = None

    @classmethod
    def parse(cls, text: str) -> KeyArea:
        """``52.52,13.40,2km`` or ``52.52,13.40,500m,Mitte`` as a person writes it.

        Raises:
            ValueError: it has no such form, or lies beyond what there is on Earth.
        """
        found = AREA.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no area, such as 52.52,13.40,2km")
        lat, lng, radius = (float(found[part]) for part in ("lat", "lng", "radius"))
        meters = radius * (1000 if found["unit"] == "km" else 1)
        if not (-90 <= lat <= 90 and -180 <= lng <= 180 and 1 <= meters <= MAX_AREA_RADIUS_M):
            raise ValueError(f"{text!r}: degrees are -90 to 90 and -180 to 180, a radius is 1 m or more")
        return cls(lat, lng, meters, (found["name"] or "").strip() or None)

    def __str__(self) -> str:
        """As :meth:`parse` takes it, to a tenth of a metre."""
        far = self.radius_meters
        radius = f"{short(far / 1000, 3)}km" if far >= 1000 else f"{short(far, 3)}m"
        name = (self.name,) if self.name else ()
        return ",".join((short(self.lat, 6), short(self.lng, 6), radius, *name))


class BudgetRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What is null or absent is not limited."""

    daily_cap_micro_usdc: Cap | None = None
    """What the sessions created on one UTC day may cost together."""
    session_cap_micro_usdc: Cap | None = None
    """What one session may cost."""
    areas: Annotated[list[KeyArea], Meta(min_length=1, max_length=MAX_AREAS)] | None = None

    def limits(self) -> Limits:
        """The same as the domain has it.

        Raises:
            InvalidInput: ``apiKey:budget``: a cap is no amount, a name blank.
        """
        return Limits(
            _amount(self.daily_cap_micro_usdc),
            _amount(self.session_cap_micro_usdc),
            tuple(
                Area(
                    Circle(Point(one.lat, one.lng), one.radius_meters),
                    None if one.name is None else one.name.strip(),
                )
                for one in self.areas or ()
            ),
        )


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(CAP, text, re.ASCII):
        raise InvalidInput("apiKey:budget", "A cap is a whole number of µUSDC in digits")
    return int(text)


class Budget(msgspec.Struct, frozen=True, rename="camel"):
    """What a key may spend, and what it has."""

    daily_cap_micro_usdc: MicroUsdc | None
    session_cap_micro_usdc: MicroUsdc | None
    areas: list[KeyArea]
    """Requests must lie in one of them; none: anywhere."""
    spent_today_micro_usdc: MicroUsdc
    """Of the sessions created on this UTC day: charges, and the holds of those that are open."""
    left_today_micro_usdc: MicroUsdc | None
    """Null without a daily cap."""
    resets_at: Timestamp
    """When the next day begins."""

    @classmethod
    def of(cls, limits: Limits, spent_uusdc: int, now: datetime) -> Budget:
        left = left_today(limits, spent_uusdc)
        daily, one = limits.daily_cap_uusdc, limits.session_cap_uusdc
        return cls(
            None if daily is None else str(daily),
            None if one is None else str(one),
            [
                KeyArea(area.circle.center.lat, area.circle.center.lng, area.circle.radius_m, area.name)
                for area in limits.areas
            ],
            str(spent_uusdc),
            None if left is None else str(left),
            Timestamp.of(budget_day(now)[1]),
        )


class ApiKeyMe(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="api_key"):
    key_id: Uuid
    workspace_id: Uuid
    environment: Environment
    scopes: list[ScopeName]
    workspace: WorkspaceName | None
    budget: Budget | UnsetType = UNSET
    """There where the key has one."""


class MintRequest(msgspec.Struct, frozen=True, rename="camel"):
    label: Printable
    environment: Environment
    scopes: Annotated[list[ScopeName], msgspec.Meta(extra_json_schema={"minItems": 1})]
    budget: BudgetRequest | None = None


class ApiKey(msgspec.Struct, frozen=True, rename="camel"):
    id: Uuid
    workspace_id: Uuid
    prefix: str
    label: str
    environment: Environment
    scopes: list[ScopeName]
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None
    grace_period_end: Timestamp | None
    created_at: Timestamp
    created_by_wallet: Address
    budget: Budget | UnsetType = UNSET
    """There where the key has one."""

    @property
    def limits(self) -> Budget | None:
        """Its budget, if it has one."""
        return None if isinstance(self.budget, UnsetType) else self.budget

    @classmethod
    def of(cls, key: DomainApiKey, spent_uusdc: int, now: datetime) -> ApiKey:
        """``spent_uusdc``: today, which counts for a key with a budget alone."""
        return cls(**_fields(key, spent_uusdc, now))


class ApiKeyCreated(ApiKey, frozen=True, rename="camel", kw_only=True):
    plaintext: str

    def __repr__(self) -> str:
        return f"ApiKeyCreated(prefix={self.prefix!r})"

    @classmethod
    def minted(cls, key: DomainApiKey, plaintext: str) -> ApiKeyCreated:
        return cls(**_fields(key, 0, key.created_at), plaintext=plaintext)


def _fields(key: DomainApiKey, spent_uusdc: int, now: datetime) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "workspace_id": str(key.workspace_id),
        "prefix": key.prefix,
        "label": key.label,
        "environment": key.environment,
        "scopes": list(key.scopes),
        "last_used_at": Timestamp.of(key.last_used_at),
        "revoked_at": Timestamp.of(key.revoked_at),
        "grace_period_end": Timestamp.of(key.grace_period_end),
        "created_at": Timestamp.of(key.created_at),
        "created_by_wallet": key.created_by_wallet,
        "budget": UNSET if key.budget is None else Budget.of(key.budget, spent_uusdc, now),
    }
