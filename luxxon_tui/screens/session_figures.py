"""What a session is called, counted as and sorted by, in lists. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.rows import Span
from luxxon_tui.store.state import is_open
from luxxon_tui.views import PHASES, Phase, SessionView

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

    sessions: Sequence[SessionView]
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


def counts(sessions: Iterable[SessionView]) -> dict[Filter, int]:
    """How many sessions each filter lets through, in one go."""
    found = dict.fromkeys(Filter, 0)
    for view in sessions:
        kind = Filter.OPEN if is_open(view) else Filter.SETTLING if settling(view) else Filter.DONE
        found[kind] += 1
        found[Filter.ALL] += 1
        found[Filter.TROUBLE] += in_trouble(view)
    return found


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


def chosen(listing: Listing) -> list[SessionView]:
    """The sessions that the list shows, in its order."""
    found = [
        view
        for view in listing.sessions
        if passes(view, listing.filter)
        and (not listing.search or searched(view, listing.search, listing.places))
    ]
    newest = sorted(found, key=lambda view: view.created_at, reverse=True)
    match listing.order:
        case Order.NEWEST:
            return sorted(newest, key=_urgency, reverse=True)
        case Order.AMOUNT:
            return sorted(newest, key=lambda view: abs(amount_micro(view) or 0), reverse=True)
        case Order.LENGTH:
            return sorted(newest, key=lambda view: view.elapsed_ms, reverse=True)
        case Order.CLEAN:
            return sorted(newest, key=lambda view: clean_share(view) if view.elapsed_ms else 2.0)  # type: ignore[return-value,arg-type]


def _urgency(view: SessionView) -> int:
    return 2 * (PHASES.get(view.state) is Phase.LIVE) + is_open(view)


def heading_of(view: SessionView, today: date, zone: tzinfo | None) -> str:
    """Under which heading it stands when the newest come first; none for what is open."""
    if is_open(view):
        return ""
    day = view.created_at.astimezone(zone).date()
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


def today(sessions: Iterable[SessionView], now: datetime, zone: tzinfo | None) -> Day:
    """What sessions of today cost and brought."""
    begin = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    ours = [view for view in sessions if view.started_at and view.started_at >= begin]
    if not ours:
        return Day()
    first = min(view.started_at for view in ours if view.started_at)
    since = begin + timedelta(seconds=(first - begin).total_seconds() // 3600 * 3600)
    # Not none, by a clock that is behind the server's.
    quarters = [0.0] * max(1, int((now - since).total_seconds() // QUARTER) + 1)
    spent = earned = 0
    watched = published = 0.0
    for view in ours:
        amount = amount_micro(view) or 0
        seconds = view.elapsed_ms / 1000
        if view.side == "operator":
            earned, published = earned + amount, published + seconds
        else:
            spent, watched = spent - amount, watched + seconds
        assert view.started_at is not None
        _spread(quarters, (view.started_at - since).total_seconds(), seconds, abs(amount))
    return Day(spent, earned, watched, published, tuple(quarters), since)


def _spread(quarters: list[float], begin: float, seconds: float, amount: float) -> None:
    """Share an amount out over the quarters in which it came to be."""
    end = begin + max(seconds, 1.0)
    for number in range(int(begin // QUARTER), min(len(quarters) - 1, int(end // QUARTER)) + 1):
        inside = min(end, (number + 1) * QUARTER) - max(begin, number * QUARTER)
        quarters[number] += amount * inside / (end - begin)


def clock(instant: datetime, zone: tzinfo | None) -> str:
    """``14:02``"""
    return fmt.time_of_day(instant, zone)[:5]
