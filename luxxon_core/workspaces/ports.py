"""What workspaces need from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.uow import Tx
from luxxon_core.workspaces.domain import Workspace


class Workspaces(Protocol):
    """Tenants and the availability of suppliers."""

    async def add(self, tx: Tx, workspace: Workspace) -> bool:
        """Insert; False when the slug is taken."""
        ...

    async def get(self, tx: Tx, workspace_id: UUID, *, lock: bool = False) -> Workspace | None:
        """The workspace, deleted ones excepted; ``lock`` holds its row until the transaction ends."""
        ...

    async def wallet(self, tx: Tx, workspace_id: UUID) -> str:
        """The wallet of a workspace that exists, deleted or not: what is owed is owed."""
        ...

    async def of_wallet(self, tx: Tx, wallet_address: str) -> list[tuple[Workspace, str]]:
        """The workspaces the wallet is a member of, each with its role."""
        ...

    async def save(self, tx: Tx, workspace: Workspace) -> None:
        """Write name, availability, wish, circle, device kind and times of a locked workspace."""
        ...

    async def occupy(self, tx: Tx, workspace_id: UUID) -> None:
        """Make the supplier BUSY; one that was OFFLINE remembers to return there. Idempotent."""
        ...

    async def release(self, tx: Tx, workspace_id: UUID, now: datetime) -> None:
        """Leave BUSY for what was wished, unless another session still holds the supplier."""
        ...

    async def covering(self, tx: Tx) -> list[Workspace]:
        """ONLINE suppliers with a circle."""
        ...
