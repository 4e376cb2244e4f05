"""Supply, demand and quotes in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from luxxon_core.adapters.postgres.database import connection, statements
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.uow import Tx
from luxxon_core.pricing.domain import (
    CELL_DEGREES,
    SUPPLY_ENOUGH,
    DemandCell,
    Factors,
    Price,
    Quote,
    Supply,
    cell_center,
)

SQL = statements("pricing")


class PgMarket:
    """Implements :class:`~luxxon_core.pricing.ports.Market`."""

    async def around(self, tx: Tx, point: Point, open_radius_m: float) -> Supply:
        row = await connection(tx).fetchrow(SQL["around"], point.lat, point.lng, open_radius_m, SUPPLY_ENOUGH)
        return Supply(row["available"] + row["busy"], row["available"], row["open"])

    async def cells(self, tx: Tx, since: datetime, limit: int) -> list[DemandCell]:
        rows = await connection(tx).fetch(SQL["cells"], since, CELL_DEGREES, limit)
        return [DemandCell(cell_center(row["r"], row["c"]), row["requests"], row["unmet"]) for row in rows]


class PgQuotes:
    """Implements :class:`~luxxon_core.pricing.ports.Quotes`."""

    async def add(self, tx: Tx, quote: Quote) -> None:
        price = quote.price
        await connection(tx).execute(
            SQL["add"],
            quote.id,
            quote.workspace_id,
            quote.point.lat,
            quote.point.lng,
            quote.duration_s,
            price.base_uusdc,
            price.factors.supply_bps,
            price.factors.demand_bps,
            price.factors.corridor_bps,
            price.rate_uusdc,
            quote.created_at,
            quote.expires_at,
        )

    async def get(self, tx: Tx, quote_id: UUID) -> Quote | None:
        row = await connection(tx).fetchrow(SQL["get"], quote_id)
        return None if row is None else _quote(row)

    async def consume(self, tx: Tx, quote_id: UUID, session_id: UUID, now: datetime) -> bool:
        return await connection(tx).fetchval(SQL["consume"], quote_id, session_id, now) is not None

    async def purge(self, tx: Tx, unused_before: datetime, used_before: datetime) -> int:
        return int(await connection(tx).fetchval(SQL["purge"], unused_before, used_before))


def _quote(row: Mapping[str, Any]) -> Quote:
    factors = Factors(row["supply_bps"], row["demand_bps"], row["corridor_bps"])
    return Quote(
        id=row["id"],
        workspace_id=row["workspace_id"],
        point=Point(row["lat"], row["lng"]),
        duration_s=row["duration_s"],
        price=Price(row["base_rate_uusdc"], factors),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        used_by_session=row["used_by_session"],
    )
