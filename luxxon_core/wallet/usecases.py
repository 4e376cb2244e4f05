"""Reads of the chain for the marketplace and for people."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from luxxon_core.kernel.errors import WorkspaceNotFound
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.wallet.ports import Chain, PoolBalance
from luxxon_core.workspaces.domain import Workspace
from luxxon_core.workspaces.ports import Workspaces


@dataclass(frozen=True, slots=True)
class Wallets:
    """Pool balances of workspaces; implements the sessions' port ``Pools``."""

    uow: UnitOfWork
    workspaces: Workspaces
    chain: Chain

    async def pool_of(self, wallet_address: str) -> int:
        """µUSDC in the pool, read on the chain now; implements the sessions' port ``Pools``."""
        return (await self.chain.pool(wallet_address)).amount_uusdc

    async def get(self, workspace_id: UUID) -> tuple[Workspace, PoolBalance]:
        """The workspace and the pool of its wallet.

        Raises:
            WorkspaceNotFound, ExternalError.
        """
        async with self.uow.read() as tx:
            workspace = await self.workspaces.get(tx, workspace_id)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace, await self.chain.pool(workspace.wallet_address)
