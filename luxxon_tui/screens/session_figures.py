"""What a session is called, counted as and sorted by, in lists. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.rows import Span
from luxxon_tui.store.state import is_open
from luxxon_tui.views import PHASES, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_tui.screens.session_roll import Roll

TROUBLED = 0.9
"""Share of clean time below which a session counts as trouble."""


class Filter(StrEnum):
    ALL = "all"
    OPEN = "open"
    SETTLING = "settling"
    DONE = "done"
    TROUBLE = "trouble"

    @property
    def next(self) -> Filter:
        every = list(Filter)
        return every[(every.index(self) + 1) % len(every)]


class Order(StrEnum):
    NEWEST = "newest"
    AMOUNT = "amount"
    LENGTH = "length"
    CLEAN = "least clean"

    @property
    def next(self) -> Order:
        every = list(Order)
        return every[(every.index(self) + 1) % len(every)]


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list shows.

    Attributes:
        places: names by point.
    """

    sessions: Collection[SessionView] | Roll
    places: Mapping[Point, str]
    now: datetime
    zone: tzinfo | None
    filter: Filter = Filter.ALL
    order: Order = Order.NEWEST
    search: str = ""
    offline: bool = False


def state_of(view: SessionView, *, offline: bool = False) -> Span:
    """The state in a list: glyph and word. What is done is muted, so that trouble stands out."""
    if PHASES.get(view.state) is Phase.LIVE:
        if offline:
            return Span("◌ NO LINK", "warn", bold=True)
        return Span("▲ LIVE", "warn", bold=True) if view.lost_now else Span("● LIVE", "accent", bold=True)
    words = {
        "REQUESTED": Span("◌ WAITING", "text"),
        "ASSIGNED": Span("◐ STARTING", "text"),
        "EXPIRED": Span("○ EXPIRED", "muted"),
        "CANCELLED": Span("✕ CANCELLED", "muted"),
    }
    if view.state in words and not used_up(view):
        return words[view.state]
    if view.parked:
        return Span("▲ PARKED", "warn")
    if settling(view):
        return Span("◐ SETTLING", "text")
    return Span("✓ CONFIRMED", "ok") if view.settlement == "CONFIRMED" else Span("✓ ENDED", "ok")


def used_up(view: SessionView) -> bool:
    """Whether it was LIVE until its time was over, which the server calls EXPIRED as well."""
    return view.state == "EXPIRED" and view.started_at is not None


def settling(view: SessionView) -> bool:
    """Whether there is money of it that has not arrived yet, as far as its bill has been read."""
    over = view.state == "ENDED" or used_up(view)
    return over and view.billed and view.charged_micro > 0 and view.settlement != "CONFIRMED"


def clean_share(view: SessionView) -> float | None:
    """Clean time of all; None before there was any."""
    return 1 - view.lost_ms / view.elapsed_ms if view.elapsed_ms else None


def in_trouble(view: SessionView) -> bool:
    """Whether somebody should look at it: nobody came, much was lost, or it cannot be paid."""
    clean = clean_share(view)
    nobody = view.state == "EXPIRED" and not used_up(view)
    return view.parked or nobody or (clean is not None and clean < TROUBLED)


def passes(view: SessionView, wanted: Filter) -> bool:
    """Whether a filter lets a session through."""
    match wanted:
        case Filter.ALL:
            return True
        case Filter.OPEN:
            return is_open(view)
        case Filter.SETTLING:
            return settling(view)
        case Filter.DONE:
            return not is_open(view) and not settling(view)
        case Filter.TROUBLE:
            return in_trouble(view)


def kind_of(view: SessionView) -> Filter:
    """Open, settling or done: each session is one of them."""
    return Filter.OPEN if is_open(view) else Filter.SETTLING if settling(view) else Filter.DONE


def amount_micro(view: SessionView) -> int | None:
    """What it brought (operator) or cost (consumer, negative) in µUSDC; None while that is not known."""
    if view.side == "operator":
        return view.to_micro if view.billed else None
    return -view.charged_micro


