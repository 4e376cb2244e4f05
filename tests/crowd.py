"""A table as full as it gets, so that a plan tells which index the planner would take then."""

from __future__ import annotations

from typing import Any

import asyncpg

WORKSPACES = """
insert into workspace (id, slug, name, wallet_address, roles, availability, coverage_lat, coverage_lng,
                       coverage_radius_m, idle_since, created_at, created_by_wallet)
select gen_random_uuid(), 'crowd-' || n, 'crowd', '0x' || md5(n::text), '{CONSUMER,SUPPLIER}',
       (array['ONLINE', 'BUSY', 'OFFLINE'])[1 + n % 3], random() * 160 - 80, random() * 340 - 170, 500,
       now(), now(), '0x'
from generate_series(1, 600) n
"""
SESSIONS = """
with ids as (select array_agg(id) as all from workspace), made as (
    select n, (array['REQUESTED', 'ASSIGNED', 'LIVE', 'ENDED'])[1 + n % 4] as state
    from generate_series(1, 4000) n
)
insert into session (id, consumer_workspace_id, operator_workspace_id, state, requested_lat, requested_lng,
                     geofence_radius_m, max_duration_s, wait_timeout_s, rate_uusdc, hold_uusdc,
                     platform_fee_bps, created_at, started_at, ended_at)
select gen_random_uuid(), ids.all[1 + n % 600],
       case state when 'REQUESTED' then null else ids.all[1 + n % 599] end,
       state, random() * 160 - 80, random() * 340 - 170, 500, 60, 300, 1000, 60000, 1500,
       now() - n * interval '1 minute', case when state in ('LIVE', 'ENDED') then now() end,
       case state when 'ENDED' then now() end
from made, ids
"""


async def crowded(connection: asyncpg.Connection[Any]) -> None:
    """Hundreds of workspaces and thousands of sessions everywhere, known to the planner."""
    await connection.execute(WORKSPACES)
    await connection.execute(SESSIONS)
    await connection.execute("analyze workspace, session")
