"""Which assignments are taken, and the hours of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from luxxon_core.kernel.geo import Point
from luxxon_core.operator.rules import Hours, Rules

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)  # a Wednesday
HERE = Point(50.8466, 4.3528)
BRUSSELS = ZoneInfo("Europe/Brussels")


@dataclass(frozen=True)
class Asked:
    id: str = "one"
    state: str = "ASSIGNED"
    operator_workspace_id: str | None = "me"
    requested_lat: float | None = HERE.lat
    requested_lng: float | None = HERE.lng
    max_duration_seconds: int = 600
    rate_per_second_micro_usdc: str = "1000"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (Rules(), None),
        (Rules(min_rate_micro_usdc=1000, max_seconds=600, max_distance_meters=1), None),
        (Rules(min_rate_micro_usdc=1001), "0.001001"),
        (Rules(max_seconds=599), "longer than 599 s"),
        (Rules(hours=Hours(time(9), time(11), UTC)), "hours"),
    ],
)
def test_an_assignment_is_taken_or_a_reason_is_given(rules: Rules, reason: str | None) -> None:
    said = rules.refusal(Asked(), HERE, NOON)
    assert said is None if reason is None else reason in (said or "")


def test_what_is_too_far_away_is_not_taken() -> None:
    rules = Rules(max_distance_meters=1000)
    north = Asked(requested_lat=HERE.lat + 0.01)  # 1.1 km
    assert "1112 m away" in (rules.refusal(north, HERE, NOON) or "")
    assert rules.refusal(Asked(requested_lat=HERE.lat + 0.008), HERE, NOON) is None
    assert rules.refusal(Asked(), None, NOON) is not None, "nobody knows where the camera is"
    assert rules.refusal(Asked(requested_lat=None), HERE, NOON) is not None


def test_hours_are_those_of_the_cameras_clock() -> None:
    hours = Hours(time(8), time(14), BRUSSELS)
    assert hours.open_at(NOON - timedelta(minutes=1)), "13:59 in Brussels, which is two hours ahead in July"
    assert not hours.open_at(NOON)
    assert hours.open_at(datetime(2026, 1, 15, 12, 59, tzinfo=UTC)), "one hour in January"


@pytest.mark.parametrize(
    ("hour", "day", "open_"),
    [(22, 17, True), (3, 18, True), (22, 18, False), (3, 17, False), (12, 17, False)],
)
def test_hours_over_midnight_belong_to_the_day_they_begin_on(hour: int, day: int, open_: bool) -> None:
    friday_night = Hours(time(20), time(6), UTC, frozenset({4}))
    assert friday_night.open_at(datetime(2026, 7, day, hour, tzinfo=UTC)) is open_


def test_the_same_hour_twice_is_all_day() -> None:
    weekdays = Hours(time(0), time(0), UTC, frozenset(range(5)))
    assert weekdays.open_at(NOON)
    assert not weekdays.open_at(NOON + timedelta(days=3))
