"""Wire types of access (api-contract §5.9 to §5.12)."""

from __future__ import annotations

from typing import Any

import msgspec

from luxxon_core.access.domain import ApiKey as DomainApiKey
from luxxon_core.access.domain import Challenge
from luxxon_core.access.ports import Membership
from luxxon_core.kernel.wire import Timestamp


class ChallengeRequest(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: str


class ChallengeResponse(msgspec.Struct, frozen=True, rename="camel"):
    nonce: str
    message: str
    expires_at: Timestamp

    @classmethod
    def of(cls, challenge: Challenge) -> ChallengeResponse:
        return cls(challenge.nonce, challenge.message, Timestamp.of(challenge.expires_at))


class LoginRequest(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: str
    nonce: str
    signature: str


class WorkspaceMembership(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    slug: str
    name: str
    role: str

    @classmethod
    def of(cls, membership: Membership) -> WorkspaceMembership:
        return cls(str(membership.id), membership.slug, membership.name, membership.role.name)


class Login(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: str
    workspaces: list[WorkspaceMembership]


class SelectRequest(msgspec.Struct, frozen=True, rename="camel"):
    workspace_id: str


class Selected(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: str
    workspace_id: str
    role: str


class Ok(msgspec.Struct, frozen=True):
    ok: bool = True


class WalletMe(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="wallet_session"):
    wallet_address: str
    active_workspace_id: str | None
    active_role: str | None
    workspaces: list[WorkspaceMembership]


class WorkspaceName(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    slug: str
    name: str


class ApiKeyMe(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="api_key"):
    key_id: str
    workspace_id: str
    environment: str
    scopes: list[str]
    workspace: WorkspaceName | None


class MintRequest(msgspec.Struct, frozen=True, rename="camel"):
    label: str
    environment: str
    scopes: list[str]


class ApiKey(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    workspace_id: str
    prefix: str
    label: str
    environment: str
    scopes: list[str]
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None
    grace_period_end: Timestamp | None
    created_at: Timestamp
    created_by_wallet: str

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
