"""Heartbeats and disconnect windows in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.telemetry.domain import Beacon, LiveSession, Reason, Sample, Stage, Window

SQL = statements("telemetry")


class PgWindows:
    async def open(self, tx: Tx, window_id: UUID, session_id: UUID, reason: Reason, at: datetime) -> bool:
        return await self._opened(tx, window_id, session_id, reason, at) is not None

    async def close(self, tx: Tx, session_id: UUID, reason: Reason, at: datetime) -> bool:
        return await self._closed(tx, session_id, reason, at) is not None

    async def of_session(self, tx: Tx, session_id: UUID) -> list[Window]:
        return [_window(row) for row in await connection(tx).fetch(SQL["windows"], session_id)]

    async def close_all(self, tx: Tx, session_id: UUID, at: datetime) -> None:
        await self._all_closed(tx, session_id, at)

    async def _opened(
        self, tx: Tx, window_id: UUID, session_id: UUID, reason: Reason, at: datetime
    ) -> Window | None:
        row = await connection(tx).fetchrow(SQL["open_window"], window_id, session_id, reason, at)
        return None if row is None else _window(row)

    async def _closed(self, tx: Tx, session_id: UUID, reason: Reason, at: datetime) -> Window | None:
        row = await connection(tx).fetchrow(SQL["close_window"], session_id, reason, at)
        return None if row is None else _window(row)

    async def _all_closed(self, tx: Tx, session_id: UUID, at: datetime) -> list[Window]:
        return [_window(row) for row in await connection(tx).fetch(SQL["close_all"], session_id, at)]


def _window(row: Mapping[str, Any]) -> Window:
    return Window(Reason(row["reason"]), row["opened_at"], row["closed_at"])


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
        return [(row["id"], row["seen_at"]) for row in await connection(tx).fetch(SQL["stale"], before)]

    async def still_stale(self, tx: Tx, session_id: UUID, before: datetime) -> datetime | None:
        # Two statements: the second sees the heartbeat that the first has waited for.
        await connection(tx).execute(SQL["lock_live"], session_id)
        last: datetime | None = await connection(tx).fetchval(SQL["still_stale"], session_id, before)
        return last


class PgBeacons:
    async def stage(self, tx: Tx, session_id: UUID, *, lock: bool = False) -> Stage | None:
        if lock:  # in a statement of its own: what follows sees what it has waited for
            await connection(tx).execute(SQL["lock_session"], session_id)
        row = await connection(tx).fetchrow(SQL["stage"], session_id)
        return None if row is None else Stage(*row)

    async def newest(self, tx: Tx, session_id: UUID) -> datetime | None:
        newest: datetime | None = await connection(tx).fetchval(SQL["newest_beacon"], session_id)
        return newest

    async def add(self, tx: Tx, beacon: Beacon, signed: bool, now: datetime) -> None:
        await connection(tx).execute(
            SQL["add_beacon"],
            beacon.session_id,
            beacon.captured_at,
            now,
            beacon.point.lat,
            beacon.point.lng,
            beacon.accuracy_m,
            beacon.source,
            beacon.signature,
            signed,
            None if beacon.sensors is None else msgspec.json.encode(beacon.sensors).decode(),
        )


class PgNotifications:
    async def session_of(self, tx: Tx, uid: str) -> UUID | None:
        session_id: UUID | None = await connection(tx).fetchval(SQL["session_of_input"], uid)
        return session_id

    async def advance(self, tx: Tx, uid: str, happened: datetime) -> bool:
        return await connection(tx).fetchval(SQL["advance_input"], uid, happened) is not None
