-- name: claim
insert into idempotency as i (caller, key_hash, fingerprint, created_at, lease_until, expires_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (caller, key_hash) do update
set fingerprint = excluded.fingerprint,
    answer = null,
    created_at = case when i.expires_at <= $4 then excluded.created_at else i.created_at end,
    lease_until = excluded.lease_until,
    expires_at = case when i.expires_at <= $4 then excluded.expires_at else i.expires_at end
where i.expires_at <= $4 or (i.answer is null and i.lease_until <= $4 and i.fingerprint = $3)
returning created_at, lease_until;

-- name: find
select fingerprint, answer, lease_until
from idempotency
where caller = $1 and key_hash = $2 and expires_at > $3;

-- name: renew
update idempotency set lease_until = $4
where caller = $1 and key_hash = $2 and lease_until = $3 and answer is null
returning 1;

-- name: finish
update idempotency set answer = $4
where caller = $1 and key_hash = $2 and lease_until = $3 and answer is null
returning 1;

-- name: purge
with old as (
    select caller, key_hash from idempotency where expires_at <= $1
    order by expires_at limit $2
    for update skip locked
), gone as (
    delete from idempotency i using old
    where i.caller = old.caller and i.key_hash = old.key_hash
    returning 1
)
select count(*) from gone;
