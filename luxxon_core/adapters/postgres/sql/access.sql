-- name: add_challenge
insert into challenge (nonce, wallet_address, purpose, message, expires_at) values ($1, $2, $3, $4, $5);

-- name: use_challenge
update challenge set used_at = $4
where nonce = $1 and wallet_address = $2 and purpose = $3 and used_at is null and expires_at > $4
returning nonce, wallet_address, purpose, message, expires_at;

-- name: restore_challenge
update challenge set used_at = null where nonce = $1;

-- name: purge_challenges
with gone as (delete from challenge where expires_at < $1 returning 1) select count(*) from gone;

-- name: add_key
insert into api_key
    (id, workspace_id, hash, prefix, label, environment, scopes, created_at, created_by_wallet,
     daily_cap_uusdc, session_cap_uusdc, areas)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb);

-- name: key_by_hash
select * from api_key where hash = $1;

-- name: keys_of_workspace
select * from api_key where workspace_id = $1 order by created_at, id;

-- name: revoke_key
update api_key
set revoked_at = coalesce(revoked_at, $3), grace_period_end = coalesce(grace_period_end, $4)
where workspace_id = $1 and id = $2
returning *;

-- name: touch_key
update api_key set last_used_at = $2 where id = $1;

-- name: lock_key
-- not "for update", so that sessions with a foreign key to it can be added meanwhile
select from api_key where id = $1 for no key update;

-- name: spent
select budget_key_id, sum(
    case when state in ('REQUESTED', 'ASSIGNED', 'LIVE', 'PAUSED') then hold_uusdc else charged_uusdc end
)::bigint as uusdc
from session
where budget_key_id = any ($1::uuid[]) and created_at >= $2 and created_at < $3
group by budget_key_id;

-- name: add_member
insert into workspace_member (workspace_id, wallet_address, role, created_at) values ($1, $2, $3, $4);

-- name: put_member
insert into workspace_member (workspace_id, wallet_address, role, created_at) values ($1, $2, $3, $4)
on conflict (workspace_id, wallet_address) do update set role = excluded.role
returning wallet_address, role, created_at;

-- name: remove_member
delete from workspace_member where workspace_id = $1 and wallet_address = $2
returning wallet_address, role, created_at;

-- name: lock_members
-- one lock instead of one for each row: rows come and go, and who waits for several of them waits in a circle
select pg_advisory_xact_lock(hashtextextended('workspace_member ' || $1::uuid, 0));

-- name: owners
select wallet_address from workspace_member where workspace_id = $1 and role = 'OWNER';

-- name: members
select wallet_address, role, created_at from workspace_member
where workspace_id = $1
order by created_at, wallet_address;

-- name: member_role
select m.role
from workspace_member m join workspace w on w.id = m.workspace_id
where m.wallet_address = $1 and m.workspace_id = $2 and w.deleted_at is null;

-- name: memberships
select w.id, w.slug, w.name, m.role
from workspace_member m join workspace w on w.id = m.workspace_id
where m.wallet_address = $1 and w.deleted_at is null
order by w.created_at, w.id;

-- name: workspace_name
select slug, name from workspace where id = $1 and deleted_at is null;
