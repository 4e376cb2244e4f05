-- name: add
insert into webhook (id, workspace_id, url, description, kinds, secret, created_at, after_position)
select $1, $2, $3, $4, $5, $6, $7, coalesce((select position from event_tip), 0)
where (select count(*) from webhook where workspace_id = $2) < $8
returning *;

-- name: begin_mark
insert into webhook_tip (position) values (coalesce((select position from event_tip), 0))
on conflict (lone) do nothing;

-- name: get
select * from webhook where workspace_id = $1 and id = $2;

-- name: lock
select * from webhook where workspace_id = $1 and id = $2 for no key update;

-- name: of_workspace
select * from webhook where workspace_id = $1 order by created_at, id;

-- name: save
update webhook
set url = $2, description = $3, kinds = $4, secret = $5, former_secret = $6, former_until = $7,
    failing_since = $8, held_until = $9, disabled_at = $10, disabled_reason = $11,
    failed_at = case when $8::timestamptz is null then null else failed_at end,
    untried = case when $8::timestamptz is null then '0' else untried end
where id = $1;

-- name: renew
update webhook set after_position = coalesce((select position from event_tip), 0) where id = $1;

-- name: remove
delete from webhook where workspace_id = $1 and id = $2 returning id;

-- name: any
select exists (select from webhook where disabled_at is null);

-- name: page
select number, id, webhook_id, lane, cause, kind, event_id, '' as body, state, created_at, finished_at,
    next_attempt_at, attempts
from webhook_delivery
where webhook_id = $1 and ($2::text is null or state = $2)
  and ($3::uuid is null or number < (select number from webhook_delivery where id = $3))
order by number desc
limit $4;

-- name: get_delivery
select * from webhook_delivery where webhook_id = $1 and id = $2;

-- name: missed
select e.*, null::text as uid
from event e
where (e.consumer_workspace_id = $2 or e.operator_workspace_id = $2)
  and e.position > $5 and e.position <= greatest((select position from webhook_tip), $6::bigint)
  and e.at >= $4 and e.kind = any ($3::text[])
  and not exists (
      select from webhook_delivery d
      where d.webhook_id = $1 and d.event_id = e.position and d.state in ('PENDING', 'SUCCEEDED')
  )
order by e.position
limit $7;

-- name: queue
-- and the lanes: an update that changes nothing waits for who is about to delete the row, where "do nothing"
-- would not
with made as (
    insert into webhook_delivery (id, webhook_id, lane, cause, kind, event_id, body, state, created_at)
    select p.id, p.webhook_id, p.lane, p.cause, p.kind, p.event_id, p.body, 'PENDING', $8
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[])
        with ordinality as p (id, webhook_id, lane, cause, kind, event_id, body, place)
    order by p.place
    returning webhook_id, lane, number
)
insert into webhook_lane (webhook_id, lane, due_at, head)
select webhook_id, lane, $8, min(number)
from made
group by webhook_id, lane
order by webhook_id, lane
on conflict (webhook_id, lane) do update set head = least(webhook_lane.head, excluded.head);

-- name: ring
select pg_notify('luxxon_webhook', '');

-- name: hold_lanes
-- in the order in which lanes are opened. Who adds to one of them waits until it is gone, and opens it anew
select lane, head from webhook_lane where webhook_id = $1 order by lane for update;

-- name: cancel
-- of lanes that are locked: what is added to others in the meantime stays pending, and has its lane
with given_up as (
    update webhook_delivery d set state = 'FAILED', finished_at = $2, next_attempt_at = null
    from unnest($3::uuid[], $4::bigint[]) as l (lane, head)
    where d.webhook_id = $1 and d.lane = l.lane and d.number >= l.head and d.state = 'PENDING'
    returning 1
)
select count(*) from given_up;

-- name: close_lanes
delete from webhook_lane where webhook_id = $1 and lane = any ($2::uuid[]);
