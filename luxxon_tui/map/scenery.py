"""What the console knows, as marks on the map and as a plate over it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from luxxon_core.kernel.geo import Point
from luxxon_tui.map.operate import Asked
from luxxon_tui.map.request import Notice
from luxxon_tui.map.scene import Mark
from luxxon_tui.rows import Row, Span, cut, row, width_of
from luxxon_tui.store import Store
from luxxon_tui.views import PHASES, Phase, SessionView

GLYPHS = {"faint": "○", "muted": "◌", "warn": "▲", "bad": "✕"}


def own_sessions(store: Store) -> list[SessionView]:
    """Own requests that are open or being paid, LIVE ones first, then the newest."""
    unpaid = sorted(store.index.unpaid.values(), key=lambda view: view.created_at, reverse=True)
    return [view for view in (*store.open, *unpaid) if view.side == "consumer"]


def marks(store: Store, asked: Sequence[Asked] | None, chosen: Point | None) -> tuple[Mark, ...]:
    """Own sessions; for an operator (``asked`` is not None) the requests that could be served."""
    if asked is not None:
        return tuple(Mark(each.point, "◌", "accent", "asked") for each in asked)
    found = []
    for view in own_sessions(store):
        if view.requested is None or view.requested == chosen:
            continue
        live, waiting = PHASES.get(view.state) is Phase.LIVE, view.state == "REQUESTED"
        glyph = "●" if live else "◌" if waiting else "◐"
        found.append(Mark(view.requested, glyph, "accent" if live or waiting else "text"))
    return tuple(found)


def plate(notice: Notice | None, width: int) -> tuple[Row, ...]:
    """Rows for the middle of the map, all as wide as the widest; none for no notice."""
    if notice is None:
        return ()
    lines = [row("  ", Span(f"{GLYPHS[notice.role]} ", notice.role), Span(notice.title, "bright", bold=True))]
    if notice.help:
        lines.append(row("    ", Span(notice.help, "muted")))
    lines = [cut(line, max(8, width - 34)) for line in lines]
    wide = max(map(width_of, lines)) + 2
    padded = [row(line, " " * (wide - width_of(line))) for line in lines]
    return (row(" " * wide), *padded, row(" " * wide))
