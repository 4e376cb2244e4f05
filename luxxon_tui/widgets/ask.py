"""A card with a line to type into: a passphrase, a name, an amount."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input

from luxxon_tui.rows import EMPTY, Row, Span, cut, row
from luxxon_tui.widgets.field import Field, too_long
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal


class Ask(Modal[str | None]):
    """Dismisses with what was typed, or None.

    Args:
        title: ``Open the wallet``
        facts: what it is about.
        wrong: what was wrong with the last answer.
        secret: shown as dots.
        value: what stands there at first.
        most: how many characters it may have; 0 is any number. With more it says so, and stays.
    """

    CSS = """
    Ask { align: center middle; background: $background 60%; }
    Ask > Vertical {
        width: 60; max-width: 100%; height: auto;
        background: $surface; border-left: outer $accent; padding: 1 2;
    }
    Ask Field { margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave")]

    def __init__(
        self,
        title: str,
        *facts: Row | str,
        wrong: str = "",
        secret: bool = False,
        value: str = "",
        most: int = 0,
    ) -> None:
        super().__init__()
        self._about = [
            row(Span(title, "bright", bold=True)),
            *(row(Span(fact, "muted")) if isinstance(fact, str) else fact for fact in facts),
        ]
        self._wrong = wrong
        self._secret, self._value, self._most = secret, value, most

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(self._told, id="told", ground="surface")
            yield Field(self._value, password=self._secret)
            yield Lines(
                lambda _width: [
                    row(
                        Span("enter", "text", bold=True), Span(" go on   ", "muted"),
                        Span("esc", "text", bold=True, action="screen.leave"),
                        Span(" not now", "muted", action="screen.leave"),
                    )
                ],
                ground="surface",
            )  # fmt: skip

    def _told(self, width: int) -> list[Row]:
        parts = wrap(self._wrong, max(8, width - 2))
        wrong = [row(Span("  " if number else "✕ ", "bad"), part) for number, part in enumerate(parts)]
        return [*self._about, *(cut(each, width) for each in wrong or [EMPTY])]

    def _say(self, wrong: str) -> None:
        self._wrong = wrong
        self.query_one("#told", Lines).redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._wrong and event.value != self._value:
            self._say("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        wrong = too_long(event.value, self._most) if self._most else ""
        if wrong:
            self._say(wrong)
        else:
            self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)
