"""The client and its resources, one method per operation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from luxxon_core.access.schemas import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyMe,
    ChallengeResponse,
    Login,
    Ok,
    Selected,
    WalletMe,
)
from luxxon_core.client.transport import Transport
from luxxon_core.http.schemas import Config, Health
from luxxon_core.sessions.schemas import (
    ProducerToken,
    Session,
    SessionCancelAllResult,
    SessionStarted,
    ViewerToken,
)
from luxxon_core.settlement.schemas import Receipt, SettlementView
from luxxon_core.wallet.schemas import WalletState
from luxxon_core.workspaces.schemas import CoverageEntry, Workspace, WorkspaceCreated, WorkspaceOfMember

if TYPE_CHECKING:
    import httpx

Id = UUID | str
ApiKeyList = list[ApiKey]
CoverageList = list[CoverageEntry]
SessionList = list[Session]
WorkspaceList = list[WorkspaceOfMember]
TERMINAL = frozenset({"ENDED", "EXPIRED", "CANCELLED"})


class Luxxon:
    """A client of one server for one credential: an API key, or the cookie that login sets.

    Every method raises a :class:`~luxxon_core.kernel.errors.LuxxonError` with ``code``, ``status``,
    ``message`` and ``detail``: of the code's class where the server refused, ``ConnectionFailed`` where
    nothing answered.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = Transport(base_url, api_key, timeout, transport)
        self.base_url = base_url
        self.auth = Auth(self._transport)
        self.me = Me(self._transport)
        self.config = ConfigResource(self._transport)
        self.health = HealthResource(self._transport)
        self.coverage = Coverage(self._transport)
        self.workspaces = Workspaces(self._transport)
        self.sessions = Sessions(self._transport)
        self.wallet = Wallet(self._transport)
        self.settlements = Settlements(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()


class Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Auth(Resource):
    async def challenge(self, wallet_address: str) -> ChallengeResponse:
        body = {"walletAddress": wallet_address}
        return await self._transport.call("POST", "/auth/wallet/challenge", ChallengeResponse, body)

    async def login(self, wallet_address: str, nonce: str, signature: str) -> Login:
        body = {"walletAddress": wallet_address, "nonce": nonce, "signature": signature}
        return await self._transport.call("POST", "/auth/wallet/login", Login, body)

    async def select_workspace(self, workspace_id: Id) -> Selected:
        body = {"workspaceId": str(workspace_id)}
        return await self._transport.call("POST", "/auth/workspace/select", Selected, body)

    async def logout(self) -> Ok:
        return await self._transport.call("POST", "/auth/logout", Ok)


class Me(Resource):
    async def get(self) -> WalletMe | ApiKeyMe:
        return await self._transport.call("GET", "/me", WalletMe | ApiKeyMe)  # type: ignore[arg-type]


class ConfigResource(Resource):
    async def get(self) -> Config:
        return await self._transport.call("GET", "/config", Config)


class HealthResource(Resource):
    async def get(self) -> Health:
        return await self._transport.call("GET", "/health", Health)


class Coverage(Resource):
    async def list(self) -> CoverageList:
        return await self._transport.call("GET", "/coverage", CoverageList)


class Workspaces(Resource):
    async def challenge(self, wallet_address: str) -> ChallengeResponse:
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
        return await self._transport.call("GET", "/workspaces", WorkspaceList)

    async def get(self, workspace_id: Id) -> Workspace:
        return await self._transport.call("GET", f"/workspaces/{workspace_id}", Workspace)

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
        fields = {
            "name": name,
            "availabilityState": availability_state,
            "coverageLat": coverage_lat,
            "coverageLng": coverage_lng,
            "coverageRadiusMeters": coverage_radius_meters,
            "deviceKind": device_kind,
        }
        body = _present(fields)
        return await self._transport.call("PATCH", f"/workspaces/{workspace_id}", Workspace, body)

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
        fields = {
            "lat": lat,
            "lng": lng,
            "accuracyMeters": accuracy_meters,
            "sequence": sequence,
            "sessionId": str(session_id) if session_id is not None else None,
            "speedMps": speed_mps,
        }
        body = _present(fields)
        return await self._transport.call("POST", f"/workspaces/{workspace_id}/location", Workspace, body)

    async def create_api_key(
        self, workspace_id: Id, *, label: str, scopes: Sequence[str], environment: str = "TEST"
    ) -> ApiKeyCreated:
        body = {"label": label, "environment": environment, "scopes": list(scopes)}
        return await self._transport.call("POST", f"/workspaces/{workspace_id}/api-keys", ApiKeyCreated, body)

    async def api_keys(self, workspace_id: Id) -> ApiKeyList:
        return await self._transport.call("GET", f"/workspaces/{workspace_id}/api-keys", ApiKeyList)

    async def revoke_api_key(self, workspace_id: Id, key_id: Id) -> ApiKey:
        path = f"/workspaces/{workspace_id}/api-keys/{key_id}/revoke"
        return await self._transport.call("POST", path, ApiKey)


class Sessions(Resource):
    async def create(
        self,
        *,
        lat: float,
        lng: float,
        max_duration_seconds: int,
        wait_timeout_seconds: int | None = None,
        workspace_id: Id | None = None,
    ) -> Session:
        fields = {
            "lat": lat,
            "lng": lng,
            "maxDurationSeconds": max_duration_seconds,
            "waitTimeoutSeconds": wait_timeout_seconds,
            "workspaceId": str(workspace_id) if workspace_id is not None else None,
        }
        return await self._transport.call("POST", "/sessions", Session, _present(fields))

    async def list(self, workspace_id: Id | None = None) -> SessionList:
        return await self._transport.call(
            "GET", "/sessions", SessionList, query={"workspaceId": workspace_id}
        )

    async def get(self, session_id: Id) -> Session:
        return await self._transport.call("GET", f"/sessions/{session_id}", Session)

    async def dispatch(self, session_id: Id) -> Session:
        return await self._transport.call("POST", f"/sessions/{session_id}/dispatch", Session)

    async def accept(self, session_id: Id) -> Session:
        return await self._transport.call("POST", f"/sessions/{session_id}/accept", Session, {})

    async def start(self, session_id: Id) -> SessionStarted:
        return await self._transport.call("POST", f"/sessions/{session_id}/start", SessionStarted)

    async def end(self, session_id: Id) -> Session:
        return await self._transport.call("POST", f"/sessions/{session_id}/end", Session)

    async def cancel(self, session_id: Id) -> Session:
        return await self._transport.call("DELETE", f"/sessions/{session_id}", Session)

    async def cancel_all_assignments(self) -> SessionCancelAllResult:
        path = "/sessions/cancel-all-assignments"
        return await self._transport.call("POST", path, SessionCancelAllResult)

    async def frame(self, session_id: Id) -> bytes:
        """The latest JPEG; raises ``FrameNotAvailable`` when there is none."""
        return (await self._transport.send("GET", f"/sessions/{session_id}/frame")).content

    async def viewer_token(self, session_id: Id) -> ViewerToken:
        return await self._transport.call("GET", f"/sessions/{session_id}/viewer-token", ViewerToken)

    async def producer_token(self, session_id: Id) -> ProducerToken:
        return await self._transport.call("GET", f"/sessions/{session_id}/producer-token", ProducerToken)

    async def receipt(self, session_id: Id) -> Receipt:
        """The bill: final when the session is over, the reading so far while it is LIVE."""
        return await self._transport.call("GET", f"/sessions/{session_id}/receipt", Receipt)

    async def wait_for(
        self, session_id: Id, state: str, *, timeout: float = 30.0, interval: float = 0.2
    ) -> Session:
        """Poll until the session is in ``state`` or over; the last reading when time is out."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            session = await self.get(session_id)
            late = asyncio.get_running_loop().time() >= deadline
            if session.state == state or session.state in TERMINAL or late:
                return session
            await asyncio.sleep(interval)


class Wallet(Resource):
    async def get(self, workspace_id: Id | None = None) -> WalletState:
        return await self._transport.call("GET", "/wallet", WalletState, query={"workspaceId": workspace_id})


class Settlements(Resource):
    async def get(self, session_id: Id) -> SettlementView:
        return await self._transport.call("GET", f"/settlements/{session_id}", SettlementView)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
