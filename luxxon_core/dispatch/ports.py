"""What dispatch needs from outside."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx


class Suppliers(Protocol):
    """Those who may be given a session."""

    async def claim(self, tx: Tx, point: Point, *, wait: bool = False) -> UUID | None:
        """Make the longest-idle ONLINE supplier whose circle holds ``point`` BUSY and return it.

        Suppliers that other transactions are claiming are passed over, or with ``wait`` waited for: one of
        those may be rolled back. None when none is left.
        """
        ...

    async def covered(self, tx: Tx, point: Point) -> bool:
        """Whether any ONLINE supplier's circle holds ``point``, claimed by others just now or not."""
        ...
