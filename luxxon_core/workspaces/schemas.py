"""Wire types of workspaces (api-contract §5.8, §5.9)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from luxxon_core.access.schemas import Nonce, Signature
from luxxon_core.access.schemas import Role as MemberRoleName
from luxxon_core.kernel.wire import Address, Latitude, Longitude, Printable, Timestamp, Uuid, one_of
from luxxon_core.workspaces.domain import RADIUS_M, SLUG, Availability, DeviceKind, Patch, Role
from luxxon_core.workspaces.domain import Workspace as DomainWorkspace

RoleName = Annotated[str, one_of(Role)]
DeviceName = Annotated[str, one_of(DeviceKind)]


class Workspace(msgspec.Struct, frozen=True, rename="camel"):
    id: Uuid
    slug: str
    name: str
    wallet_address: Address
    roles: list[RoleName]
    availability_state: Annotated[str, one_of(Availability)]
    coverage_lat: float | None
    coverage_lng: float | None
    coverage_radius_meters: float | None
    device_kind: DeviceName | None
    last_seen_at: Timestamp | None
    created_at: Timestamp
    created_by_wallet: Address
    deleted_at: Timestamp | None

    @classmethod
    def of(cls, workspace: DomainWorkspace) -> Workspace:
        return cls(**_fields(workspace))


class WorkspaceCreated(Workspace, frozen=True, rename="camel"):
    consistency_token: str | None = None

    @classmethod
    def told(cls, workspace: DomainWorkspace, token: str | None) -> WorkspaceCreated:
        return cls(**_fields(workspace), consistency_token=token)


class WorkspaceOfMember(Workspace, frozen=True, rename="camel", kw_only=True):
    role: MemberRoleName

    @classmethod
    def with_role(cls, workspace: DomainWorkspace, role: str) -> WorkspaceOfMember:
        return cls(**_fields(workspace), role=role)


def _fields(workspace: DomainWorkspace) -> dict[str, Any]:
    return {
        "id": str(workspace.id),
        "slug": workspace.slug,
        "name": workspace.name,
        "wallet_address": workspace.wallet_address,
        "roles": sorted(workspace.roles),
        "availability_state": workspace.availability,
        "coverage_lat": workspace.coverage_lat,
        "coverage_lng": workspace.coverage_lng,
        "coverage_radius_meters": workspace.coverage_radius_m,
        "device_kind": workspace.device_kind,
        "last_seen_at": Timestamp.of(workspace.last_seen_at),
        "created_at": Timestamp.of(workspace.created_at),
        "created_by_wallet": workspace.created_by_wallet,
        "deleted_at": Timestamp.of(workspace.deleted_at),
    }


class CreateRequest(msgspec.Struct, frozen=True, rename="camel"):
    slug: Annotated[str, Meta(extra_json_schema={"pattern": f"^{SLUG.pattern}$"})]
    name: Printable
    wallet_address: Address
    signature: Signature
    nonce: Nonce
    roles: Annotated[list[RoleName], Meta(extra_json_schema={"minItems": 1})]

    def __repr__(self) -> str:
        return f"CreateRequest({self.slug})"  # nonce and signature prove the wallet


class PatchRequest(msgspec.Struct, frozen=True, rename="camel"):
    name: Printable | None = None
    availability_state: Annotated[str, one_of(Availability, "ONLINE", "OFFLINE")] | None = None
    coverage_lat: Latitude | None = None
    coverage_lng: Longitude | None = None
    coverage_radius_meters: Annotated[float, Meta(ge=RADIUS_M[0], le=RADIUS_M[1])] | None = None
    device_kind: DeviceName | None = None

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
    device_kind: DeviceName | None
