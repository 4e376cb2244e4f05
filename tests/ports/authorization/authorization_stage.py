"""Workspaces with members, and whoever answers for them: SpiceDB or the member table."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from eth_utils import to_checksum_address
from spicedb_service import TOKEN

from luxxon_core.access.ports import Mirror, Relation
from luxxon_core.access.usecases import Memberships
from luxxon_core.adapters.chain.signatures import EthereumWallets
from luxxon_core.adapters.postgres.access import PgMembers
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.outbox import PgOutbox
from luxxon_core.adapters.postgres.workspaces import PgWorkspaces
from luxxon_core.adapters.spicedb.authorization import SpiceDb
from luxxon_core.http.guard import Authorizer
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import AuthzError
from luxxon_core.kernel.ids import new_id
from luxxon_core.workspaces.domain import new_workspace

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
OWNER, ADMIN, VIEWER = MemberRole.OWNER, MemberRole.ADMIN, MemberRole.VIEWER
VIEW, OPERATE, MANAGE_KEYS, MANAGE_MEMBERS = Permission
ALLOWED = {
    OWNER: {VIEW, OPERATE, MANAGE_KEYS, MANAGE_MEMBERS},
    ADMIN: {VIEW, OPERATE, MANAGE_KEYS},
    VIEWER: {VIEW},
    None: set(),
}
QUICKLY = 2.0


def wallet() -> str:
    return str(to_checksum_address("0x" + secrets.token_hex(20)))


class Unwilling:
    """Relationships that fail when told to, and note what is written; otherwise those of the service."""

    def __init__(self, service: SpiceDb) -> None:
        self.service = service
        self.failing: AuthzError | None = None
        self.gate: asyncio.Event | None = None
        self.at_the_gate = asyncio.Event()
        self.refusing: set[UUID] = set()

    async def prepare(self) -> None:
        await self.service.prepare()

    async def write(self, relations: Sequence[Relation]) -> str:
        if self.gate is not None:
            self.at_the_gate.set()
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        if self.refusing & {one.workspace_id for one in relations}:
            raise AuthzError("authz:refused")
        return await self.service.write(relations)

    async def page(self, cursor: str | None) -> tuple[list[Relation], str | None]:
        return await self.service.page(cursor)

    async def lacking(self, relations: Sequence[Relation]) -> list[Relation]:
        return await self.service.lacking(relations)


@dataclass
class Stage:
    """Workspaces with members, and whoever answers for them."""

    database: Database
    authorizer: Authorizer
    mirror: Mirror
    memberships: Memberships = field(init=False)

    def __post_init__(self) -> None:
        self.memberships = Memberships(self.database, PgMembers(), EthereumWallets(), self.mirror)

    async def workspace(self, owner: str | None = None) -> tuple[UUID, str]:
        """A new workspace and its owner."""
        workspace_id, owner = new_id(), owner or wallet()
        made = new_workspace(
            workspace_id=workspace_id,
            slug=f"w-{workspace_id.hex[:12]}",
            name="workspace",
            wallet_address=owner,
            roles=["CONSUMER"],
            now=NOON,
        )
        async with self.database.begin() as tx:
            assert await PgWorkspaces().add(tx, made)
            await self.memberships.add_owner(tx, workspace_id, owner, NOON)
        await self.mirror.flush(workspace_id)
        return workspace_id, owner

    async def may(self, who: str, workspace_id: UUID, token: str | None = None) -> set[Permission]:
        """Everything that the wallet may do there."""
        answers = [await self.authorizer.check(who, workspace_id, one, token) for one in Permission]
        return {one for one, answer in zip(Permission, answers, strict=True) if answer.allowed}

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database.read() as tx:
            return list(await connection(tx).fetch(sql, *arguments))

    async def waiting(self) -> int:
        return int((await self.rows("select count(*) from relationship_outbox"))[0][0])


@dataclass
class SpiceStage(Stage):
    """The same with SpiceDB, whose parts can be got at."""

    spicedb: SpiceDb
    relationships: Unwilling
    outbox: PgOutbox


@asynccontextmanager
async def spice_stage(database: Database, endpoint: str) -> AsyncIterator[SpiceStage]:
    spicedb = SpiceDb(endpoint, TOKEN, plaintext=True)
    try:
        await spicedb.start()
        relationships = Unwilling(spicedb)
        outbox = PgOutbox(database, relationships)
        yield SpiceStage(database, spicedb, outbox, spicedb, relationships, outbox)
    finally:
        await spicedb.close()


async def roles(stage: Stage, workspace: UUID) -> dict[str, MemberRole]:
    return {one.wallet_address: one.role for one in await stage.memberships.of_workspace(workspace)}
