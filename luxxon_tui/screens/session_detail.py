"""One session as rows: where and who, its course, its meter, its receipt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import zip_longest

from luxxon_core.kernel.geo import Point
from luxxon_tui import format as fmt
from luxxon_tui.places import coordinates
from luxxon_tui.rows import EMPTY, Row, Span, cut, figure, row, section, spread, width_of
from luxxon_tui.screens import session_figures as figures
from luxxon_tui.store.state import is_open
from luxxon_tui.views import PHASES, Loss, Phase, SessionView
from luxxon_tui.widgets import bars

UNIT = len("USDC/s")


@dataclass(frozen=True, slots=True)
class Detail:
    """What the detail is made of."""

    view: SessionView
    places: Mapping[Point, str]
    now: datetime
    zone: tzinfo | None
    focused: bool = False
    offline: bool = False
    operator: str = ""
    """Who films, by name or a short one of the id; empty before it is known."""


TWO_COLUMNS = 70
"""Width from which course and receipt stand beside each other: a narrow terminal has width but no height."""


def detail(shown: Detail, width: int, room: int) -> list[Row]:
    """All of it, in at most ``room`` rows: stretches that are lost go first, then the gaps."""
    if width >= TWO_COLUMNS:
        left = (width - 3) // 2
        right = width - 3 - left
        columns = [_beside(_timeline(shown, left), _receipt(shown, right), left)]
    else:
        columns = [_timeline(shown, width), _receipt(shown, width)]
    head = _head(shown, width)
    used = sum(map(len, (head, *columns))) + len(columns) + 1
    meter = _meter(shown, width, room - used)
    order = [head, meter, *columns] if width >= TWO_COLUMNS else [head, columns[0], meter, columns[1]]
    parts = [part for part in order if part]
    loose = sum(map(len, parts)) + len(parts) - 1 <= room
    rows: list[Row] = []
    for part in parts:
        rows += [*([EMPTY] if rows and loose else []), *part]
    return [cut(each, width) for each in rows[: max(room, 0)]]


def _beside(left: list[Row], right: list[Row], width: int) -> list[Row]:
    pairs = zip_longest(left, right, fillvalue=EMPTY)
    return [row(spread(width, cut(one, width)), "   ", other) for one, other in pairs]


def _head(shown: Detail, width: int) -> list[Row]:
    view = shown.view
    state = figures.state_of(view, offline=shown.offline)
    name = (view.requested and shown.places.get(view.requested)) or "Session"
    fact = row(
        Span(state.text[0], state.role),
        Span(state.text[1:], "text"),
        Span(f"  {fmt.short_id(view.id)}", "muted"),
    )
    title = cut(row(Span(name)), width - width_of(fact) - 4)[0].text
    at = coordinates(view.requested) if view.requested else ""
    who = f"operator {shown.operator}" if shown.operator and view.side == "consumer" else ""
    return [
        section(width, title, fact, focused=shown.focused),
        spread(
            width,
            row(Span(at, "muted")),
            row(Span(who or ("asked to us" if view.side == "operator" else ""), "muted")),
        ),
    ]


# -- timeline


def _timeline(shown: Detail, width: int) -> list[Row]:
    view = shown.view
    end = view.ended_at or (shown.now if is_open(view) and not shown.offline else None)
    fact = row(Span(fmt.moment((end - view.created_at).total_seconds()), "muted")) if end else EMPTY
    steps = [_Step("✓", "requested", fmt.time_of_day(view.created_at, shown.zone))]
    steps += _course(shown) if view.started_at else _without_picture(shown)
    return [section(width, "Timeline", fact), *(step.row(width) for step in steps)]


@dataclass(frozen=True, slots=True)
class _Step:
    """A line of the timeline; ``told`` from the fullest to the shortest, none where none fits."""

    glyph: str
    name: str
    when: str = ""
    told: tuple[str, ...] = ()
    role: str | None = None

    def row(self, width: int) -> Row:
        colour = self.role or {"✓": "ok", "○": "faint", "◐": "text"}.get(self.glyph, "muted")
        word = "faint" if self.glyph == "○" else ("accent" if self.role == "accent" else "text")
        label = max(11, len(self.name))
        line = row(
            Span(f"{self.glyph} ", colour),
            Span(f"{self.name:<{label}}", word),
            Span(f"{self.when:>{max(0, 21 - label)}}", "muted"),
        )
        fitting = (each for each in self.told if width_of(line) + 2 + len(each) <= width)
        told = next(fitting, "")
        return row(line, Span(f"  {told}", "muted")) if told else line


def _course(shown: Detail) -> list[_Step]:
    view = shown.view
    assert view.started_at is not None, "there was a picture"
    steps = [
        _Step("✓", "assigned", _after(view.created_at, view.assigned_at)),
        _Step("✓", "first frame", _after(view.assigned_at or view.created_at, view.started_at)),
    ]
    if is_open(view):
        word, role = ("losing", "warn") if view.lost_now else ("LIVE", "accent")
        if shown.offline:
            word, role = "NO LINK", "warn"
        live = _Step("◌" if shown.offline else "●", word, fmt.moment(view.elapsed_ms / 1000), role=role)
        return [*steps, live, _Step("○", "settled")]
    ended = fmt.time_of_day(view.ended_at, shown.zone) if view.ended_at else ""
    why = ("time used up",) if view.elapsed_ms >= view.max_seconds * 1000 else ()
    return [*steps, _Step("✓", "ended", ended, why), *_settling(shown)]


def _without_picture(shown: Detail) -> list[_Step]:
    view = shown.view
    if not is_open(view):
        at = fmt.time_of_day(view.ended_at, shown.zone) if view.ended_at else ""
        why = ("before a picture came", "no picture")
        return [_Step("✕", view.state.lower(), at, why, role="warn")]
    if view.state == "ASSIGNED":
        assigned = _Step("✓", "assigned", _after(view.created_at, view.assigned_at))
        return [assigned, _Step("◐", "starting the camera"), _Step("○", "settled")]
    waited = "" if shown.offline else fmt.moment((shown.now - view.created_at).total_seconds())
    limit = (f"of {fmt.moment(view.wait_seconds)}",) if view.wait_seconds else ()
    rest = [_Step("○", "first frame"), _Step("○", "settled")]
    return [_Step("◐", "finding a camera", waited, limit), *rest]


def _settling(shown: Detail) -> list[_Step]:
    view = shown.view
    if view.charged_micro == 0:
        return [_Step("✓", "nothing to pay")]
    if view.settlement == "CONFIRMED":
        at = fmt.time_of_day(view.confirmed_at, shown.zone) if view.confirmed_at else ""
        return [_Step("✓", "settling"), _Step("✓", "confirmed", at)]
    if not view.billed:
        return [_Step("◌", "settlement", "", ("is being read",))]
    if view.parked:
        return [_Step("▲", "parked", "", ("the market looks into it", "looked into"), role="warn")]
    passed = not shown.offline and view.ended_at is not None
    since = fmt.moment((shown.now - view.ended_at).total_seconds()) if passed and view.ended_at else ""
    submitted = view.settlement == "SUBMITTED"
    sent = ("transaction sent", "sent") if submitted else ("waits for a batch", "to be sent")
    return [_Step("◐", "settling", since, sent), _Step("○", "confirmed")]


def _after(begin: datetime, end: datetime | None) -> str:
    return f"+{fmt.delay((end - begin).total_seconds())}" if end else ""


# -- meter


def _meter(shown: Detail, width: int, room: int) -> list[Row]:
    """The bar, its ends, and as many stretches that were lost as there is room for."""
    view = shown.view
    if view.started_at is None or room < 3:
        return []
    live = PHASES.get(view.state) is Phase.LIVE
    total = view.max_seconds * 1000 if live else max(view.elapsed_ms, 1)
    role = "accent" if not shown.offline else "coast"
    legend = row(Span("▄", role), Span(" clean  ", "muted"), Span("▂", "bad"), Span(" lost", "muted"))
    rows = [
        section(width, "Meter", legend),
        bars.meter(width, view.elapsed_ms, total, view.losses, role=role),
        spread(width, row(Span("0:00", "faint")), row(Span(fmt.moment(total / 1000), "faint"))),
    ]
    lost = [_lost(view, loss) for loss in view.losses]
    left = room - len(rows)
    if len(lost) > left:
        lost = [*lost[: max(0, left - 1)], row(Span(f"  and {len(lost) - max(0, left - 1)} more", "faint"))][
            :left
        ]
    return rows + lost


def _lost(view: SessionView, loss: Loss) -> Row:
    end = view.elapsed_ms if loss.closed_ms is None else loss.closed_ms
    stretch = f"{fmt.moment(loss.opened_ms / 1000)} – {fmt.moment(end / 1000)}"
    lasted = f"{(end - loss.opened_ms) / 1000:.1f}"
    return row(
        Span(f"  {stretch:<13}", "text"),
        Span(f"{lasted:>6}", "bad"),
        Span(" s   ", "muted"),
        Span(fmt.reason(loss.reason) + (" so far" if loss.closed_ms is None else ""), "muted"),
    )


# -- receipt


def _receipt(shown: Detail, width: int) -> list[Row]:
    view = shown.view
    if view.started_at is None:
        held = "at most" if is_open(view) else "nothing was charged"
        amount = figure(fmt.usdc(view.hold_micro, fmt.PREVIEW), "USDC") if is_open(view) else EMPTY
        return [section(width, "Receipt"), spread(width, row(Span(held, "muted")), amount)]
    keys = row(Span("s", "text", action="screen.save"), Span(" save", "muted", action="screen.save"))
    if view.tx_url:
        action = "screen.explorer"
        keys = row(keys, "  ", Span("x", "text", action=action), Span(" explorer", "muted", action=action))
    over = not is_open(view)
    charge = "muted" if shown.offline and not over else "bright"  # nothing is claimed about now
    lost = f"{view.lost_ms / 1000:.1f}" if view.lost_ms else fmt.NONE
    rows = [
        section(width, "Receipt" if over else "So far", keys if over else EMPTY),
        _item(width, "clean", str(view.clean_seconds), "s"),
        _item(width, "lost, not charged", lost, "s", role="bad" if view.lost_ms else "faint"),
        _item(width, "rate", fmt.usdc(view.rate_micro, fmt.CHARGED), "USDC/s"),
        row(Span("─" * width, "line")),
        _item(width, "charge", fmt.usdc(view.charged_micro, fmt.CHARGED), "USDC", role=charge, bold=True),
    ]
    if view.billed and view.to_micro is not None and view.fee_micro is not None and view.charged_micro:
        rows += [
            _part(width, "to the operator", view.to_micro, view),
            _part(width, "to the market", view.fee_micro, view),
        ]
    if over and view.side == "consumer":
        rows.append(
            _item(
                width, "back to the pool", fmt.usdc(view.hold_micro - view.charged_micro, fmt.CHARGED), "USDC"
            )
        )
    return rows + (_settlement(view, width) if over and view.charged_micro and view.billed else [])


def _settlement(view: SessionView, width: int) -> list[Row]:
    glyph, role = (
        ("✓", "ok") if view.settlement == "CONFIRMED" else ("▲", "warn") if view.parked else ("◐", "text")
    )
    word = "PARKED" if view.parked else view.settlement
    fact = row(Span(f"{glyph} ", role), word)
    if view.tx_hash:
        fact = row(
            fact,
            Span(f"  {fmt.short_hash(view.tx_hash)}", "data" if view.tx_url else "muted", link=view.tx_url),
        )
    return [row(Span("─" * width, "line")), spread(width, row(Span("settlement", "muted")), fact)]


def _part(width: int, label: str, amount: int, view: SessionView) -> Row:
    share = Span(f"{label:<16}", "muted"), Span(f"{100 * amount / view.charged_micro:>4.0f} %", "muted")
    return spread(width, row(*share), figure(fmt.usdc(amount, fmt.CHARGED), "USDC", unit_width=UNIT))


def _item(width: int, label: str, number: str, unit: str, *, role: str = "text", bold: bool = False) -> Row:
    right = figure(number, unit, role=role, bold=bold, unit_width=UNIT)
    return spread(width, row(Span(label, "muted")), right)
