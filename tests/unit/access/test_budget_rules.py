"""What a key's budget lets through, whatever it is asked for."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from luxxon_core.access.domain import (
    MAX_AREA_RADIUS_M,
    MAX_AREAS,
    MAX_CAP_UUSDC,
    budget_day,
    check_area,
    check_budget,
    check_daily_cap,
    check_session_cap,
    left_today,
)
from luxxon_core.access.schemas import BudgetRequest, KeyArea
from luxxon_core.http.principal import Area, Budget
from luxxon_core.kernel.errors import InvalidInput, NotAuthorized
from luxxon_core.kernel.geo import EARTH_RADIUS_M, Circle, Point
from luxxon_core.kernel.money import format_usdc, parse_usdc, short_usdc

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
amounts = st.integers(0, 10**9)
rates = st.integers(1, 10**6)
durations = st.integers(1, 86_400)
points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))
radii = st.floats(1, MAX_AREA_RADIUS_M)


def refused(budget: Budget, spent: int, rate: int, duration: int) -> NotAuthorized | None:
    try:
        check_session_cap(budget, rate, duration)
        check_daily_cap(budget, spent, rate, duration, NOON)
    except NotAuthorized as error:
        return error
    return None


@given(amounts, amounts, rates, durations)
def test_the_longest_duration_that_is_told_passes_and_a_second_more_does_not(
    cap: int, spent: int, rate: int, duration: int
) -> None:
    for budget, before in ((Budget(daily_cap_uusdc=cap), spent), (Budget(session_cap_uusdc=cap), 0)):
        error = refused(budget, before, rate, duration)
        if error is None:
            assert before + rate * duration <= cap
            continue
        assert error.detail is not None
        longest = int(error.detail.rpartition(":")[2])
        assert longest < duration
        assert refused(budget, before, rate, longest + 1)
        if longest:
            assert refused(budget, before, rate, longest) is None
            assert f"at most {longest} s" in error.message


@given(st.integers(0, 5000), st.lists(st.tuples(st.integers(1, 90), st.integers(0, 90), st.booleans())))
def test_no_day_costs_more_than_its_cap(cap: int, asked: list[tuple[int, int, bool]]) -> None:
    """Sessions asked for, each (duration, seconds used, ends before the next one)."""
    budget, over, open_holds = Budget(daily_cap_uusdc=cap), 0, []
    for duration, used, ends in asked:
        if refused(budget, over + sum(hold for hold, _ in open_holds), 7, duration):
            continue
        open_holds.append((7 * duration, 7 * min(used, duration)))
        if ends:
            over += open_holds.pop()[1]  # what it did not use is there again
        assert over + sum(hold for hold, _ in open_holds) <= cap
    assert over + sum(charge for _, charge in open_holds) <= cap


@given(rates, durations)
def test_a_cap_of_nothing_lets_nothing_through(rate: int, duration: int) -> None:
    for budget in (Budget(daily_cap_uusdc=0), Budget(session_cap_uusdc=0)):
        error = refused(budget, 0, rate, duration)
        assert error is not None
        assert "Not even one second fits" in error.message
    assert refused(Budget(), 10**12, rate, duration) is None


def test_the_daily_cap_says_what_is_left_and_until_when() -> None:
    error = refused(Budget(daily_cap_uusdc=5_000_000), 4_750_000, 10_000, 60)
    assert error is not None
    assert (error.code, error.status, error.detail) == ("NOT_AUTHORIZED", 403, "apiKey:dailyCap:25")
    for told in ("5 USDC a day", "0.25 are left until 2026-03-02T00:00:00.000Z", "could cost 0.6", "25 s"):
        assert told in error.message


@given(amounts, amounts)
def test_what_is_left_is_never_less_than_nothing(cap: int, spent: int) -> None:
    assert left_today(Budget(daily_cap_uusdc=cap), spent) == max(0, cap - spent)
    assert left_today(Budget(session_cap_uusdc=cap), spent) is None


@given(st.integers(0, 2**31), st.integers(-14 * 60, 14 * 60))
def test_a_day_is_utc_wherever_it_is_asked_for(moment: int, minutes: int) -> None:
    at = datetime.fromtimestamp(moment, timezone(timedelta(minutes=minutes)))
    begins, ends = budget_day(at)
    assert begins <= at < ends
    assert (begins.utcoffset(), ends - begins) == (timedelta(0), timedelta(days=1))
    assert (begins.hour, begins.minute, begins.second, begins.microsecond) == (0, 0, 0, 0)


# -- areas


def on_sphere(point: Point) -> tuple[float, float, float]:
    lat, lng = math.radians(point.lat), math.radians(point.lng)
    return math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat)


def allowed(point: Point, *areas: Area) -> bool:
    try:
        check_area(Budget(areas=areas), point)
    except NotAuthorized as error:
        assert error.detail == "apiKey:area"
        return False
    return True


@given(points, points, radii)
@example(Point(0, 179.999), Point(0, -179.999), 300)  # 222 m, across the antimeridian
@example(Point(89.9999, 0), Point(89.9999, 180), 25)  # 22 m, across the pole
@example(Point(-90, 0), Point(-90, 77), 1)  # the pole has every longitude
def test_an_area_is_a_circle_on_the_sphere(center: Point, point: Point, radius: float) -> None:
    """Held against the angle between two vectors, which knows neither meridians nor poles."""
    a, b = on_sphere(center), on_sphere(point)
    cross = math.hypot(a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    away = EARTH_RADIUS_M * math.atan2(cross, sum(x * y for x, y in zip(a, b, strict=True)))
    assume(abs(away - radius) > 1e-3 + 1e-7 * away)
    assert allowed(point, Area(Circle(center, radius))) is (away <= radius)


def test_one_of_several_areas_will_do_and_a_refusal_names_the_nearest() -> None:
    areas = [Area(Circle(Point(52.52, 13.4), 2000), "Berlin")]
    areas += [Area(Circle(Point(lat, 13.4), 500.5)) for lat in (0, 10, 20, 30)]
    assert allowed(Point(10.001, 13.4), *areas)
    with pytest.raises(NotAuthorized) as error:
        check_area(Budget(areas=tuple(areas)), Point(52.55, 13.4))
    message = error.value.message
    assert "Berlin (2000 m around 52.52,13.4); 500.5 m around 30,13.4" in message
    assert "and 2 more" in message
    assert "1336 m outside the nearest" in message


def test_no_areas_are_everywhere() -> None:
    check_area(Budget(daily_cap_uusdc=1), Point(-90, 180))


# -- minting


def test_a_budget_that_limits_nothing_is_none() -> None:
    assert check_budget(Budget()) is None
    assert check_budget(Budget(daily_cap_uusdc=0)) == Budget(daily_cap_uusdc=0)
    assert BudgetRequest().limits() == Budget()


@pytest.mark.parametrize(
    "budget",
    [
        Budget(daily_cap_uusdc=-1),
        Budget(session_cap_uusdc=MAX_CAP_UUSDC + 1),
        Budget(areas=(Area(Circle(Point(0, 0), 0.5)),)),
        Budget(areas=(Area(Circle(Point(0, 0), MAX_AREA_RADIUS_M + 1)),)),
        Budget(areas=(Area(Circle(Point(0, 0), math.nan)),)),
        Budget(areas=(Area(Circle(Point(0, 0), 5)),) * (MAX_AREAS + 1)),
        Budget(areas=(Area(Circle(Point(0, 0), 5), ""),)),
        Budget(areas=(Area(Circle(Point(0, 0), 5), "a\nb"),)),
    ],
)
def test_what_no_budget_can_be(budget: Budget) -> None:
    with pytest.raises(InvalidInput, match="apiKey:budget"):
        check_budget(budget)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "01", "1e3", "٣", "1" * 17, "1\n"])
def test_a_cap_is_digits(text: str) -> None:
    with pytest.raises(InvalidInput, match="apiKey:budget"):
        BudgetRequest(daily_cap_micro_usdc=text).limits()


# -- as people write them


@given(st.integers(0, 10**17))
def test_an_amount_reads_as_it_is_written(micro: int) -> None:
    assert parse_usdc(short_usdc(micro)) == parse_usdc(format_usdc(micro)) == micro


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1.0000001", "1e3", "five", "1 000", "٣"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of USDC"):
        parse_usdc(text)


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("52.52,13.40,2km", KeyArea(52.52, 13.4, 2000)),
        (" -33.9 , 151.2 , 500 m , Circular Quay, west ", KeyArea(-33.9, 151.2, 500, "Circular Quay, west")),
        ("90,-180,20015.1km", KeyArea(90, -180, 20_015_100)),
        ("0,0,1.5km,", KeyArea(0, 0, 1500)),
    ],
)
def test_an_area_reads_as_it_is_written(text: str, area: KeyArea) -> None:
    assert KeyArea.parse(text) == area
    assert KeyArea.parse(str(area)) == area


@pytest.mark.parametrize(
    "text",
    [
        "",
        "52.52,13.40",
        "52.52,13.40,2",
        "91,0,2km",
        "0,181,2km",
        "0,0,0m",
        "0,0,-5m",
        "nan,0,5m",
        "0,0,1e3m",
    ],
)
def test_what_is_no_area(text: str) -> None:
    with pytest.raises(ValueError, match=r"area|degrees"):
        KeyArea.parse(text)
