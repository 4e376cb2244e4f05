"""Create, read and change workspaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.access.domain import Purpose
from luxxon_core.access.usecases import Access, Memberships
from luxxon_core.kernel.errors import Conflict, WorkspaceNotFound
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import UnitOfWork
from luxxon_core.workspaces.domain import Patch, Workspace, new_workspace, patched
from luxxon_core.workspaces.ports import Workspaces


@dataclass(frozen=True, slots=True)
class WorkspaceCases:
    """Tenants as their members see and change them."""

    uow: UnitOfWork
    workspaces: Workspaces
    access: Access
    memberships: Memberships
    new_id: NewId

    async def create(
        self,
        *,
        slug: str,
        name: str,
        wallet_address: str,
        signature: str,
        nonce: str,
        roles: list[str],
        now: datetime,
    ) -> tuple[Workspace, str | None]:
        """Create a workspace whose owner is the wallet that signed the challenge.

        Returns it and a consistency token; None while the authorization service cannot be told of the owner.

        Raises:
            InvalidInput, NotAuthenticated; Conflict ``workspace:slugTaken``.
        """
        workspace = new_workspace(
            workspace_id=self.new_id(),
            slug=slug,
            name=name,
            wallet_address=self.access.wallets.checksum(wallet_address),
            roles=roles,
            now=now,
        )
        await self.access.prove(wallet_address, nonce, signature, Purpose.WORKSPACE, now)
        async with self.uow.begin() as tx:
            if not await self.workspaces.add(tx, workspace):
                raise Conflict("workspace:slugTaken")
            await self.memberships.add_owner(tx, workspace.id, workspace.wallet_address, now)
        return workspace, await self.memberships.mirror.flush(workspace.id)

    async def get(self, workspace_id: UUID) -> Workspace:
        async with self.uow.read() as tx:
            workspace = await self.workspaces.get(tx, workspace_id)
        if workspace is None:
            raise WorkspaceNotFound
        return workspace

    async def of_wallet(self, wallet_address: str) -> list[tuple[Workspace, str]]:
        async with self.uow.read() as tx:
            return await self.workspaces.of_wallet(tx, wallet_address)

    async def update(self, workspace_id: UUID, patch: Patch, now: datetime) -> Workspace:
        async with self.uow.begin() as tx:
            workspace = await self.workspaces.get(tx, workspace_id, lock=True)
            if workspace is None:
                raise WorkspaceNotFound
            after = patched(workspace, patch, now)
            await self.workspaces.save(tx, after)
        return after

    async def coverage(self) -> list[Workspace]:
        async with self.uow.read() as tx:
            return await self.workspaces.covering(tx)
