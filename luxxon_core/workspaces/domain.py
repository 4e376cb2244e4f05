"""Workspaces and the rules of availability (api-contract §5.9, §6.4, §11)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from luxxon_core.kernel.errors import InvalidInput, NotAuthorized
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.text import is_line

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
RADIUS_M = (1, 50_000)


class Role(StrEnum):
    CONSUMER = "CONSUMER"
    SUPPLIER = "SUPPLIER"


class Availability(StrEnum):
    OFFLINE = "OFFLINE"
    ONLINE = "ONLINE"
    BUSY = "BUSY"
    """Set and left by the marketplace alone."""


class DeviceKind(StrEnum):
    PHONE = "PHONE"
    LAPTOP = "LAPTOP"
    DRONE = "DRONE"
    PTZ = "PTZ"
    FIXED = "FIXED"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant: its wallet, what it covers, and whether it is available."""

    id: UUID
    slug: str
    name: str
    wallet_address: str
    roles: frozenset[Role]
    created_at: datetime
    created_by_wallet: str
    availability: Availability = Availability.OFFLINE
    wished_availability: Availability | None = None
    """What a BUSY supplier returns to when released; None means ONLINE."""
    coverage_lat: float | None = None
    coverage_lng: float | None = None
    coverage_radius_m: float | None = None
    device_kind: DeviceKind | None = None
    idle_since: datetime | None = None
    last_seen_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def coverage(self) -> Circle | None:
        """What it covers; None until all of its three numbers are known. ONLINE and BUSY ones have it."""
        lat, lng, radius = self.coverage_lat, self.coverage_lng, self.coverage_radius_m
        return None if lat is None or lng is None or radius is None else Circle(Point(lat, lng), radius)

    @property
    def is_supplier(self) -> bool:
        return Role.SUPPLIER in self.roles

    @property
    def is_consumer(self) -> bool:
        return Role.CONSUMER in self.roles


def new_workspace(
    *, workspace_id: UUID, slug: str, name: str, wallet_address: str, roles: list[str], now: datetime
) -> Workspace:
    """A workspace as its creator asked for it.

    Raises:
        InvalidInput: ``workspace:slug``, ``workspace:name`` or ``workspace:roles``.
    """
    if not SLUG.fullmatch(slug):
        raise InvalidInput("workspace:slug")
    if not roles or not set(roles) <= set(Role):
        raise InvalidInput("workspace:roles")
    return Workspace(
        id=workspace_id,
        slug=slug,
        name=clean_name(name),
        wallet_address=wallet_address,
        roles=frozenset(Role(role) for role in roles),
        created_at=now,
        created_by_wallet=wallet_address,
    )


def clean_name(name: str) -> str:
    """The trimmed name, 1 to 80 printable characters.

    Raises:
        InvalidInput: ``workspace:name``.
    """
    name = name.strip()
    if not 1 <= len(name) <= 80 or not is_line(name):
        raise InvalidInput("workspace:name")
    return name


@dataclass(frozen=True, slots=True)
class Patch:
    """What to change; None, which is also JSON's null, leaves a field alone.

    So nothing that was once known is unset, and who is ONLINE or BUSY keeps a whole circle.
    """

    name: str | None = None
    availability: str | None = None
    coverage_lat: float | None = None
    coverage_lng: float | None = None
    coverage_radius_m: float | None = None
    device_kind: str | None = None


def patched(workspace: Workspace, patch: Patch, now: datetime) -> Workspace:
    """The workspace after a patch.

    A BUSY supplier stays BUSY and remembers the wish. Going ONLINE stamps ``idle_since``.

    Raises:
        InvalidInput: a bad value, BUSY asked for, or ONLINE without a whole circle.
        NotAuthorized: ``session:notSupplier``: availability of a workspace that supplies nothing.
    """
    after = _covering(workspace, patch)
    if patch.name is not None:
        after = replace(after, name=clean_name(patch.name))
    if patch.device_kind is not None:
        if patch.device_kind not in set(DeviceKind):
            raise InvalidInput("workspace:deviceKind")
        after = replace(after, device_kind=DeviceKind(patch.device_kind))
    return after if patch.availability is None else _available(after, patch.availability, now)


def _covering(workspace: Workspace, patch: Patch) -> Workspace:
    lat = workspace.coverage_lat if patch.coverage_lat is None else patch.coverage_lat
    lng = workspace.coverage_lng if patch.coverage_lng is None else patch.coverage_lng
    radius = workspace.coverage_radius_m if patch.coverage_radius_m is None else patch.coverage_radius_m
    if radius is not None and not RADIUS_M[0] <= radius <= RADIUS_M[1]:
        raise InvalidInput("workspace:coverageRadiusMeters")
    try:
        center = Point(lat or 0.0, lng or 0.0)
    except ValueError as error:
        raise InvalidInput(f"workspace:coverage{str(error).capitalize()}") from None
    return replace(
        workspace,
        coverage_lat=None if lat is None else center.lat,
        coverage_lng=None if lng is None else center.lng,
        coverage_radius_m=radius,
    )


def _available(workspace: Workspace, wish: str, now: datetime) -> Workspace:
    if wish not in (Availability.ONLINE, Availability.OFFLINE):
        raise InvalidInput("workspace:availabilityState")
    if not workspace.is_supplier:
        raise NotAuthorized("session:notSupplier")
    wished = Availability(wish)
    if wished is Availability.ONLINE and workspace.coverage is None:
        raise InvalidInput("workspace:coverageRequired")
    if workspace.availability is Availability.BUSY:
        return replace(workspace, wished_availability=wished)
    if wished is Availability.OFFLINE:
        return replace(workspace, availability=wished, idle_since=None)
    idle_since = workspace.idle_since if workspace.availability is wished else now
    return replace(workspace, availability=wished, idle_since=idle_since, last_seen_at=now)
