"""The cards of the Cameras screen: thumbnail, name, kind, state and one fact of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from luxxon_tui.actions import action
from luxxon_tui.rows import Row, Span, cut, row, strip_of
from luxxon_tui.themes import palette_of

if TYPE_CHECKING:
    from luxxon_tui.picture.source import Scaler, Source

COLUMNS, ROWS = 16, 4
"""Of a thumbnail."""
STEP = ROWS + 1
MOVE = "Choose a camera"


@dataclass(frozen=True, slots=True)
class CardView:
    """One camera.

    Attributes:
        number: of its newest picture; 0 where there is none.
        live: whether that is of now.
    """

    key: str
    name: str
    kind: str
    state: Span
    fact: str = ""
    number: int = 0
    live: bool = False


def card_rows(card: CardView, width: int) -> list[Row]:
    """The four rows beside the thumbnail."""
    rows = (
        row(Span(card.name, "bright", bold=True)),
        row(Span(card.kind, "muted")),
        row(card.state),
        row(Span(card.fact, "muted")),
    )
    return [cut(each, width) for each in rows]


class Thumbnail:
    """A picture of 16x4 cells; drawn anew only when there is another one."""

    def __init__(self) -> None:
        self._shown: tuple[int, bool] | None = None
        self._rows: list[list[Segment]] = []
        self._scaler: Scaler | None = None

    def rows(self, source: Source, number: int, *, live: bool) -> list[list[Segment]]:
        if self._shown != (number, live):
            from luxxon_tui.picture.drivers import greyed
            from luxxon_tui.picture.quadrant import Quadrants
            from luxxon_tui.picture.source import Scaler

            self._scaler = self._scaler or Scaler()
            driver = Quadrants()
            across, down = driver.scale
            pixels = self._scaler.pixels(source, COLUMNS * across, ROWS * down)
            driver.paint(pixels if live else greyed(pixels))
            self._rows = [driver.segments(y) for y in range(ROWS)]
            self._shown = (number, live)
        return self._rows


class CameraCards(Widget, can_focus=True):
    """Cards one below the other, with a cursor. The chosen one is ``raised``, with the mark in column 0."""

    DEFAULT_CSS = "CameraCards { width: 1fr; height: 1fr; }"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        action(
            "cameras.open", "enter", "open", "Open the chosen camera: its picture, and the keys that move it"
        ),
        action("cameras.up", "up,k", "up", "The camera above", show=False, group=MOVE),
        action("cameras.down", "down,j", "down", "The camera below", show=False, group=MOVE),
    ]

    class Chosen(Message):
        """Another camera is chosen."""

        def __init__(self, cards: CameraCards, key: str) -> None:
            super().__init__()
            self.cards, self.key = cards, key

        @property
        def control(self) -> CameraCards:
            return self.cards

    class Opened(Chosen):
        """A camera is to be opened: by ``enter``, or a click on the chosen one."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self._cards: tuple[CardView, ...] = ()
        self._pictures: dict[str, Source] = {}
        self._thumbnails: dict[str, Thumbnail] = {}
        self._key: str | None = None
        self._top = 0
        self._drawn: tuple[object, ...] = ()

    @property
    def key(self) -> str | None:
        """Of the chosen camera."""
        return self._key

    def fill(self, cards: Sequence[CardView], pictures: dict[str, Source]) -> None:
        """Take other cards, and the newest picture of each that has one."""
        self._cards, self._pictures = tuple(cards), pictures
        if self._key not in [card.key for card in cards]:
            self._key = cards[0].key if cards else None
        self._draw()

    def choose(self, key: str) -> None:
        self._key = key
        self._draw()
        self.post_message(self.Chosen(self, key))

    def _step(self, by: int) -> None:
        keys = [card.key for card in self._cards]
        if keys:
            place = keys.index(self._key) if self._key in keys else 0
            self.choose(keys[max(0, min(len(keys) - 1, place + by))])

    def action_up(self) -> None:
        self._step(-1)

    def action_down(self) -> None:
        self._step(1)

    def action_open(self) -> None:
        if self._key is not None:
            self.post_message(self.Opened(self, self._key))

    def on_click(self, event: Click) -> None:
        place = self._top + event.y // STEP
        if place < len(self._cards):
            if self._cards[place].key == self._key:
                self.action_open()
            else:
                self.choose(self._cards[place].key)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._step(1)
        event.stop()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._step(-1)
        event.stop()

    # -- drawing

    @property
    def _room(self) -> int:
        """Whole cards that fit."""
        return max(1, (self.size.height + 1) // STEP)

    def _draw(self) -> None:
        keys = [card.key for card in self._cards]
        place = keys.index(self._key) if self._key in keys else 0
        self._top = max(0, min(max(self._top, place - self._room + 1), place, len(keys) - 1))
        drawn = (self._cards, self._key, self._top, self.size)
        if drawn != self._drawn:
            self._drawn = drawn
            self.refresh()

    def on_resize(self) -> None:
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._cards) * STEP

    def render_line(self, y: int) -> Strip:
        width, palette = self.size.width, palette_of(self.app)
        place, inside = divmod(y, STEP)
        index = self._top + place
        if index >= len(self._cards) or inside == ROWS or place >= self._room:
            return strip_of((), palette, width)
        card = self._cards[index]
        chosen = card.key == self._key
        ground = "raised" if chosen else "bg"
        words = card_rows(card, max(0, width - COLUMNS - 3))[inside]
        mark = strip_of(row(Span("▎" if chosen else " ", "accent")), palette, 1, ground)
        text = strip_of(row("  ", words), palette, max(0, width - COLUMNS - 1), ground)
        picture = self._picture(card, inside)
        return Strip.join([mark, picture, text]).adjust_cell_length(width)

    def _picture(self, card: CardView, inside: int) -> Strip:
        source = self._pictures.get(card.key)
        if source is None:
            return strip_of((), palette_of(self.app), COLUMNS, "video")
        thumbnail = self._thumbnails.setdefault(card.key, Thumbnail())
        strip = Strip(thumbnail.rows(source, card.number, live=card.live)[inside], COLUMNS)
        for each in self.get_line_filters():
            strip = strip.apply_filter(each, self.background_colors[1])
        return strip
