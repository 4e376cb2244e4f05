-- name: lock
select pg_try_advisory_xact_lock(hashtextextended('watcher ' || $1, 0));

-- name: cursor
select block_number, updated_at from chain_cursor where contract = $1;

-- name: move
insert into chain_cursor (contract, block_number, updated_at) values ($1, $2, $3)
on conflict (contract) do update set block_number = excluded.block_number, updated_at = excluded.updated_at;

-- name: remembered
select number, hash from chain_block where contract = $1 order by number desc;

-- name: remember
insert into chain_block (contract, number, hash)
select $1, number, hash from unnest($2::bigint[], $3::text[]) as given (number, hash)
on conflict (contract, number) do update set hash = excluded.hash;

-- name: forget
delete from chain_block
where contract = $1 and number < (
    select min(number)
    from (select number from chain_block where contract = $1 order by number desc limit $2) newest
);

-- name: add
insert into chain_event
    (id, contract, wallet_address, kind, tx_hash, log_index, block_number, confirmed_at, amount_uusdc,
     pool_change_uusdc, related_session)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict do nothing;

-- name: rows
select * from chain_event where contract = $1 order by block_number, log_index, wallet_address;

-- name: wallets_after
select distinct wallet_address from chain_event where contract = $1 and block_number > $2;

-- name: rewind_events
delete from chain_event where contract = $1 and block_number > $2;

-- name: rewind_blocks
delete from chain_block where contract = $1 and number > $2;

-- name: clear_pools
delete from chain_pool where contract = $1;

-- name: clear_cursor
delete from chain_cursor where contract = $1;

-- name: balances
select given.wallet, coalesce(sum(e.pool_change_uusdc), 0)::numeric as balance
from unnest($2::text[]) as given (wallet)
left join chain_event e on e.contract = $1 and e.wallet_address = given.wallet
group by given.wallet;

-- name: set_pools
insert into chain_pool (contract, wallet_address, balance_uusdc, block_number, updated_at)
select $1, wallet, balance, $4, $5 from unnest($2::text[], $3::numeric[]) as given (wallet, balance)
on conflict (contract, wallet_address) do update
set balance_uusdc = excluded.balance_uusdc, block_number = excluded.block_number,
    updated_at = excluded.updated_at;

-- name: pools
select wallet_address, balance_uusdc from chain_pool where contract = $1;

-- name: pool
select balance_uusdc, block_number from chain_pool where contract = $1 and wallet_address = $2;

-- name: place
select block_number, log_index from chain_event where id = $1 and contract = $2 and wallet_address = $3;

-- name: page
select * from chain_event
where wallet_address = $2 and contract = $1 and (block_number, log_index) < ($3, $4)
order by block_number desc, log_index desc
limit $5;
