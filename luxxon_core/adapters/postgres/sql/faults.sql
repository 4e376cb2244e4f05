-- name: open_fault
with live as (
    select id, started_at from session where id = $2 and state = 'LIVE' for share
)
insert into picture_fault (id, session_id, fault, opened_at)
select $1, id, $3, greatest($4::timestamptz, started_at) from live
on conflict (session_id, fault) where closed_at is null do nothing
returning fault, opened_at, closed_at;

-- name: close_faults
update picture_fault
set closed_at = greatest($3::timestamptz, opened_at)
where session_id = $1 and ($2::text is null or fault = $2) and closed_at is null
returning fault, opened_at, closed_at;

-- name: faults
select fault, opened_at, closed_at from picture_fault where session_id = $1 order by opened_at, id;
