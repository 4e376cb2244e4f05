"""What a consumer does: request, look, cancel, end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import (
    Conflict,
    FrameNotAvailable,
    InsufficientCredit,
    InvalidInput,
    NotAuthorized,
    QuoteExpired,
    SessionNotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.media.domain import Frame, LiveInput
from luxxon_core.pricing.domain import Price
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session, Side, Sight, State, Terms
from luxxon_core.sessions.usecases.steps import Steps, live_input_of
from luxxon_core.telemetry.domain import Window
from luxxon_core.wallet.ports import PoolBalance

LIST_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Requests(Steps):
    """The consumer's side of a session."""

    async def create(
        self,
        workspace_id: UUID,
        point: Point,
        max_duration_s: float,
        wait_timeout_s: float | None,
        now: datetime,
        *,
        quote_id: UUID | None = None,
        session_id: UUID | None = None,
    ) -> Session:
        """Post a request. The pool on chain must hold rate × duration, beside what is spoken for.

        A ``session_id`` that a former call of the workspace used answers with the session made then.

        Raises:
            InvalidInput: ``session:maxDurationSeconds``; ``quote:point``: the quote is for another place.
            NotAuthorized: ``session:notConsumer``.
            QuoteNotFound, QuoteExpired: the quote is unknown or another workspace's; too old or used.
            InsufficientCredit: ``session:insufficientCredit``, or ``session:holds`` when the pool would do
                but for other sessions.
            ExternalError: the chain could not be read.
        """
        max_duration, wait = domain.check_duration(max_duration_s), domain.clamp_wait(wait_timeout_s)
        workspace = await self._workspace(workspace_id)
        if not workspace.is_consumer:
            raise NotAuthorized("session:notConsumer")
        if session_id is not None and (made := await self._made(session_id, workspace_id)):
            return made
        session_id = session_id or self.new_id()
        try:
            price = await self._price(workspace_id, point, quote_id, now)
            terms = Terms(
                rate_uusdc=price.rate_uusdc,
                max_duration_s=max_duration,
                wait_timeout_s=wait,
                platform_fee_bps=self.policy.platform_fee_bps,
                geofence_radius_m=self.policy.geofence_radius_m,
            )
            session = Session(session_id, workspace_id, point, terms, now)
            return await self._post(session, workspace.wallet_address, quote_id, now)
        except (InsufficientCredit, QuoteExpired):
            # spent by another attempt at this very session, which has just been made?
            if made := await self._made(session_id, workspace_id):
                return made
            raise

    async def _price(self, workspace_id: UUID, point: Point, quote_id: UUID | None, now: datetime) -> Price:
        if quote_id is None:
            return await self.pricing.price(point)
        return await self.pricing.quoted(quote_id, workspace_id, point, now)

    async def _post(self, session: Session, wallet: str, quote_id: UUID | None, now: datetime) -> Session:
        """Add the session on the strength of the pool as we know it, or else as the chain has it now."""
        pool = await self.pools.pool_of(wallet)
        try:
            return await self._add(session, wallet, pool, quote_id, now)
        except InsufficientCredit:
            newest = await self.pools.pool_of(wallet, fresh=True)
            if newest == pool:
                raise
        return await self._add(session, wallet, newest, quote_id, now)

    async def _add(
        self, session: Session, wallet: str, pool: PoolBalance, quote_id: UUID | None, now: datetime
    ) -> Session:
        hold = session.terms.hold_uusdc
        if pool.amount_uusdc < hold:
            raise InsufficientCredit("session:insufficientCredit")
        async with self.uow.begin() as tx:
            if self.policy.holds:
                committed = await self.sessions.committed(tx, wallet, pool.block_number)
                if pool.amount_uusdc - committed < hold:
                    raise InsufficientCredit("session:holds")
            if not await self.sessions.add(tx, session):
                return await self._found(tx, session.id, lock=False)
            if quote_id is not None:
                await self.pricing.consume(tx, quote_id, session.id, now)
        return session

    async def _made(self, session_id: UUID, workspace_id: UUID) -> Session | None:
        async with self.uow.read() as tx:
            made = await self.sessions.get(tx, session_id)
        if made is not None and made.consumer_workspace_id != workspace_id:
            raise Conflict("session:id")
        return made

    async def get(self, session_id: UUID, workspace_id: UUID) -> Session:
        """The session, for a workspace on either side of it."""
        session = await self.current.get(session_id)
        if session is None:
            raise SessionNotFound
        if workspace_id not in (session.consumer_workspace_id, session.operator_workspace_id):
            raise NotAuthorized("session:viewDenied")
        return session

    async def frame(
        self, session_id: UUID, workspace_id: UUID, now: datetime, max_width: int | None = None
    ) -> Frame:
        """The latest picture of a LIVE session, for either side; no wider than ``max_width``.

        Raises:
            SessionNotFound; NotAuthorized: ``session:viewDenied``.
            FrameNotAvailable: not LIVE, no picture yet, or none of the last five seconds.
        """
        known = self.known.get(session_id, now)
        frame = await self._seen(known, workspace_id) if known is not None else None
        if frame is None:  # not known, over, or moved to another edge
            forgotten = self.known.forgotten
            sight = await self.current.sight(session_id)
            if sight is None:
                raise SessionNotFound
            self.known.put(session_id, sight, now, forgotten)
            frame = await self._seen(sight, workspace_id)
        if frame is None:
            raise FrameNotAvailable
        return frame if max_width is None else await self.scaler.scaled(frame, max_width)

    async def _seen(self, sight: Sight, workspace_id: UUID) -> Frame | None:
        if workspace_id not in (sight.consumer_workspace_id, sight.operator_workspace_id):
            raise NotAuthorized("session:viewDenied")
        if sight.state is not State.LIVE or sight.live_input is None:
            return None
        return await self.edge.frame(sight.live_input)

    async def windows_of(self, session_id: UUID) -> list[Window]:
        async with self.uow.read() as tx:
            return await self.windows.of_session(tx, session_id)

    async def list_of(
        self,
        workspace_id: UUID,
        *,
        states: Collection[State] | None = None,
        side: Side | None = None,
        cursor: UUID | None = None,
        limit: int = LIST_LIMIT,
    ) -> list[Session]:
        """Sessions with the workspace on either side or on one, newest first, following session ``cursor``.

        Raises:
            InvalidInput: ``session:cursor``: no session of this workspace.
        """
        async with self.uow.read() as tx:
            after = None if cursor is None else await self.sessions.get(tx, cursor)
            sides = (after.consumer_workspace_id, after.operator_workspace_id) if after is not None else ()
            if cursor is not None and workspace_id not in sides:
                raise InvalidInput("session:cursor")
            return await self.sessions.of_workspace(
                tx, workspace_id, limit, states=states, side=side, after=after
            )

    async def cancel(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Give up a request that is not LIVE yet."""
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if before.consumer_workspace_id != workspace_id:
                raise NotAuthorized("session:notConsumer")
            after = domain.cancel(before, now)
            await self._store(tx, before, after, now)
        return await self._tear_down(after, now)

    async def end(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """End a LIVE session from either side: the meter is final and the payment queued."""
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if workspace_id not in (before.consumer_workspace_id, before.operator_workspace_id):
                raise NotAuthorized("session:viewDenied")
            after = domain.end(before, now, await self._billable(tx, before, now))
            await self._store(tx, before, after, now)
        return await self._tear_down(after, now)

    async def viewed(self, session_id: UUID, workspace_id: UUID) -> LiveInput:
        """The live input, for either side."""
        return live_input_of(await self.get(session_id, workspace_id), "viewerToken")
