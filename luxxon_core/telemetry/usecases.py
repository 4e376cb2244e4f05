"""Heartbeats in, disconnect windows out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import Conflict, NotAuthorized, WorkspaceNotFound
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.telemetry.domain import STALE_AFTER, LiveSession, Reason, Sample, outside_geofence
from luxxon_core.telemetry.ports import Heartbeats, Windows
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Records heartbeats; opens and closes windows by what they say and when they stop."""

    uow: UnitOfWork
    windows: Windows
    heartbeats: Heartbeats
    workspaces: Workspaces
    new_id: NewId

    async def heartbeat(self, workspace_id: UUID, sample: Sample, session_id: UUID | None) -> Workspace:
        """Record a sample and let it close or open windows of the workspace's LIVE session.

        Raises:
            NotAuthorized: ``session:notSupplier``.
            Conflict: ``heartbeat:sequence``.
        """
        async with self.uow.begin() as tx:
            workspace = await self.workspaces.get(tx, workspace_id)
            if workspace is None:
                raise WorkspaceNotFound
            if not workspace.is_supplier:
                raise NotAuthorized("session:notSupplier")
            # session before workspace, as everywhere, and so that an end does not bill what changes here
            sessions = await self.heartbeats.live_sessions(tx, workspace_id)
            if not await self.heartbeats.record(tx, workspace_id, sample):
                raise Conflict("heartbeat:sequence")
            for live in sessions:
                await self.windows.close(tx, live.id, Reason.STALE_TELEMETRY, sample.at)
                if session_id in (None, live.id):
                    await self._fence(tx, live, sample)
            after = await self.workspaces.get(tx, workspace_id)
        assert after is not None
        return after

    async def _fence(self, tx: Tx, live: LiveSession, sample: Sample) -> None:
        outside = outside_geofence(sample, live)
        if outside:
            await self.windows.open(tx, self.new_id(), live.id, Reason.OUTSIDE_GEOFENCE, sample.at)
        elif outside is False:
            await self.windows.close(tx, live.id, Reason.OUTSIDE_GEOFENCE, sample.at)

    async def sweep_stale(self, now: datetime) -> int:
        """Open STALE_TELEMETRY where heartbeats stopped; the window begins when the last one went stale."""
        opened, before = 0, now - STALE_AFTER
        async with self.uow.read() as tx:
            suspects = await self.heartbeats.stale(tx, before)
        for session_id, _ in suspects:
            async with self.uow.begin() as tx:
                last = await self.heartbeats.still_stale(tx, session_id, before)
                if last is not None:
                    at = last + STALE_AFTER
                    opened += await self.windows.open(
                        tx, self.new_id(), session_id, Reason.STALE_TELEMETRY, at
                    )
        return opened
