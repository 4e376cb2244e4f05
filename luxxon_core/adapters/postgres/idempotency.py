"""Leases and answers of idempotent requests in SQL."""

from __future__ import annotations

from datetime import datetime

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.http.idempotency import Claim, Held, Lease
from luxxon_core.kernel.uow import Tx

SQL = statements("idempotency")


class PgAnswers:
    """Implements :class:`~luxxon_core.http.idempotency.Answers`."""

    async def claim(
        self, tx: Tx, claim: Claim, now: datetime, until: datetime, expires_at: datetime
    ) -> Lease | None:
        row = await connection(tx).fetchrow(
            SQL["claim"], claim.caller, claim.key_hash, claim.fingerprint, now, until, expires_at
        )
        return Lease(row["created_at"], row["lease_until"]) if row is not None else None

    async def find(self, tx: Tx, claim: Claim, now: datetime) -> Held | None:
        row = await connection(tx).fetchrow(SQL["find"], claim.caller, claim.key_hash, now)
        return Held(row["fingerprint"], row["answer"], row["lease_until"]) if row is not None else None

    async def renew(self, tx: Tx, claim: Claim, lease: Lease, until: datetime) -> bool:
        found = await connection(tx).fetchval(SQL["renew"], claim.caller, claim.key_hash, lease.until, until)
        return found is not None

    async def finish(self, tx: Tx, claim: Claim, lease: Lease, answer: bytes) -> bool:
        found = await connection(tx).fetchval(
            SQL["finish"], claim.caller, claim.key_hash, lease.until, answer
        )
        return found is not None

    async def purge(self, tx: Tx, now: datetime, limit: int) -> int:
        return int(await connection(tx).fetchval(SQL["purge"], now, limit))
