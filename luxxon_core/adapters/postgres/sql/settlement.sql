-- name: add
insert into settlement
    (session_id, state, consumer_wallet, operator_wallet, rate_uusdc, chargeable_seconds, to_amount_uusdc,
     fee_amount_uusdc, created_at, next_attempt_at, confirmed_at, final_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (session_id) do nothing
returning session_id;

-- name: get
select * from settlement where session_id = $1;

-- name: lock
select * from settlement where session_id = $1 for update;

-- name: many
select * from settlement where session_id = any ($1::uuid[]);

-- name: unfinished
select * from settlement
where state <> 'CONFIRMED' and (waits_for = 'OPERATOR' or not $1)
order by created_at, session_id
limit $2;

-- name: wake
update settlement s
set next_attempt_at = $1
where s.session_id in (
    select w.session_id
    from settlement w
    where w.waits_for = 'DEPOSIT' and w.next_attempt_at > $1 and exists (
        select from chain_pool p
        where p.contract = $2 and p.wallet_address = w.consumer_wallet and p.block_number > w.short_at_block
          and p.balance_uusdc >= w.to_amount_uusdc + w.fee_amount_uusdc
    )
    for update of w skip locked
);

-- name: claim
select * from settlement
where state = 'PENDING' and waits_for is distinct from 'OPERATOR' and next_attempt_at <= $1
order by next_attempt_at
limit $2
for update skip locked;

-- name: claim_transactions
select * from settlement_tx
where chain_id = $1 and closed_at is null and next_look_at <= $2
order by signer, nonce, id
limit $3
for update skip locked;

-- name: transaction
select * from settlement_tx where id = $1;

-- name: versions
select * from settlement_tx_version where tx_id = any ($1::bigint[]) order by tx_id, number;

-- name: paid_by
select * from settlement where tx_id = any ($1::bigint[]) order by session_id;

-- name: lock_signer
select pg_advisory_xact_lock(hashtextextended('luxxon.nonce.' || $1::bigint || lower($2::text), 0));

-- name: free_nonces
select nonce
from generate_series(
    greatest($3::bigint, coalesce((
        select max(nonce) + 1 from settlement_tx
        where chain_id = $1 and signer = $2 and closed_at is not null
    ), 0)),
    greatest($3::bigint, coalesce((
        select max(nonce) + 1 from settlement_tx where chain_id = $1 and signer = $2
    ), 0)) + $4
) as candidate (nonce)
where not exists (
    select from settlement_tx t where t.chain_id = $1 and t.signer = $2 and t.nonce = candidate.nonce
)
order by nonce
limit $4;

-- name: open_transactions
insert into settlement_tx (chain_id, signer, nonce, created_at, signed_at, waiting_since, next_look_at)
select $1, $2, nonce, $4, $4, $4, $5
from unnest($3::bigint[]) with ordinality as given (nonce, place)
order by place
returning id;

-- name: first_versions
insert into settlement_tx_version (tx_id, number, tx_hash, raw, max_fee, priority_fee, cancels)
select tx_id, 0, tx_hash, raw, max_fee, priority_fee, cancels
from unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[])
    as given (tx_id, tx_hash, raw, max_fee, priority_fee, cancels);

-- name: add_version
with signed as (
    update settlement_tx set signed_at = $2, waiting_since = $2 where id = $1 returning id
)
insert into settlement_tx_version (tx_id, number, tx_hash, raw, max_fee, priority_fee, cancels)
select id, (select max(number) + 1 from settlement_tx_version where tx_id = $1), $3, $4, $5, $6, $7
from signed;

-- name: looked
update settlement_tx t
set next_look_at = given.next_at, waiting_since = given.waiting_since
from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as given (id, next_at, waiting_since)
where t.id = given.id;

-- name: look_now
update settlement_tx set next_look_at = $2 where id = $1 and closed_at is null;

-- name: close
with closed as (
    update settlement_tx set closed_at = $2 where id = any ($1::bigint[]) returning id
)
update settlement_tx_version set raw = null where tx_id in (select id from closed);

-- name: save
-- $1 has all sessions, one group after the other; each group has its first and its last place in it
with given as (
    select unnest(($1::uuid[])[first:last]) as session_id, g.*
    from unnest(
        $2::integer[], $3::integer[], $4::text[], $5::integer[], $6::timestamptz[], $7::text[], $8::text[],
        $9::bigint[], $10::bigint[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::bigint[],
        $15::timestamptz[]
    ) as g (
        first, last, state, attempts, next_attempt_at, last_error, waits_for,
        short_at_block, tx_id, tx_hash, submitted_at, confirmed_at, block_number,
        final_at
    )
), changed as materialized (  -- with what the statement found, not what it leaves
    select g.*, s.state as former_state, s.tx_hash as former_hash, s.waits_for as former_wait
    from given g join settlement s on s.session_id = g.session_id
)
update settlement s
set state = c.state, attempts = c.attempts, next_attempt_at = c.next_attempt_at,
    last_error = c.last_error, waits_for = c.waits_for, short_at_block = c.short_at_block,
    tx_id = c.tx_id, tx_hash = c.tx_hash, submitted_at = c.submitted_at,
    confirmed_at = c.confirmed_at, block_number = c.block_number, final_at = c.final_at
from changed c
where s.session_id = c.session_id
returning s.session_id, c.former_state, c.former_hash, c.former_wait;

-- name: next_due
select min(at) from (
    select min(next_attempt_at) as at from settlement
    where state = 'PENDING' and waits_for is distinct from 'OPERATOR'
    union all
    select min(next_look_at) from settlement_tx where closed_at is null
) due;
