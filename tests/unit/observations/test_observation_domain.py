"""What an observation may become, what may be sold, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.http.prefer import preferred_wait
from luxxon_core.kernel.errors import InvalidState
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.media.domain import Frame
from luxxon_core.observations import domain
from luxxon_core.observations.domain import Asked, Kept, PositionSource, Reason, Status
from luxxon_core.sessions import domain as sessions
from luxxon_core.sessions.domain import Session, State, Terms
from luxxon_core.telemetry.domain import Reason as Lost
from luxxon_core.telemetry.domain import Window

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
PLACE, ID, US, THEM = Point(50.8466, 4.3528), UUID(int=1), UUID(int=2), UUID(int=3)
seconds = st.floats(0, 100).map(lambda value: NOON + timedelta(milliseconds=round(value * 1000)))


def unit(rate: int = 1000, unit_s: int = 10) -> Session:
    return Session(ID, US, PLACE, Terms(rate, unit_s, 60, 1500, 500, unit=True), NOON)


def live(session: Session, now: datetime = NOON) -> Session:
    return sessions.go_live(sessions.assign(session, THEM, now), now)


@given(st.integers(1, 10**6), st.integers(1, 3600), st.integers(1, 10**10))
def test_nobody_is_asked_above_the_maximum(rate: int, unit_s: int, most: int) -> None:
    made = domain.observe(ID, US, Asked(PLACE, 60, most), rate, unit_s, NOON)
    assert made.asked_for is (rate * unit_s <= most)
    if not made.asked_for:
        assert (made.status, made.reason) == (Status.FAILED, Reason.PRICE_ABOVE_MAX)
    assert made.price_uusdc == unit(rate, unit_s).terms.hold_uusdc, "what is held is what it costs"


@given(st.lists(seconds, max_size=4), seconds, st.sampled_from(["deliver", "end", "expire"]))
def test_a_unit_costs_the_whole_or_nothing(times: list[datetime], at: datetime, how: str) -> None:
    """However long it was LIVE and whatever was lost meanwhile; and the meter says the same for ever."""
    session = live(unit())
    windows = [Window(Lost.NETWORK_ERROR, min(pair), max(pair)) for pair in pairwise(times)]
    assert sessions.meter(session, at, windows).charged_uusdc == 0
    if how == "deliver":
        over = sessions.deliver(session, at, windows)
    elif how == "end":
        over = sessions.end(session, at, windows)
    else:
        over = sessions.expire_live(session, NOON + timedelta(seconds=11), windows)
    wanted = over.terms.hold_uusdc if how == "deliver" else 0
    assert over.charged_uusdc == wanted == over.clean_seconds * over.terms.rate_uusdc
    assert sessions.meter(over, at + timedelta(days=1), windows).charged_uusdc == wanted


def test_only_what_is_live_and_in_order_is_delivered() -> None:
    with pytest.raises(InvalidState, match="session:deliver:ASSIGNED"):
        sessions.deliver(sessions.assign(unit(), THEM, NOON), NOON, [])
    with pytest.raises(InvalidState, match="session:deliver:LOST"):
        sessions.deliver(live(unit()), NOON, [Window(Lost.OUTSIDE_GEOFENCE, NOON)])
    with pytest.raises(InvalidState, match="session:deliver:ENDED"):
        sessions.deliver(sessions.deliver(live(unit()), NOON, []), NOON, [])


def test_what_is_sold_was_captured_while_live() -> None:
    session = live(unit())
    before, after = (Frame(b"", 1, 1, NOON + timedelta(seconds=s)) for s in (-0.1, 0))
    assert not domain.sellable(before, session, [])
    assert domain.sellable(after, session, [])
    assert domain.sellable(after, session, [Window(Lost.NETWORK_ERROR, NOON, NOON)])
    assert not domain.sellable(after, session, [Window(Lost.OUTSIDE_GEOFENCE, NOON)])
    away = Window(Lost.OUTSIDE_GEOFENCE, NOON, NOON + timedelta(seconds=1))
    assert not domain.sellable(after, session, [away]), "it was elsewhere then, though it is back"
    assert domain.sellable(replace(after, captured_at=NOON + timedelta(seconds=1)), session, [away])
    assert not domain.sellable(after, replace(session, state=State.ENDED), [])


def test_an_observation_is_finished_once() -> None:
    made = domain.observe(ID, US, Asked(PLACE, 60, 10**6), 1000, 10, NOON)
    done = domain.ready(made, NOON, None, Kept(1, 1, 1, NOON), NOON)
    for finished in (done, domain.fail(made, Reason.NO_VIDEO, NOON)):
        with pytest.raises(InvalidState):
            domain.fail(finished, Reason.NO_PICTURE, NOON)
        with pytest.raises(InvalidState):
            domain.ready(finished, NOON, None, Kept(1, 1, 1, NOON), NOON)


def test_why_nothing_came_of_it() -> None:
    deadline, early, late = (NOON + timedelta(seconds=s) for s in (60, 5, 60))
    asked = unit()
    assigned = sessions.assign(asked, THEM, NOON)
    assert domain.why(sessions.cancel(asked, late), deadline) is Reason.NO_OPERATOR
    assert domain.why(sessions.cancel(assigned, late), deadline) is Reason.NO_VIDEO
    assert domain.why(sessions.end(live(asked), late, []), deadline) is Reason.NO_PICTURE, "over at 10 s"
    long = replace(asked, terms=replace(asked.terms, max_duration_s=600))
    assert domain.why(sessions.end(live(long), late, []), deadline) is Reason.NO_PICTURE
    expired = sessions.expire_live(live(asked), NOON + timedelta(seconds=11), [])
    assert domain.why(expired, deadline) is Reason.NO_PICTURE
    for given_up in (sessions.cancel(asked, early), sessions.end(live(asked), early, [])):
        assert domain.why(given_up, deadline) is Reason.CANCELLED


def test_where_the_camera_was() -> None:
    circle, said = Circle(PLACE, 500), (Point(1, 2), 5.0, NOON)
    near, far = NOON + timedelta(seconds=59), NOON + timedelta(seconds=61)
    told = domain.located(circle, said, near)
    assert told is not None
    assert (told.point, told.accuracy_m, told.source) == (Point(1, 2), 5.0, PositionSource.TELEMETRY)
    covers = domain.located(circle, said, far)
    assert covers is not None
    assert (covers.point, covers.accuracy_m, covers.source) == (PLACE, 500, PositionSource.COVERAGE)
    assert domain.located(None, None, NOON) is None


@given(st.integers(17, 4096), st.integers(1, 10**6), st.integers(1, 10**6))
def test_what_is_too_large_is_made_smaller(width: int, size: int, most: int) -> None:
    smaller = domain.narrower(Frame(bytes(size), width, 100, NOON), most)
    if size <= most:
        assert smaller is None
    else:
        assert smaller is not None and 16 <= smaller < width


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("respond-async", 0),
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('respond-async, wait="10"', 10),
        ("wait=10, wait=20", 10),
        ("handling=lenient, wait=7; strict", 7),
        ("wait=-1", None),
        ("wait=soon, respond-async", 0),
        ("wait=" + "9" * 100, None),
    ],
)
def test_what_a_client_prefers(header: str | None, wait: int | None) -> None:
    """RFC 7240: unknown and malformed preferences are ignored."""
    assert preferred_wait(header) == wait
