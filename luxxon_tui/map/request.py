"""The panel of a request: what is asked for, what it costs, and what can be done when it cannot be had."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from luxxon_core.kernel.errors import (
    InsufficientCredit,
    InvalidState,
    LuxxonError,
    NoCoverage,
    NotAuthorized,
    QuoteExpired,
    Unavailable,
)
from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.map.scene import Camera
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, row, section, spread
from luxxon_tui.views import PHASES, Phase, SessionView
from luxxon_tui.widgets.bars import progress
from luxxon_tui.widgets.question import Question

DEFAULT_SECONDS = 300
LIMITS = {"up-to": (1, 86_400), "wait": (5, 3_600)}
"""Seconds that the marketplace takes, by field."""
NO_PLACE = "/ finds a place"

_CLOCK = re.compile(r"(?:(?:(\d{1,2}):)?(\d{1,3}):)?(\d{1,5})")
_UNITS = re.compile(r"(?:(\d{1,4})\s*h)?\s*(?:(\d{1,5})\s*m(?:in)?)?\s*(?:(\d{1,6})\s*s)?", re.IGNORECASE)


def seconds_of(text: str, low: int, high: int) -> int | None:
    """``00:05:00``, ``5:00``, ``300``, ``5m`` or ``1h 30m`` as seconds; None outside ``low`` to ``high``."""
    text = text.strip()
    found = _CLOCK.fullmatch(text) or (_UNITS.fullmatch(text) if text else None)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    return total if low <= total <= high else None


@dataclass(frozen=True, slots=True)
class QuoteView:
    """A price that is locked. Money in µUSDC; ``until`` by the console's clock."""

    id: str
    rate_micro: int
    at_most_micro: int
    until: datetime
    lifetime_s: float

    def left_s(self, now: datetime) -> float:
        return max(0.0, (self.until - now).total_seconds())


LONGEST_LIFE, USUAL_LIFE = 600.0, 30.0


def quote_view(
    quote_id: str, rate_micro: int, total_micro: int, expires_at: datetime, now: datetime
) -> QuoteView:
    """A quote as it came. Where the two clocks disagree so much that it would have expired before it came, or
    hold for very long, it is taken to hold for as long as quotes usually do."""
    left = (expires_at - now).total_seconds()
    if not 1.0 < left <= LONGEST_LIFE:
        left = USUAL_LIFE
    return QuoteView(quote_id, rate_micro, total_micro, now + timedelta(seconds=left), left)


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened, and what to do."""

    title: str
    help: str
    role: str = "warn"
    action: str | None = None


@dataclass(frozen=True, slots=True)
class RequestView:
    """Everything in the panel."""

    now: datetime
    point: Point | None = None
    place: str = ""
    max_seconds: int | None = DEFAULT_SECONDS
    wait_seconds: int | None = DEFAULT_SECONDS
    quote: QuoteView | None = None
    quoting: bool = False
    covering: int = 0
    """Cameras that cover the place."""
    nearest_m: float | None = None
    """How far the nearest of those is, or of all where none covers it."""
    supply_known: bool = False
    pool_micro: int | None = None
    held_micro: int = 0
    online: bool = True
    sending: bool = False
    notice: Notice | None = None
    sessions: tuple[SessionView, ...] = ()
    names: tuple[tuple[Point, str], ...] = ()

    @property
    def free_micro(self) -> int | None:
        """What open sessions leave of the pool."""
        return None if self.pool_micro is None else max(0, self.pool_micro - self.held_micro)

    @property
    def short_micro(self) -> int:
        """What the pool lacks for this request."""
        if self.quote is None or self.free_micro is None:
            return 0
        return max(0, self.quote.at_most_micro - self.free_micro)

    @property
    def ready(self) -> bool:
        """Whether it can be asked for now."""
        quote = self.quote
        held = quote is not None and quote.left_s(self.now) > 0
        return held and self.online and not self.sending and self.wait_seconds is not None


TOP_UP, NEAREST = "app.screen('wallet')", "screen.nearest"


def told(view: RequestView) -> Notice | None:
    """What stands in the way, or is worth knowing before money is spent. Words fit 24 cells."""
    uncovered = view.point is not None and view.supply_known and not view.covering
    elsewhere = Notice("nobody covers it now", "waiting is free")
    if view.nearest_m is not None:
        elsewhere = Notice("nobody covers it now", f"n  camera {away(view.nearest_m)} off", "warn", NEAREST)
    lacking = fmt.usdc(-(-view.short_micro // 10_000) * 10_000, fmt.PREVIEW)
    cases = (
        (view.notice is not None, view.notice),
        (not view.online, Notice("no link to the server", "nothing can be sent now")),
        (view.max_seconds is None, Notice("up to: 1 s to 24 h", "such as 5:00 or 90s", "bad")),
        (view.wait_seconds is None, Notice("wait: 5 s to 1 h", "such as 5:00 or 90s", "bad")),
        (view.short_micro > 0, Notice(f"{lacking} USDC short", "5 Wallet: top up", "warn", TOP_UP)),
        (uncovered, elsewhere),
    )
    return next((notice for case, notice in cases if case), None)


REFUSALS: tuple[tuple[type[LuxxonError], Notice], ...] = (
    (InsufficientCredit, Notice("the pool is too small", "5 Wallet: top up", "bad", TOP_UP)),
    (NoCoverage, Notice("nobody covers it yet", "it waits; x cancels")),
    (Unavailable, Notice("every camera is busy", "it waits; x cancels")),
    (QuoteExpired, Notice("the price has expired", "look at the new one")),
    (NotAuthorized, Notice("this key may not ask", "", "bad")),
    (InvalidState, Notice("too late for that", "")),
)
"""By the class of an error, the more special first."""


def refused(error: LuxxonError) -> Notice:
    """A refusal in words, with what can be done; the server's own words where nothing is known of it."""
    found = next((notice for kind, notice in REFUSALS if isinstance(error, kind)), None)
    if found is None:
        return Notice("not requested", error.message, "bad")
    return found if found.help else replace(found, help=error.message)


