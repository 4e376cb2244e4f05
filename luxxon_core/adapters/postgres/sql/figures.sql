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
