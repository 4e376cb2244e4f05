-- name: add
insert into event (kind, session_id, consumer_workspace_id, operator_workspace_id, data, at)
select $1, s.id, s.consumer_workspace_id, s.operator_workspace_id, $3::jsonb, coalesce($4, now())
from session s
where s.id = $2
on conflict do nothing;

-- name: add_all
insert into event (kind, session_id, consumer_workspace_id, operator_workspace_id, data, at)
select $1, s.id, s.consumer_workspace_id, s.operator_workspace_id, given.data::jsonb, coalesce(given.at, now())
from unnest($2::uuid[], $3::text[], $4::timestamptz[]) as given (session_id, data, at)
cross join lateral (  -- by its key, however many there are: a join may read all sessions for a few hundred
    select id, consumer_workspace_id, operator_workspace_id from session where id = given.session_id offset 0
) as s
on conflict do nothing;

-- name: add_samples
insert into event (kind, session_id, consumer_workspace_id, operator_workspace_id, data, at)
select 'telemetry.sample', s.id, s.consumer_workspace_id, s.operator_workspace_id, $2::jsonb, $3
from session s
where s.operator_workspace_id = $1 and s.state = 'LIVE'
on conflict do nothing;

-- name: lock_publisher
select pg_advisory_xact_lock(hashtextextended('luxxon.event', 0));

-- name: publish
with waiting as materialized (
    select id, row_number() over (order by id) as place
    from (select id from event where position is null order by id limit 500) unpublished
), tip as (
    insert into event_tip (position) select count(*) from waiting having count(*) > 0
    on conflict (lone) do update set position = event_tip.position + excluded.position
    returning position
), published as (
    update event e
    set position = t.position - (select count(*) from waiting) + w.place
    from waiting w, tip t
    where e.id = w.id
    returning e.id
)
select (select count(*) from published) as published, pg_notify('luxxon_event', t.position::text) as told
from tip t;

-- name: tip
select coalesce((select position from event_tip), 0);

-- name: bounds
select coalesce(
           (select position - 1 from event where position is not null order by position limit 1),
           (select position from event_tip),
           0
       ) as first,
       coalesce((select position from event_tip), 0) as last;

-- name: after
select e.*, l.uid, l.edge, l.whip_url, l.whep_url
from event e
left join session s on e.kind = 'session.state' and s.id = e.session_id and s.state = 'LIVE'
left join live_input l on l.session_id = s.id and l.deleted_at is null
where e.position > $1
order by e.position
limit $2;

-- name: of_session
select e.*, l.uid, l.edge, l.whip_url, l.whep_url
from event e
left join session s on e.kind = 'session.state' and s.id = e.session_id and s.state = 'LIVE'
left join live_input l on l.session_id = s.id and l.deleted_at is null
where e.session_id = $1 and e.position > $2
order by e.position
limit $3;

-- name: of_workspace
select e.*, l.uid, l.edge, l.whip_url, l.whep_url
from (
    (
        select * from event
        where consumer_workspace_id = $1 and position > $2
        order by position
        limit $3
    )
    union all
    (
        select * from event
        where operator_workspace_id = $1 and position > $2 and consumer_workspace_id <> $1
        order by position
        limit $3
    )
) e
left join session s on e.kind = 'session.state' and s.id = e.session_id and s.state = 'LIVE'
left join live_input l on l.session_id = s.id and l.deleted_at is null
order by e.position
limit $3;

-- name: waiting
select id from event where session_id = $1 and position is null;

-- name: payment
select state, chargeable_seconds, to_amount_uusdc, fee_amount_uusdc, tx_hash, confirmed_at,
    coalesce(waits_for = 'OPERATOR', false) as parked
from settlement
where session_id = $1;

-- name: live
select s.*, l.uid, l.edge, l.whip_url, l.whep_url, null as tx_hash, d.reason, d.opened_at, d.closed_at
from session s
left join live_input l on l.session_id = s.id and l.deleted_at is null
left join disconnect_window d on d.session_id = s.id
where s.state = 'LIVE'
  and (s.id = any ($1::uuid[]) or s.consumer_workspace_id = any ($2::uuid[])
       or s.operator_workspace_id = any ($2::uuid[]))
order by s.id, d.opened_at;

-- name: purge
with oldest as (
    select position, at from event where position is not null order by position limit $2
), purged as (
    delete from event
    where position <= (select max(position) from oldest where at < $1)
    returning id
)
select count(*) from purged;

-- name: abandon
select set_config('idle_in_transaction_session_timeout', $1, false);
