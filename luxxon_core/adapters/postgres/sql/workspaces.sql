-- name: add
insert into workspace (id, slug, name, wallet_address, roles, created_at, created_by_wallet)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (slug) do nothing
returning id;

-- name: get
select * from workspace where id = $1 and deleted_at is null;

-- name: lock
select * from workspace where id = $1 and deleted_at is null for update;

-- name: wallet
select wallet_address from workspace where id = $1;

-- name: of_wallet
select w.*, m.role as member_role
from workspace_member m join workspace w on w.id = m.workspace_id
where m.wallet_address = $1 and w.deleted_at is null
order by w.created_at, w.id;

-- name: save
-- to go ONLINE renews when it was seen, and not where: a point from long before would pass for one of now
update workspace
set name = $2, availability = $3, wished_availability = $4, coverage_lat = $5, coverage_lng = $6,
    coverage_radius_m = $7, device_kind = $8, idle_since = $9, last_seen_at = $10,
    last_lat = case when $10 > last_seen_at + interval '1 minute' then null else last_lat end
where id = $1;

-- name: occupy
update workspace
set availability = 'BUSY',
    wished_availability = case availability when 'OFFLINE' then 'OFFLINE' else wished_availability end
where id = $1 and availability <> 'BUSY';

-- name: release
update workspace
set availability = coalesce(wished_availability, 'ONLINE'),
    idle_since = case coalesce(wished_availability, 'ONLINE') when 'ONLINE' then $2::timestamptz end,
    wished_availability = null
where id = $1
  and availability = 'BUSY'
  and not exists (
      select from session s
      left join live_input l on l.session_id = s.id and l.deleted_at is null
      where s.operator_workspace_id = $1
        and (s.state = 'LIVE' or s.state = 'ASSIGNED' and (s.dispatched or l.uid is not null))
  );

-- name: covering
select * from workspace
where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
  and coverage_radius_m is not null
order by id;

-- name: claim
-- The index is walked from who is idle for longest. NO KEY: a row that others only refer to is free. By ctid,
-- which spares the way through the primary key: a row that was written between our snapshot and our lock is
-- not found then, and whoever asks asks again.
update workspace set availability = 'BUSY'
where ctid = (
    select ctid from workspace
    where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
      and lx_covers(coverage_lat, coverage_lng, coverage_radius_m, $1, $2)
    order by lx_idle(idle_since) <-> 0, lx_id(id) <-> 0
    limit 1
    for no key update skip locked
)
returning id;

-- name: forget_taken
-- An ordered scan passes over the index's entries of those who were taken again and again; a plain one marks
-- them as dead, and then nobody looks at them any more.
select count(*) from workspace
where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
  and lx_covers(coverage_lat, coverage_lng, coverage_radius_m, $1, $2)
  and lx_idle(idle_since) < lx_idle((select idle_since from workspace where id = $3));

-- name: await_given_back
-- Waits for those who hold the suppliers in turn. SHARE: all who wait go on together.
select id from workspace
where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
  and lx_covers(coverage_lat, coverage_lng, coverage_radius_m, $1, $2)
order by lx_idle(idle_since) <-> 0, lx_id(id) <-> 0
limit 1
for share;

-- name: covered
select exists (
    select from workspace
    where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null
      and lx_covers(coverage_lat, coverage_lng, coverage_radius_m, $1, $2)
);
