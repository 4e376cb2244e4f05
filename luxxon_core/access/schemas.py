"""Wire types of access (api-contract §5.9 to §5.12)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from luxxon_core.access.domain import ApiKey as DomainApiKey
from luxxon_core.access.domain import Challenge
from luxxon_core.access.domain import Member as DomainMember
from luxxon_core.access.ports import Membership
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.wire import Address, Printable, Timestamp, Uuid, one_of

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


class ApiKeyMe(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="api_key"):
    key_id: Uuid
    workspace_id: Uuid
    environment: Environment
    scopes: list[ScopeName]
    workspace: WorkspaceName | None


class MintRequest(msgspec.Struct, frozen=True, rename="camel"):
    label: Printable
    environment: Environment
    scopes: Annotated[list[ScopeName], msgspec.Meta(extra_json_schema={"minItems": 1})]


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

    @classmethod
    def of(cls, key: DomainApiKey) -> ApiKey:
        return cls(**_fields(key))


class ApiKeyCreated(ApiKey, frozen=True, rename="camel"):
    plaintext: str

    def __repr__(self) -> str:
        return f"ApiKeyCreated(prefix={self.prefix!r})"

    @classmethod
    def minted(cls, key: DomainApiKey, plaintext: str) -> ApiKeyCreated:
        return cls(**_fields(key), plaintext=plaintext)


def _fields(key: DomainApiKey) -> dict[str, Any]:
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
    }
