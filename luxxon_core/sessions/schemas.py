"""Wire types of sessions (api-contract §5.1, §5.2)."""

from __future__ import annotations

from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from luxxon_core.kernel.wire import Timestamp
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import Session as DomainSession
from luxxon_core.sessions.domain import State


class Session(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    id: str
    consumer_workspace_id: str
    operator_workspace_id: str | None
    state: str
    max_duration_seconds: int
    wait_timeout_seconds: int
    rate_per_second_micro_usdc: str
    hold_micro_usdc: str
    started_at: Timestamp | None
    ended_at: Timestamp | None
    clean_seconds: int
    charged_micro_usdc: str
    settlement_tx_hash: str | None
    video_backend_ref: str | None
    created_at: Timestamp
    requested_lat: float | None
    requested_lng: float | None
    authorized: bool = False
    whep_url: str | UnsetType | None = UNSET
    whip_url: str | UnsetType | None = UNSET
    consistency_token: str | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return f"Session({self.id}, {self.state})"  # the URLs are secrets

    @classmethod
    def of(cls, session: DomainSession, viewer: UUID) -> Session:
        """The session as ``viewer`` may see it: playback when LIVE, the publish URL for its operator only."""
        live = session.live_input if session.state is State.LIVE else None
        is_operator = session.operator_workspace_id == viewer
        operator = session.operator_workspace_id
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
            video_backend_ref=session.live_input.uid if session.live_input else None,
            created_at=Timestamp.of(session.created_at),
            requested_lat=session.requested.lat,
            requested_lng=session.requested.lng,
            whep_url=live.whep_url if live else UNSET,
            whip_url=live.whip_url if live and is_operator else UNSET,
        )


class CreateRequest(msgspec.Struct, frozen=True, rename="camel"):
    lat: float
    lng: float
    max_duration_seconds: int | float
    wait_timeout_seconds: float | None = None
    quote_id: str | None = None
    workspace_id: str | None = None


class AcceptRequest(msgspec.Struct, frozen=True, rename="camel"):
    operator_workspace_id: str | None = None


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
    cancelled: list[str]
