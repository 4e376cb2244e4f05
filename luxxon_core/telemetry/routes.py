"""Endpoints of telemetry (api-contract §11.3)."""

from __future__ import annotations

import re
from uuid import UUID

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import MemberRole, Scope
from luxxon_core.kernel.errors import Conflict, InvalidInput, NotAuthorized, WorkspaceNotFound
from luxxon_core.kernel.geo import Point
from luxxon_core.telemetry.domain import Sample
from luxxon_core.telemetry.schemas import HeartbeatRequest
from luxxon_core.telemetry.usecases import Telemetry
from luxxon_core.workspaces.schemas import Workspace

MAX_MEASURED = 1e9
"""No device measures more metres, or metres a second; columns of single precision hold it."""


def _sequence(value: float | str) -> int:
    """A whole number below 2^63, as JSON number or decimal digits."""
    if isinstance(value, str):
        whole = int(value) if re.fullmatch(r"[0-9]{1,19}", value) else -1
    else:
        whole = int(value) if value % 1 == 0 else -1
    if not 0 <= whole < 1 << 63:
        raise InvalidInput("heartbeat:sequence")
    return whole


def operations(telemetry: Telemetry) -> list[Operation]:
    async def heartbeat(call: Call[HeartbeatRequest]) -> Workspace:
        body = call.body
        if not 0 <= body.accuracy_meters <= MAX_MEASURED:
            raise InvalidInput("heartbeat:accuracyMeters")
        if body.speed_mps is not None and not abs(body.speed_mps) <= MAX_MEASURED:
            raise InvalidInput("heartbeat:speedMps")
        try:
            point = Point(body.lat, body.lng)
            session_id = UUID(body.session_id) if body.session_id is not None else None
        except ValueError as error:
            label = str(error) if str(error) in ("lat", "lng") else "sessionId"
            raise InvalidInput(f"heartbeat:{label}") from None
        sample = Sample(point, body.accuracy_meters, _sequence(body.sequence), call.now, body.speed_mps)
        return Workspace.of(await telemetry.heartbeat(call.acting, sample, session_id))

    return [
        Operation(
            "POST",
            "/workspaces/{workspace_id}/location",
            heartbeat,
            Access.WORKSPACE,
            Workspace,
            HeartbeatRequest,
            scopes=(Scope.SESSIONS_OPERATE,),
            role=MemberRole.ADMIN,
            workspace_param="workspace_id",
            errors=(Conflict, NotAuthorized, WorkspaceNotFound),
        )
    ]
