"""The list of sessions as rows: filters, column heads, lines, and the sums of today. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.money import format_usdc
from luxxon_tui import format as fmt
from luxxon_tui.places import coordinates
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, section, spread, width_of
from luxxon_tui.screens import session_figures as figures
from luxxon_tui.screens.session_figures import Filter, Listing, Order
from luxxon_tui.screens.session_roll import roll_of
from luxxon_tui.store.state import is_open
from luxxon_tui.views import SessionView
from luxxon_tui.widgets import bars
from luxxon_tui.widgets.row_list import Item, Items

STATE, START, SIDE, LENGTH, CLEAN, AMOUNT = 11, 5, 5, 7, 8, 10
"""Cells of the columns; the place takes what is left."""
LEAST_PLACE = 8


def filters(listing: Listing, width: int, *, searching: bool) -> Row:
    """The filters with how many sessions each has; the one that is on is bright on raised."""
    spans: list[Span] = []
    counted = roll_of(listing).counts
    for each in Filter:
        count = counted[each]
        action = f"screen.filter_by('{each.name}')"
        if each is listing.filter:
            spans.append(Span(f" {each} {count} ", "bright", True, "raised", action))
        else:
            spans.append(Span(f" {each} {count} ", "muted" if count else "faint", action=action))
        spans.append(Span(" "))
    search = row(Span("/", "text", action="screen.search"), Span(" search", "faint", action="screen.search"))
    left = tuple(spans[:-1])
    shown = not searching and width_of(left) + width_of(search) < width
    return spread(width, left, search if shown else EMPTY)


def heads(width: int, order: Order = Order.NEWEST) -> list[Row]:
    """Names of the columns over a hairline; the one that the list is sorted by stands out."""

    def name(text: str, sorts: Order | None = None) -> Span:
        lit = sorts is order
        return Span(text, "text" if lit else "faint", action="screen.sort" if sorts else None)

    names = _columns(
        width,
        name("state"),
        name("start", Order.NEWEST),
        row(name("place")),
        name("side"),
        row(name("length", Order.LENGTH)),
        row(name("clean %", Order.CLEAN)),
        row(name("USDC", Order.AMOUNT)),
        glyph=Span(" "),
    )
    return [row(" ", names), row(Span("─" * width, "line"))]


def _columns(
    width: int,
    state: Span,
    start: Span,
    place: Row,
    side: Span,
    length: Row,
    clean: Row,
    amount: Row,
    *,
    glyph: Span,
) -> Row:
    """A line without the column of the mark: ``width`` counts that one."""
    fixed = 2 + STATE + 2 + START + 2 + 2 + SIDE + LENGTH + CLEAN + AMOUNT
    cells = ((length, LENGTH), (clean, CLEAN), (amount, AMOUNT))
    wider = sum(max(0, width_of(cell) + 1 - most) for cell, most in cells)
    room = max(LEAST_PLACE, width - 1 - fixed - wider)
    return row(
        glyph,
        " ",
        _padded(row(state), STATE),
        "  ",
        _padded(row(start), START),
        "  ",
        _padded(cut(place, room), room),
        "  ",
        _padded(row(side), SIDE),
        *(_padded(cell, max(most, width_of(cell) + 1), right=True) for cell, most in cells),
    )


def _padded(content: Row, width: int, *, right: bool = False) -> Row:
    space = Span(" " * max(0, width - width_of(content)))
    return row(space, content) if right else row(content, space)


def items(listing: Listing) -> Items:
    """The lines, under headings by day when the newest come first. Only those that are asked for are made."""
    return SessionItems(listing)


class SessionItems(Items):
    """The lines of a listing."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._shelf = roll_of(listing).shelf(listing.filter, listing.order, listing.search)

    def __len__(self) -> int:
        return len(self._shelf)

    def item(self, place: int) -> Item:
        listing, (view, day) = self._listing, self._shelf[place]
        if view is not None:
            return Item(view.id, partial(line, view, listing))
        assert day is not None, "either a session or a day"
        today = listing.now.astimezone(listing.zone).date()
        return Item(None, partial(_heading, figures.heading_of(day, today)))

    def place(self, key: str) -> int | None:
        return self._shelf.place(key)

    def moved(self, place: int | None, by: int) -> int | None:
        shelf = self._shelf
        if not shelf.many:
            return None
        number = 0 if place is None else shelf.number(place)
        return shelf.nth(max(0, min(shelf.many - 1, number + by)))