def question(view: RequestView, quote: QuoteView) -> Question:
    """What is asked before money is held."""

    def line(label: str, number: str, unit: str = "", *, bold: bool = False) -> Row:
        role = "bright" if bold else "text"
        return spread(34, row(Span(label, "muted")), row(Span(number, role, bold), Span(unit, "muted")))

    place = view.place or (coordinates(view.point) if view.point else "")
    facts: list[Row | str] = [
        place,
        EMPTY,
        line("up to", fmt.hms(view.max_seconds or 0)),
        line("rate", fmt.usdc(quote.rate_micro, fmt.RATE), " USDC/s"),
        line("at most", fmt.usdc(quote.at_most_micro, fmt.PREVIEW), " USDC", bold=True),
    ]
    if view.supply_known and not view.covering:
        facts += [EMPTY, row(Span("▲ ", "warn"), "nobody covers it now: it waits, free of charge")]
    return Question("Request live view?", tuple(facts), "request", "not now")


# -- rows


def quote_rows(view: RequestView, width: int, *, full: bool) -> list[Row]:
    """The price and its seconds, and what it can come to."""
    quote = view.quote
    left = quote.left_s(view.now) if quote else 0.0
    unit = 6 if full else 0
    none = Span(fmt.NONE, "faint")
    rows = [section(width, "Quote", _validity(view, left))]
    if full:
        rows.append(progress(width, left / quote.lifetime_s if quote else 0.0, role="coast"))
    rows.append(spread(width, row(Span("cameras", "muted")), _cover(view, full=full)))
    rows.append(spread(width, row(Span("nearest", "muted")), _nearest(view)))
    rate = figure(fmt.usdc(quote.rate_micro, fmt.RATE), "USDC/s") if quote else row(none)
    rows.append(spread(width, row(Span("rate", "muted")), rate))
    if full:
        minute = (
            figure(fmt.usdc(quote.rate_micro * 60, fmt.PREVIEW), "USDC", unit_width=unit) if quote else none
        )
        rows.append(spread(width, row(Span("at 1 min", "muted")), row(minute)))
    rows.append(row(Span("─" * width, "line")))
    at_most = (
        figure(fmt.usdc(quote.at_most_micro, fmt.PREVIEW), "USDC", role="bright", bold=True, unit_width=unit)
        if quote
        else row(none)
    )
    rows.append(spread(width, row("at most"), at_most))
    pool = view.pool_micro
    role = "bad" if view.short_micro else "text"
    rows.append(
        spread(
            width,
            row(Span("pool", "muted")),
            row(none) if pool is None else figure(fmt.pool(pool), "USDC", role=role, unit_width=unit),
        )
    )
    return rows


def _validity(view: RequestView, left: float) -> Row:
    if view.quote is not None and left > 0:
        return row(Span("valid ", "muted"), Span(f"{ceil(left):>2}", "text", bold=True), Span(" s", "muted"))
    if view.quoting:
        return row(Span("◌ asking", "muted"))
    return row(Span("no place" if view.point is None else fmt.NONE, "faint"))


def _cover(view: RequestView, *, full: bool) -> Row:
    if view.point is None or not view.supply_known:
        return row(Span(fmt.NONE, "faint"))
    count = view.covering
    words = " cover this point" if full else " cover it"
    if count == 1:
        words = words.replace("cover", "covers")
    number = Span(str(count), "text", bold=True) if count else Span("none", "warn")
    return row(number, Span(words if count else "", "muted"))


def _nearest(view: RequestView) -> Row:
    if view.nearest_m is None:
        return row(Span(fmt.NONE, "faint"))
    number, _, unit = away(view.nearest_m).rpartition(" ")
    return figure(number, unit, role="text" if view.covering else "muted")


