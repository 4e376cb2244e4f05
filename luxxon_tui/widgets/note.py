"""What stands in place of a screen's content: loading, empty, failed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luxxon_tui.rows import EMPTY, Row, Span, cut, row
from luxxon_tui.views import Failure

if TYPE_CHECKING:
    from luxxon_tui.screens.pane import Empty, Loading


def note_rows(condition: Loading | Empty | Failure, width: int) -> list[Row]:
    """A bold line of what is, then what can be done about it."""
    if isinstance(condition, Failure):
        rows = [
            row(Span("✕ ", "bad"), Span(condition.title, "bright", bold=True)),
            row(Span("  " + condition.detail, "muted")),
            EMPTY,
            row("  " + condition.remedy),
            row(
                Span("  r", "text", bold=True, action="app.retry"),
                Span(" try again", "muted", action="app.retry"),
            ),
        ]
    elif hasattr(condition, "what"):
        rows = [row(Span("◌ ", "muted"), Span(f"{condition.what} …", "muted"))]
    else:
        rows = [row(Span("○ ", "faint"), Span(condition.title, "bright", bold=True)), EMPTY]
        rows += [row("  ", Span(line, "muted") if isinstance(line, str) else line) for line in condition.help]
    return [cut(each, width) for each in rows]
