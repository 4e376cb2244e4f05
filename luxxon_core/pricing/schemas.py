"""Wire types of pricing (api-contract §5.3, §5.8)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from luxxon_core.kernel.money import BPS
from luxxon_core.kernel.wire import Latitude, Longitude, MicroUsdc, Timestamp, Uuid
from luxxon_core.pricing import domain

Duration = Annotated[float, Meta(ge=1, le=86_400, multiple_of=1, description="whole seconds")]


class QuoteQuery(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    lat: Latitude
    lng: Longitude
    duration_seconds: Duration
    workspace_id: Uuid | None = None


class PriceQuote(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``estimatedTotalMicroUsdc`` is the rate × the duration asked for; factors are 1.0 for "as it is"."""

    quote_id: Uuid
    rate_per_second_micro_usdc: MicroUsdc
    estimated_total_micro_usdc: MicroUsdc
    supply_factor: float
    demand_factor: float
    corridor_multiplier: float
    base_rate_per_second_micro_usdc: MicroUsdc
    expires_at: Timestamp

    @classmethod
    def of(cls, quote: domain.Quote) -> PriceQuote:
        price = quote.price
        return cls(
            quote_id=str(quote.id),
            rate_per_second_micro_usdc=str(price.rate_uusdc),
            estimated_total_micro_usdc=str(quote.estimated_total_uusdc),
            supply_factor=price.factors.supply_bps / BPS,
            demand_factor=price.factors.demand_bps / BPS,
            corridor_multiplier=price.factors.corridor_bps / BPS,
            base_rate_per_second_micro_usdc=str(price.base_uusdc),
            expires_at=Timestamp.of(quote.expires_at),
        )


class DemandCell(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Requests by cell of 0.045°, whose middle is given. None names a highest price yet: no average."""

    lat: float
    lng: float
    requests: int
    unmet: int
    avg_max_price_micro_usdc: float | None = None

    @classmethod
    def of(cls, cell: domain.DemandCell) -> DemandCell:
        return cls(lat=cell.center.lat, lng=cell.center.lng, requests=cell.requests, unmet=cell.unmet)
