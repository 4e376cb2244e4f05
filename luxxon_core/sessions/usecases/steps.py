"""What every transition does: find, check, swap, and tell the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from luxxon_core.access.ports import Spending
from luxxon_core.kernel.errors import (
    DatabaseError,
    InvalidState,
    NotAuthorized,
    SessionNotFound,
    VideoError,
    WorkspaceNotFound,
)
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.media.domain import LiveInput
from luxxon_core.media.ports import Edge, PictureFaults, Scaler
from luxxon_core.pricing.usecases import Pricing
from luxxon_core.sessions import domain
from luxxon_core.sessions.domain import Session, State
from luxxon_core.sessions.ports import Current, Pools, Sessions, Settlements
from luxxon_core.sessions.usecases.known import KnownSights
from luxxon_core.telemetry.domain import Reason, Window
from luxxon_core.telemetry.ports import Windows
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """The deployment's terms for new sessions."""

    platform_fee_bps: int
    geofence_radius_m: float
    holds: bool = True
    """Whether open sessions and unpaid charges count against the pool (api-contract §22, over-commit)."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The ports of sessions and the steps that its use cases share."""

    uow: UnitOfWork
    sessions: Sessions
    current: Current
    workspaces: Workspaces
    windows: Windows
    faults: PictureFaults
    settlements: Settlements
    pools: Pools
    spending: Spending
    pricing: Pricing
    edge: Edge
    scaler: Scaler
    new_id: NewId
    policy: Policy
    known: KnownSights = field(default_factory=KnownSights)

    async def _store(self, tx: Tx, before: Session, after: Session, now: datetime) -> None:
        """Swap, then what belongs in the same transaction: windows, payment, release."""
        if not await self.sessions.swap(tx, before.state, after):
            raise InvalidState(f"session:swap:{before.state}")
        if after.state not in domain.TERMINAL:
            return
        if after.metered:
            assert after.ended_at is not None
            await self.windows.close_all(tx, after.id, after.ended_at)
            await self.faults.close(tx, after.id, None, after.ended_at)
            await self._queue_settlement(tx, after, now)
        if after.operator_workspace_id is not None:
            await self.workspaces.release(tx, after.operator_workspace_id, now)

    async def _queue_settlement(self, tx: Tx, session: Session, now: datetime) -> None:
        assert session.operator_workspace_id is not None
        consumer = await self.workspaces.wallet(tx, session.consumer_workspace_id)
        operator = await self.workspaces.wallet(tx, session.operator_workspace_id)
        await self.settlements.queue(tx, session, consumer, operator, now)

    async def _tear_down(self, session: Session, now: datetime) -> Session:
        """Tell the edge, if it is ours; the server whose edge it is finds out by its own sweep.

        Returns the session as it is stored now: without the live input, where that is gone.
        """
        self.known.forget(session.id)
        live_input = session.live_input
        if live_input is None or live_input.edge not in self.edge.names:
            return session
        if not await self._delete(live_input, now):
            return session
        return replace(session, live_input=None)

    async def _lost_since(
        self, tx: Tx, live_input: LiveInput, now: datetime, silent: timedelta
    ) -> datetime | None:
        """Since when the live input's edge is gone; None while it is there: ours, or one that another server
        has stamped within ``silent``."""
        if live_input.edge in self.edge.names:
            return None
        alive_at = await self.sessions.alive_at(tx, live_input.edge)
        if alive_at is None:
            return now
        return alive_at if alive_at < now - silent else None

    async def _billable(self, tx: Tx, session: Session, now: datetime) -> list[Window]:
        """The windows that a bill made up now has to leave out, of a session that is locked. A server that
        has just died may have left one that no sweep has opened yet."""
        await self._note_lost(tx, session, now, domain.EDGE_DOUBTED)
        return await self.windows.of_session(tx, session.id)

    async def _note_lost(self, tx: Tx, session: Session, now: datetime, silent: timedelta) -> bool:
        """Open the NETWORK_ERROR window of a LIVE session, locked, whose edge is gone; whether it did."""
        if session.state is not State.LIVE or session.live_input is None:
            return False
        since = await self._lost_since(tx, session.live_input, now, silent)
        return since is not None and await self._media_lost(tx, session.id, since)

    async def _media_lost(self, tx: Tx, session_id: UUID, since: datetime) -> bool:
        """Open the NETWORK_ERROR window; where there is no picture, nothing is wrong with it. Whether it was
        not open already."""
        await self.faults.close(tx, session_id, None, since)
        return await self.windows.open(tx, self.new_id(), session_id, Reason.NETWORK_ERROR, since)

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


def live_input_of(session: Session, operation: str) -> LiveInput:
    """The live input of a session that has one.

    Raises:
        InvalidState: ``session:<operation>:<STATE>``: not started yet, or over.
    """
    if session.live_input is None or session.state in domain.TERMINAL:
        raise InvalidState(f"session:{operation}:{session.state}")
    return session.live_input
