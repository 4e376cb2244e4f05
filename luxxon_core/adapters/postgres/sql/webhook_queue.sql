-- name: mark
select position from webhook_tip for update skip locked;

-- name: bounds
select coalesce((select position from event_tip), 0) as tip,
    (select min(after_position) from webhook where disabled_at is null) as first;

-- name: due
-- a webhook that is about to be removed is waited for, and then told nothing; one that is locked stays until
-- its deliveries are there
select e.*, null::text as uid, w.id as webhook_id, w.workspace_id
from event e
join webhook w on w.workspace_id in (e.consumer_workspace_id, e.operator_workspace_id)
where e.position > $1 and e.position <= $2
  and w.disabled_at is null and w.after_position < e.position and e.kind = any (w.kinds)
order by e.position, w.id
for key share of w;

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
), busy as (
    select w.id, w.workspace_id, b.under_way
    from unnest($5::uuid[], $6::int[]) as b (id, under_way) join webhook w on w.id = b.id
), busy_workspace as (
    select workspace_id, sum(under_way) as under_way from busy group by workspace_id
), open as (
    select w.id, w.workspace_id,
        least(
            case when w.failing_since is null then $3::int else $4::int end - coalesce(b.under_way, 0),
            $9::int - coalesce(s.under_way, 0)
        ) as room
    from waiting
    join webhook w on w.id = waiting.webhook_id
    left join busy b on b.id = w.id
    left join busy_workspace s on s.workspace_id = w.workspace_id
    where w.disabled_at is null and (w.held_until is null or w.held_until <= $1)
), due as (
    select l.webhook_id, l.lane, l.due_at, open.workspace_id
    from open
    cross join lateral (
        select webhook_id, lane, due_at
        from webhook_lane
        where webhook_id = open.id and due_at <= $1
        order by due_at
        limit greatest(open.room, 0)
        for update skip locked
    ) l
), fair as (
    select webhook_id, lane, due_at, row_number() over (partition by workspace_id order by due_at) as place,
        workspace_id
    from due
), taken as (
    select f.webhook_id, f.lane
    from fair f
    left join busy_workspace b using (workspace_id)
    where f.place <= $9::int - coalesce(b.under_way, 0)
    order by f.due_at
    limit $7
)
update webhook_lane l
set lease = $8, due_at = $2
from taken t
where l.webhook_id = t.webhook_id and l.lane = t.lane
returning l.webhook_id, l.lane, l.head;

-- name: heads
-- a statement of its own: it has to see what the holders of the leases before ours have committed
select d.number, d.id, d.webhook_id, d.lane, d.cause, d.body, d.created_at, jsonb_array_length(d.attempts) as tried,
    w.url, w.secret, w.former_secret, w.former_until, w.failing_since, w.failed_at, w.untried
from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as c (webhook_id, lane, head)
join webhook w on w.id = c.webhook_id
cross join lateral (
    select * from webhook_delivery
    where webhook_id = c.webhook_id and lane = c.lane and number >= c.head and state = 'PENDING'
    order by number
    limit 1
) d;

-- name: health
-- locks the webhooks, before anything of theirs, as their owners do: else the two could wait for each other.
-- Between two attempts $6 counts at most: a receiver that is not tried does not fail.
-- What follows in the transaction looks rows up by their keys, also by a plan made while the tables were small
with told as (
    update webhook w
    set succeeded_at = case when f.good then $5 else w.succeeded_at end,
        failing_since = case when f.good then null else coalesce(w.failing_since, $5) end,
        failed_at = case when f.good then null else $5 end,
        untried = case
            when f.good or w.failing_since is null then '0'
            else w.untried + greatest($5 - w.failed_at - $6::interval, '0') end,
        held_until = coalesce(greatest(w.held_until, f.hold), w.held_until)
    from unnest($2::uuid[], $3::bool[], $4::timestamptz[]) as f (id, good, hold)
    where w.id = f.id
      and (f.hold is not null
           or (f.good and (w.failing_since is not null or w.succeeded_at is null
                           or w.succeeded_at < $5::timestamptz - interval '10 s'))
           or (not f.good and (w.failing_since is null or w.failed_at < $5::timestamptz - interval '10 s')))
)
select set_config('enable_seqscan', 'off', true)
from (select from webhook where id = any ($1::uuid[]) order by id for no key update) locked;

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
-- in the order given, each found by its key: a join may go through all lanes of a webhook
select l.webhook_id, l.lane, l.lease, l.head, f.next_at, f.keep
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::bool[])
    as f (webhook_id, lane, lease, next_at, keep)
cross join lateral (
    select * from webhook_lane
    where webhook_id = f.webhook_id and lane = f.lane and lease = f.lease
    for update
) l;

-- name: give_back
-- of lanes that are locked: one with nothing pending ends; one that may be kept goes on with its next delivery,
-- which is returned, if its receiver is well; any other is free again
with given as (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::bool[])
        as f (webhook_id, lane, lease, head, next_at, keep)
), found as (
    select g.webhook_id, g.lane, g.lease, g.next_at, d.number, d.id, d.cause, d.body, d.created_at, d.attempts,
        g.keep and w.failing_since is null and w.disabled_at is null
            and (w.held_until is null or w.held_until <= $7) as kept,
        w.url, w.secret, w.former_secret, w.former_until, w.failing_since, w.failed_at, w.untried
    from given g
    join webhook w on w.id = g.webhook_id
    left join lateral (
        select * from webhook_delivery
        where webhook_id = g.webhook_id and lane = g.lane and number >= g.head and state = 'PENDING'
        order by number
        limit 1
    ) d on true
), ended as (
    delete from webhook_lane l using found f
    where l.webhook_id = f.webhook_id and l.lane = f.lane and f.number is null
), freed as (
    update webhook_lane l set lease = null, due_at = coalesce(f.next_at, $7), head = f.number
    from found f
    where l.webhook_id = f.webhook_id and l.lane = f.lane and f.number is not null and not f.kept
)
select f.*, jsonb_array_length(f.attempts) as tried
from found f
where f.kept and f.number is not null;

-- name: disable
update webhook w
set disabled_at = $3, disabled_reason = f.reason
from unnest($1::uuid[], $2::text[]) as f (id, reason)
where w.id = f.id and w.disabled_at is null
returning w.id;

-- name: lock_swept
-- all of them before anything of theirs, and in order, as other servers do: else two could wait for each other.
-- What an owner has changed in the meantime is as it is now
select w.id, w.disabled_at is not null as disabled from webhook w
where w.former_until <= $1
   or (w.disabled_at is not null and exists (select from webhook_lane l where l.webhook_id = w.id))
order by w.id
for no key update of w;

-- name: forget_secrets
update webhook set former_secret = null, former_until = null where former_until <= $1;

-- name: purge
-- by age and not by end, which is a day later at most: numbers are given in order, and no index is kept for it
with oldest as (
    select number, created_at from webhook_delivery where state <> 'PENDING' order by number limit $2
), gone as (
    delete from webhook_delivery d
    using oldest o
    where d.number = o.number and o.created_at < $1
    returning 1
)
select count(*) from gone;
