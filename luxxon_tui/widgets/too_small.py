"""What stands over every screen while the terminal is smaller than a screen needs."""

from __future__ import annotations

from collections.abc import Callable

from textual.geometry import Size

from luxxon_tui.rows import EMPTY, Row, Span, cut, row
from luxxon_tui.widgets.lines import Lines

NEEDED = Size(80, 24)
"""The smallest terminal that every screen is drawn for."""


def fits(size: Size) -> bool:
    """Whether a terminal is large enough."""
    return size.width >= NEEDED.width and size.height >= NEEDED.height


class TooSmall(Lines):
    """Covers a screen, which goes on behind it, until the terminal is large enough.

    Args:
        live: how many sessions run; leaving then asks for a second key.
    """

    DEFAULT_CSS = """
    TooSmall { layer: _tooltips; dock: top; width: 100%; height: 100%; background: $background; }
    """

    def __init__(self, live: Callable[[], int]) -> None:
        super().__init__(lambda width: rows_for(Size(width, self.size.height), live()))


def rows_for(size: Size, live: int) -> list[Row]:
    """The size that is needed and the one there is, in the middle; how to leave under it. Pure."""
    needed, there = f"{NEEDED.width}×{NEEDED.height}", f"{size.width}×{size.height}"
    words = f"the console needs {needed}: this terminal is {there}"
    if len(words) + 2 > size.width:
        words = f"{needed} needed"
    leave = "q quit" if not live else "still live; q twice leaves"
    said = [
        row(Span("▲ ", "warn"), Span(words, "bright", bold=True)),
        *([row(Span(leave, "muted"))] if size.height > 2 else []),
    ]
    above = max(0, (size.height - len(said)) // 2)
    return [*[EMPTY] * above, *(_centred(each, size.width) for each in said)]


def _centred(line: Row, width: int) -> Row:
    length = sum(len(span.text) for span in line)
    return cut(row(Span(" " * max(0, (width - length) // 2)), line), width)
