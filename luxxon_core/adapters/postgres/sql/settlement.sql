-- name: add
insert into settlement
    (session_id, state, consumer_wallet, operator_wallet, rate_uusdc, chargeable_seconds, to_amount_uusdc,
     fee_amount_uusdc, created_at, next_attempt_at, confirmed_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (session_id) do nothing
returning session_id;

-- name: get
select * from settlement where session_id = $1;

-- name: claim
select * from settlement
where state <> 'CONFIRMED' and next_attempt_at <= $1
order by next_attempt_at, session_id
limit 1
for update skip locked;

-- name: lock_signer
select pg_advisory_xact_lock(hashtextextended('luxxon.nonce.' || lower($1::text), 0));

-- name: next_nonce
select greatest($2::bigint, coalesce(max(nonce) + 1, 0))
from settlement
where signer = $1 and state = 'SUBMITTED';

-- name: save
update settlement
set state = $2, signer = $3, nonce = $4, raw_tx = $5, tx_hash = $6, attempts = $7, next_attempt_at = $8,
    last_error = $9, submitted_at = $10, confirmed_at = $11, block_number = $12
where session_id = $1;

-- name: next_due
select min(next_attempt_at) from settlement where state <> 'CONFIRMED';
