"""Heartbeats in, disconnect windows out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import Conflict, NotAuthorized, WorkspaceNotFound
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.telemetry.domain import STALE_AFTER, Reason, Sample, outside_geofence
from luxxon_core.telemetry.ports import Heartbeats, Windows
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces


@dataclass(frozen=True, slots=True)
class Telemetry:
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
            live = await self.heartbeats.live_session(tx, workspace_id, session_id)
            if not await self.heartbeats.record(tx, workspace_id, sample):
                raise Conflict("heartbeat:sequence")
            if live is not None:
                await self.windows.close(tx, live.id, Reason.STALE_TELEMETRY, sample.at)
                outside = outside_geofence(sample, live)
                if outside:
                    await self.windows.open(tx, self.new_id(), live.id, Reason.OUTSIDE_GEOFENCE, sample.at)
                elif outside is False:
                    await self.windows.close(tx, live.id, Reason.OUTSIDE_GEOFENCE, sample.at)
            after = await self.workspaces.get(tx, workspace_id)
        assert after is not None
        return after

    async def sweep_stale(self, now: datetime) -> int:
        """Open STALE_TELEMETRY where heartbeats stopped; the window begins when the last one went stale."""
        opened = 0
        async with self.uow.begin() as tx:
            for session_id, last in await self.heartbeats.stale(tx, now - STALE_AFTER):
                at = last + STALE_AFTER
                opened += await self.windows.open(tx, self.new_id(), session_id, Reason.STALE_TELEMETRY, at)
        return opened