def searched(view: SessionView, text: str, places: Mapping[Point, str]) -> bool:
    """Whether all words of a search are in what the list says of a session."""
    place = places.get(view.requested, "") if view.requested else ""
    at = f"{view.requested.lat:.4f}, {view.requested.lng:.4f}" if view.requested else ""
    told = f"{state_of(view).text} {view.state} {place} {at} {view.side} {view.id}".casefold()
    return all(word in told for word in text.casefold().split())


def heading_of(day: date, today: date) -> str:
    """What stands over the sessions of a day when the newest come first."""
    if day == today:
        return "earlier today"
    return "yesterday" if day == today - timedelta(days=1) else day_of(day, today)


def day_of(day: date, today: date) -> str:
    """``21 Nov``, with the year when it is another."""
    short = f"{day.day} {day:%b}"
    return short if day.year == today.year else f"{short} {day.year}"


@dataclass(frozen=True, slots=True)
class Day:
    """Sums over one day. Money in µUSDC, time in seconds."""

    spent: int = 0
    earned: int = 0
    watched: float = 0.0
    published: float = 0.0
    quarters: tuple[float, ...] = ()
    """µUSDC, spent and earned together, in each quarter of an hour from ``since`` to now."""
    since: datetime | None = None


QUARTER = 900.0


class DaySums:
    """Sums over the sessions that started on a day; one that changes is taken out and put in again."""

    def __init__(self, day: date, zone: tzinfo | None) -> None:
        self._begin = datetime.combine(day, time(), zone).astimezone(zone)
        self._started: dict[str, datetime] = {}
        self._micro = {"consumer": 0, "operator": 0}
        self._elapsed_ms = {"consumer": 0, "operator": 0}
        self._quarters: dict[int, float] = {}
        """µUSDC by number of the quarter, from the beginning of the day."""
        self._first: datetime | None = None

    def add(self, view: SessionView) -> None:
        """Count a session that has started."""
        assert view.started_at is not None
        self._started[view.id] = view.started_at
        self._first = min(view.started_at, self._first or view.started_at)
        self._sum(view, 1)

    def remove(self, view: SessionView) -> None:
        """Count it no more."""
        if self._started.pop(view.id) == self._first:
            self._first = min(self._started.values(), default=None)
        self._sum(view, -1)

    def _sum(self, view: SessionView, by: int) -> None:
        assert view.started_at is not None
        amount = amount_micro(view) or 0
        self._micro[view.side] += by * amount
        self._elapsed_ms[view.side] += by * view.elapsed_ms
        begin = (view.started_at - self._begin).total_seconds()
        end = begin + max(view.elapsed_ms / 1000, 1.0)
        for number in range(int(begin // QUARTER), int(end // QUARTER) + 1):
            inside = min(end, (number + 1) * QUARTER) - max(begin, number * QUARTER)
            share = by * abs(amount) * inside / (end - begin)
            self._quarters[number] = self._quarters.get(number, 0.0) + share

    def day(self, now: datetime) -> Day:
        """The sums, with their course up to now."""
        if self._first is None:
            return Day()
        hours = (self._first - self._begin).total_seconds() // 3600
        since = self._begin + timedelta(hours=hours)
        # Not none, by a clock that is behind the server's.
        many = max(1, int((now - since).total_seconds() // QUARTER) + 1)
        begin = int(hours) * int(3600 // QUARTER)
        quarters = tuple(max(0.0, self._quarters.get(begin + number, 0.0)) for number in range(many))
        watched, published = (self._elapsed_ms[side] / 1000 for side in ("consumer", "operator"))
        return Day(-self._micro["consumer"], self._micro["operator"], watched, published, quarters, since)


def today(sessions: Iterable[SessionView], now: datetime, zone: tzinfo | None) -> Day:
    """What sessions of today cost and brought, and of later, by a clock that is behind the server's."""
    day = now.astimezone(zone).date()
    begin, sums = datetime.combine(day, time(), zone).astimezone(zone), DaySums(day, zone)
    for view in sessions:
        if view.started_at is not None and view.started_at >= begin:
            sums.add(view)
    return sums.day(now)


def clock(instant: datetime, zone: tzinfo | None) -> str:
    """``14:02``"""
    return fmt.time_of_day(instant, zone)[:5]
