"""Wire types of telemetry (api-contract §11.3, §15.5, §16.3)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import Latitude, Longitude, Timestamp, Uuid, one_of
from luxxon_core.telemetry.domain import Beacon, Reason
from luxxon_core.telemetry.domain import Window as DomainWindow

MAX_MEASURED = 1e9
"""No device measures more metres, or metres a second; columns of single precision hold it."""
SEQUENCE = Meta(
    extra_json_schema={
        "oneOf": [
            {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1},
            {"type": "string", "pattern": "^([0-9]{1,18}|[0-8][0-9]{18})$"},
        ]
    },
    description="strictly increasing for each workspace",
)


class HeartbeatRequest(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude
    accuracy_meters: Annotated[float, Meta(ge=0, le=MAX_MEASURED)]
    sequence: Annotated[int | float | str, SEQUENCE]
    session_id: Uuid | None = None
    speed_mps: Annotated[float, Meta(ge=-MAX_MEASURED, le=MAX_MEASURED)] | None = None


class Window(msgspec.Struct, frozen=True, rename="camel"):
    """A disconnect window: a stretch that is not charged."""

    reason: Annotated[str, one_of(Reason)]
    opened_at: Timestamp
    closed_at: Timestamp | None

    @classmethod
    def of(cls, window: DomainWindow) -> Window:
        return cls(window.reason, Timestamp.of(window.opened_at), Timestamp.of(window.closed_at))


class Position(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude


Readings = Annotated[list[float], Meta(max_length=64)]
Label = Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,64}$")]


class Sensors(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Readings of the device beside its position; axes in the order x, y, z."""

    accel: Readings | None = None
    gyro: Readings | None = None
    baro: float | None = None
    cell_tower_id: Label | int | None = None
    wifi_bssid_neighbors: Annotated[list[Label], Meta(max_length=64)] | None = None


INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
SOURCE = r"[\x20-\x7e]{1,64}"
SIGNATURE = "0x([0-9a-fA-F]{2}){1,4096}"


class TelemetryRequest(msgspec.Struct, frozen=True, rename="camel"):
    captured_at: Annotated[str, Meta(pattern=f"^{INSTANT}$", extra_json_schema={"format": "date-time"})]
    point: Position
    accuracy_meters: Annotated[float, Meta(ge=0, le=MAX_MEASURED)]
    source: Annotated[str, Meta(pattern=f"^{SOURCE}$")]
    signature: Annotated[str, Meta(pattern=f"^{SIGNATURE}$")]
    sensors: Sensors | None = None

    def beacon(self, session_id: UUID) -> Beacon:
        """The sample as a session's; its ``text()`` is what the operator's wallet signs.

        Raises:
            ValueError: ``captured_at`` is no instant.
        """
        return Beacon(
            session_id=session_id,
            captured=self.captured_at,
            captured_at=datetime.fromisoformat(self.captured_at),
            point=Point(self.point.lat, self.point.lng),
            accuracy_m=self.accuracy_meters,
            source=self.source,
            signature=self.signature,
            sensors=None if self.sensors is None else msgspec.to_builtins(self.sensors),
        )


class TelemetryAccepted(msgspec.Struct, frozen=True, rename="camel"):
    accepted: bool = True


NOTIFIED = Meta(
    extra_json_schema={
        "type": "object",
        "properties": {
            "input_id": {"type": "string", "pattern": r"^[\x21-\x7e]{1,128}$"},
            "event_type": {"type": "string", "examples": ["live_input.connected", "live_input.disconnected"]},
            "updated_at": {"type": "string", "format": "date-time"},
        },
    },
)


class VideoNotification(msgspec.Struct, frozen=True):
    """A webhook of Cloudflare Stream. Its fields are looked at once its secrets are known to be right."""

    name: Any = None
    text: Any = None
    data: Annotated[Any, NOTIFIED] = msgspec.UNSET
    ts: Any = None


class VideoNotificationData(msgspec.Struct, frozen=True):
    input_id: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,128}$")]
    event_type: str
    updated_at: Timestamp


class VideoNotificationTaken(msgspec.Struct, frozen=True):
    ok: bool = True
