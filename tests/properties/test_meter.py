"""The meter against an oracle that looks at every millisecond."""

from __future__ import annotations

from dataclasses import astuple
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marketplace import FEE_BPS, GRAND_PLACE, NOON
from oracle import count_milliseconds, spans

from luxxon_core.kernel.money import split
from luxxon_core.sessions.domain import Session, State, Terms, end, expire_live, meter
from luxxon_core.telemetry.domain import Reason, Window, lost_ms

SOMEONE = UUID(int=1)
relaxed = settings(deadline=None, max_examples=200)


def live(max_s: int = 600, rate: int = 1000) -> Session:
    terms = Terms(rate, max_s, 300, FEE_BPS, 500.0)
    return Session(
        SOMEONE,
        SOMEONE,
        GRAND_PLACE,
        terms,
        NOON - timedelta(seconds=9),
        State.LIVE,
        SOMEONE,
        assigned_at=NOON - timedelta(seconds=5),
        started_at=NOON,
    )


def moments(low_ms: int, high_ms: int) -> st.SearchStrategy[datetime]:
    """Instants around noon, whole seconds as likely as odd milliseconds: that is where meters go wrong."""
    odd = st.integers(low_ms, high_ms)
    even = st.integers(-(-low_ms // 1000), high_ms // 1000).map(lambda second: second * 1000)
    return st.one_of(odd, even).map(lambda ms: NOON + timedelta(milliseconds=ms))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window that storage can hold: before the start, past the end, empty, open."""
    opened_at = draw(moments(-30_000, 90_000))
    length = draw(st.none() | st.integers(0, 60_000))
    closed_at = None if length is None else opened_at + timedelta(milliseconds=length)
    return Window(draw(st.sampled_from(Reason)), opened_at, closed_at)


def window(opened_s: float, closed_s: float | None, reason: Reason = Reason.NETWORK_ERROR) -> Window:
    def instant(seconds: float) -> datetime:
        return NOON + timedelta(milliseconds=round(seconds * 1000))

    return Window(reason, instant(opened_s), None if closed_s is None else instant(closed_s))


@relaxed
@given(st.lists(windows(), max_size=8), moments(0, 90_000), st.integers(1, 60), st.integers(1, 10**9))
@example([window(10, 20), window(61, 70)], NOON + timedelta(seconds=62), 60, 1000)
@example([window(61, None)], NOON + timedelta(seconds=62), 60, 1000)
@example([window(-20, -10)], NOON + timedelta(seconds=30), 60, 1000)
@example([window(5, None), window(5, 7, Reason.STALE_TELEMETRY)], NOON + timedelta(seconds=8), 60, 1)
def test_the_meter_agrees_with_counting_milliseconds(
    found: list[Window], now: datetime, max_s: int, rate: int
) -> None:
    session = live(max_s, rate)
    assert astuple(meter(session, now, found)) == count_milliseconds(NOON, now, spans(found), max_s, rate)


@relaxed
@given(st.lists(windows(), max_size=6), st.randoms(use_true_random=False), moments(0, 90_000))
def test_the_order_of_windows_does_not_matter(found: list[Window], random: object, now: datetime) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert lost_ms(shuffled, NOON, now) == lost_ms(found, NOON, now)


@relaxed
@given(st.lists(windows(), max_size=6), st.lists(moments(0, 90_000), min_size=2, max_size=5))
def test_a_running_meter_never_goes_back_and_never_exceeds_the_hold(
    found: list[Window], looks: list[datetime]
) -> None:
    """Windows that lie ahead of a reading have not been opened yet, so only earlier ones are given to it."""
    session = live(40)
    readings = [
        meter(session, now, [w for w in found if w.opened_at <= now]).charged_uusdc for now in sorted(looks)
    ]
    assert all(earlier <= later for earlier, later in pairwise(readings))
    assert all(0 <= charged <= session.terms.hold_uusdc for charged in readings)


@relaxed
@given(st.lists(windows(), max_size=6), windows(), moments(0, 90_000))
def test_a_further_window_never_raises_the_charge(
    found: list[Window], further: Window, now: datetime
) -> None:
    session = live(40)
    with_it = meter(session, now, [*found, further]).charged_uusdc
    assert with_it <= meter(session, now, found).charged_uusdc


@relaxed
@given(st.lists(windows(), max_size=6), moments(40_001, 90_000), moments(40_001, 90_000))
def test_end_and_sweep_after_the_limit_charge_the_same(
    found: list[Window], ended: datetime, swept: datetime
) -> None:
    session = live(40)
    by_end, by_sweep = end(session, ended, found), expire_live(session, swept, found)
    assert (by_end.ended_at, by_end.clean_seconds, by_end.charged_uusdc) == (
        by_sweep.ended_at,
        by_sweep.clean_seconds,
        by_sweep.charged_uusdc,
    )


@relaxed
@given(st.lists(windows(), max_size=6), moments(0, 60_000), moments(0, 90_000))
def test_a_bill_read_later_is_the_bill_at_the_end(
    found: list[Window], ended: datetime, read: datetime
) -> None:
    over = end(live(40), ended, found)
    assert over.ended_at is not None
    closed = [Window(w.reason, w.opened_at, w.closed_at or max(over.ended_at, w.opened_at)) for w in found]
    later = meter(over, max(read, over.ended_at), closed)
    assert (later.clean_seconds, later.charged_uusdc) == (over.clean_seconds, over.charged_uusdc)


def test_the_worked_example_of_the_contract() -> None:
    """62.9 s LIVE, one window of 15.5 s, rate 1000: 47 s, 47000, of which 39950 and 7050."""
    over = end(live(), NOON + timedelta(seconds=62.9), [window(20, 35.5)])
    assert (over.clean_seconds, over.charged_uusdc) == (47, 47_000)
    assert split(over.charged_uusdc, FEE_BPS) == (39_950, 7_050)


@pytest.mark.parametrize(
    ("found", "seconds", "clean"),
    [
        ([], 0.999, 0),
        ([], 1.0, 1),
        ([], 59.999, 59),
        ([], 1000.0, 600),
        ([window(0, None)], 30, 0),
        ([window(10, 20), window(10, 20, Reason.STALE_TELEMETRY)], 30, 20),
        ([window(10, 20), window(15, 25, Reason.OUTSIDE_GEOFENCE)], 30, 15),
        ([window(10, 20), window(20, 25)], 30, 15),
        ([window(0.5, 0.6), window(1.5, 1.6)], 2.0, 1),
        ([window(25, None, Reason.STALE_TELEMETRY)], 60, 25),
    ],
    ids=["just under", "one", "floor", "limit", "all", "twice", "overlap", "adjacent", "slivers", "open"],
)
def test_readings(found: list[Window], seconds: float, clean: int) -> None:
    assert meter(live(), NOON + timedelta(seconds=seconds), found).clean_seconds == clean


@relaxed
@given(st.integers(0, 10**15), st.integers(0, 10_000))
def test_a_split_adds_up_and_never_favours_the_operator(charged: int, fee_bps: int) -> None:
    to_amount, fee_amount = split(charged, fee_bps)
    assert to_amount + fee_amount == charged
    assert 0 <= charged * (10_000 - fee_bps) - to_amount * 10_000 < 10_000


@pytest.mark.parametrize(("charged", "fee_bps"), [(-1, 0), (1, -1), (1, 10_001)])
def test_a_senseless_split_is_refused(charged: int, fee_bps: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        split(charged, fee_bps)
