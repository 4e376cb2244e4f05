"""The card that finds a place: by name, by numbers, or by a pasted link of a map."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from luxxon_core.kernel.geo import Point
from luxxon_tui.map.links import is_short_link, parse
from luxxon_tui.map.names import name_of
from luxxon_tui.map.request import away, coordinates
from luxxon_tui.map.work import instead
from luxxon_tui.rows import EMPTY, Row, Span, cut, row, spread
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal

if TYPE_CHECKING:
    from luxxon_tui.map.gazetteer import Found

LISTED = 8
WIDTH = 58


@dataclass(frozen=True, slots=True)
class Target:
    """A place that was found."""

    point: Point
    label: str = ""
    """Empty where only its numbers are known."""
    population: int = 0


class Find(Modal[Target | None]):
    """Asks for a place. Dismisses with it, or with None.

    Args:
        near: where distances are measured from.
        text: what is looked for at first.
    """

    CSS = """
    Find { align: center top; background: $background 60%; }
    Find > Vertical { width: 62; max-width: 100%; height: auto; margin-top: 4; background: $surface;
        border-left: outer $accent; padding: 1 2 1 1; }
    Find Lines { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", show=False),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("down", "move(1)", "down", show=False, priority=True),
    ]

    def __init__(self, near: Point | None = None, text: str = "") -> None:
        super().__init__()
        self._near, self._text = near, text
        self._targets: tuple[Target, ...] = ()
        self._distances: tuple[float | None, ...] = ()
        self._chosen = 0
        self._searching = self._submitted = False

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(
                lambda _width: [row(Span("Find a place", "bright", bold=True)), EMPTY], ground="surface"
            )
            yield Field(self._text, placeholder="a name, 4.7110, -74.0720, or a link", id="query")
            yield Lines(id="found", ground="surface")

    def on_mount(self) -> None:
        self.query_one(Field).focus()
        self._look(self._text)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is listed, the likeliest first."""
        return self._targets

    # -- looking

    def on_input_changed(self, event: Input.Changed) -> None:
        self._submitted = False
        self._look(event.value)

    def _look(self, text: str) -> None:
        self._searching = True
        instead(self, "find", partial(self._search, text))
        self._draw()

    async def _search(self, text: str) -> None:
        point = parse(text)
        if point is not None:
            self._take((Target(point, (await asyncio.to_thread(name_of, point)).full),), (None,))
            return
        if not text.strip() or "://" in text:
            self._take((), ())
            return
        found = await asyncio.to_thread(_search, text, self._near)
        targets = tuple(Target(each.place.point, each.place.label, each.place.population) for each in found)
        self._take(targets, tuple(each.distance_m for each in found))

    def _take(self, targets: tuple[Target, ...], distances: tuple[float | None, ...]) -> None:
        self._targets, self._distances = targets, distances
        self._chosen, self._searching = 0, False
        if self._submitted and targets:
            self.dismiss(targets[0])
        else:
            self._draw()

    # -- choosing

    def action_move(self, by: int) -> None:
        if self._targets:
            self._chosen = (self._chosen + by) % len(self._targets)
            self._draw()

    def on_input_submitted(self) -> None:
        """Go there; to the likeliest, once it is found, while it is still looked for."""
        self._submitted = self._searching
        if self._targets and not self._searching:
            self.dismiss(self._targets[self._chosen])

    def action_take(self, number: int) -> None:
        """A click on a line."""
        self.dismiss(self._targets[number])

    def action_close(self) -> None:
        self.dismiss(None)

    # -- drawing

    def _draw(self) -> None:
        rows = [EMPTY, *self._rows(), EMPTY, _KEYS]
        self.query_one("#found", Lines).redraw(lambda width: [cut(each, width) for each in rows])

    def _rows(self) -> list[Row]:
        text = self.query_one(Field).value.strip()
        if self._targets:
            return [self._line(number, target) for number, target in enumerate(self._targets)]
        if not text:
            return [row(Span("cities by name, anywhere by its numbers", "muted"))]
        if self._searching:
            return [row(Span("◌ looking …", "muted"))]
        if not any(each.isalpha() for each in text):
            words = "no such point: −90 to 90 north, −180 to 180 east, as 50.85, 4.35"
        elif is_short_link(text):
            words = "a short link: open it and paste the long one"
        else:
            words = "no coordinates in this link" if "://" in text else "no such place; try its numbers"
        return [row(Span("○ ", "faint"), Span(words, "muted"))]

    def _line(self, number: int, target: Target) -> Row:
        name, _, country = target.label.partition(", ")
        left = row(Span(name or coordinates(target.point), "bright"), Span(f"  {country}", "muted"))
        metres = self._distances[number]
        right = EMPTY if metres is None else row(Span(away(metres), "muted"))
        if metres is None and name:
            right = row(Span(coordinates(target.point), "muted"))
        chosen = number == self._chosen
        line = row(
            Span("▎" if chosen else " ", "accent"), spread(WIDTH - 2, cut(left, WIDTH - 14), right), " "
        )
        act = f"screen.take({number})"
        return tuple(span._replace(on="raised" if chosen else None, action=act) for span in line)


_KEYS = row(
    Span("enter", "text", bold=True),
    Span(" go there   ", "muted"),
    Span("↑↓", "text", bold=True),
    Span(" choose   ", "muted"),
    Span("esc", "text", bold=True),
    Span(" close", "muted"),
)


def _search(text: str, near: Point | None) -> list[Found]:
    from luxxon_tui.map.gazetteer import gazetteer

    return gazetteer().search(text, near=near, limit=LISTED)
