"""Prices, quotes and the map of demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.kernel.errors import QuoteExpired
from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork
from luxxon_core.pricing import domain
from luxxon_core.pricing.domain import DemandCell, Factors, Price, Quote, Tariff
from luxxon_core.pricing.ports import Market, Quotes

UNUSED_KEPT = timedelta(hours=1)
USED_KEPT = timedelta(days=1)
DEMAND_SPAN = timedelta(days=30)
DEMAND_CELLS = 10_000


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a second costs, and quotes of it."""

    uow: UnitOfWork
    market: Market
    quotes: Quotes
    new_id: NewId
    tariff: Tariff

    async def price(self, point: Point) -> Price:
        """The spot price at ``point`` now; in early access nothing is counted for it."""
        if not self.tariff.live:
            return Price(self.tariff.base_rate_uusdc, Factors())
        async with self.uow.read() as tx:
            around = await self.market.around(tx, point, self.tariff.open_radius_m)
        return Price(self.tariff.base_rate_uusdc, domain.factors(self.tariff, point, around))

    async def quote(self, workspace_id: UUID, point: Point, duration_s: int, now: datetime) -> Quote:
        """A price that is kept for one session of the workspace at ``point``."""
        price = await self.price(point)
        quote = domain.new_quote(self.new_id(), workspace_id, point, duration_s, price, self.tariff, now)
        async with self.uow.begin() as tx:
            await self.quotes.add(tx, quote)
        return quote

    async def quoted(self, quote_id: UUID, workspace_id: UUID, point: Point, now: datetime) -> Price:
        """The price of a quote that the workspace may use for ``point`` now.

        Raises:
            QuoteNotFound, InvalidInput, QuoteExpired: see :func:`~luxxon_core.pricing.domain.check_quote`.
        """
        async with self.uow.read() as tx:
            found = await self.quotes.get(tx, quote_id)
        return domain.check_quote(found, workspace_id, point, now).price

    async def consume(self, tx: Tx, quote_id: UUID, session_id: UUID, now: datetime) -> None:
        """Use a quote that :meth:`quoted` answered with for a session, in the transaction that adds it.

        Raises:
            QuoteExpired: ``quote:consumed``: another session was first.
        """
        if not await self.quotes.consume(tx, quote_id, session_id, now):
            raise QuoteExpired("quote:consumed")

    async def purge(self, now: datetime) -> int:
        """Delete quotes that nobody will ask for again; how many."""
        async with self.uow.begin() as tx:
            return await self.quotes.purge(tx, now - UNUSED_KEPT, now - USED_KEPT)


class DemandMap:
    """Where video was asked for in the last 30 days; counted once in ``kept``, however many ask."""

    def __init__(self, uow: UnitOfWork, market: Market, kept: timedelta = timedelta(seconds=10)) -> None:
        self._uow = uow
        self._market = market
        self._kept = kept
        self._counting = asyncio.Lock()
        self._cells: list[DemandCell] = []
        self._until: datetime | None = None

    async def cells(self, now: datetime) -> list[DemandCell]:
        """The busiest 10 000 cells, busiest first."""
        async with self._counting:
            if self._until is None or now >= self._until:
                async with self._uow.read() as tx:
                    self._cells = await self._market.cells(tx, now - DEMAND_SPAN, DEMAND_CELLS)
                self._until = now + self._kept
            return self._cells
