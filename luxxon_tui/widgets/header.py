"""The header: a row of state, the tabs, and a hairline that a banner replaces when the link is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import NamedTuple

from luxxon_tui import format as fmt
from luxxon_tui.context import ConsoleContext
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, spread, width_of
from luxxon_tui.store import Readiness, Side, Store
from luxxon_tui.views import Offline, Online
from luxxon_tui.widgets.lines import Lines

WIDE = 110
MARGIN = " "
LEAST_NAME = 6
"""Cells of a workspace's name that are worth showing."""


class Tab(NamedTuple):
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class HeaderView:
    """What the header says. What is None is not shown."""

    link: Online | Offline
    now: datetime
    as_of: datetime | None = None
    """When what is on the screen was read."""
    workspace: str | None = None
    chain_name: str | None = None
    chain_known: bool = False
    """Whether the server has told the chain; without, only its name is known."""
    pool_micro: int | None = None
    side: Side | None = None
    zone: tzinfo | None = None
    progress: str = ""
    """What is being waited for before the first answer, in words."""

    @classmethod
    def of(cls, store: Store, facts: ConsoleContext, now: datetime) -> HeaderView:
        who, config = store.who.value, store.config.value
        return cls(
            link=store.link.value,
            now=now,
            as_of=store.as_of.value,
            workspace=facts.workspace or (who.workspace_name if who else None),
            chain_name=facts.chain_name or (config.chain_name if config else None),
            chain_known=config is not None and store.readiness.value is Readiness.READY,
            pool_micro=store.pool_micro,
            side=store.side.value,
            zone=facts.zone,
            progress=store.progress.value if store.readiness.value is Readiness.LOADING else "",
        )


def header(view: HeaderView, width: int, tabs: Sequence[Tab], current: str) -> list[Row]:
    """The three rows; the margin of one column at both sides is part of them."""
    inner = max(1, width - 2)
    open_tab, names = _tabs(tabs, current, wide=width >= WIDE)
    hints = _hints(wide=width >= WIDE)
    third = _banner(view, view.link, width) if isinstance(view.link, Offline) else None
    return [
        row(MARGIN, _state(view, inner, wide=width >= WIDE)),
        row(MARGIN, spread(inner, names, hints if width_of(names) + width_of(hints) < inner else EMPTY)),
        third or _hairline(width, open_tab),
    ]


def _state(view: HeaderView, width: int, *, wide: bool) -> Row:
    right = _wide_facts(view) if wide else _narrow_facts(view)
    mark = row(Span("◉ ", "accent"), Span("luxxon", "bright", bold=True))
    chips = _chips(view.side)
    room = width - width_of(mark) - width_of(chips) - width_of(right) - 1
    for gap in (3, 2):
        named = _workspace(view.workspace, room - 2 * gap)
        spaces = Span(" " * gap)
        left = row(mark, *((spaces, named) if named else ()), *((spaces, chips) if chips else ()))
        if width_of(left) + width_of(right) < width:
            break
    return spread(width, left, right)


def _workspace(name: str | None, room: int) -> Row:
    """The name with its mark; cut when it is long, left out when nothing of it can be read."""
    if not name or room < LEAST_NAME:
        return EMPTY
    action = "app.workspaces"
    return row(*cut((Span(name, "text", action=action),), room - 2), Span(" ▾", "faint", action=action))


def _chips(side: Side | None) -> Row:
    """The two halves of the market, the one that is on bright on raised."""
    if side is None:
        return EMPTY
    return tuple(
        Span(f" {each} ", "bright", True, "raised", f"app.side('{each.name}')")
        if each is side
        else Span(f" {each} ", "muted", action=f"app.side('{each.name}')")
        for each in Side
    )


def _pool(view: HeaderView) -> Row:
    if view.pool_micro is None:
        return EMPTY
    return Span(fmt.pool(view.pool_micro), "bright", bold=True), Span(" USDC", "muted")


def _narrow_facts(view: HeaderView) -> Row:
    pool = _pool(view)
    return row(pool, *([Span("  ")] if pool else []), _link(view, wide=False))


def _wide_facts(view: HeaderView) -> Row:
    pool, chain = _pool(view), view.chain_name
    parts = [
        row(Span("pool ", "muted"), pool) if pool else EMPTY,
        row(Span(f"{chain} ", "muted"), _chain_state(view)) if chain and view.chain_known else EMPTY,
        _link(view, wide=True),
        row(Span(fmt.time_of_day(view.now, view.zone), "muted")),
    ]
    gap = Span("    ")
    return row(*(piece for part in parts if part for piece in (gap, part)))[1:]


def _chain_state(view: HeaderView) -> Span:
    return Span("◌", "muted") if isinstance(view.link, Offline) else Span("●", "ok")


def _link(view: HeaderView, *, wide: bool) -> Row:
    link = view.link
    if isinstance(link, Offline):
        return row(Span("▲ no API", "warn", bold=True))
    if link.latency_ms is None:
        return row(Span(f"◌ {view.progress}" if view.progress else "API ◌" if wide else "◌ no API", "muted"))
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
        action = f"app.screen('{tab.name.lower()}')"
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


def _banner(view: HeaderView, link: Offline, width: int) -> Row:
    left = [Span(" ▲ offline", "ink", bold=True, on="warn")]
    if view.as_of is not None:
        seen = f"what you see is from {fmt.time_of_day(view.as_of, view.zone)}"
        left.append(Span(f"  {seen}", "ink", on="warn"))
    wait = (link.retry_at - view.now).total_seconds()
    retry = (
        f"retry {link.attempt} in {fmt.moment(wait + 0.999)}" if wait > 0 else f"retry {link.attempt} running"
    )
    right = row(
        Span(f"{retry}   ", "ink", on="warn"),
        Span("r", "ink", bold=True, on="warn", action="app.retry"),
        Span(" now ", "ink", on="warn", action="app.retry"),
    )
    full = row(*left)
    chosen = first_fit(width - width_of(right) - 1, full, row(left[0]))
    space = Span(" " * max(0, width - width_of(right) - width_of(chosen)), "ink", on="warn")
    return cut(row(*chosen, space, *right), width)


class Header(Lines):
    """Three rows at the top of every screen."""

    DEFAULT_CSS = "Header { dock: top; height: 3; }"
