"""Rows of sessions that have ended, for settlements to refer to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg


async def end_sessions(dsn: str, sessions: Iterable[tuple[UUID, int, int]], at: datetime) -> None:
    """Store sessions of one new consumer that ended at a moment.

    Each is its id, its rate in µUSDC per second and its clean seconds, all of which are charged.
    """
    workspace_id = uuid4()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "insert into workspace (id, slug, name, wallet_address, roles, created_at, created_by_wallet)"
            " values ($1, $2, 'w', '0x', '{CONSUMER}', $3, '0x')",
            workspace_id,
            str(workspace_id),
            at,
        )
        await connection.executemany(
            "insert into session (id, consumer_workspace_id, state, requested_lat, requested_lng,"
            " geofence_radius_m, max_duration_s, wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps,"
            " created_at, ended_at, clean_seconds, charged_uusdc)"
            " values ($1, $2, 'ENDED', 0, 0, 500, 600, 300, $3, $4, 1500, $5, $5, $6, $7)",
            [
                (session_id, workspace_id, rate, rate * 600, at, seconds, rate * seconds)
                for session_id, rate, seconds in sessions
            ],
        )
    finally:
        await connection.close()