def notice_rows(view: RequestView, width: int, *, full: bool) -> list[Row]:
    """Two rows under the button."""
    notice = told(view)
    if notice is not None:
        glyph = "✕" if notice.role == "bad" else "▲"
        return [
            cut(row(Span(f"{glyph} ", notice.role), Span(notice.title, "text")), width),
            cut(row(Span(notice.help, "muted", action=notice.action)), width),
        ]
    if not full:
        return []
    return [
        row(Span("You pay clean seconds only.", "muted")),
        row(Span("Unused money stays in the pool.", "muted")),
    ]


def yours_rows(view: RequestView, width: int, room: int, *, full: bool) -> list[Row]:
    """Own sessions that are open or not yet paid."""
    names = dict(view.names)
    open_now = sum(PHASES.get(each.state) is not Phase.OVER for each in view.sessions)
    fact = row(Span(str(open_now), "text", bold=True), Span(" open", "muted")) if view.sessions else EMPTY
    rows = [section(width, "Yours now", fact)]
    if not view.sessions:
        rows.append(row(Span("none open", "faint")))
    for session in view.sessions[: max(0, room - 1)]:
        place = (session.requested and names.get(session.requested)) or _coordinates(session.requested)
        glyph, right = _course(session, view.now, full=full)
        act = f"screen.watch('{session.id}')"
        rows.append(spread(width, row(glyph, Span(f" {place}", "text", action=act)), right))
    return rows


def _course(session: SessionView, now: datetime, *, full: bool) -> tuple[Span, Row]:
    age = max(0.0, (now - session.created_at).total_seconds())
    if session.state == "REQUESTED":
        words = "waiting " if full else "waits "
        until = Span(f" of {fmt.moment(session.wait_seconds or 0)}" if full else "", "muted")
        return Span("◌", "accent"), row(Span(words, "muted"), Span(fmt.moment(age), "text"), until)
    if session.state == "ASSIGNED":
        return Span("◐", "text"), row(Span("starting", "muted"))
    if PHASES.get(session.state) is Phase.LIVE:
        return Span("●", "accent"), row(
            Span("live ", "accent"), Span(fmt.listed(session.elapsed_ms / 1000), "text")
        )
    charged = Span(f" {fmt.usdc(session.charged_micro, 3)}", "text")
    figures = (charged, Span(" USDC", "muted")) if full else ()
    return Span("◐", "text"), row(Span("settling", "muted"), *figures)


def _coordinates(point: Point | None) -> str:
    return fmt.NONE if point is None else coordinates(point)


def away(metres: float) -> str:
    """``41 m``, ``1.1 km``, ``8 799 km``."""
    if metres < 99_950:
        return " ".join(fmt.distance(metres))
    return f"{fmt.grouped(f'{metres / 1000:.0f}')} km"


def coordinates(point: Point) -> str:
    """``50.8503, 4.3517``: as people paste it, so with a plain hyphen."""
    return f"{point.lat:.4f}, {point.lng:.4f}"


# -- cameras near the point

_COLUMNS = (("camera", 9), ("place", 0), ("dist", 10), ("reach", 9), ("now", 13))


def camera_rows(
    near: Sequence[tuple[Camera, float]],
    names: Mapping[Point, str],
    width: int,
    room: int,
    *,
    covering: int,
    loaded: bool,
) -> list[Row]:
    """Cameras near the chosen point, those that do not cover it in muted."""
    fact = (
        row(Span(str(covering), "text", bold=True), Span(" cover it, by distance", "muted"))
        if near
        else EMPTY
    )
    wide = max(8, width - 2 - sum(size for _, size in _COLUMNS))
    rows = [section(width, "Cameras near the point", fact)]
    if not near:
        rows.append(row(Span("  none online" if loaded else "  ◌ asking …", "faint")))
        return rows
    rows.append(
        row(
            Span("  ", "faint"),
            Span(f"{'camera':<9}", "faint"),
            Span(f"{'place':<{wide}}", "faint"),
            Span(f"{'dist':>9} {'reach':>8}   {'now':<11}", "faint"),
        )
    )
    for number, (camera, metres) in enumerate(near[: max(0, room - 2)]):
        covers = metres <= camera.area.radius_m
        role = "text" if covers else "muted"
        far, reach = away(metres), away(camera.area.radius_m)
        name = camera.name or camera.kind
        place = cut(row(Span(names.get(camera.point, coordinates(camera.point)), role)), wide - 1)
        line = row(
            Span("▸ " if number == 0 and covers else "  ", "accent"),
            spread(9, row(Span(name, "text" if covers else "muted", bold=covers)), EMPTY),
            spread(wide, place, EMPTY),
            Span(f"{far:>9} {reach:>8}   ", role),
            Span("●", "ok" if covers else "faint"),
            Span(f"{' covers it' if covers else ' too far':<10}", role),
        )
        act = f"screen.choose_at({camera.point.lat!r}, {camera.point.lng!r})"
        clicked = tuple(
            span._replace(action=act, on="raised" if number == 0 and covers else None) for span in line
        )
        rows.append(clicked)
    return rows
