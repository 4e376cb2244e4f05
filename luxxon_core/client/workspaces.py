"""Workspaces, their members and their API keys."""

from __future__ import annotations

from collections.abc import Sequence

from luxxon_core.access.schemas import (
    ApiKey,
    ApiKeyCreated,
    ChallengeResponse,
    KeyArea,
    Member,
    MemberChanged,
    MemberRemoved,
)
from luxxon_core.client.transport import Id, Resource, present, segment, text
from luxxon_core.kernel.wire import to_builtins
from luxxon_core.workspaces.schemas import Workspace, WorkspaceCreated, WorkspaceOfMember

ApiKeyList = list[ApiKey]
MemberList = list[Member]
WorkspaceList = list[WorkspaceOfMember]


class Workspaces(Resource):
    async def challenge(self, wallet_address: str) -> ChallengeResponse:
        """A message to sign for a new workspace."""
        body = {"walletAddress": wallet_address}
        return await self._transport.call("POST", "/workspaces/challenge", ChallengeResponse, body)

    async def create(
        self,
        *,
        slug: str,
        name: str,
        wallet_address: str,
        signature: str,
        nonce: str,
        roles: Sequence[str],
    ) -> WorkspaceCreated:
        """Create a workspace that the signing wallet owns; ``roles`` from CONSUMER and SUPPLIER.

        Raises:
            NotAuthenticated: nonce or signature; Conflict: ``workspace:slugTaken``.
        """
        body = {
            "slug": slug,
            "name": name,
            "walletAddress": wallet_address,
            "signature": signature,
            "nonce": nonce,
            "roles": list(roles),
        }
        return await self._transport.call("POST", "/workspaces", WorkspaceCreated, body)

    async def list(self) -> WorkspaceList:
        """Those of the signed-in wallet, with its role in each."""
        return await self._transport.call("GET", "/workspaces", WorkspaceList)

    async def get(self, workspace_id: Id) -> Workspace:
        return await self._transport.call("GET", _one(workspace_id), Workspace)

    async def update(
        self,
        workspace_id: Id,
        *,
        name: str | None = None,
        availability_state: str | None = None,
        coverage_lat: float | None = None,
        coverage_lng: float | None = None,
        coverage_radius_meters: float | None = None,
        device_kind: str | None = None,
    ) -> Workspace:
        """Change what is given: WGS84 degrees, metres, ONLINE or OFFLINE.

        Raises:
            InvalidInput: ``workspace:coverageRequired``: ONLINE needs a circle.
        """
        fields = {
            "name": name,
            "availabilityState": availability_state,
            "coverageLat": coverage_lat,
            "coverageLng": coverage_lng,
            "coverageRadiusMeters": coverage_radius_meters,
            "deviceKind": device_kind,
        }
        return await self._transport.call("PATCH", _one(workspace_id), Workspace, present(fields))

    async def set_availability(
        self,
        workspace_id: Id,
        availability_state: str,
        *,
        lat: float | None = None,
        lng: float | None = None,
        radius_meters: float | None = None,
        device_kind: str | None = None,
    ) -> Workspace:
        """Go ONLINE or OFFLINE, with the circle and the kind of device where given."""
        return await self.update(
            workspace_id,
            availability_state=availability_state,
            coverage_lat=lat,
            coverage_lng=lng,
            coverage_radius_meters=radius_meters,
            device_kind=device_kind,
        )

    async def heartbeat(
        self,
        workspace_id: Id,
        lat: float,
        lng: float,
        accuracy_meters: float,
        sequence: int,
        session_id: Id | None = None,
        speed_mps: float | None = None,
    ) -> Workspace:
        """Say where the operator is; every 5 s while ONLINE.

        It carries no Idempotency-Key: a lost one is made good by the next.

        Args:
            lat, lng, accuracy_meters: WGS84 degrees, and metres within which they hold.
            sequence: greater than that of any heartbeat before.

        Raises:
            Conflict: ``heartbeat:sequence``.
        """
        fields = {
            "lat": lat,
            "lng": lng,
            "accuracyMeters": accuracy_meters,
            "sequence": sequence,
            "sessionId": text(session_id),
            "speedMps": speed_mps,
        }
        path = f"{_one(workspace_id)}/location"
        return await self._transport.call("POST", path, Workspace, present(fields), key=False)

    async def members(self, workspace_id: Id) -> MemberList:
        return await self._transport.call("GET", _members(workspace_id), MemberList)

    async def put_member(self, workspace_id: Id, wallet_address: str, role: str) -> MemberChanged:
        """Add a member, or change the role of one: VIEWER, ADMIN or OWNER. For owners.

        Raises:
            Conflict: the last owner cannot become less.
        """
        body = {"walletAddress": wallet_address, "role": role}
        return await self._transport.call("POST", _members(workspace_id), MemberChanged, body)

    async def remove_member(self, workspace_id: Id, wallet_address: str) -> MemberRemoved:
        """Remove a member. For owners.

        Raises:
            NotFound: no such member; Conflict: the last owner stays.
        """
        path = f"{_members(workspace_id)}/{segment(wallet_address)}"
        return await self._transport.call("DELETE", path, MemberRemoved)

    async def create_api_key(
        self,
        workspace_id: Id,
        *,
        label: str,
        scopes: Sequence[str],
        environment: str = "TEST",
        daily_cap_micro_usdc: int | None = None,
        session_cap_micro_usdc: int | None = None,
        areas: Sequence[KeyArea] = (),
    ) -> ApiKeyCreated:
        """Mint a key; ``plaintext`` is told here and never again.

        Args:
            daily_cap_micro_usdc: what its sessions of one UTC day may cost together, µUSDC; None: no cap.
            session_cap_micro_usdc: what one session may cost, µUSDC; None: no cap.
            areas: circles that it may ask for places in; none: anywhere.
        """
        caps = {"dailyCapMicroUsdc": daily_cap_micro_usdc, "sessionCapMicroUsdc": session_cap_micro_usdc}
        budget: dict[str, object] = {name: str(cap) for name, cap in caps.items() if cap is not None}
        if areas:
            budget["areas"] = [to_builtins(area) for area in areas]
        body: dict[str, object] = {"label": label, "environment": environment, "scopes": list(scopes)}
        if budget:
            body["budget"] = budget
        return await self._transport.call("POST", _keys(workspace_id), ApiKeyCreated, body)

    async def api_keys(self, workspace_id: Id) -> ApiKeyList:
        """All keys, revoked ones too."""
        return await self._transport.call("GET", _keys(workspace_id), ApiKeyList)

    async def revoke_api_key(self, workspace_id: Id, key_id: Id) -> ApiKey:
        """Revoke a key; it works until ``grace_period_end``."""
        path = f"{_keys(workspace_id)}/{segment(key_id)}/revoke"
        return await self._transport.call("POST", path, ApiKey)


def _one(workspace_id: Id) -> str:
    return f"/workspaces/{segment(workspace_id)}"


def _members(workspace_id: Id) -> str:
    return f"{_one(workspace_id)}/members"


def _keys(workspace_id: Id) -> str:
    return f"{_one(workspace_id)}/api-keys"
