"""Rates, quotes and the map of demand (api-contract §5.3, §5.8, §12): integer µUSDC per second, factors in
basis points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.kernel.errors import InvalidInput, QuoteExpired, QuoteNotFound
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.money import BPS

DEFAULT_BASE_RATE = 1000
"""µUSDC per second: 0.06 USDC a minute."""
SUPPLY_BPS = (7_000, 30_000)
DEMAND_BPS = (10_000, 30_000)
SUPPLY_ENOUGH = -(-BPS // SUPPLY_BPS[0])
"""From so many active operators on the supply factor stands at its floor: more need not be counted."""
QUOTE_POINT_DEGREES = 1e-4
"""How far from its point a quote still holds: about 11 m."""
CELL_DEGREES = 0.045
"""Side of a cell of the demand map: about 5 km."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Multipliers in basis points; 10 000 is 1.0. During early access all three are 1.0."""

    supply_bps: int = BPS
    demand_bps: int = BPS
    corridor_bps: int = BPS


@dataclass(frozen=True, slots=True)
class Supply:
    """Who is around a point: operators whose circle holds it, and open sessions near it."""

    active: int
    """ONLINE or BUSY; exact below :data:`SUPPLY_ENOUGH`."""
    available: int
    """ONLINE."""
    open: int
    """REQUESTED, ASSIGNED or LIVE."""


@dataclass(frozen=True, slots=True)
class Corridor:
    """A zone for which the platform sets a multiplier."""

    name: str
    area: Circle
    multiplier_bps: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """The deployment's pricing. Not ``live`` is early access: every factor is 1.0.

    Args:
        corridor_max_bps: no corridor multiplies by more than this.
        open_radius_m: how far from a point open sessions raise its demand.
        quote_ttl_s: how long a quote can be used.
    """

    base_rate_uusdc: int = DEFAULT_BASE_RATE
    live: bool = False
    corridors: tuple[Corridor, ...] = ()
    corridor_max_bps: int = 30_000
    open_radius_m: float = 5_000.0
    quote_ttl_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Price:
    """What a second costs at a point, and why."""

    base_uusdc: int
    factors: Factors

    @property
    def rate_uusdc(self) -> int:
        return rate(self.base_uusdc, self.factors)


@dataclass(frozen=True, slots=True)
class Quote:
    """A price that is kept for one session of a workspace."""

    id: UUID
    workspace_id: UUID
    point: Point
    duration_s: int
    price: Price
    created_at: datetime
    expires_at: datetime
    used_by_session: UUID | None = None

    @property
    def estimated_total_uusdc(self) -> int:
        return self.price.rate_uusdc * self.duration_s


@dataclass(frozen=True, slots=True)
class DemandCell:
    """Requests in one cell of the demand map; ``unmet`` of them were never fulfilled."""

    center: Point
    requests: int
    unmet: int


def rate(base: int, factors: Factors) -> int:
    """µUSDC per second, rounded down, at least 1."""
    scaled = base * factors.supply_bps * factors.demand_bps * factors.corridor_bps
    return max(1, scaled // BPS**3)


def supply_bps(active: int) -> int:
    """1 / active operators, 0.7 … 3.0; 3.0 where there is none."""
    low, high = SUPPLY_BPS
    return high if active == 0 else min(max(BPS // active, low), high)


def demand_bps(open_sessions: int, available: int) -> int:
    """1 + open sessions / available operators, 1.0 … 3.0; without operators 1.0 if nobody asks, else 3.0."""
    low, high = DEMAND_BPS
    if available == 0:
        return high if open_sessions else low
    return min(max(BPS + BPS * open_sessions // available, low), high)


def corridor_bps(point: Point, corridors: Iterable[Corridor], maximum_bps: int) -> int:
    """The largest multiplier of the corridors that hold ``point``, at most the maximum; outside all 1.0."""
    found = [one.multiplier_bps for one in corridors if one.area.contains(point)]
    return min(max(found), maximum_bps) if found else BPS


def factors(tariff: Tariff, point: Point, around: Supply) -> Factors:
    """The factors at ``point`` with those operators and sessions around it."""
    return Factors(
        supply_bps(around.active),
        demand_bps(around.open, around.available),
        corridor_bps(point, tariff.corridors, tariff.corridor_max_bps),
    )


def new_quote(
    quote_id: UUID,
    workspace_id: UUID,
    point: Point,
    duration_s: int,
    price: Price,
    tariff: Tariff,
    now: datetime,
) -> Quote:
    """A quote that can be used from ``now`` on for the tariff's time."""
    expires_at = now + timedelta(seconds=tariff.quote_ttl_s)
    return Quote(quote_id, workspace_id, point, duration_s, price, now, expires_at)


def check_quote(quote: Quote | None, workspace_id: UUID, point: Point, now: datetime) -> Quote:
    """The quote, if this workspace may use it for this point now. The duration does not matter.

    Raises:
        QuoteNotFound: ``quote:id``: there is none, or it is another workspace's.
        InvalidInput: ``quote:point``: it was made for another place.
        QuoteExpired: ``quote:consumed`` or ``quote:expired``.
    """
    if quote is None or quote.workspace_id != workspace_id:
        raise QuoteNotFound("quote:id")
    if not _near(quote.point, point):
        raise InvalidInput("quote:point")
    if quote.used_by_session is not None:
        raise QuoteExpired("quote:consumed")
    if now >= quote.expires_at:
        raise QuoteExpired("quote:expired")
    return quote


def _near(a: Point, b: Point) -> bool:
    """Within :data:`QUOTE_POINT_DEGREES` in each direction, across the antimeridian too."""
    lng = abs(a.lng - b.lng)
    limit = QUOTE_POINT_DEGREES + 1e-12  # 4.3525 and 4.3526 differ by a little more than 1e-4 in binary
    return abs(a.lat - b.lat) <= limit and min(lng, 360 - lng) <= limit


def cell_center(row: int, column: int) -> Point:
    """The middle of the cell whose south-west corner lies at ``row`` and ``column`` times 0.045°."""
    return Point(round((row + 0.5) * CELL_DEGREES, 4), round((column + 0.5) * CELL_DEGREES, 4))
