"""Wire types of sessions (api-contract §5.1, §5.2)."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.kernel.wire import Latitude, Longitude, MicroUsdc, Timestamp, TxHash, Uuid, encode, one_of
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import MAX_DURATION_S, Control, Side, State
from luxxon_core.sessions.domain import Session as DomainSession

StateName = Annotated[str, one_of(State)]
ControlName = Annotated[str, one_of(Control)]
MAX_POLICY = 4096
"""Bytes of a policy as JSON."""


class Session(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    id: Uuid
    consumer_workspace_id: Uuid
    operator_workspace_id: Uuid | None
    state: StateName
    max_duration_seconds: int
    wait_timeout_seconds: int
    rate_per_second_micro_usdc: MicroUsdc
    hold_micro_usdc: MicroUsdc
    started_at: Timestamp | None
    ended_at: Timestamp | None
    clean_seconds: int
    charged_micro_usdc: MicroUsdc
    settlement_tx_hash: TxHash | None
    video_backend_ref: str | None
    created_at: Timestamp
    requested_lat: float | None
    requested_lng: float | None
    authorized: bool = False
    whep_url: str | UnsetType | None = UNSET
    whip_url: str | UnsetType | None = UNSET
    consistency_token: str | UnsetType | None = UNSET
    controls: list[ControlName] | UnsetType = UNSET
    """What the operator's device lets both sides do with its camera; there where it has said so."""
    policy: dict[str, Any] | UnsetType = UNSET
    """What the device does for people's privacy, in its own words; there where it has said so."""
    unit: bool | UnsetType = UNSET
    """Sold as a whole, as observations are: the maximum duration is charged when the picture is delivered,
    else nothing."""

    def __repr__(self) -> str:
        return f"Session({self.id}, {self.state})"  # the URLs are secrets

    @classmethod
    def of(cls, session: DomainSession, viewer: UUID, token: str | None = None) -> Session:
        """The session as ``viewer`` may see it: playback when LIVE, the publish URL for its operator only.

        ``token`` is the consistency token of the call that created it.
        """
        live = session.live_input if session.state is State.LIVE else None
        is_operator = session.operator_workspace_id == viewer
        operator, unit = session.operator_workspace_id, session.terms.unit
        watches = is_operator or not unit
        return cls(
            id=str(session.id),
            consumer_workspace_id=str(session.consumer_workspace_id),
            operator_workspace_id=str(operator) if operator else None,
            state=session.state,
            max_duration_seconds=session.terms.max_duration_s,
            wait_timeout_seconds=session.terms.wait_timeout_s,
            rate_per_second_micro_usdc=str(session.terms.rate_uusdc),
            hold_micro_usdc=str(session.terms.hold_uusdc),
            started_at=Timestamp.of(session.started_at),
            ended_at=Timestamp.of(session.ended_at),
            clean_seconds=session.clean_seconds,
            charged_micro_usdc=str(session.charged_uusdc),
            settlement_tx_hash=session.settlement_tx_hash,
            # of some edges the playback URL can be made of it
            video_backend_ref=session.live_input.uid if session.live_input and watches else None,
            created_at=Timestamp.of(session.created_at),
            requested_lat=session.requested.lat,
            requested_lng=session.requested.lng,
            whep_url=live.whep_url if live and watches else UNSET,
            whip_url=live.whip_url if live and is_operator else UNSET,
            consistency_token=UNSET if token is None else token,
            controls=UNSET if session.controls is None else list(session.controls),
            policy=UNSET if session.policy is None else session.policy,
            unit=unit or UNSET,
        )


