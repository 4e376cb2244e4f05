"""A card to choose one of a few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal
from luxxon_tui.widgets.row_list import Item, RowList


class Choose(Modal[str | None]):
    """Dismisses with the name of the chosen option, or None.

    Args:
        title: ``Role of 0x71C4…9F02``
        options: name and what it means.
        chosen: where the cursor stands at first.
    """

    CSS = """
    Choose { align: center middle; background: $background 60%; }
    Choose > Vertical {
        width: 60; max-width: 100%; height: auto;
        background: $surface; border-left: outer $accent; padding: 1 2;
    }
    Choose RowList { height: auto; background: $surface; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave")]

    def __init__(self, title: str, options: Sequence[tuple[str, str]], chosen: str | None = None) -> None:
        super().__init__()
        self._title, self._options, self._chosen = title, tuple(options), chosen

    def compose(self) -> ComposeResult:
        title = [row(Span(self._title, "bright", bold=True)), EMPTY]
        with Vertical():
            yield Lines(lambda _width: title, ground="surface")
            yield RowList()
            yield Lines(
                lambda _width: [
                    row(
                        Span("enter", "text", bold=True), Span(" choose   ", "muted"),
                        Span("esc", "text", bold=True, action="screen.leave"),
                        Span(" not now", "muted", action="screen.leave"),
                    )
                ],
                ground="surface",
            )  # fmt: skip

    def on_mount(self) -> None:
        rows = self.query_one(RowList)
        rows.fill([Item(name, partial(_option, name, words)) for name, words in self._options])
        if self._chosen is not None:
            rows.choose(self._chosen)
        self.set_focus(rows)

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        self.dismiss(event.key)

    def action_leave(self) -> None:
        self.dismiss(None)


def _option(name: str, words: str, width: int) -> Row:
    return row(
        Span(f"{name:<8}", "text", on="surface"),
        Span(f"{words}", "muted", on="surface"),
        Span(" " * max(0, width - max(8, len(name)) - len(words)), on="surface"),
    )
