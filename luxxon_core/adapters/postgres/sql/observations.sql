-- name: add
insert into observation
    (id, consumer_workspace_id, lat, lng, max_price_uusdc, max_width, rate_uusdc, unit_s, created_at, deadline,
     look_at, session_id, status, reason, finished_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $11, $12, $13, $14)
on conflict (id) do nothing
returning id;

-- name: get
select o.*, f.bytes, f.width, f.height, f.expires_at
from observation o left join observation_frame f on f.observation_id = o.id
where o.id = $1;

-- name: finished
select id from observation where id = any($1::uuid[]) and status <> 'PENDING';

-- name: claim
update observation o
set look_at = $2
from (
    select id, look_at as due from observation
    where status = 'PENDING' and look_at <= $1
    order by look_at
    limit $3
    for update skip locked
) d
where o.id = d.id
returning o.*, null::integer as bytes, d.due;

-- name: renew
update observation o
set look_at = $3
from (
    select id from observation
    where id = any ($1::uuid[]) and status = 'PENDING' and look_at <= $2
    for update skip locked
) d
where o.id = d.id;

-- name: postpone
update observation set look_at = $2 where id = $1 and status = 'PENDING';

-- name: finish
update observation
set status = $2, reason = $3, finished_at = $4, captured_at = $5, position_lat = $6, position_lng = $7,
    position_accuracy_m = $8, position_source = $9, position_at = $10
where id = $1 and status = 'PENDING'
returning id;

-- name: keep
insert into observation_frame (observation_id, jpeg, bytes, width, height, digest, expires_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: frame
select f.jpeg, f.width, f.height, f.digest, o.captured_at
from observation_frame f join observation o on o.id = f.observation_id
where f.observation_id = $1 and f.expires_at > $2;

-- name: purge
with past as (
    select observation_id from observation_frame where expires_at <= $1 order by expires_at limit $2
), gone as (
    delete from observation_frame f using past where f.observation_id = past.observation_id returning 1
)
select count(*) from gone;

-- name: trim
with sized as (
    select observation_id, expires_at,
           sum(bytes) over (order by expires_at desc, observation_id desc) as newer_bytes
    from observation_frame
), past as (
    select observation_id from sized where newer_bytes > $1 order by expires_at, observation_id limit $2
), gone as (
    delete from observation_frame f using past where f.observation_id = past.observation_id returning 1
)
select count(*) from gone;

-- name: purge_asked
with past as (
    select id from observation o
    where session_id is not null and finished_at <= $1
      and not exists (select from observation_frame f where f.observation_id = o.id)
    order by finished_at
    limit $2
), gone as (
    delete from observation o using past where o.id = past.id returning 1
)
select count(*) from gone;

-- name: purge_refused
with past as (
    select id from observation where session_id is null and finished_at <= $1 order by finished_at limit $2
), gone as (
    delete from observation o using past where o.id = past.id returning 1
)
select count(*) from gone;

-- name: position
select coverage_lat, coverage_lng, coverage_radius_m, last_lat, last_lng, last_accuracy_m, last_seen_at
from workspace
where id = $1;
