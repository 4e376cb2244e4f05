"""What pricing needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.pricing.domain import DemandCell, Quote, Supply


class Market(Protocol):
    """Supply and demand as they are."""

    async def around(self, tx: Tx, point: Point, open_radius_m: float) -> Supply:
        """Operators whose circle holds ``point``, and sessions open within ``open_radius_m`` of it."""
        ...

    async def cells(self, tx: Tx, since: datetime, limit: int) -> list[DemandCell]:
        """Sessions created from ``since`` on by cell of the demand map, busiest first."""
        ...


class Quotes(Protocol):
    """Quotes that were given."""

    async def add(self, tx: Tx, quote: Quote) -> None: ...

    async def get(self, tx: Tx, quote_id: UUID) -> Quote | None: ...

    async def consume(self, tx: Tx, quote_id: UUID, session_id: UUID, now: datetime) -> bool:
        """Compare and swap: mark the quote as used by the session if nobody used it and it holds at ``now``.

        Waits for another transaction that is consuming it.
        """
        ...

    async def purge(self, tx: Tx, unused_before: datetime, used_before: datetime) -> int:
        """Delete quotes that expired before these moments; how many."""
        ...
