"""What a consumer does: request, look, cancel, end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.access.domain import budget_day, check_area, check_daily_cap, check_session_cap
from luxxon_core.http.principal import ApiKeyPrincipal, Budget
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
from luxxon_core.kernel.uow import Tx
from luxxon_core.media.domain import Frame, LiveInput
from luxxon_core.pricing.domain import Price
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session, Side, Sight, State, Terms
from luxxon_core.sessions.usecases.steps import Steps, live_input_of
from luxxon_core.sessions.usecases.units import Keep, check_watched
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
        key: ApiKeyPrincipal | None = None,
        unit: Keep | None = None,
    ) -> Session:
        """Post a request. The pool on chain must hold rate × duration, beside what is spoken for.

        A ``session_id`` that a former call of the workspace used answers with the session made then.

        Args:
            key: the API key whose budget it counts against, :func:`~luxxon_core.http.principal.budgeted` of
                the caller; None: no budget holds.
            unit: it is sold as a whole, and this stores with it what it is for.

        Raises:
            InvalidInput: ``session:maxDurationSeconds``; ``quote:point``: the quote is for another place.
            NotAuthorized: ``session:notConsumer``; ``apiKey:area``, ``apiKey:sessionCap:<seconds>`` or
                ``apiKey:dailyCap:<seconds>``: the key's budget, and the longest duration that it allows.
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
        budget = key.budget if key is not None else None
        if budget is not None:
            check_area(budget, point)
        try:
            price = await self._price(workspace_id, point, quote_id, now)
            terms = Terms(
                rate_uusdc=price.rate_uusdc,
                max_duration_s=max_duration,
                wait_timeout_s=wait,
                platform_fee_bps=self.policy.platform_fee_bps,
                geofence_radius_m=self.policy.geofence_radius_m,
                unit=unit is not None,
            )
            if budget is not None:
                check_session_cap(budget, terms.rate_uusdc, max_duration)
            paying = key.key_id if key is not None and budget is not None else None
            session = Session(session_id, workspace_id, point, terms, now, budget_key_id=paying)
            return await self._post(session, workspace.wallet_address, quote_id, budget, unit)
        except (InsufficientCredit, NotAuthorized, QuoteExpired):
            # spent by another attempt at this very session, which has just been made?
            if made := await self._made(session_id, workspace_id):
                return made
            raise

    async def _price(self, workspace_id: UUID, point: Point, quote_id: UUID | None, now: datetime) -> Price:
        if quote_id is None:
            return await self.pricing.price(point)
        return await self.pricing.quoted(quote_id, workspace_id, point, now)

    async def _post(
        self,
        session: Session,
        wallet: str,
        quote_id: UUID | None,
        budget: Budget | None,
        keep: Keep | None,
    ) -> Session:
        """Add the session on the strength of the pool as we know it, or else as the chain has it now."""
        pool = await self.pools.pool_of(wallet)
        try:
            return await self._add(session, wallet, pool, quote_id, budget, keep)
        except InsufficientCredit:
            newest = await self.pools.pool_of(wallet, fresh=True)
            if newest == pool:
                raise
        return await self._add(session, wallet, newest, quote_id, budget, keep)

    async def _add(
        self,
        session: Session,
        wallet: str,
        pool: PoolBalance,
        quote_id: UUID | None,
        budget: Budget | None,
        keep: Keep | None,
    ) -> Session:
        hold = session.terms.hold_uusdc
        if pool.amount_uusdc < hold:
            raise InsufficientCredit("session:insufficientCredit")
        async with self.uow.begin() as tx:
            if budget is not None:
                await self._check_day(tx, session, budget)
            if self.policy.holds:
                committed = await self.sessions.committed(tx, wallet, pool.block_number)
                if pool.amount_uusdc - committed < hold:
                    raise InsufficientCredit("session:holds")
            if not await self.sessions.add(tx, session):
                return await self._found(tx, session.id, lock=False)
            if quote_id is not None:
                await self.pricing.consume(tx, quote_id, session.id, session.created_at)
            if keep is not None:
                await keep(tx, session)
        return session

    async def _check_day(self, tx: Tx, session: Session, budget: Budget) -> None:
        """Hold the key still and count its day, which is that of the session's creation however late it ends:
        so neither two requests at once nor midnight let more be spent than the cap."""
        if budget.daily_cap_uusdc is None:
            return
        assert session.budget_key_id is not None
        since, until = budget_day(session.created_at)
        spent = await self.spending.spent_alone(tx, session.budget_key_id, since, until)
        terms = session.terms
        check_daily_cap(budget, spent, terms.rate_uusdc, terms.max_duration_s, session.created_at)

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
        check_watched(sight, workspace_id)
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
        session = await self.get(session_id, workspace_id)
        check_watched(session, workspace_id)
        return live_input_of(session, "viewerToken")