def _heading(text: str, width: int) -> Row:
    return cut(row(" ", Span(text, "faint")), width)


def line(view: SessionView, listing: Listing, width: int) -> Row:
    """One session."""
    state = figures.state_of(view, offline=listing.offline)
    done = state.role in ("ok", "muted")
    glyph = Span(state.text[0], state.role)
    word = state._replace(text=state.text[2:], role="muted" if done else state.role, bold=False)
    clean = figures.clean_share(view)
    return _columns(
        width + 1,
        word,
        Span(figures.clock(view.created_at, listing.zone), "muted" if done else "text"),
        _place(view, listing.places, width),
        Span("→ req" if view.side == "consumer" else "← op", "muted"),
        row(_length(view, listing.now)),
        row(Span(fmt.NONE, "faint") if clean is None else Span(fmt.percent(clean))),
        row(_amount(view)),
        glyph=glyph,
    )


def _place(view: SessionView, places: Mapping[Point, str], width: int) -> Row:
    if view.requested is None:
        return row(Span(fmt.NONE, "faint"))
    name = places.get(view.requested) or coordinates(view.requested)
    room = max(LEAST_PLACE, width - 2 - STATE - 2 - START - 2 - 2 - SIDE - LENGTH - CLEAN - AMOUNT)
    return first_fit(room, row(Span(name)), row(Span(name.split(",")[0])))


def _length(view: SessionView, now: datetime) -> Span:
    """How long video ran, or has been waited for."""
    if view.started_at is None and is_open(view):
        return Span(fmt.listed((now - view.created_at).total_seconds()), "muted")
    return Span(fmt.listed(view.elapsed_ms / 1000)) if view.elapsed_ms else Span(fmt.NONE, "faint")


def _amount(view: SessionView) -> Span:
    """Cut to four decimals, so that digits align; the receipt has all of them."""
    amount = figures.amount_micro(view)
    if view.started_at is None or amount is None:
        return Span(fmt.NONE, "faint")
    if amount == 0:
        return Span(format_usdc(0, fmt.RATE), "faint")
    signed = f"{'+' if amount > 0 else fmt.MINUS}{format_usdc(abs(amount), fmt.RATE)}"
    return Span(signed, "ok" if amount > 0 else "text")


def today_rows(listing: Listing, width: int, room: int) -> list[Row]:
    """What today cost and brought, with its course; nothing where there is no room for it."""
    day = roll_of(listing).today(listing.now)
    if room < 4 or day.since is None:
        return []
    rows = [
        section(width, "Today", row(Span("USDC per quarter of an hour", "muted"))),
        spread(
            width,
            _sum("spent", fmt.usdc(day.spent, fmt.CHARGED), "text", " USDC"),
            _sum("earned", fmt.usdc(day.earned, fmt.CHARGED), "ok" if day.earned else "faint", " USDC"),
        ),
        spread(
            width,
            _sum("watched", fmt.listed(day.watched), "text"),
            _sum("published", fmt.listed(day.published), "text" if day.published else "faint"),
        ),
    ]
    height = min(5, room - len(rows) - 1)
    if height < 1:
        return rows
    samples = _stretched(day.quarters, 2 * width)
    drawn = bars.braille(samples, width, height, max(max(day.quarters) * 1.15, 1.0))
    rows += [
        row(Span(text, "data_low" if y == height - 1 and height > 1 else "data"))
        for y, text in enumerate(drawn)
    ]
    ends = figures.clock(day.since, listing.zone), figures.clock(listing.now, listing.zone)
    return [*rows, spread(width, row(Span(ends[0], "faint")), row(Span(ends[1], "faint")))]


def _sum(label: str, number: str, role: str, unit: str = "") -> Row:
    return row(Span(f"{label:<10}", "muted"), Span(number, role, bold=True), Span(unit, "muted"))


def _stretched(values: Sequence[float], samples: int) -> list[float]:
    """As many samples as there is room for, each the value of its quarter."""
    return [values[min(len(values) - 1, number * len(values) // samples)] for number in range(samples)]
