"""The header: a row of state, the tabs, and a hairline that a banner replaces when the link is down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from luxxon_tui import format as fmt
from luxxon_tui.context import ConsoleContext
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, spread, width_of
from luxxon_tui.views import LiveView, Offline, Phase
from luxxon_tui.widgets.lines import Lines

WIDE = 110
MARGIN = " "


class Tab(NamedTuple):
    key: str
    name: str


TABS = (Tab("2", "Live"),)
"""Screens that exist, with the number key of each."""


def header(
    view: LiveView,
    context: ConsoleContext,
    now: datetime,
    width: int,
    tabs: Sequence[Tab] = TABS,
    current: str = "Live",
) -> list[Row]:
    """The three rows; the margin of one column at both sides is part of them."""
    inner = max(1, width - 2)
    open_tab, names = _tabs(tabs, current, wide=width >= WIDE)
    hints = _hints(wide=width >= WIDE)
    third = _banner(view.link, view.as_of, context, now, width) if isinstance(view.link, Offline) else None
    return [
        row(MARGIN, _state(view, context, now, inner, wide=width >= WIDE)),
        row(MARGIN, spread(inner, names, hints if width_of(names) + width_of(hints) < inner else EMPTY)),
        third or _hairline(width, open_tab),
    ]


def _state(view: LiveView, context: ConsoleContext, now: datetime, width: int, *, wide: bool) -> Row:
    workspace = context.workspace or view.workspace
    left = row(
        Span("◉ ", "accent"),
        Span("luxxon", "bright", bold=True),
        *([Span(f"   {workspace}")] if workspace else []),
    )
    pool = (
        [Span(fmt.pool(view.pool_micro), "bright", bold=True), Span(" USDC", "muted")]
        if view.pool_micro is not None
        else []
    )
    if not wide:
        return spread(width, left, row(*pool, Span("  "), *_link(view, wide=False)))
    chain = context.chain_name or view.chain_name
    parts = [
        row(Span("pool ", "muted"), *pool) if pool else EMPTY,
        row(Span(f"{chain} ", "muted"), _chain_state(view)) if chain and view.chain_name else EMPTY,
        _link(view, wide=True),
        row(Span(fmt.time_of_day(now, context.zone), "muted")),
    ]
    gap = Span("    ")
    return spread(width, left, row(*(piece for part in parts if part for piece in (gap, part)))[1:])


def _asked_no_more(view: LiveView) -> bool:
    """Whether the feed has ended, so that nothing is known of the link any more."""
    return view.phase is Phase.FAILED or (view.session is not None and view.session.settled)


def _chain_state(view: LiveView) -> Span:
    known = not isinstance(view.link, Offline) and not _asked_no_more(view)
    return Span("●", "ok") if known else Span("◌", "muted")


def _link(view: LiveView, *, wide: bool) -> Row:
    link = view.link
    if isinstance(link, Offline):
        return row(Span("▲ no API", "warn", bold=True))
    if _asked_no_more(view):
        return row(Span("API ◌" if wide else "◌ API", "muted"))
    if link.latency_ms is None:
        return row(Span("API ◌" if wide else "◌ no API", "muted"))
    label = Span("API " if wide else "", "muted")
    return row(label, Span("● ", "ok"), Span(str(link.latency_ms)), Span(" ms", "muted"))


def _tabs(tabs: Sequence[Tab], current: str, *, wide: bool) -> tuple[tuple[int, int], Row]:
    """Start and end of the open tab, and the row of all."""
    spans: list[Span] = []
    place = (0, 0)
    column = len(MARGIN)
    for tab in tabs:
        chosen = tab.name == current
        length = len(tab.key) + 1 + len(tab.name)
        if chosen:
            place = (column, column + length)
        action = f"app.switch_mode('{tab.name.lower()}')"
        spans += [
            Span(f"{tab.key} ", "accent" if chosen else "muted", action=action),
            Span(tab.name, "bright" if chosen else "muted", chosen, action=action),
        ]
        gap = "   " if wide else "  "
        spans.append(Span(gap))
        column += length + len(gap)
    return place, tuple(spans[:-1])


def _hints(*, wide: bool) -> Row:
    palette, keys = "app.command_palette", "app.keys"
    if wide:
        return row(
            Span("ctrl+p", "text", action=palette), Span(" palette", "muted", action=palette), "   ",
            Span("?", "text", action=keys), Span(" keys", "muted", action=keys),
        )  # fmt: skip
    return row(Span("^p", "muted", action=palette), " ", Span("?", "muted", action=keys))


def _hairline(width: int, open_tab: tuple[int, int]) -> Row:
    start, end = open_tab
    return row(
        Span("─" * start, "line"), Span("━" * (end - start), "accent"), Span("─" * (width - end), "line")
    )


def _banner(link: Offline, as_of: datetime | None, context: ConsoleContext, now: datetime, width: int) -> Row:
    left = [Span(" ▲ offline", "ink", bold=True, on="warn")]
    if as_of is not None:
        seen = f"what you see is from {fmt.time_of_day(as_of, context.zone)}"
        left.append(Span(f"  {seen}", "ink", on="warn"))
    wait = (link.retry_at - now).total_seconds()
    retry = (
        f"retry {link.attempt} in {fmt.moment(wait + 0.999)}" if wait > 0 else f"retry {link.attempt} running"
    )
    right = row(
        Span(f"{retry}   ", "ink", on="warn"),
        Span("r", "ink", bold=True, on="warn", action="screen.retry"),
        Span(" now ", "ink", on="warn", action="screen.retry"),
    )
    full = row(*left)
    chosen = first_fit(width - width_of(right) - 1, full, row(left[0]))
    space = Span(" " * max(0, width - width_of(right) - width_of(chosen)), "ink", on="warn")
    return cut(row(*chosen, space, *right), width)


class Header(Lines):
    """Three rows at the top of every screen."""

    DEFAULT_CSS = "Header { dock: top; height: 3; }"