class CreateRequest(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude
    max_duration_seconds: Annotated[
        float, Meta(ge=1, le=MAX_DURATION_S, multiple_of=1, description="caps the LIVE meter")
    ]
    wait_timeout_seconds: Annotated[float, Meta(description="clamped to 5…3600")] | None = None
    quote_id: UUID | None = None
    workspace_id: Uuid | None = None


Limit = Annotated[int, Meta(ge=1, le=200)]


_STATE = "(" + "|".join(State) + ")"
STATES = Meta(
    extra_json_schema={"pattern": f"^{_STATE}(,{_STATE})*$"},
    description="one or more states, separated by commas",
)


class ListQuery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    state: Annotated[str, STATES] | None = None
    side: Side | None = None
    cursor: UUID | None = None
    """``id`` of the last session of the page before."""
    limit: Limit = 200
    workspace_id: Uuid | None = None

    def states(self) -> frozenset[State] | None:
        """The states asked for.

        Raises:
            InvalidInput: ``session:state``.
        """
        if self.state is None:
            return None
        try:
            return frozenset(State(name) for name in self.state.split(","))
        except ValueError:
            raise InvalidInput("session:state") from None


class OpenQuery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    cursor: UUID | None = None
    """``id`` of the last request of the page before."""
    limit: Limit = 50
    workspace_id: Uuid | None = None


class OpenRequest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A request that a supplier could accept; who asks is not told."""

    id: Uuid
    lat: float
    lng: float
    max_duration_seconds: int
    wait_timeout_seconds: int
    rate_per_second_micro_usdc: MicroUsdc
    created_at: Timestamp
    expires_at: Timestamp

    @classmethod
    def of(cls, session: DomainSession) -> OpenRequest:
        return cls(
            id=str(session.id),
            lat=session.requested.lat,
            lng=session.requested.lng,
            max_duration_seconds=session.terms.max_duration_s,
            wait_timeout_seconds=session.terms.wait_timeout_s,
            rate_per_second_micro_usdc=str(session.terms.rate_uusdc),
            created_at=Timestamp.of(session.created_at),
            expires_at=Timestamp.of(session.waits_until),
        )


class AcceptRequest(msgspec.Struct, frozen=True, rename="camel"):
    operator_workspace_id: Uuid | None = None


class StartRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What the operator's device says of itself; nothing, or what it says, may change with a later start."""

    controls: (
        Annotated[list[Control], Meta(max_length=8, description="what both sides may do with the camera")]
        | None
    ) = None
    policy: (
        Annotated[
            dict[str, Any], Meta(description="what the device does for people's privacy; at most 4096 bytes")
        ]
        | None
    ) = None

    def allowed(self) -> tuple[Control, ...] | None:
        """Each control once, in order."""
        if self.controls is None:
            return None
        return tuple(one for one in Control if one in self.controls)

    def checked_policy(self) -> dict[str, Any] | None:
        """The policy as it can be kept.

        Raises:
            InvalidInput: ``session:policy``: too long, or with a character that no database keeps.
        """
        if self.policy is None:
            return None
        text = encode(self.policy)
        if len(text) > MAX_POLICY or b"\\u0000" in text:
            raise InvalidInput("session:policy")
        return self.policy


class ViewerToken(msgspec.Struct, frozen=True, rename="camel"):
    video_backend_ref: str
    whep_url: str

    def __repr__(self) -> str:
        return f"ViewerToken({self.video_backend_ref})"  # the URL is a secret

    @classmethod
    def of(cls, live_input: LiveInput) -> ViewerToken:
        return cls(live_input.uid, live_input.whep_url)


class ProducerToken(msgspec.Struct, frozen=True, rename="camel"):
    video_backend_ref: str
    whip_url: str

    def __repr__(self) -> str:
        return f"ProducerToken({self.video_backend_ref})"  # the URL is a secret

    @classmethod
    def of(cls, live_input: LiveInput) -> ProducerToken:
        return cls(live_input.uid, live_input.whip_url)


class SessionStarted(msgspec.Struct, frozen=True, rename="camel"):
    session: Session
    video_backend_ref: str
    whip_url: str
    whep_url: str

    def __repr__(self) -> str:
        return f"SessionStarted({self.video_backend_ref})"  # the URL is a secret

    @classmethod
    def of(cls, session: DomainSession, viewer: UUID) -> SessionStarted:
        live_input = session.live_input
        assert live_input is not None
        return cls(Session.of(session, viewer), live_input.uid, live_input.whip_url, live_input.whep_url)


class SessionCancelAllResult(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    cancelled: list[Uuid]


class FrameQuery(msgspec.Struct, frozen=True, rename="camel"):
    """How wide a picture may be; what is narrower stays as it is."""

    max_width: Annotated[int, Meta(ge=16, le=4096, description="pixels")] | None = None
