"""Heartbeats and disconnect windows in SQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.telemetry.domain import LiveSession, Reason, Sample, Window

SQL = statements("telemetry")


class PgWindows:
    async def open(self, tx: Tx, window_id: UUID, session_id: UUID, reason: Reason, at: datetime) -> bool:
        opened = await connection(tx).fetchval(SQL["open_window"], window_id, session_id, reason, at)
        return opened is not None

    async def close(self, tx: Tx, session_id: UUID, reason: Reason, at: datetime) -> bool:
        return await connection(tx).fetchval(SQL["close_window"], session_id, reason, at) is not None

    async def of_session(self, tx: Tx, session_id: UUID) -> list[Window]:
        rows = await connection(tx).fetch(SQL["windows"], session_id)
        return [Window(Reason(row["reason"]), row["opened_at"], row["closed_at"]) for row in rows]

    async def close_all(self, tx: Tx, session_id: UUID, at: datetime) -> None:
        await connection(tx).execute(SQL["close_all"], session_id, at)


class PgHeartbeats:
    async def record(self, tx: Tx, workspace_id: UUID, sample: Sample) -> bool:
        recorded = await connection(tx).fetchval(
            SQL["record"],
            workspace_id,
            sample.sequence,
            sample.at,
            sample.point.lat,
            sample.point.lng,
            sample.accuracy_m,
            sample.speed_mps,
        )
        return recorded is not None

    async def live_sessions(self, tx: Tx, workspace_id: UUID) -> list[LiveSession]:
        rows = await connection(tx).fetch(SQL["live_sessions"], workspace_id)
        return [
            LiveSession(
                row["id"], Point(row["requested_lat"], row["requested_lng"]), row["geofence_radius_m"]
            )
            for row in rows
        ]

    async def stale(self, tx: Tx, before: datetime) -> list[tuple[UUID, datetime]]:
        return [(row["id"], row["last_seen_at"]) for row in await connection(tx).fetch(SQL["stale"], before)]

    async def still_stale(self, tx: Tx, session_id: UUID, before: datetime) -> datetime | None:
        # Two statements: the second sees the heartbeat that the first has waited for.
        await connection(tx).execute(SQL["lock_live"], session_id)
        last: datetime | None = await connection(tx).fetchval(SQL["still_stale"], session_id, before)
        return last
