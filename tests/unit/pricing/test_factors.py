"""The three factors of a price, and what a quote is good for (api-contract §12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketplace import GRAND_PLACE, NOON, at

from luxxon_core.kernel.errors import InvalidInput, LuxxonError, QuoteExpired, QuoteNotFound
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.pricing import domain
from luxxon_core.pricing.domain import (
    SUPPLY_ENOUGH,
    Corridor,
    Factors,
    Price,
    Supply,
    Tariff,
    cell_center,
    check_quote,
    corridor_bps,
    demand_bps,
    new_quote,
    rate,
    supply_bps,
)

counts = st.one_of(st.integers(0, 5), st.integers(0, 10**6))
multipliers = st.integers(1, 100_000)
corridors = st.lists(
    st.builds(
        Corridor,
        st.just("zone"),
        st.builds(Circle, st.builds(Point, st.floats(50, 51), st.floats(4, 5)), st.floats(1, 200_000)),
        multipliers,
    ),
    max_size=4,
).map(tuple)


@given(counts)
def test_supply_is_one_over_the_active_between_its_ends(active: int) -> None:
    exact = Fraction(10_000, active) if active else Fraction(30_000)
    assert supply_bps(active) == int(min(max(exact, Fraction(7_000)), Fraction(30_000)))
    assert supply_bps(active + 1) <= supply_bps(active)
    assert supply_bps(max(active, SUPPLY_ENOUGH)) == 7_000


@given(counts, counts)
def test_demand_is_one_more_than_sessions_for_each_available_up_to_three(asked: int, free: int) -> None:
    found = demand_bps(asked, free)
    if free:
        exact = 10_000 + Fraction(10_000 * asked, free)
        assert found == int(min(exact, Fraction(30_000)))
    else:
        assert found == (30_000 if asked else 10_000)
    assert demand_bps(asked + 1, free) >= found
    assert not asked or demand_bps(asked, free + 1) <= found


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        (Supply(0, 0, 0), Factors(30_000, 10_000)),
        (Supply(0, 0, 1), Factors(30_000, 30_000)),
        (Supply(1, 1, 0), Factors(10_000, 10_000)),
        (Supply(1, 0, 1), Factors(10_000, 30_000)),
        (Supply(2, 1, 1), Factors(7_000, 20_000)),
        (Supply(3, 3, 1), Factors(7_000, 13_333)),
        (Supply(9, 7, 14), Factors(7_000, 30_000)),
    ],
)
def test_factors_of_what_is_around(around: Supply, expected: Factors) -> None:
    assert domain.factors(Tariff(), GRAND_PLACE, around) == expected


@given(st.integers(1, 10**9), counts, counts, counts, corridors, multipliers)
def test_no_rate_is_above_the_ceiling(
    base: int, busy: int, free: int, asked: int, zones: tuple[Corridor, ...], most: int
) -> None:
    tariff = Tariff(base, live=True, corridors=zones, corridor_max_bps=max(most, 10_000))
    found = domain.factors(tariff, GRAND_PLACE, Supply(busy + free, free, asked))
    assert 1 <= rate(base, found) <= base * 3 * 3 * tariff.corridor_max_bps // 10_000
    assert 7_000 <= found.supply_bps <= 30_000
    assert 10_000 <= found.demand_bps <= 30_000
    assert 1 <= found.corridor_bps <= tariff.corridor_max_bps


def test_of_corridors_that_overlap_the_largest_counts_up_to_the_maximum() -> None:
    wide = Corridor("wide", Circle(GRAND_PLACE, 10_000), 8_000)
    narrow = Corridor("narrow", Circle(GRAND_PLACE, 100), 25_000)
    beside = Point(50.85, 4.36)
    assert corridor_bps(GRAND_PLACE, [wide, narrow], 30_000) == 25_000
    assert corridor_bps(GRAND_PLACE, [wide, narrow], 20_000) == 20_000
    assert corridor_bps(beside, [wide, narrow], 30_000) == 8_000
    assert corridor_bps(Point(0, 0), [wide, narrow], 30_000) == 10_000


# -- quotes -----------------------------------------------------------------------------------------------

OWNER, OTHER, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
QUOTE = new_quote(UUID(int=9), OWNER, GRAND_PLACE, 60, Price(1000, Factors(7_000, 20_000)), Tariff(), NOON)


def test_a_quote_says_what_the_session_would_cost() -> None:
    assert (QUOTE.price.rate_uusdc, QUOTE.estimated_total_uusdc) == (1400, 84_000)
    assert QUOTE.expires_at - NOON == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("quote", "workspace", "point", "now", "error", "detail"),
    [
        (None, OWNER, GRAND_PLACE, NOON, QuoteNotFound, "quote:id"),
        (QUOTE, OTHER, GRAND_PLACE, NOON, QuoteNotFound, "quote:id"),
        (QUOTE, OWNER, Point(50.8469, 4.3525), NOON, InvalidInput, "quote:point"),
        (QUOTE, OWNER, Point(50.8467, 4.3527), NOON, InvalidInput, "quote:point"),
        (QUOTE, OWNER, GRAND_PLACE, at(30), QuoteExpired, "quote:expired"),
        (replace(QUOTE, used_by_session=SESSION), OWNER, GRAND_PLACE, NOON, QuoteExpired, "quote:consumed"),
        (replace(QUOTE, used_by_session=SESSION), OWNER, GRAND_PLACE, at(99), QuoteExpired, "quote:consumed"),
    ],
)
def test_a_quote_that_does_not_hold_says_why(
    quote: domain.Quote | None,
    workspace: UUID,
    point: Point,
    now: datetime,
    error: type[LuxxonError],
    detail: str,
) -> None:
    with pytest.raises(error) as refused:
        check_quote(quote, workspace, point, now)
    assert (type(refused.value), refused.value.detail) == (error, detail)


@pytest.mark.parametrize(
    ("of", "point"),
    [
        (GRAND_PLACE, Point(50.8468, 4.3524)),
        (Point(10, 179.99995), Point(10, -179.99997)),
        (Point(0, 180), Point(0, -180)),
    ],
)
def test_a_quote_holds_within_eleven_metres_and_to_its_last_moment(of: Point, point: Point) -> None:
    quote = replace(QUOTE, point=of)
    assert check_quote(quote, OWNER, point, at(29.999)) is quote


# -- cells ------------------------------------------------------------------------------------------------


@given(st.integers(-2000, 1999), st.integers(-4000, 3999))
def test_the_middle_of_every_cell_lies_on_the_map(row: int, column: int) -> None:
    middle = cell_center(row, column)
    assert -90 < middle.lat < 90
    assert -180 < middle.lng < 180
    assert abs(middle.lat / 0.045 - row - 0.5) < 0.01
    assert abs(middle.lng / 0.045 - column - 0.5) < 0.01
