"""Wire types of observations. Names and shapes are ours: the published contract has them on its roadmap."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.wire import Latitude, Longitude, MicroUsdc, Timestamp, Uuid, one_of
from luxxon_core.observations.domain import (
    DEFAULT_WAIT_S,
    MAX_WAIT_S,
    Asked,
    PositionSource,
    Reason,
    Status,
)
from luxxon_core.observations.domain import Observation as DomainObservation
from luxxon_core.observations.domain import Position as DomainPosition
from luxxon_core.settlement.schemas import Receipt
from luxxon_core.settlement.usecases import Bill


class ObservationRequest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    lat: Latitude
    lng: Longitude
    max_price_micro_usdc: Annotated[
        str, Meta(pattern="^[1-9][0-9]{0,14}$", description="µUSDC: what the frame may cost at most")
    ]
    max_wait_seconds: Annotated[
        float, Meta(ge=1, le=MAX_WAIT_S, multiple_of=1, description="until the frame is there")
    ] = DEFAULT_WAIT_S
    max_width: (
        Annotated[float, Meta(ge=16, le=4096, multiple_of=1, description="of the frame, in pixels")] | None
    ) = None
    workspace_id: Uuid | None = None

    def asked(self) -> Asked:
        point, width = Point(self.lat, self.lng), self.max_width
        return Asked(
            point,
            int(self.max_wait_seconds),
            int(self.max_price_micro_usdc),
            None if width is None else int(width),
        )


class ObservedPosition(msgspec.Struct, frozen=True, rename="camel"):
    """Where the camera was. ``TELEMETRY``: its device said so within a minute of the frame, at ``at``;
    ``COVERAGE``: the centre of the circle that its operator covers, whose radius is ``accuracyMeters``."""

    lat: float
    lng: float
    accuracy_meters: float
    source: Annotated[str, one_of(PositionSource)]
    at: Timestamp

    @classmethod
    def of(cls, position: DomainPosition) -> ObservedPosition:
        return cls(
            position.point.lat,
            position.point.lng,
            position.accuracy_m,
            position.source,
            Timestamp.of(position.at),
        )


class ObservedFrame(msgspec.Struct, frozen=True, rename="camel"):
    """A JPEG that is kept until ``expiresAt``; the credential that may read the session may fetch it."""

    url: str
    bytes: int
    width: int
    height: int
    expires_at: Timestamp


class Observation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """PENDING, then READY with the frame and charged with the price, or FAILED for a reason and free.

    ``sessionId`` is null where nobody was asked, and ``receipt`` with it; ``frame`` is null again when it is
    kept no longer.
    """

    id: Uuid
    status: Annotated[str, one_of(Status)]
    reason: Annotated[str, one_of(Reason)] | None
    lat: float
    lng: float
    max_wait_seconds: int
    max_price_micro_usdc: MicroUsdc
    price_micro_usdc: MicroUsdc
    """``unitSeconds`` at the rate of the place."""
    unit_seconds: int
    created_at: Timestamp
    deadline: Timestamp
    finished_at: Timestamp | None
    session_id: Uuid | None
    operator_workspace_id: Uuid | None
    captured_at: Timestamp | None
    position: ObservedPosition | None
    frame: ObservedFrame | None
    receipt: Receipt | None

    @classmethod
    def of(cls, one: DomainObservation, url: str, bill: Bill | None, now: datetime) -> Observation:
        """The observation as its consumer sees it.

        Args:
            url: of the observation itself.
            bill: of its session, where there is one.
        """
        asked, kept = one.asked, one.kept
        operator = bill.session.operator_workspace_id if bill is not None else None
        frame = None
        if kept is not None and kept.expires_at > now:
            expires_at = Timestamp.of(kept.expires_at)
            frame = ObservedFrame(f"{url}/frame", kept.size, kept.width, kept.height, expires_at)
        return cls(
            id=str(one.id),
            status=one.status,
            reason=one.reason,
            lat=asked.point.lat,
            lng=asked.point.lng,
            max_wait_seconds=asked.max_wait_s,
            max_price_micro_usdc=str(asked.max_price_uusdc),
            price_micro_usdc=str(one.price_uusdc),
            unit_seconds=one.unit_s,
            created_at=Timestamp.of(one.created_at),
            deadline=Timestamp.of(one.deadline),
            finished_at=Timestamp.of(one.finished_at),
            session_id=str(one.id) if one.asked_for else None,
            operator_workspace_id=str(operator) if operator else None,
            captured_at=Timestamp.of(one.captured_at),
            position=None if one.position is None else ObservedPosition.of(one.position),
            frame=frame,
            receipt=None if bill is None else Receipt.of(bill, now),
        )
