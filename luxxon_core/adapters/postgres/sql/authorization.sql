-- Wallets are compared in lower case: that is how the authorization service knows them.

-- name: permitted
select exists (
    select from workspace_member m join workspace w on w.id = m.workspace_id
    where m.workspace_id = $1 and lower(m.wallet_address) = lower($2) and m.role = any($3::text[])
        and w.deleted_at is null
) as allowed, pg_snapshot_xmax(pg_current_snapshot())::text as revision;

-- name: revision
select pg_snapshot_xmax(pg_current_snapshot())::text;

-- name: note_change
insert into relationship_outbox (workspace_id, wallet_address, created_at) values ($1, $2, $3);

-- name: note_changes
insert into relationship_outbox (workspace_id, wallet_address, created_at)
select w.id, r.wallet_address, $3
from unnest($1::uuid[], $2::text[]) as r (workspace_id, wallet_address)
join workspace w on w.id = r.workspace_id;

-- name: waiting
select workspace_id from relationship_outbox group by workspace_id order by min(id) limit $1;

-- name: lock_outbox
select pg_advisory_xact_lock(hashtextextended('relationship_outbox ' || $1::uuid, 0));

-- name: try_lock_outbox
select pg_try_advisory_xact_lock(hashtextextended('relationship_outbox ' || $1::uuid, 0));

-- name: noted
-- what the wallets are now, whatever they were when it was noted
select o.id, o.wallet_address, m.role
from relationship_outbox o
join workspace w on w.id = o.workspace_id
left join workspace_member m on m.workspace_id = o.workspace_id
    and lower(m.wallet_address) = lower(o.wallet_address) and w.deleted_at is null
where o.workspace_id = $1
order by o.id
limit $2;

-- name: owed
select exists (
    select from relationship_outbox where workspace_id = $1 and lower(wallet_address) = lower($2)
);

-- name: told
delete from relationship_outbox where id = any($1::bigint[]);

-- name: untrue
-- relations that the member table does not say; "known": of a workspace that exists
select r.workspace_id, r.wallet_address, w.id is not null as known
from unnest($1::uuid[], $2::text[], $3::text[]) as r (workspace_id, wallet_address, role)
left join workspace w on w.id = r.workspace_id
left join workspace_member m on m.workspace_id = w.id
    and lower(m.wallet_address) = r.wallet_address and w.deleted_at is null
where m.role is distinct from r.role;

-- name: members_page
select m.workspace_id, m.wallet_address, m.role
from workspace_member m join workspace w on w.id = m.workspace_id
where w.deleted_at is null and (m.workspace_id, m.wallet_address) > ($1::uuid, $2::text)
order by m.workspace_id, m.wallet_address
limit $3;
