"""What the authorization service is to hear of the member table, told in order and compared now and then.

A note says only that a wallet's membership changed: what the service is told is what the member table says by
then. So telling twice is as good as once, and nothing old undoes anything new. Whoever tells of a workspace
holds its lock meanwhile; two never speak of the same one at a time. What that leaves, such as a write that is
carried out although its time was up, the comparison finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from luxxon_core.access.ports import Relation, Relationships
from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.http.guard import Authorizer, Checked
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import AuthzError, DatabaseError
from luxxon_core.kernel.uow import Tx

SQL = statements("authorization")
log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
"""How long a request waits for the service to have heard of its change."""
TELLERS = 2
"""Requests that wait for the service at a time: each holds a connection of the pool."""
PAGE = 500


class PgOutbox:
    """Implements the access slice's ``Mirror`` with notes in ``relationship_outbox``."""

    def __init__(self, database: Database, relationships: Relationships) -> None:
        self._database = database
        self._relationships = relationships
        self._turns = asyncio.Semaphore(TELLERS)

    async def changed(self, tx: Tx, workspace_id: UUID, wallet_address: str, now: datetime) -> None:
        await connection(tx).execute(SQL["note_change"], workspace_id, wallet_address, now)

    async def flush(self, workspace_id: UUID) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._turns:
                return (await self._tell(workspace_id, wait=True))[1]
        except (AuthzError, DatabaseError, TimeoutError) as error:
            # the change itself is committed; its note stays for the worker
            cause = error.detail if isinstance(error, (AuthzError, DatabaseError)) else "authz:timeout"
            log.warning("membership is not told yet", workspace_id=str(workspace_id), cause=cause)
            return None

    async def owes(self, workspace_id: UUID, wallet_address: str) -> bool:
        """Whether the service has yet to hear of a change of this member."""
        async with self._database.read() as tx:
            return bool(await connection(tx).fetchval(SQL["owed"], workspace_id, wallet_address))

    async def apply_outbox(self, now: datetime) -> int:
        """Tell what is left of workspaces that nobody else speaks of; returns how many notes that were.

        A workspace whose relations are refused holds no other up.

        Raises:
            AuthzError: the service cannot be reached, or refused some of it.
        """
        async with self._database.read() as tx:
            waiting = [row["workspace_id"] for row in await connection(tx).fetch(SQL["waiting"], PAGE)]
        count, refused = 0, None
        for workspace_id in waiting:
            try:
                count += (await self._tell(workspace_id, wait=False))[0]
            except AuthzError as error:
                if error.detail != "authz:refused":
                    raise
                refused = error
        if refused is not None:
            raise refused
        return count

    async def reconcile(self, now: datetime, *, repair: bool = True) -> int:
        """Compare the service's relations with the member table, both ways, and tell it what differs.

        Returns how many relations differed. Without ``repair`` nothing is changed, not even a missing schema.

        Raises:
            AuthzError: the service failed; what was compared until then is repaired.
        """
        if repair:
            await self._relationships.prepare()
        count = await self._untrue(now, repair) + await self._lacking(now, repair)
        if count:
            log.warning("relations differ from the member table", count=count, repaired=repair)
        return count

    async def _untrue(self, now: datetime, repair: bool) -> int:
        """Relations held that the member table does not say."""
        count, cursor = 0, None
        while True:
            held, cursor = await self._relationships.page(cursor)
            columns = (
                [one.workspace_id for one in held],
                [one.wallet_address for one in held],
                [one.role.name if one.role is not None else None for one in held],
            )
            async with self._database.read() as tx:  # read after the service, whose news come from here
                rows = await connection(tx).fetch(SQL["untrue"], *columns)
            count += len(rows)
            if repair and rows:
                pairs = {(row["workspace_id"], row["wallet_address"]): row["known"] for row in rows}
                lost = [Relation(*pair, None) for pair, known in pairs.items() if not known]
                if lost:
                    await self._relationships.write(lost)
                await self._renew([pair for pair, known in pairs.items() if known], now)
            if cursor is None:
                return count

    async def _lacking(self, now: datetime, repair: bool) -> int:
        """Members that the service does not know as what they are."""
        count, after = 0, (UUID(int=0), "")
        while True:
            async with self._database.read() as tx:
                rows = await connection(tx).fetch(SQL["members_page"], *after, PAGE)
            if not rows:
                return count
            after = rows[-1]["workspace_id"], rows[-1]["wallet_address"]
            lacking = await self._relationships.lacking([_relation(row) for row in rows])
            count += len(lacking)
            if repair and lacking:
                await self._renew([(one.workspace_id, one.wallet_address) for one in lacking], now)

    async def _renew(self, pairs: Sequence[tuple[UUID, str]], now: datetime) -> None:
        """Tell of these as if they had just changed."""
        workspaces, wallets = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        async with self._database.begin() as tx:
            await connection(tx).execute(SQL["note_changes"], workspaces, wallets, now)
        for workspace_id in dict.fromkeys(workspaces):
            await self._tell(workspace_id, wait=True)

    async def _tell(self, workspace_id: UUID, *, wait: bool) -> tuple[int, str | None]:
        """Tell what is noted of the workspace: how many notes, and a token that covers them.

        Without ``wait``, nothing when somebody else is at it.
        """
        count = 0
        async with self._database.begin() as tx:
            held = connection(tx)
            if wait:
                await held.execute(SQL["lock_outbox"], workspace_id)
            elif not await held.fetchval(SQL["try_lock_outbox"], workspace_id):
                return 0, None
            while True:
                rows = await held.fetch(SQL["noted"], workspace_id, PAGE)
                if not rows and not wait:
                    return count, None
                now_is = {row["wallet_address"].lower(): row["role"] for row in rows}
                relations = [
                    Relation(workspace_id, wallet, MemberRole[role] if role is not None else None)
                    for wallet, role in now_is.items()
                ]
                token = await self._relationships.write(relations)
                await held.execute(SQL["told"], [row["id"] for row in rows])
                count += len(rows)
                if len(rows) < PAGE:
                    return count, token


class Told:
    """Implements the guard's ``Authorizer``: who is refused is, once the service has heard of every change of
    that member. A busy service hears of a new workspace after its maker has been answered, and would send the
    maker away."""

    def __init__(self, authorizer: Authorizer, outbox: PgOutbox) -> None:
        self._authorizer, self._outbox = authorizer, outbox

    async def check(
        self, wallet_address: str, workspace_id: UUID, permission: Permission, token: str | None
    ) -> Checked:
        """Raises AuthzError also where the service cannot be told now."""
        checked = await self._authorizer.check(wallet_address, workspace_id, permission, token)
        if checked.allowed or not await self._outbox.owes(workspace_id, wallet_address):
            return checked
        if await self._outbox.flush(workspace_id) is None:
            raise AuthzError("authz:behind")
        return await self._authorizer.check(wallet_address, workspace_id, permission, None)


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation(row["workspace_id"], row["wallet_address"], MemberRole[row["role"]])
