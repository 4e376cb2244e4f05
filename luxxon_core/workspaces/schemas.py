"""Wire types of workspaces (api-contract §5.8, §5.9)."""

from __future__ import annotations

from typing import Any

import msgspec

from luxxon_core.kernel.wire import Timestamp
from luxxon_core.workspaces.domain import Patch
from luxxon_core.workspaces.domain import Workspace as DomainWorkspace


class Workspace(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    slug: str
    name: str
    wallet_address: str
    roles: list[str]
    availability_state: str
    coverage_lat: float | None
    coverage_lng: float | None
    coverage_radius_meters: float | None
    device_kind: str | None
    last_seen_at: Timestamp | None
    created_at: Timestamp
    created_by_wallet: str
    deleted_at: Timestamp | None

    @classmethod
    def of(cls, workspace: DomainWorkspace) -> Workspace:
        return cls(**_fields(workspace))


class WorkspaceCreated(Workspace, frozen=True, rename="camel"):
    consistency_token: str | None = None

    @classmethod
    def of(cls, workspace: DomainWorkspace) -> WorkspaceCreated:
        return cls(**_fields(workspace))


class WorkspaceOfMember(Workspace, frozen=True, rename="camel", kw_only=True):
    role: str

    @classmethod
    def with_role(cls, workspace: DomainWorkspace, role: str) -> WorkspaceOfMember:
        return cls(**_fields(workspace), role=role)


def _fields(workspace: DomainWorkspace) -> dict[str, Any]:
    circle = workspace.coverage
    return {
        "id": str(workspace.id),
        "slug": workspace.slug,
        "name": workspace.name,
        "wallet_address": workspace.wallet_address,
        "roles": sorted(workspace.roles),
        "availability_state": workspace.availability,
        "coverage_lat": circle and circle.center.lat,
        "coverage_lng": circle and circle.center.lng,
        "coverage_radius_meters": circle and circle.radius_m,
        "device_kind": workspace.device_kind,
        "last_seen_at": Timestamp.of(workspace.last_seen_at),
        "created_at": Timestamp.of(workspace.created_at),
        "created_by_wallet": workspace.created_by_wallet,
        "deleted_at": Timestamp.of(workspace.deleted_at),
    }


class CreateRequest(msgspec.Struct, frozen=True, rename="camel"):
    slug: str
    name: str
    wallet_address: str
    signature: str
    nonce: str
    roles: list[str]


class PatchRequest(msgspec.Struct, frozen=True, rename="camel"):
    name: str | None = None
    availability_state: str | None = None
    coverage_lat: float | None = None
    coverage_lng: float | None = None
    coverage_radius_meters: float | None = None
    device_kind: str | None = None

    def to_domain(self) -> Patch:
        return Patch(
            self.name,
            self.availability_state,
            self.coverage_lat,
            self.coverage_lng,
            self.coverage_radius_meters,
            self.device_kind,
        )


class CoverageEntry(msgspec.Struct, frozen=True, rename="camel"):
    lat: float
    lng: float
    radius_meters: float
    device_kind: str | None
