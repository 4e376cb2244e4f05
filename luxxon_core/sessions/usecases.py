"""Everything that happens to a session, each in one transaction.

A transition locks the row, asks the domain, and compares and swaps: of two racing writers one wins and the
other sees the state the winner left. Edges are told after the commit; the sweep repeats what a crash lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from luxxon_core.kernel.errors import (
    DatabaseError,
    InsufficientCredit,
    InvalidInput,
    InvalidState,
    LuxxonError,
    NotAuthorized,
    OutsideCoverage,
    SessionNotFound,
    VideoError,
    WorkspaceNotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.media.domain import LiveInput, MediaEvent, MediaEventKind
from luxxon_core.media.ports import Edge
from luxxon_core.pricing.domain import Factors, rate
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session, State, Terms
from luxxon_core.sessions.ports import Pools, Sessions, Settlements
from luxxon_core.telemetry.domain import Reason, Window
from luxxon_core.telemetry.ports import Windows
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces

log = structlog.get_logger(__name__)

LIST_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Policy:
    """The deployment's terms for new sessions."""

    base_rate_uusdc: int
    platform_fee_bps: int
    geofence_radius_m: float
    holds: bool = True
    """Whether open sessions and unpaid charges count against the pool (api-contract §22, over-commit)."""


@dataclass(frozen=True, slots=True)
class SessionCases:
    """One method for each thing that can happen to a session."""

    uow: UnitOfWork
    sessions: Sessions
    workspaces: Workspaces
    windows: Windows
    settlements: Settlements
    pools: Pools
    edge: Edge
    new_id: NewId
    policy: Policy

    # -- consumer -------------------------------------------------------------------------------------

    async def create(
        self,
        workspace_id: UUID,
        point: Point,
        max_duration_s: float,
        wait_timeout_s: float | None,
        now: datetime,
    ) -> Session:
        """Post a request. The pool on chain must hold rate × duration now, beside what is spoken for.

        Raises:
            NotAuthorized: ``session:notConsumer``.
            InsufficientCredit: ``session:insufficientCredit``, or ``session:holds`` when the pool would do
                but for other sessions.
            ExternalError: the chain could not be read.
        """
        workspace = await self._workspace(workspace_id)
        if not workspace.is_consumer:
            raise NotAuthorized("session:notConsumer")
        terms = Terms(
            rate_uusdc=rate(self.policy.base_rate_uusdc, Factors()),
            max_duration_s=domain.check_duration(max_duration_s),
            wait_timeout_s=domain.clamp_wait(wait_timeout_s),
            platform_fee_bps=self.policy.platform_fee_bps,
            geofence_radius_m=self.policy.geofence_radius_m,
        )
        session = Session(self.new_id(), workspace_id, point, terms, now)
        async with self.uow.begin() as tx:
            # what is spoken for first: a payment made in between is then counted twice, never not at all
            committed = (
                await self.sessions.committed(tx, workspace.wallet_address) if self.policy.holds else 0
            )
            pool = await self.pools.pool_of(workspace.wallet_address)
            if pool < terms.hold_uusdc:
                raise InsufficientCredit("session:insufficientCredit")
            if pool - committed < terms.hold_uusdc:
                raise InsufficientCredit("session:holds")
            await self.sessions.add(tx, session)
        return session

    async def get(self, session_id: UUID, workspace_id: UUID) -> Session:
        """The session, for a workspace on either side of it."""
        async with self.uow.read() as tx:
            session = await self._found(tx, session_id, lock=False)
        if workspace_id not in (session.consumer_workspace_id, session.operator_workspace_id):
            raise NotAuthorized("session:viewDenied")
        return session

    async def windows_of(self, session_id: UUID) -> list[Window]:
        async with self.uow.read() as tx:
            return await self.windows.of_session(tx, session_id)

    async def list_of(self, workspace_id: UUID) -> list[Session]:
        async with self.uow.read() as tx:
            return await self.sessions.of_workspace(tx, workspace_id, LIST_LIMIT)

    async def cancel(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Give up a request that is not LIVE yet."""
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if before.consumer_workspace_id != workspace_id:
                raise NotAuthorized("session:notConsumer")
            after = domain.cancel(before, now)
            await self._store(tx, before, after, now)
        await self._tear_down(after, now)
        return after

    async def end(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """End a LIVE session from either side: the meter is final and the payment queued."""
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if workspace_id not in (before.consumer_workspace_id, before.operator_workspace_id):
                raise NotAuthorized("session:viewDenied")
            after = domain.end(before, now, await self.windows.of_session(tx, session_id))
            await self._store(tx, before, after, now)
        await self._tear_down(after, now)
        return after

    # -- operator -------------------------------------------------------------------------------------

    async def accept(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Take a request whose point lies in the workspace's circle."""
        workspace = await self._workspace(workspace_id)
        if not workspace.is_supplier:
            raise NotAuthorized("session:notSupplier")
        async with self.uow.begin() as tx:
            before = await self._found(tx, session_id)
            if workspace.coverage is None or not workspace.coverage.contains(before.requested):
                raise OutsideCoverage("session:outsideCoverage")
            after = domain.assign(before, workspace_id, now)
            await self._store(tx, before, after, now)
        return after

    async def start(self, session_id: UUID, workspace_id: UUID, now: datetime) -> Session:
        """Mint the live input once; the state stays ASSIGNED until the first frame. Idempotent.

        Raises:
            VideoError: the edge refused; the session is as it was.
        """
        minted: LiveInput | None = None
        try:
            async with self.uow.begin() as tx:
                session = await self._operated(tx, session_id, workspace_id, domain.check_start)
                if session.live_input is not None:
                    return session
                minted = await self.edge.create()
                await self.sessions.add_live_input(tx, session_id, minted, now)
                await self.workspaces.occupy(tx, workspace_id)
                return await self._found(tx, session_id)
        except BaseException:
            if minted is not None:
                await self.edge.delete(minted)
            raise

    async def cancel_all(self, workspace_id: UUID, now: datetime) -> list[UUID]:
        """Give back every ASSIGNED session of the operator; LIVE ones go on. Ids oldest first."""
        async with self.uow.read() as tx:
            candidates = await self.sessions.assigned_to(tx, workspace_id)
        cancelled = []
        for session_id in candidates:
            try:
                async with self.uow.begin() as tx:
                    before = await self._operated(tx, session_id, workspace_id, lambda _: None)
                    after = domain.cancel(before, now, operator=True)
                    await self._store(tx, before, after, now)
            except InvalidState:
                continue
            await self._tear_down(after, now)
            cancelled.append(session_id)
        return cancelled

    async def produced(self, session_id: UUID, workspace_id: UUID) -> LiveInput:
        """The live input, for its operator."""
        async with self.uow.read() as tx:
            session = await self._found(tx, session_id, lock=False)
        if session.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:viewDenied")
        return _live_input(session, "producerToken")

    async def viewed(self, session_id: UUID, workspace_id: UUID) -> LiveInput:
        """The live input, for either side."""
        return _live_input(await self.get(session_id, workspace_id), "viewerToken")

    # -- what the system does -------------------------------------------------------------------------

    async def on_media(self, event: MediaEvent, now: datetime) -> None:
        """First frame: LIVE. Media lost or back while LIVE: a NETWORK_ERROR window opens or closes."""
        async with self.uow.begin() as tx:
            session_id = await self.sessions.live_input_of(tx, event.uid)
            if session_id is None:
                return
            before = await self._found(tx, session_id)  # locked: no end bills windows that change under it
            if event.kind is MediaEventKind.DISCONNECTED:
                await self.windows.open(tx, self.new_id(), session_id, Reason.NETWORK_ERROR, event.at)
                return
            if event.kind is MediaEventKind.FIRST_FRAME and before.state is State.ASSIGNED:
                await self._store(tx, before, domain.go_live(before, now), now)
            await self.windows.close(tx, session_id, Reason.NETWORK_ERROR, event.at)

    async def sweep(self, now: datetime) -> int:
        """Expire what waited too long and what ran its full length; returns how many."""
        async with self.uow.read() as tx:
            waited, run = await self.sessions.waited_out(tx, now), await self.sessions.run_out(tx, now)
        swept = 0
        for session_id in (*waited, *run):
            try:
                async with self.uow.begin() as tx:
                    before = await self._found(tx, session_id)
                    if before.state is State.LIVE:
                        after = domain.expire_live(before, now, await self.windows.of_session(tx, session_id))
                    else:
                        after = domain.expire_waiting(before, now)
                    await self._store(tx, before, after, now)
            except InvalidState:
                continue  # another process or a person was first
            except LuxxonError as error:
                log.error("session not swept", session_id=str(session_id), code=error.code, cause=str(error))
                continue  # it must not keep the others waiting
            await self._tear_down(after, now)
            swept += 1
        return swept

    async def stamp_alive(self, now: datetime) -> None:
        """Note every second that the edge is being served: after a crash, what came later is not charged."""
        async with self.uow.begin() as tx:
            await self.sessions.stamp_alive(tx, self.edge.name, now)

    async def restore(self, now: datetime) -> int:
        """After a restart: let the edge serve the live inputs of open sessions again.

        A LIVE one had no media from the edge's last sign of life on and has none until its publisher is back:
        its NETWORK_ERROR window opens there.
        """
        async with self.uow.begin() as tx:
            alive_at = await self.sessions.alive_at(tx, self.edge.name) or now
            inputs = await self.sessions.live_inputs(tx)
            for live_input in inputs:
                session_id = await self.sessions.live_input_of(tx, live_input.uid)
                assert session_id is not None
                await self.windows.open(tx, self.new_id(), session_id, Reason.NETWORK_ERROR, alive_at)
        for live_input in inputs:
            try:
                await self.edge.restore(live_input)
            except (
                VideoError
            ) as error:  # its URLs are of another address: the wait or the meter's end is near
                log.warning("live input not restored", uid=live_input.uid, code=error.code)
        return len(inputs)

    async def sweep_torn_down(self, now: datetime) -> int:
        """Tell the edge of finished sessions whose teardown did not get through; returns how many did now."""
        async with self.uow.read() as tx:
            inputs = await self.sessions.torn_down(tx)
        return sum([await self._delete(live_input, now) for live_input in inputs])

    # -- shared steps ---------------------------------------------------------------------------------

    async def _store(self, tx: Tx, before: Session, after: Session, now: datetime) -> None:
        """Swap, then what belongs in the same transaction: windows, payment, release."""
        if not await self.sessions.swap(tx, before.state, after):
            raise InvalidState(f"session:swap:{before.state}")
        if after.state not in domain.TERMINAL:
            return
        if after.metered:
            assert after.ended_at is not None
            await self.windows.close_all(tx, after.id, after.ended_at)
            await self._queue_settlement(tx, after, now)
        if after.operator_workspace_id is not None:
            await self.workspaces.release(tx, after.operator_workspace_id, now)

    async def _queue_settlement(self, tx: Tx, session: Session, now: datetime) -> None:
        assert session.operator_workspace_id is not None
        consumer = await self.workspaces.wallet(tx, session.consumer_workspace_id)
        operator = await self.workspaces.wallet(tx, session.operator_workspace_id)
        await self.settlements.queue(tx, session, consumer, operator, now)

    async def _tear_down(self, session: Session, now: datetime) -> None:
        if session.live_input is not None:
            await self._delete(session.live_input, now)

    async def _delete(self, live_input: LiveInput, now: datetime) -> bool:
        """Tell the edge, then note that it knows. What fails is tried again by the sweep: the session's end
        has been committed, and nobody is helped by an error now."""
        try:
            await self.edge.delete(live_input)
            async with self.uow.begin() as tx:
                await self.sessions.mark_deleted(tx, live_input.uid, now)
        except (VideoError, DatabaseError) as error:
            log.warning("live input not deleted, will be tried again", uid=live_input.uid, code=error.code)
            return False
        return True

    async def _found(self, tx: Tx, session_id: UUID, *, lock: bool = True) -> Session:
        session = await self.sessions.get(tx, session_id, lock=lock)
        if session is None:
            raise SessionNotFound
        return session

    async def _operated(
        self, tx: Tx, session_id: UUID, workspace_id: UUID, check: Callable[[Session], None]
    ) -> Session:
        session = await self._found(tx, session_id)
        if session.operator_workspace_id is None:
            check(session)
        if session.operator_workspace_id != workspace_id:
            raise NotAuthorized("session:notOperator")
        check(session)
        return session

    async def _workspace(self, workspace_id: UUID) -> Workspace:
        async with self.uow.read() as tx:
            workspace = await self.workspaces.get(tx, workspace_id)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace


def requested_point(lat: float, lng: float) -> Point:
    """The point of a request.

    Raises:
        InvalidInput: ``session:lat`` or ``session:lng``.
    """
    try:
        return Point(lat, lng)
    except ValueError as error:
        raise InvalidInput(f"session:{error}") from None


def _live_input(session: Session, operation: str) -> LiveInput:
    if session.live_input is None or session.state in domain.TERMINAL:
        raise InvalidState(f"session:{operation}:{session.state}")
    return session.live_input
