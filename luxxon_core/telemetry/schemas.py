"""Wire types of telemetry (api-contract §11.3)."""

from __future__ import annotations

import msgspec

from luxxon_core.kernel.wire import Timestamp
from luxxon_core.telemetry.domain import Window as DomainWindow


class HeartbeatRequest(msgspec.Struct, frozen=True, rename="camel"):
    lat: float
    lng: float
    accuracy_meters: float
    sequence: int | float | str
    session_id: str | None = None
    speed_mps: float | None = None


class Window(msgspec.Struct, frozen=True, rename="camel"):
    """A disconnect window: a stretch that is not charged."""

    reason: str
    opened_at: Timestamp
    closed_at: Timestamp | None

    @classmethod
    def of(cls, window: DomainWindow) -> Window:
        return cls(window.reason, Timestamp.of(window.opened_at), Timestamp.of(window.closed_at))
