"""Endpoints of telemetry (api-contract §11.3, §15.5, §16.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from luxxon_core.http.decoding import field_of
from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Permission, Scope
from luxxon_core.kernel.errors import (
    Conflict,
    ExternalError,
    InvalidInput,
    InvalidState,
    MissingToken,
    NotAuthorized,
    SessionNotFound,
    WorkspaceNotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import convert
from luxxon_core.telemetry.domain import Beacon, Sample
from luxxon_core.telemetry.schemas import (
    INSTANT,
    SIGNATURE,
    SOURCE,
    HeartbeatRequest,
    TelemetryAccepted,
    TelemetryRequest,
    VideoNotification,
    VideoNotificationData,
    VideoNotificationTaken,
)
from luxxon_core.telemetry.usecases import BeaconLog, Telemetry, VideoEvents
from luxxon_core.workspaces.schemas import Workspace


def _sequence(value: float | str) -> int:
    """A whole number below 2^63, as JSON number or decimal digits."""
    if isinstance(value, str):
        whole = int(value) if re.fullmatch(r"[0-9]{1,19}", value) else -1
    else:
        whole = int(value) if value % 1 == 0 else -1
    if not 0 <= whole < 1 << 63:
        raise InvalidInput("heartbeat:sequence")
    return whole


def _beacon(body: TelemetryRequest, session_id: UUID) -> Beacon:
    # ``$`` of a schema's pattern lets a line's end pass
    for name, text, form in (
        ("capturedAt", body.captured_at, INSTANT),
        ("source", body.source, SOURCE),
        ("signature", body.signature, SIGNATURE),
    ):
        if not re.fullmatch(form, text, re.ASCII):
            raise InvalidInput(f"telemetry:{name}")
    try:
        return body.beacon(session_id)
    except ValueError:
        raise InvalidInput("telemetry:capturedAt") from None


def _notified(data: object) -> tuple[VideoNotificationData, datetime] | None:
    """What is told, and when it happened; None of a message about no input, such as the one that tries a new
    destination (api-contract §15.5: what is unknown is ignored)."""
    told = set(VideoNotificationData.__struct_encode_fields__)
    if data is msgspec.UNSET or (isinstance(data, dict) and not told <= data.keys()):
        return None
    try:
        found = convert(data, VideoNotificationData)
        if found.updated_at.tzinfo is None:
            raise InvalidInput("video:updated_at")
        return found, found.updated_at.astimezone(UTC)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"video:{field_of(str(error))}") from None
    except OverflowError:  # the first or last day there is, in another zone
        raise InvalidInput("video:updated_at") from None


def operations(telemetry: Telemetry) -> list[Operation]:
    async def heartbeat(call: Call[HeartbeatRequest]) -> Workspace:
        body = call.body
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
            method="POST",
            path="/workspaces/{workspace_id}/location",
            handler=heartbeat,
            access=Access.WORKSPACE,
            out=Workspace,
            tag="Workspaces",
            summary="Send a location heartbeat",
            body=HeartbeatRequest,
            subject="heartbeat",
            scopes=(Scope.SESSIONS_OPERATE,),
            permission=Permission.OPERATE,
            workspace_param="workspace_id",
            errors=(
                Conflict("heartbeat:sequence"),
                NotAuthorized("session:notSupplier"),
                WorkspaceNotFound,
            ),
        ),
    ]


def beacon_operations(beacons: BeaconLog) -> list[Operation]:
    async def beacon(call: Call[TelemetryRequest]) -> TelemetryAccepted:
        sample = _beacon(call.body, call.id("session_id", SessionNotFound))
        await beacons.accept(call.acting, sample, call.now)
        return TelemetryAccepted()

    return [
        Operation(
            method="POST",
            path="/sessions/{session_id}/telemetry",
            handler=beacon,
            access=Access.WORKSPACE,
            out=TelemetryAccepted,
            tag="Sessions",
            summary="Send a telemetry sample of a running session",
            body=TelemetryRequest,
            subject="telemetry",
            scopes=(Scope.SESSIONS_OPERATE,),
            permission=Permission.OPERATE,
            errors=(
                Conflict("telemetry:capturedAt"),
                InvalidInput("telemetry:signature"),
                InvalidState("session:telemetry:ENDED"),
                NotAuthorized("session:notOperator"),
                SessionNotFound,
                ExternalError,
            ),
        ),
    ]


def video_operations(video: VideoEvents) -> list[Operation]:
    async def notification(call: Call[VideoNotification]) -> VideoNotificationTaken:
        video.check(call.path["token"], call.headers.get("cf-webhook-auth", ""))
        if (notified := _notified(call.body.data)) is not None:
            told, happened = notified
            await video.notify(told.input_id, told.event_type, happened, call.now)
        return VideoNotificationTaken()

    return [
        Operation(
            method="POST",
            path="/video/events/{token}",
            handler=notification,
            access=Access.PUBLIC,
            out=VideoNotificationTaken,
            tag="Webhooks",
            summary="Take a notification of the video edge",
            body=VideoNotification,
            subject="video",
            headers=("cf-webhook-auth",),
            errors=(InvalidInput, MissingToken),
        ),
    ]
