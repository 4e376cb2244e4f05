"""Time, money, places, wire forms and the tree of errors."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from contract_tables import ERROR_STATUSES
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import destination, great_circle_m

from luxxon_core.kernel import errors, wire
from luxxon_core.kernel.clock import iso, milliseconds, utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Circle, Point, distance_m
from luxxon_core.kernel.money import MICRO_PER_USDC, format_usdc
from luxxon_core.kernel.wire import Timestamp

MESSAGES = {
    "NOT_AUTHENTICATED": "Session expired or missing",
    "NOT_AUTHORIZED": "Not authorized for this operation",
    "INVALID_INPUT": "Invalid request payload",
    "SESSION_NOT_FOUND": "Session not found",
    "FRAME_NOT_AVAILABLE": "No video frame available yet",
}
points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))


# -- errors -----------------------------------------------------------------------------------------------


def test_codes_statuses_and_messages_are_the_published_ones() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, LuxxonError)]
    by_code = {kind.code: kind for kind in reversed(kinds)}
    assert {code: by_code[code].status for code in ERROR_STATUSES} == ERROR_STATUSES
    assert {code: by_code[code].default_message for code in MESSAGES} == MESSAGES
    assert set(by_code) - set(ERROR_STATUSES) == {"START_ERROR"}
    assert all(kind.default_message for kind in kinds)


def test_an_error_tells_its_message_and_detail() -> None:
    assert (
        str(errors.InvalidState("session:end:ENDED"))
        == "Not allowed in the current state (session:end:ENDED)"
    )
    assert str(errors.SessionNotFound()) == "Session not found"
    own = errors.ExternalError("chain:rpc", "The node is away")
    assert (own.detail, own.message) == ("chain:rpc", "The node is away")


# -- time -------------------------------------------------------------------------------------------------


def test_now_is_cut_to_what_is_stored_billed_and_shown() -> None:
    for _ in range(50):
        now = utc_now()
        assert now.microsecond % 1000 == 0
        assert now.tzinfo is UTC
        assert datetime.fromisoformat(iso(now)) == now


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_an_instant_is_utc_with_milliseconds_and_z(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=offset)))
    text = iso(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert timedelta() <= moment - datetime.fromisoformat(text) < timedelta(milliseconds=1)


@given(st.timedeltas(timedelta(days=-9), timedelta(days=9)))
def test_milliseconds_are_rounded_down_exactly(span: timedelta) -> None:
    assert timedelta() <= span - timedelta(milliseconds=milliseconds(span)) < timedelta(milliseconds=1)


# -- money ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("micro", "decimals", "text"),
    [
        (0, 6, "0.000000"),
        (1, 6, "0.000001"),
        (101_000, 6, "0.101000"),
        (1_999_999, 2, "1.99"),
        (1_999_999, 0, "1"),
        (-1, 6, "-0.000001"),
        (-12_345_678, 3, "-12.345"),
        (10**18, 2, "1000000000000.00"),
    ],
)
def test_money_is_cut_and_never_rounded_up(micro: int, decimals: int, text: str) -> None:
    assert format_usdc(micro, decimals) == text


@given(st.integers(-(10**18), 10**18))
def test_all_six_decimals_are_the_amount_itself(micro: int) -> None:
    whole, _, part = format_usdc(micro).lstrip("-").partition(".")
    assert int(whole) * MICRO_PER_USDC + int(part) == abs(micro)


# -- places -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lat", "lng", "named"),
    [
        (90.0000001, 0, "lat"),
        (-91, 0, "lat"),
        (math.nan, 0, "lat"),
        (math.inf, 0, "lat"),
        (0, 180.0000001, "lng"),
        (0, -math.inf, "lng"),
        (0, math.nan, "lng"),
    ],
)
def test_what_is_no_place_is_refused_by_coordinate(lat: float, lng: float, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}$"):
        Point(lat, lng)


def test_a_place_keeps_its_digits_but_not_what_underflows() -> None:
    assert (Point(50.84671234567, -179.9999).lat, Point(50.8, -179.9999).lng) == (50.84671234567, -179.9999)
    assert (Point(5e-324, -1e-300).lat, Point(5e-324, -1e-300).lng) == (0.0, 0.0)
    assert math.copysign(1, Point(-0.0, 0).lat) == 1


@settings(deadline=None)
@given(points, points)
def test_distances_are_those_of_the_sphere(a: Point, b: Point) -> None:
    true = great_circle_m(a, b)
    assert distance_m(a, b) == distance_m(b, a)
    near_antipode = true > 20_000_000
    assert abs(distance_m(a, b) - true) < (1.0 if near_antipode else 1e-3)


@settings(deadline=None)
@given(points, st.floats(0, 360), st.floats(1, 50_000))
def test_a_circle_ends_at_its_edge(center: Point, bearing: float, radius: float) -> None:
    circle = Circle(center, radius)
    assert circle.contains(destination(center, bearing, radius - 1e-4))
    assert not circle.contains(destination(center, bearing, radius + 1e-4))


# -- wire -------------------------------------------------------------------------------------------------


class Note(msgspec.Struct, rename="camel"):
    written_at: Timestamp
    read_at: Timestamp | None = None


def test_an_instant_goes_over_the_wire_and_back() -> None:
    moment = datetime(2026, 5, 13, 12, 0, 0, 123_999, UTC)
    encoded = wire.encode(Note(Timestamp.of(moment)))
    assert encoded == b'{"writtenAt":"2026-05-13T12:00:00.123Z","readAt":null}'
    back = wire.convert(msgspec.json.decode(encoded), Note)
    assert back.written_at == moment.replace(microsecond=123_000)
    assert wire.to_builtins(back) == {"writtenAt": "2026-05-13T12:00:00.123Z", "readAt": None}


@pytest.mark.parametrize("value", ["yesterday", 5, None, "2026-13-01T00:00:00.000Z"])
def test_what_is_no_instant_is_a_validation_error(value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        wire.convert({"writtenAt": value}, Note)


def test_what_has_no_wire_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no wire form"):
        wire.encode({"x": object()})
