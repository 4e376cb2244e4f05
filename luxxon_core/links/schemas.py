"""Wire types of links."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from luxxon_core.kernel.wire import Latitude, Longitude, MicroUsdc, Timestamp, Uuid, one_of
from luxxon_core.links.domain import Link as DomainLink
from luxxon_core.links.domain import Standing
from luxxon_core.sessions.domain import Side
from luxxon_core.sessions.schemas import StateName
from luxxon_core.telemetry.domain import Reason
from luxxon_core.telemetry.schemas import MAX_MEASURED

SideName = Annotated[str, one_of(Side)]


class LinkRequest(msgspec.Struct, frozen=True, rename="camel"):
    side: Side | None = None
    """The consumer's where the workspace is that, else the operator's, when not given."""
    workspace_id: Uuid | None = None


class Link(msgspec.Struct, frozen=True, rename="camel"):
    url: str
    side: SideName
    expires_at: Timestamp

    def __repr__(self) -> str:
        return f"Link({self.side})"  # the URL is a secret

    @classmethod
    def of(cls, link: DomainLink) -> Link:
        return cls(link.url, link.side, Timestamp.of(link.expires_at))


class LinkLocation(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude
    accuracy_meters: Annotated[float, Meta(ge=0, le=MAX_MEASURED)]
    speed_mps: Annotated[float, Meta(ge=-MAX_MEASURED, le=MAX_MEASURED)] | None = None


class LinkedSession(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How the session of a link stands, for the side that the link is of."""

    session_id: Uuid
    side: SideName
    state: StateName
    lat: Latitude
    lng: Longitude
    max_duration_seconds: int
    rate_per_second_micro_usdc: MicroUsdc
    started_at: Timestamp | None
    clean_seconds: int
    charged_micro_usdc: MicroUsdc
    lost: list[Annotated[str, one_of(Reason)]]
    """Why the present second is not charged."""
    expires_at: Timestamp
    """Of the link."""
    token: str | UnsetType = UNSET
    """To go on with: the present one is about to expire."""
    whip_url: str | UnsetType = UNSET
    whep_url: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"LinkedSession({self.session_id}, {self.state})"  # the URLs are secrets

    @classmethod
    def of(cls, standing: Standing) -> LinkedSession:
        """The standing as the holder of the link may see it."""
        session, live_input, renewed = standing.session, standing.live_input, standing.renewed
        publishes = standing.side is Side.OPERATOR
        return cls(
            session_id=str(session.id),
            side=standing.side,
            state=session.state,
            lat=session.requested.lat,
            lng=session.requested.lng,
            max_duration_seconds=session.terms.max_duration_s,
            rate_per_second_micro_usdc=str(session.terms.rate_uusdc),
            started_at=Timestamp.of(session.started_at),
            clean_seconds=standing.clean_seconds,
            charged_micro_usdc=str(standing.charged_uusdc),
            lost=[str(reason) for reason in standing.lost],
            expires_at=Timestamp.of(renewed.expires_at if renewed else standing.expires_at),
            token=renewed.token if renewed else UNSET,
            whip_url=live_input.whip_url if live_input and publishes else UNSET,
            whep_url=live_input.whep_url if live_input and not publishes else UNSET,
        )
