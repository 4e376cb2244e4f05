-- name: open_window
with live as (
    select id, started_at from session where id = $2 and state = 'LIVE' for share
)
insert into disconnect_window (id, session_id, reason, opened_at)
select $1, id, $3, greatest($4::timestamptz, started_at) from live
on conflict (session_id, reason) where closed_at is null do nothing
returning reason, opened_at, closed_at;

-- name: close_window
update disconnect_window
set closed_at = greatest($3::timestamptz, opened_at)
where session_id = $1 and reason = $2 and closed_at is null
returning reason, opened_at, closed_at;

-- name: close_all
update disconnect_window
set closed_at = greatest($2::timestamptz, opened_at)
where session_id = $1 and closed_at is null
returning reason, opened_at, closed_at;

-- name: windows
select reason, opened_at, closed_at from disconnect_window where session_id = $1 order by opened_at, id;

-- name: record
update workspace
set last_sequence = coalesce($2::bigint, least(coalesce(last_sequence, -1), 9223372036854775806) + 1),
    last_seen_at = $3, last_lat = $4, last_lng = $5, last_accuracy_m = $6, last_speed_mps = $7
where id = $1 and ($2::bigint is null or coalesce(last_sequence, -1) < $2)
returning id;

-- name: live_sessions
select id, requested_lat, requested_lng, geofence_radius_m
from session
where operator_workspace_id = $1 and state = 'LIVE'
order by id
for share;

-- name: stale
select s.id, seen.at as seen_at
from session s join workspace w on w.id = s.operator_workspace_id
cross join lateral (
    select greatest(
        case when w.last_sequence is not null then w.last_seen_at end,
        (select t.received_at from telemetry_sample t
         where t.session_id = s.id order by t.captured_at desc limit 1)
    ) as at
) seen
where s.state = 'LIVE' and seen.at >= s.started_at and seen.at < $1
  and not exists (
      select from disconnect_window d
      where d.session_id = s.id and d.reason = 'STALE_TELEMETRY' and d.closed_at is null
  )
order by s.id;

-- name: lock_live
select from session where id = $1 and state = 'LIVE' for update;

-- name: still_stale
select seen.at
from session s join workspace w on w.id = s.operator_workspace_id
cross join lateral (
    select greatest(
        case when w.last_sequence is not null then w.last_seen_at end,
        (select t.received_at from telemetry_sample t
         where t.session_id = s.id order by t.captured_at desc limit 1)
    ) as at
) seen
where s.id = $1 and s.state = 'LIVE' and seen.at >= s.started_at and seen.at < $2;

-- name: lock_session
select from session where id = $1 for no key update;

-- name: stage
select s.state, s.operator_workspace_id, w.wallet_address,
    exists (select from live_input l where l.session_id = s.id and l.deleted_at is null)
from session s left join workspace w on w.id = s.operator_workspace_id
where s.id = $1;

-- name: newest_beacon
select max(captured_at) from telemetry_sample where session_id = $1;

-- name: add_beacon
insert into telemetry_sample
    (session_id, captured_at, received_at, lat, lng, accuracy_m, source, signature, signed, sensors)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: session_of_input
select s.id
from session s join live_input l on l.session_id = s.id
where l.uid = $1 and l.deleted_at is null
for no key update of s;

-- name: advance_input
update live_input set last_event_at = $2
where uid = $1 and deleted_at is null and (last_event_at is null or last_event_at < $2)
returning uid;
