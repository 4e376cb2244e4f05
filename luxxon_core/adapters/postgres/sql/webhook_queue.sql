-- name: mark
select position from webhook_tip for update skip locked;

-- name: bounds
select coalesce((select position from event_tip), 0) as tip,
    (select min(after_position) from webhook where disabled_at is null) as first;

-- name: due
select e.*, null::text as uid, w.id as webhook_id, w.workspace_id
from event e
join webhook w on w.workspace_id in (e.consumer_workspace_id, e.operator_workspace_id)
where e.position > $1 and e.position <= $2
  and w.disabled_at is null and w.after_position < e.position and e.kind = any (w.kinds)
order by e.position, w.id;

-- name: move_mark
update webhook_tip set position = $1;

-- name: claim
-- webhooks that have lanes are found by stepping from one to the next in the index: however many lanes one of
-- them has, it costs the others nothing
with recursive waiting as (
    (select webhook_id from webhook_lane order by webhook_id limit 1)
    union all
    select (
        select l.webhook_id from webhook_lane l
        where l.webhook_id > waiting.webhook_id
        order by l.webhook_id
        limit 1
    )
    from waiting
    where waiting.webhook_id is not null
), open as (
    select w.id,
        (case when w.failing_since is null then $3::int else $4::int end) - coalesce(b.under_way, 0) as room
    from waiting
    join webhook w on w.id = waiting.webhook_id
    left join unnest($5::uuid[], $6::int[]) as b (id, under_way) on b.id = w.id
    where w.disabled_at is null and (w.held_until is null or w.held_until <= $1)
), due as (
    select l.webhook_id, l.lane, l.due_at
    from open
    cross join lateral (
        select webhook_id, lane, due_at
        from webhook_lane
        where webhook_id = open.id and due_at <= $1
        order by due_at
        limit greatest(open.room, 0)
        for update skip locked
    ) l
    order by l.due_at
    limit $7
)
update webhook_lane l
set lease = $8, due_at = $2
from due
where l.webhook_id = due.webhook_id and l.lane = due.lane
returning l.webhook_id, l.lane;

-- name: heads
-- a statement of its own: it has to see what the holders of the leases before ours have committed
select d.number, d.id, d.webhook_id, d.lane, d.cause, d.body, d.created_at, jsonb_array_length(d.attempts) as tried,
    w.url, w.secret, w.former_secret, w.former_until, w.failing_since
from unnest($1::uuid[], $2::uuid[]) as c (webhook_id, lane)
join webhook w on w.id = c.webhook_id
cross join lateral (
    select * from webhook_delivery
    where webhook_id = c.webhook_id and lane = c.lane and state = 'PENDING'
    order by number
    limit 1
) d;

-- name: lock_webhooks
-- before anything of theirs, as their owners do: else the two could wait for each other
select from webhook where id = any ($1::uuid[]) order by id for no key update;

-- name: record
-- a success counts also over what was given up while it was under way
update webhook_delivery d
set state = f.state,
    attempts = d.attempts || f.attempt::jsonb,
    finished_at = case when f.state = 'PENDING' then null else $6::timestamptz end,
    next_attempt_at = f.next_at
from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])
    as f (number, state, attempt, next_at, tried)
where d.number = f.number
  and case when f.state = 'SUCCEEDED' then d.state <> 'SUCCEEDED'
      else d.state = 'PENDING' and jsonb_array_length(d.attempts) = f.tried end;

-- name: lock_lanes
select from webhook_lane l
join unnest($1::uuid[], $2::uuid[], $3::uuid[]) as f (webhook_id, lane, lease)
    on l.webhook_id = f.webhook_id and l.lane = f.lane and l.lease = f.lease
order by l.webhook_id, l.lane
for update of l;

-- name: end_lanes
delete from webhook_lane l
using unnest($1::uuid[], $2::uuid[], $3::uuid[]) as f (webhook_id, lane, lease)
where l.webhook_id = f.webhook_id and l.lane = f.lane and l.lease = f.lease
  and not exists (
      select from webhook_delivery d
      where d.webhook_id = l.webhook_id and d.lane = l.lane and d.state = 'PENDING'
  );

-- name: free_lanes
update webhook_lane l
set lease = null, due_at = coalesce(f.next_at, $5)
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) as f (webhook_id, lane, lease, next_at)
where l.webhook_id = f.webhook_id and l.lane = f.lane and l.lease = f.lease;

-- name: health
update webhook w
set succeeded_at = case when f.good then $4 else w.succeeded_at end,
    failing_since = case when f.good then null else coalesce(w.failing_since, $4) end,
    held_until = coalesce(greatest(w.held_until, f.hold), w.held_until)
from unnest($1::uuid[], $2::bool[], $3::timestamptz[]) as f (id, good, hold)
where w.id = f.id
  and (f.hold is not null
       or (f.good and (w.failing_since is not null or w.succeeded_at is null
                       or w.succeeded_at < $4::timestamptz - interval '10 s'))
       or (not f.good and w.failing_since is null));

-- name: disable
update webhook w
set disabled_at = $3, disabled_reason = f.reason
from unnest($1::uuid[], $2::text[]) as f (id, reason)
where w.id = f.id and w.disabled_at is null
returning w.id;

-- name: disabled_pending
select distinct l.webhook_id from webhook_lane l join webhook w on w.id = l.webhook_id
where w.disabled_at is not null;

-- name: forget_secrets
update webhook set former_secret = null, former_until = null where former_until <= $1;

-- name: purge
with gone as (
    delete from webhook_delivery
    where number in (
        select number from webhook_delivery
        where state <> 'PENDING' and finished_at < $1
        order by finished_at
        limit $2
    )
    returning 1
)
select count(*) from gone;
