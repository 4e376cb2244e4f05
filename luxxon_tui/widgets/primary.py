"""The one primary button of a screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.events import Click
from textual.message import Message

from luxxon_tui.actions import action
from luxxon_tui.rows import Row, Span, row
from luxxon_tui.widgets.lines import Lines


def button(width: int, label: str, key: str = "", *, tall: bool, off: bool = False) -> list[Row]:
    """A filled button, three rows high where there is room. ``off`` when it does nothing now."""
    ground, ink, hint = ("raised", "muted", "muted") if off else ("accent", "ink", "hint")
    words = f"{label}  {key}" if key and cell_len(label) + len(key) + 4 <= width else label
    left = max(0, (width - cell_len(words)) // 2)
    right = max(0, width - left - cell_len(words))
    middle = row(
        Span(" " * left + label, ink, bold=True, on=ground),
        Span(words[len(label) :] + " " * right, hint, on=ground),
    )
    if not tall:
        return [middle]
    return [row(Span("▄" * width, ground)), middle, row(Span("▀" * width, ground))]


class Primary(Lines, can_focus=True):
    """A button that ``enter``, ``space`` or a click presses. It takes its words anew at each redraw."""

    DEFAULT_CSS = "Primary { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        action("button.press", "enter,space", "press", "Press the button", show=False)
    ]

    class Pressed(Message):
        def __init__(self, pressed: Primary) -> None:
            super().__init__()
            self.pressed = pressed

        @property
        def control(self) -> Primary:
            return self.pressed

    def __init__(self, label: Callable[[], str], key: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(self._button, id=id)
        self._label, self._shown_key = label, key
        self.off = False

    def _button(self, width: int) -> list[Row]:
        tall = self.screen.has_class("-tall") and self.screen.has_class("-wide")
        return button(width, self._label(), self._shown_key, tall=tall, off=self.off)

    def action_press(self) -> None:
        if not self.off:
            self.post_message(self.Pressed(self))

    def on_click(self, event: Click) -> None:
        self.action_press()
