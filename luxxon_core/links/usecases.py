"""Make links, and do what their holders may: look, start, stop, tell where they are.

A link is good for one side of one session, and for as long as its maker could do the same: who loses the
workspace's key or membership has lost the links made with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.http.principal import LinkPrincipal, Scope
from luxxon_core.kernel.errors import (
    AuthzError,
    InsufficientScope,
    InvalidState,
    InvalidToken,
    NotAuthorized,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.links.domain import Link, Standing, seal, unseal, workspace_of
from luxxon_core.links.ports import Makers
from luxxon_core.sessions.domain import TERMINAL, Session, Side, State, meter
from luxxon_core.sessions.usecases import SessionCases
from luxxon_core.telemetry.domain import Sample
from luxxon_core.telemetry.usecases import Telemetry

NEEDED = {
    Side.CONSUMER: (Scope.SESSIONS_READ, Scope.SESSIONS_CREATE),
    Side.OPERATOR: (Scope.SESSIONS_OPERATE,),
}
"""What a key must be allowed for a link to let others do it: watch and end; publish, locate and end."""


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and serves links; implements the guard's ``LinkReader``.

    Attributes:
        keys: the first seals, all open.
        ttl: how long a link is good; while it is in use, it is renewed as long as the session is open.
        public_url: where the page is, without a trailing slash.
    """

    sessions: SessionCases
    telemetry: Telemetry
    makers: Makers
    keys: Sequence[bytes] = field(repr=False)
    ttl: timedelta
    public_url: str

    async def by_link(self, token: str, now: datetime) -> LinkPrincipal:
        """Whose token it is.

        Raises:
            InvalidToken: forged, malformed or expired, or its maker may no longer act for the workspace.
            AuthzError: whether it may could not be found out.
        """
        link = unseal(token, now, self.keys)
        _, workspace_id = await self._opened(link)
        if not await self.makers.vouches(link.maker, workspace_id, now):
            raise InvalidToken
        return link

    async def make(
        self,
        session_id: UUID,
        workspace_id: UUID,
        side: Side | None,
        maker: str | UUID,
        scopes: Collection[str] | None,
        now: datetime,
    ) -> Link:
        """A link to the side of the session on which the workspace stands.

        Args:
            side: None for the consumer's where the workspace is that, else the operator's.
            maker: the wallet, or the id of the key, that asks; ``scopes`` are the key's, None for a wallet.

        Raises:
            SessionNotFound.
            NotAuthorized: ``session:viewDenied``, ``session:notConsumer``, ``session:notOperator``.
            InsufficientScope: the key may not do itself what the link would allow.
            InvalidState: ``session:link:<STATE>``; it is over.
        """
        session = await self.sessions.get(session_id, workspace_id)
        if side is None:
            side = Side.CONSUMER if session.consumer_workspace_id == workspace_id else Side.OPERATOR
        if workspace_of(session, side) != workspace_id:
            raise NotAuthorized(f"session:not{side.capitalize()}")
        if scopes is not None:
            for scope in NEEDED[side]:
                if scope not in scopes:
                    raise InsufficientScope(f"apiKey:scope:{scope}")
        if session.state in TERMINAL:
            raise InvalidState(f"session:link:{session.state}")
        return self._link(LinkPrincipal(session_id, side, maker, now + self.ttl))

    def _link(self, principal: LinkPrincipal) -> Link:
        token = seal(principal, self.keys[0])
        expires_at = principal.expires_at.replace(microsecond=0)
        return Link(f"{self.public_url}/s/{token}", token, Side(principal.side), expires_at)

    async def standing(self, link: LinkPrincipal, now: datetime) -> Standing:
        """How the session stands, with a new link when the present one has lived for half its time."""
        session, _ = await self._opened(link)
        return await self._standing(link, session, now)

    async def start(self, link: LinkPrincipal, now: datetime) -> Standing:
        """What ``start`` of the session does; the standing then has a live input to publish to.

        Raises:
            NotAuthorized, InvalidState, VideoError.
        """
        _, workspace_id = await self._opened(link, Side.OPERATOR)
        session = await self.sessions.start(link.session_id, workspace_id, now)
        return await self._standing(link, session, now)

    async def stop(self, link: LinkPrincipal, now: datetime) -> Standing:
        """End the session where it is LIVE; before that the consumer cancels it and the operator gives it
        back. One that is over stays as it is.

        Raises:
            InvalidState: it has just come into another state; ask again.
        """
        session, workspace_id = await self._opened(link)
        if session.state is State.LIVE:
            session = await self.sessions.end(session.id, workspace_id, now)
        elif session.state not in TERMINAL and link.side == Side.OPERATOR:
            session = await self.sessions.give_back(session.id, workspace_id, now)
        elif session.state not in TERMINAL:
            session = await self.sessions.cancel(session.id, workspace_id, now)
        return await self._standing(link, session, now)

    async def locate(
        self, link: LinkPrincipal, point: Point, accuracy_m: float, speed_mps: float | None, now: datetime
    ) -> Standing:
        """A location heartbeat of the operator: the next in sequence, whichever other senders use.

        Raises:
            NotAuthorized: ``session:notOperator``.
            InvalidState: ``session:location:<STATE>``; the session is over.
        """
        session, workspace_id = await self._opened(link, Side.OPERATOR)
        if session.state in TERMINAL:
            raise InvalidState(f"session:location:{session.state}")
        sample = Sample(point, accuracy_m, None, now, speed_mps)
        await self.telemetry.heartbeat(workspace_id, sample, session.id)
        return await self._standing(link, session, now)

    async def media_urls(self, token: str, now: datetime) -> tuple[str, ...]:
        """Where the media of a link's session are, whoever asks; nothing where nobody may know."""
        try:
            session, _ = await self._opened(await self.by_link(token, now))
        except (InvalidToken, AuthzError):
            return ()
        live_input = session.live_input
        return () if live_input is None else (live_input.whip_url, live_input.whep_url)

    async def _opened(self, link: LinkPrincipal, side: Side | None = None) -> tuple[Session, UUID]:
        """The link's session and the workspace that stands on its side."""
        if side is not None and link.side != side:
            raise NotAuthorized(f"session:not{side.capitalize()}")
        session = await self.sessions.current.get(link.session_id)
        workspace_id = None if session is None else workspace_of(session, Side(link.side))
        if session is None or workspace_id is None:
            raise InvalidToken
        return session, workspace_id

    async def _standing(self, link: LinkPrincipal, session: Session, now: datetime) -> Standing:
        windows = await self.sessions.windows_of(session.id) if session.started_at is not None else []
        reading = meter(session, now, windows)
        renewed = None
        if session.state not in TERMINAL and link.expires_at - now < self.ttl / 2:
            renewed = self._link(LinkPrincipal(link.session_id, link.side, link.maker, now + self.ttl))
        return Standing(
            session,
            Side(link.side),
            reading.clean_seconds,
            reading.charged_uusdc,
            tuple(one.reason for one in windows if one.closed_at is None and session.state is State.LIVE),
            link.expires_at,
            renewed,
        )
