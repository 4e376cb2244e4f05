"""A floating card: a question or a list over the screen, closed with ``esc``."""

from __future__ import annotations

from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll

from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal


class Card(Modal[bool]):
    """Shows rows on ``surface`` with an accent bar at the left. Dismisses with True or False.

    Args:
        rows: content, without the bar and the padding.
        asks: a question, that ``enter`` and ``y`` answer with yes; otherwise the card only tells. The key
            that opened it is never an answer: it may be held down.
    """

    CSS = """
    Card { align: center middle; background: $background 60%; }
    Card > VerticalScroll {
        width: auto; height: auto; max-width: 100%; max-height: 100%; scrollbar-size-vertical: 1;
        scrollbar-background: $surface; scrollbar-color: $lx-line;
    }
    Card Lines { width: auto; height: auto; max-width: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,n,question_mark", "answer(False)", "Close"),
        ("enter,y", "confirm", "Confirm"),
    ]

    def __init__(self, rows: list[Row], *, asks: bool = False) -> None:
        super().__init__()
        self._rows = rows
        self.asks = asks
        self.stood = monotonic()
        """Since when it can be read."""

    def on_mount(self) -> None:
        self.stood = monotonic()

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield CardLines(self._rows)

    def action_confirm(self) -> None:
        self.dismiss(self.asks)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class CardLines(Lines):
    """The rows of a card with bar and padding; as wide as its widest row."""

    def __init__(self, rows: list[Row]) -> None:
        bar = Span("▎", "accent")
        padded = [row(bar, "  ", each, "   ") for each in (EMPTY, *rows, EMPTY)]
        super().__init__(lambda _width: padded, ground="surface")
        self._padded = padded

    def get_content_width(self, container: object, viewport: object) -> int:
        from luxxon_tui.rows import width_of

        return max(width_of(each) for each in self._padded)
