"""Balances and history for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.kernel.errors import InvalidInput, WorkspaceNotFound
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.wallet.domain import Cursor, Entry, seen_by
from luxxon_core.wallet.ports import Ledger, PoolBalance, Pools
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces

PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Wallets:
    """Pool balances and chain events of workspaces."""

    uow: UnitOfWork
    workspaces: Workspaces
    pools: Pools
    ledger: Ledger

    async def pool_of(self, wallet_address: str, *, fresh: bool = False) -> PoolBalance:
        """The pool on the chain, remembered for the length of a block unless ``fresh``.

        A remembered one may lack what was mined a moment ago: nobody is refused because of it.

        Raises:
            ExternalError: the chain could not be read.
        """
        return await self.pools.pool(wallet_address, fresh=fresh)

    async def get(self, workspace_id: UUID, now: datetime) -> tuple[Workspace, int, Cursor]:
        """The workspace, the pool of its wallet in µUSDC, and how far the watcher has come.

        The pool is what the watcher noted; a wallet that it has met nothing of is read on the chain.

        Raises:
            WorkspaceNotFound, ExternalError.
        """
        async with self.uow.read() as tx:
            workspace = await self._workspace(tx, workspace_id)
            noted = await self.ledger.pool(tx, workspace.wallet_address)
            cursor = await self.ledger.cursor(tx)
        pool = noted or await self.pools.pool(workspace.wallet_address)
        return workspace, pool.amount_uusdc, cursor or Cursor(pool.block_number, now)

    async def events(self, workspace_id: UUID, cursor: UUID | None, limit: int) -> list[tuple[UUID, Entry]]:
        """What happened to the workspace's wallet, with ids, newest first, following the event ``cursor``.

        Raises:
            WorkspaceNotFound.
            InvalidInput: ``wallet:cursor``, no event of this workspace; ``wallet:limit``, below 1.
        """
        if limit < 1:
            raise InvalidInput("wallet:limit")
        after = None if cursor is None else seen_by(workspace_id, cursor)
        async with self.uow.read() as tx:
            workspace = await self._workspace(tx, workspace_id)
            page = await self.ledger.page(tx, workspace.wallet_address, after, min(limit, MAX_PAGE))
        if page is None:
            raise InvalidInput("wallet:cursor")
        return [(seen_by(workspace_id, entry_id), entry) for entry_id, entry in page]

    async def _workspace(self, tx: Tx, workspace_id: UUID) -> Workspace:
        workspace = await self.workspaces.get(tx, workspace_id)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace
