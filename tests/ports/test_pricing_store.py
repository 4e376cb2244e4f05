"""Supply, demand and quotes on the database."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from uuid import UUID

import pytest
from crowd import crowded
from marketplace import GRAND_PLACE, NOON, RATE, Marketplace, at

from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.adapters.postgres.pricing import PgMarket
from luxxon_core.kernel.errors import (
    ExternalError,
    InsufficientCredit,
    InvalidInput,
    QuoteExpired,
    QuoteNotFound,
)
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.kernel.ids import new_id
from luxxon_core.pricing.domain import Corridor, DemandCell, Factors, Supply, Tariff
from luxxon_core.pricing.usecases import DemandMap
from luxxon_core.sessions.domain import Session
from luxxon_core.workspaces.domain import Availability, Role

NEAR_BY = Point(50.8800, 4.3525)
"""3.7 km north of the Grand-Place."""
FAR_AWAY = Point(50.9000, 4.3525)
"""5.9 km north of it."""
NOWHERE = Point(-45.0, 100.0)


@pytest.fixture
def live(database: Database) -> Marketplace:
    """A marketplace in which the factors count."""
    return Marketplace(database, tariff=Tariff(RATE, live=True))


async def around(market: Marketplace, point: Point = GRAND_PLACE) -> Supply:
    async with market.database.read() as tx:
        return await PgMarket().around(tx, point, 5_000.0)


async def covering(market: Marketplace, availability: Availability, radius_m: float = 500) -> UUID:
    circle = Circle(GRAND_PLACE, radius_m)
    return (await market.workspace(Role.SUPPLIER, coverage=circle, availability=availability)).id


async def busy(market: Marketplace, circle: Circle) -> None:
    """A supplier who serves a session in the middle of its circle."""
    await market.workspace(Role.SUPPLIER, coverage=circle, availability=Availability.ONLINE)
    consumer = await market.consumer()
    session = await market.sessions.create(consumer, circle.center, 60, None, NOON)
    await market.dispatch(session.id, consumer, NOON)


# -- factors ----------------------------------------------------------------------------------------------


async def test_active_are_online_and_busy_and_available_the_online_ones(live: Marketplace) -> None:
    assert await around(live) == Supply(0, 0, 0)
    await covering(live, Availability.OFFLINE)
    await live.workspace(Role.CONSUMER, coverage=Circle(GRAND_PLACE, 500), availability=Availability.ONLINE)
    gone = await covering(live, Availability.ONLINE)
    await live.rows("update workspace set deleted_at = now() where id = $1", gone)
    assert await around(live) == Supply(0, 0, 0)
    await busy(live, Circle(GRAND_PLACE, 500))
    assert await around(live) == Supply(1, 0, 1)
    other = await live.sessions.create(await live.consumer(), GRAND_PLACE, 60, None, NOON)
    (operator,) = await live.rows("select id from workspace where availability = 'BUSY'")
    await live.sessions.accept(other.id, operator["id"], NOON)
    assert await around(live) == Supply(1, 0, 2)  # one supplier still
    await live.rows("delete from session where id = $1", other.id)
    await covering(live, Availability.ONLINE)
    assert await around(live) == Supply(2, 1, 1)
    assert await around(live, NEAR_BY) == Supply(0, 0, 1)
    for _ in range(3):
        await covering(live, Availability.ONLINE, 4_000)
    assert await around(live, NEAR_BY) == Supply(3, 3, 1)
    assert await around(live) == Supply(4, 4, 1)  # of the active no more are counted than matter


@pytest.mark.parametrize(
    ("center", "point", "radius_m", "covers"),
    [
        (Point(89.9, 10), Point(89.8, -170), 50_000, True),
        (Point(-89.9, 10), Point(-89.7, -170), 45_000, True),
        (Point(-89.9, 10), Point(-89.7, -170), 44_000, False),
        (Point(10, 179.9), Point(10, -179.9), 22_000, True),
        (Point(10, 179.9), Point(10, -179.9), 21_000, False),
        (Point(0, 0), Point(0.4490, 0), 50_000, True),
        (Point(0, 0), Point(-0.4490, 0), 50_000, True),
    ],
)
async def test_busy_suppliers_count_at_the_ends_of_the_earth(
    live: Marketplace, center: Point, point: Point, radius_m: float, covers: bool
) -> None:
    await busy(live, Circle(center, radius_m))
    assert (await around(live, point)).active == covers


async def test_open_sessions_count_while_they_are_open_and_near(live: Marketplace) -> None:
    consumer, supplier = await live.consumer(), await live.supplier()
    for point in (GRAND_PLACE, NEAR_BY, FAR_AWAY):
        await live.sessions.create(consumer, point, 60, None, NOON)
    assert (await around(live)).open == 2
    running = await live.live(consumer, supplier)
    assert (await around(live)).open == 3
    await live.sessions.end(running.id, consumer, at(5))
    assert (await around(live)).open == 2
    for session in await live.sessions.list_of(consumer):
        if session.requested == GRAND_PLACE and session.id != running.id:
            await live.sessions.cancel(session.id, consumer, at(6))
    assert (await around(live)).open == 1


async def test_a_session_without_a_quote_gets_the_price_of_its_moment(live: Marketplace) -> None:
    consumer = await live.consumer()
    rates = [(await live.requested(consumer)).terms.rate_uusdc for _ in range(2)]
    await live.supplier()
    rates.append((await live.requested(consumer)).terms.rate_uusdc)
    for _ in range(3):
        await live.supplier()
    rates.append((await live.requested(consumer)).terms.rate_uusdc)
    # nobody there; and one asks; two ask for the one; three ask four
    assert rates == [3000, 9000, 3000, int(1000 * 0.7 * 1.75)]


async def test_a_session_of_its_own_place_pays_its_corridor(database: Database) -> None:
    corridors = (
        Corridor("centre", Circle(GRAND_PLACE, 1_000), 15_000),
        Corridor("square", Circle(GRAND_PLACE, 50), 90_000),
    )
    market = Marketplace(database, tariff=Tariff(RATE, True, corridors, corridor_max_bps=20_000))
    await market.supplier()
    quote = await market.pricing.quote(await market.consumer(), GRAND_PLACE, 60, NOON)
    assert quote.price.factors == Factors(10_000, 10_000, 20_000)
    assert (quote.price.rate_uusdc, quote.estimated_total_uusdc) == (2000, 120_000)


async def test_in_early_access_every_factor_is_one(database: Database) -> None:
    zone = Corridor("centre", Circle(GRAND_PLACE, 1_000), 15_000)
    market = Marketplace(database, tariff=Tariff(RATE, live=False, corridors=(zone,)))
    consumer = await market.consumer()
    await market.requested(consumer)
    assert (await market.pricing.quote(consumer, GRAND_PLACE, 60, NOON)).price.factors == Factors()


@pytest.mark.parametrize("index", ["workspace_coverage_idx", "workspace_pkey", "session_place_idx"])
async def test_supply_and_demand_are_looked_up_not_searched_for(database: Database, index: str) -> None:
    async with database.begin() as tx:
        opened = connection(tx)
        await crowded(opened)
        await opened.execute("set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan")
        sql = statements("pricing")["around"]
        await opened.execute(f"prepare counted (float8, float8, float8, bigint) as {sql}")
        plan = [row[0] for row in await opened.fetch("explain execute counted (50.8, 4.3, 5000, 2)")]
        await opened.execute("deallocate counted")
    assert any(index in line for line in plan), "\n".join(plan)
    assert not any("Seq Scan" in line for line in plan), "\n".join(plan)


# -- quotes -----------------------------------------------------------------------------------------------


async def use(market: Marketplace, consumer: UUID, quote_id: UUID, seconds: float = 0) -> Session:
    return await market.sessions.create(consumer, GRAND_PLACE, 60, None, at(seconds), quote_id=quote_id)


async def test_a_quote_keeps_its_price_for_one_session(live: Marketplace) -> None:
    consumer = await live.consumer()
    quote = await live.pricing.quote(consumer, GRAND_PLACE, 10, NOON)
    await live.supplier()
    assert (await live.pricing.price(GRAND_PLACE)).rate_uusdc == 1000
    session = await use(live, consumer, quote.id, 29)
    assert (session.terms.rate_uusdc, session.terms.hold_uusdc) == (3000, 180_000)
    [row] = await live.rows("select used_by_session from quote where id = $1", quote.id)
    assert row["used_by_session"] == session.id
    with pytest.raises(QuoteExpired, match="quote:consumed"):
        await use(live, consumer, quote.id)


async def test_what_a_quote_was_stored_with_is_what_it_says(live: Marketplace) -> None:
    quote = await live.pricing.quote(await live.consumer(), GRAND_PLACE, 77, NOON)
    async with live.database.read() as tx:
        assert await live.pricing.quotes.get(tx, quote.id) == quote


async def test_a_quote_of_somebody_else_of_another_place_or_time_is_refused(marketplace: Marketplace) -> None:
    consumer, other = await marketplace.consumer(), await marketplace.consumer()
    quote = await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON)
    with pytest.raises(QuoteNotFound):
        await use(marketplace, other, quote.id)
    with pytest.raises(QuoteNotFound):
        await use(marketplace, consumer, new_id())
    with pytest.raises(QuoteExpired, match="quote:expired"):
        await use(marketplace, consumer, quote.id, 30)
    with pytest.raises(InvalidInput, match="quote:point"):
        await marketplace.sessions.create(consumer, NEAR_BY, 60, None, NOON, quote_id=quote.id)
    assert await marketplace.value("select count(*) from session") == 0
    await use(marketplace, consumer, quote.id, 29.9)


async def test_a_create_that_fails_leaves_the_quote_as_it_was(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    quote = await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON)
    marketplace.pools.balance = RATE * 60 - 1
    with pytest.raises(InsufficientCredit, match="session:insufficientCredit"):
        await use(marketplace, consumer, quote.id)
    marketplace.pools.unreachable = True
    with pytest.raises(ExternalError):
        await use(marketplace, consumer, quote.id)
    marketplace.pools.unreachable = False
    marketplace.pools.balance = RATE * 60
    other = await use(
        marketplace, consumer, (await marketplace.pricing.quote(consumer, GRAND_PLACE, 1, NOON)).id
    )
    with pytest.raises(InsufficientCredit, match="session:holds"):
        await use(marketplace, consumer, quote.id)
    await marketplace.sessions.cancel(other.id, consumer, at(1))
    await use(marketplace, consumer, quote.id, 2)


@pytest.mark.parametrize("holds", [True, False])
async def test_of_many_that_use_one_quote_at_once_one_wins(marketplace: Marketplace, holds: bool) -> None:
    sessions = marketplace.sessions
    marketplace.sessions = replace(sessions, policy=replace(sessions.policy, holds=holds))
    consumer = await marketplace.consumer()
    for _ in range(5):
        quote = await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON)
        before = await marketplace.value("select count(*) from session")
        made = await asyncio.gather(
            *(use(marketplace, consumer, quote.id) for _ in range(12)), return_exceptions=True
        )
        lost = [one for one in made if isinstance(one, QuoteExpired)]
        assert len(lost) == 11, made
        assert {one.detail for one in lost} == {"quote:consumed"}
        assert await marketplace.value("select count(*) from session") == before + 1


async def test_old_quotes_are_purged_used_ones_later(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    unused, used = [await marketplace.pricing.quote(consumer, GRAND_PLACE, 60, NOON) for _ in range(2)]
    await use(marketplace, consumer, used.id)
    hour, day = 3600, 86_400
    assert await marketplace.pricing.purge(at(30 + hour)) == 0
    assert await marketplace.pricing.purge(at(30 + hour + 1)) == 1
    with pytest.raises(QuoteNotFound):
        await use(marketplace, consumer, unused.id)
    with pytest.raises(QuoteExpired, match="quote:consumed"):
        await use(marketplace, consumer, used.id)
    assert await marketplace.pricing.purge(at(30 + day)) == 0
    assert await marketplace.pricing.purge(at(31 + day)) == 1


# -- the map of demand ------------------------------------------------------------------------------------


def cell_of(point: Point) -> tuple[float, float]:
    """The middle of the cell that a point lies in, the plain way."""
    row, column = math.floor(point.lat / 0.045), math.floor(point.lng / 0.045)
    row, column = min(row, 1999), -4000 if column == 4000 else column
    return round((row + 0.5) * 0.045, 4), round((column + 0.5) * 0.045, 4)


async def test_demand_counts_requests_by_cell_and_those_nobody_met(marketplace: Marketplace) -> None:
    consumer, supplier = await marketplace.consumer(), await marketplace.supplier()
    fulfilled = await marketplace.live(consumer, supplier)
    await marketplace.sessions.end(fulfilled.id, consumer, at(9))
    taken_back = await marketplace.requested(consumer)
    await marketplace.sessions.cancel(taken_back.id, consumer, at(1))  # no match
    assigned = await marketplace.requested(consumer)
    await marketplace.sessions.accept(assigned.id, supplier, NOON)
    await marketplace.sessions.cancel(assigned.id, consumer, at(1))  # matched
    await marketplace.requested(consumer, wait_s=5)
    assert await marketplace.sessions.sweep(at(6)) == 1  # waited in vain
    ran_out = await marketplace.live(consumer, supplier, max_s=10)
    assert await marketplace.sessions.sweep(at(11)) == 1
    assert (await marketplace.sessions.get(ran_out.id, consumer)).state == "EXPIRED"  # after it was LIVE
    await marketplace.requested(consumer)  # still waiting
    await marketplace.sessions.create(consumer, NOWHERE, 60, None, at(-31 * 86_400))
    demand = DemandMap(marketplace.database, PgMarket())
    assert await demand.cells(at(20)) == [DemandCell(Point(*cell_of(GRAND_PLACE)), 6, 2)]


async def test_cells_lie_on_the_map_at_the_ends_of_the_earth(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    points = [
        Point(90, 0),
        Point(-90, 180),
        Point(89.99, 179.999),
        Point(0, 180),
        Point(0, -180),
        Point(0.01, -179.99),
        Point(-0.01, -0.01),
        Point(0, 0),
        Point(50.85, 4.365),
    ]
    for point in points:
        await marketplace.sessions.create(consumer, point, 60, None, NOON)
    found = await DemandMap(marketplace.database, PgMarket()).cells(NOON)
    counted = {(cell.center.lat, cell.center.lng): cell.requests for cell in found}
    expected: dict[tuple[float, float], int] = {}
    for point in points:
        expected[cell_of(point)] = expected.get(cell_of(point), 0) + 1
    assert counted == expected
    assert counted[(0.0225, -179.9775)] == 3
    assert [cell.requests for cell in found] == sorted(counted.values(), reverse=True)


async def test_the_map_is_counted_once_for_many(marketplace: Marketplace) -> None:
    consumer = await marketplace.consumer()
    await marketplace.requested(consumer)
    counting = 0

    class Counted(PgMarket):
        async def cells(self, *asked: object, **more: object) -> list[DemandCell]:
            nonlocal counting
            counting += 1
            return await super().cells(*asked, **more)  # type: ignore[arg-type]

    demand = DemandMap(marketplace.database, Counted())
    first = await asyncio.gather(*(demand.cells(at(n / 100)) for n in range(20)))
    assert (counting, [cells[0].requests for cells in first]) == (1, [1] * 20)
    await marketplace.requested(consumer)
    assert (await demand.cells(at(9.9)))[0].requests == 1
    assert (await demand.cells(at(10.2)))[0].requests == 2
    assert counting == 2
