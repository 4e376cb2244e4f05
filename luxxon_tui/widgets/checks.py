"""Boxes to tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click

from luxxon_tui.rows import Row, Span, cut, row
from luxxon_tui.widgets.lines import Lines


class Checks(Lines, can_focus=True):
    """A box for each option: arrows move, ``space`` and a click tick it.

    Args:
        options: name and what it is for.
        ticked: those that are at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("up,k", "move(-1)", "up"),
        ("down,j", "move(1)", "down"),
        ("space", "tick", "tick"),
    ]

    def __init__(
        self,
        options: Sequence[tuple[str, str]],
        ticked: Sequence[str] = (),
        *,
        id: str | None = None,  # noqa: A002  # Textual's name
    ) -> None:
        super().__init__(self._boxes, id=id, ground="surface")
        self._options = tuple(options)
        self._ticked = set(ticked)
        self._place = 0

    @property
    def ticked(self) -> tuple[str, ...]:
        """The names of the ticked ones, in their order."""
        return tuple(name for name, _ in self._options if name in self._ticked)

    def _boxes(self, width: int) -> list[Row]:
        wide = max(len(name) for name, _ in self._options)
        return [self._box(number, wide, width) for number in range(len(self._options))]

    def _box(self, number: int, wide: int, width: int) -> Row:
        name, words = self._options[number]
        on, here = name in self._ticked, self.has_focus and number == self._place
        ground = "raised" if here else None
        line = cut(
            row(
                Span("▎" if here else " ", "accent", on=ground),
                Span("[✓] " if on else "[ ] ", "bright" if on else "faint", on, ground),
                Span(f"{name:<{wide}}", "bright" if on else "text", on=ground),
                Span(f"  {words}", "muted", on=ground),
            ),
            width,
        )
        return row(line, Span(" " * (width - sum(len(span.text) for span in line)), on=ground))

    def action_move(self, by: int) -> None:
        self._place = max(0, min(len(self._options) - 1, self._place + by))
        self.redraw()

    def action_tick(self) -> None:
        self._ticked ^= {self._options[self._place][0]}
        self.redraw()

    def on_click(self, event: Click) -> None:
        if event.y < len(self._options):
            self._place = event.y
            self.action_tick()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()
