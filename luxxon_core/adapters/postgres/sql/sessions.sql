-- name: add
insert into session
    (id, consumer_workspace_id, state, requested_lat, requested_lng, geofence_radius_m, max_duration_s,
     wait_timeout_s, rate_uusdc, hold_uusdc, platform_fee_bps, created_at, budget_key_id, unit)
values ($1, $2, 'REQUESTED', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (id) do nothing
returning id;

-- name: get
select s.*, l.uid, l.edge, l.whip_url, l.whep_url, p.tx_hash
from session s
left join live_input l on l.session_id = s.id and l.deleted_at is null
left join settlement p on p.session_id = s.id
where s.id = any($1::uuid[]);

-- name: sights
select s.id, s.state, s.consumer_workspace_id, s.operator_workspace_id, s.unit, l.uid, l.edge, l.whip_url,
       l.whep_url
from session s
left join live_input l on l.session_id = s.id and l.deleted_at is null
where s.id = any($1::uuid[]);

-- name: lock
select from session where id = $1 for update;

-- name: swap
update session
set state = $3, operator_workspace_id = $4, dispatched = $5, assigned_at = $6, started_at = $7,
    ended_at = $8, clean_seconds = $9, charged_uusdc = $10
where id = $1 and state = $2
returning id;

-- name: describe
update session set controls = coalesce($2, controls), policy = coalesce($3::jsonb, policy) where id = $1;

-- name: of_workspace
with page as (
    (
        select id from session
        where consumer_workspace_id = $1 and $3::text is distinct from 'operator'
          and ($4::text[] is null or state = any ($4))
          and (created_at, id) < (
              coalesce($5::timestamptz, 'infinity'),
              coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          )
        order by created_at desc, id desc
        limit $2
    )
    union
    (
        select id from session
        where operator_workspace_id = $1 and $3::text is distinct from 'consumer'
          and ($4::text[] is null or state = any ($4))
          and (created_at, id) < (
              coalesce($5::timestamptz, 'infinity'),
              coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          )
        order by created_at desc, id desc
        limit $2
    )
)
select s.*, l.uid, l.edge, l.whip_url, l.whep_url, p.tx_hash
from page join session s on s.id = page.id
left join live_input l on l.session_id = s.id and l.deleted_at is null
left join settlement p on p.session_id = s.id
order by s.created_at desc, s.id desc
limit $2;

-- name: open_in
select s.*, null as uid, null as tx_hash
from session s
where s.state = 'REQUESTED'
  and lx_near(s.requested_lat, s.requested_lng, $1, $2, $3)
  and s.created_at + make_interval(secs => s.wait_timeout_s) > $4
  and (s.created_at, s.id) > (
      coalesce($6::timestamptz, '-infinity'), coalesce($7::uuid, '00000000-0000-0000-0000-000000000000')
  )
order by s.created_at, s.id
limit $5;

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
on conflict (session_id) where deleted_at is null do nothing
returning uid;

-- name: live_input_of
select session_id from live_input where uid = $1 and deleted_at is null;

-- name: live_inputs
select l.uid, l.edge, l.whip_url, l.whep_url
from live_input l join session s on s.id = l.session_id
where l.edge = $1 and l.deleted_at is null and s.state in ('ASSIGNED', 'LIVE')
order by s.id;

-- name: torn_down
select l.uid, l.edge, l.whip_url, l.whep_url
from live_input l join session s on s.id = l.session_id
left join edge_alive a on a.edge = l.edge
where l.deleted_at is null and s.state in ('ENDED', 'EXPIRED', 'CANCELLED')
  and (l.edge = $1 or a.at is null or a.at < $2)
limit 500;

-- name: not_deleted
select uid from live_input where uid = any ($1::text[]) and deleted_at is null;

-- name: abandoned
select s.id
from session s
join live_input l on l.session_id = s.id and l.deleted_at is null
left join edge_alive a on a.edge = l.edge
where s.state = 'LIVE' and (a.at is null or a.at < $1)
  and not exists (
      select from disconnect_window d
      where d.session_id = s.id and d.reason = 'NETWORK_ERROR' and d.closed_at is null
  )
order by s.id
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
    from settlement p
    where p.consumer_wallet = $1 and p.state <> 'CONFIRMED'
      and (p.block_number is null or p.block_number > $2)
), 0)::bigint + coalesce((
    select sum(p.to_amount_uusdc + p.fee_amount_uusdc)
    from settlement p where p.consumer_wallet = $1 and p.state = 'CONFIRMED' and p.block_number > $2
), 0)::bigint;

-- name: stamp_alive
with former as (select at from edge_alive where edge = $1)
insert into edge_alive (edge, at) values ($1, $2)
on conflict (edge) do update set at = greatest(edge_alive.at, excluded.at)
returning (select at from former);

-- name: alive_at
select at from edge_alive where edge = $1;

-- name: retire_edge
delete from edge_alive where edge = $1;
