"""What links need from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Makers(Protocol):
    """Who made a link; implemented by the access slice."""

    async def vouches(self, maker: str | UUID, workspace_id: UUID, now: datetime) -> bool:
        """Whether the wallet, or the key of this id, may still act for the workspace.

        Raises:
            AuthzError: whether it may could not be found out.
        """
        ...
