"""Endpoints of pricing and the map of demand (api-contract §6.1, §6.6)."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import Scope
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.kernel.geo import Point
from luxxon_core.pricing.schemas import DemandCell, PriceQuote, QuoteQuery
from luxxon_core.pricing.usecases import DemandMap, Pricing


def operations(pricing: Pricing, demand: DemandMap) -> list[Operation]:
    async def quote(call: Call[None, QuoteQuery]) -> PriceQuote:
        asked = call.query
        point = Point(asked.lat, asked.lng)
        return PriceQuote.of(await pricing.quote(call.acting, point, int(asked.duration_seconds), call.now))

    async def cells(call: Call[None]) -> list[DemandCell]:
        return [DemandCell.of(cell) for cell in await demand.cells(call.now)]

    return [
        Operation(
            method="GET",
            path="/pricing/quote",
            handler=quote,
            access=Access.WORKSPACE,
            out=PriceQuote,
            tag="Pricing",
            summary="Lock a price for one session",
            query=QuoteQuery,
            subject="quote",
            scopes=(Scope.PRICING_READ,),
            errors=(InvalidInput,),
        ),
        Operation(
            method="GET",
            path="/demand",
            handler=cells,
            access=Access.PUBLIC,
            out=list[DemandCell],
            tag="Coverage",
            summary="Requests of the last 30 days by cell",
        ),
    ]
