-- name: around
with online as materialized (
    select count(*) as n from workspace
    where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
      and lx_covers(coverage_lat, coverage_lng, coverage_radius_m, $1, $2)
)
select
    online.n as available,
    (
        select count(*) from (
            select distinct w.id from session s join workspace w on w.id = s.operator_workspace_id
            where s.state in ('ASSIGNED', 'LIVE')
              and lx_near(s.requested_lat, s.requested_lng, $1, $2, 100000) -- no circle is wider than 50 km
              and w.availability = 'BUSY' and 'SUPPLIER' = any (w.roles) and w.deleted_at is null
              and lx_covers(w.coverage_lat, w.coverage_lng, w.coverage_radius_m, $1, $2)
            limit greatest($4::bigint - online.n, 0)
        ) some_busy
    ) as busy,
    (
        select count(*) from session
        where state in ('REQUESTED', 'ASSIGNED', 'LIVE')
          and lx_near(requested_lat, requested_lng, $1, $2, $3)
    ) as open
from online;

-- name: cells
select r, c, count(*) as requests, count(*) filter (where unmet) as unmet
from (
    select
        least(floor(requested_lat / $2), floor(90 / $2) - 1)::int as r,
        (case when requested_lng >= 180 then floor(-180 / $2) else floor(requested_lng / $2) end)::int as c,
        started_at is null
            and (state = 'EXPIRED' or state = 'CANCELLED' and operator_workspace_id is null) as unmet
    from session
    where created_at >= $1
) asked
group by r, c
order by requests desc, r, c
limit $3;

-- name: add
insert into quote
    (id, workspace_id, lat, lng, duration_s, base_rate_uusdc, supply_bps, demand_bps, corridor_bps,
     rate_uusdc, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: get
select * from quote where id = $1;

-- name: consume
update quote set used_by_session = $2
where id = $1 and used_by_session is null and expires_at > $3
returning id;

-- name: purge
with gone as (
    delete from quote
    where expires_at < $1 and (used_by_session is null or expires_at < $2)
    returning 1
)
select count(*) from gone;
