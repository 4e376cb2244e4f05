-- name: add
insert into session
    (id, consumer_workspace_id, state, requested_lat, requested_lng, geofence_radius_m, max_duration_s,
     wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps, created_at)
values ($1, $2, 'REQUESTED', $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: get
select s.*, l.uid, l.edge, l.whip_url, l.whep_url, p.tx_hash
from session s
left join live_input l on l.session_id = s.id and l.deleted_at is null
left join settlement p on p.session_id = s.id
where s.id = $1;

-- name: lock
select from session where id = $1 for update;

-- name: swap
update session
set state = $3, operator_workspace_id = $4, dispatched = $5, assigned_at = $6, started_at = $7,
    ended_at = $8, clean_seconds = $9, charged_uusdc = $10
where id = $1 and state = $2
returning id;

-- name: of_workspace
select s.*, l.uid, l.edge, l.whip_url, l.whep_url, p.tx_hash
from session s
left join live_input l on l.session_id = s.id and l.deleted_at is null
left join settlement p on p.session_id = s.id
where s.consumer_workspace_id = $1 or s.operator_workspace_id = $1
order by s.created_at desc, s.id desc
limit $2;

-- name: assigned_to
select id from session where operator_workspace_id = $1 and state = 'ASSIGNED' order by created_at, id;

-- name: waited_out
select id from session
where state in ('REQUESTED', 'ASSIGNED') and created_at + make_interval(secs => wait_timeout_s) < $1
order by created_at
limit 500;

-- name: run_out
select id from session
where state = 'LIVE' and started_at + make_interval(secs => max_duration_s) < $1
order by started_at
limit 500;

-- name: add_live_input
insert into live_input (uid, session_id, edge, whip_url, whep_url, created_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (session_id) do nothing
returning uid;

-- name: live_input_of
select session_id from live_input where uid = $1 and deleted_at is null;

-- name: live_inputs
select l.uid, l.edge, l.whip_url, l.whep_url
from live_input l join session s on s.id = l.session_id
where l.deleted_at is null and s.state in ('ASSIGNED', 'LIVE')
order by s.id;

-- name: torn_down
select l.uid, l.edge, l.whip_url, l.whep_url
from live_input l join session s on s.id = l.session_id
where l.deleted_at is null and s.state in ('ENDED', 'EXPIRED', 'CANCELLED')
limit 500;

-- name: mark_deleted
update live_input set deleted_at = $2 where uid = $1 and deleted_at is null;

-- name: lock_wallet
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: committed
select coalesce((
    select sum(s.hold_uusdc)
    from session s join workspace w on w.id = s.consumer_workspace_id
    where w.wallet_address = $1 and s.state in ('REQUESTED', 'ASSIGNED', 'LIVE')
), 0)::bigint + coalesce((
    select sum(p.to_amount_uusdc + p.fee_amount_uusdc)
    from settlement p where p.consumer_wallet = $1 and p.state <> 'CONFIRMED'
), 0)::bigint;

-- name: stamp_alive
insert into edge_alive (edge, at) values ($1, $2)
on conflict (edge) do update set at = greatest(edge_alive.at, excluded.at);

-- name: alive_at
select at from edge_alive where edge = $1;
