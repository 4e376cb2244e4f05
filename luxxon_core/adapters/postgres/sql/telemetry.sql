-- name: open_window
with live as (
    select id, started_at from session where id = $2 and state = 'LIVE' for share
)
insert into disconnect_window (id, session_id, reason, opened_at)
select $1, id, $3, greatest($4::timestamptz, started_at) from live
on conflict (session_id, reason) where closed_at is null do nothing
returning id;

-- name: close_window
update disconnect_window
set closed_at = greatest($3::timestamptz, opened_at)
where session_id = $1 and reason = $2 and closed_at is null
returning id;

-- name: close_all
update disconnect_window
set closed_at = greatest($2::timestamptz, opened_at)
where session_id = $1 and closed_at is null;

-- name: windows
select reason, opened_at, closed_at from disconnect_window where session_id = $1 order by opened_at, id;

-- name: record
update workspace
set last_sequence = $2, last_seen_at = $3, last_lat = $4, last_lng = $5, last_accuracy_m = $6,
    last_speed_mps = $7
where id = $1 and coalesce(last_sequence, -1) < $2
returning id;

-- name: live_sessions
select id, requested_lat, requested_lng, geofence_radius_m
from session
where operator_workspace_id = $1 and state = 'LIVE'
order by id
for share;

-- name: stale
select s.id, w.last_seen_at
from session s join workspace w on w.id = s.operator_workspace_id
where s.state = 'LIVE' and w.last_sequence is not null and w.last_seen_at >= s.started_at
  and w.last_seen_at < $1
  and not exists (
      select from disconnect_window d
      where d.session_id = s.id and d.reason = 'STALE_TELEMETRY' and d.closed_at is null
  )
order by s.id;

-- name: lock_live
select from session where id = $1 and state = 'LIVE' for update;

-- name: still_stale
select w.last_seen_at
from session s join workspace w on w.id = s.operator_workspace_id
where s.id = $1 and s.state = 'LIVE' and w.last_seen_at >= s.started_at and w.last_seen_at < $2;
