-- name: sessions
select state, count(*) as number
from session
where state in ('REQUESTED', 'ASSIGNED', 'LIVE')
group by state;

-- name: settlements
select state, count(*) as number, extract(epoch from $1 - min(created_at))::double precision as oldest_s
from settlement
where state <> 'CONFIRMED'
group by state;

-- name: waiting
select waits_for, count(*) as number from settlement where waits_for is not null group by waits_for;

-- name: webhooks
-- numbers are given in order, and what is pending lies behind the heads of the lanes
select pending.number,
    (select extract(epoch from $1 - created_at)::double precision from webhook_delivery
     where number = pending.first) as oldest_s
from (
    select count(*) as number, min(d.number) as first
    from webhook_lane l
    join webhook_delivery d on d.webhook_id = l.webhook_id and d.lane = l.lane and d.number >= l.head
    where d.state = 'PENDING'
) pending;
