"""A list of rows with a cursor: only what is on the screen is drawn, however long it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from luxxon_tui.actions import action
from luxxon_tui.rows import Row, Span, cut, row, strip_of, width_of
from luxxon_tui.themes import palette_of

MOVE = "Move in the list"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a list.

    Attributes:
        key: what the line is of; None is a line that cannot be chosen, such as ``earlier today``.
        content: the row for a width in cells, without the column of the mark.
    """

    key: str | None
    content: Callable[[int], Row]


class Items(Sequence[Item]):
    """Lines of a list that are made when they are asked for: of thousands, a few are on the screen."""

    @abstractmethod
    def item(self, place: int) -> Item:
        """One line.

        Raises:
            IndexError: there are fewer.
        """

    @abstractmethod
    def place(self, key: str) -> int | None:
        """Where the line with a key stands."""

    @abstractmethod
    def moved(self, place: int | None, by: int) -> int | None:
        """The line so many away among those that can be chosen, or the last one there; counted from the line
        at ``place``, or the nearest that can be chosen. None where none can."""

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self.item(each) for each in range(*place.indices(len(self)))]
        return self.item(place + len(self) if place < 0 else place)


class Few(Items):
    """Lines that are there already."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = tuple(items)
        self._choices = [place for place, item in enumerate(self._items) if item.key is not None]

    def __len__(self) -> int:
        return len(self._items)

    def item(self, place: int) -> Item:
        return self._items[place]

    def place(self, key: str) -> int | None:
        return next((place for place, item in enumerate(self._items) if item.key == key), None)

    def moved(self, place: int | None, by: int) -> int | None:
        choices = self._choices
        if not choices:
            return None
        number = min(range(len(choices)), key=lambda each: abs(choices[each] - (place or 0)))
        return choices[max(0, min(len(choices) - 1, number + by))]


class RowList(Widget, can_focus=True):
    """Lines with a cursor, moved by arrows, page keys and the mouse.

    The chosen line is ``raised`` over the full width with the mark ``▎`` in column 0, which is reserved: text
    does not move. It stays chosen, by its key, when lines come and go.
    """

    DEFAULT_CSS = "RowList { width: 1fr; height: 1fr; }"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        action("list.up", "up,k", "up", "One line up", show=False, group=MOVE),
        action("list.down", "down,j", "down", "One line down", show=False, group=MOVE),
        action("list.page_up", "pageup", "page up", "A page up", show=False, group=MOVE),
        action("list.page_down", "pagedown", "page down", "A page down", show=False, group=MOVE),
        action("list.first", "home,g", "first", "To the first line", show=False, group=MOVE),
        action("list.last", "end,G", "last", "To the last line", show=False, group=MOVE),
        action("list.open", "enter", "open", "Open the chosen line"),
    ]

    class Moved(Message):
        """Another line is chosen."""

        def __init__(self, rows: RowList, key: str | None) -> None:
            super().__init__()
            self.rows, self.key = rows, key

        @property
        def control(self) -> RowList:
            return self.rows

    class Opened(Moved):
        """A line was opened: by ``enter``, or by a click on the chosen one."""

    class Ended(Message):
        """The cursor has come to the last line: there may be more to read."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self._items: Items = Few(())
        self._key: str | None = None
        self._at: int | None = None
        """Where the chosen line stood last."""
        self._top = 0
        self._drawn: dict[int, Row] = {}

    @property
    def key(self) -> str | None:
        """Of the chosen line."""
        return self._key

    @property
    def first(self) -> int:
        """The place of the first line on the screen."""
        return self._top

    @property
    def items(self) -> Items:
        return self._items

    def fill(self, items: Sequence[Item]) -> None:
        """Take other lines. The chosen one stays; if it is gone, the one in its place, or the nearest."""
        self._items = items if isinstance(items, Items) else Few(items)
        if self._place() is None:
            self._choose(self._items.moved(self._at, 0))
        self._in_view()
        self._draw()

    def choose(self, key: str) -> None:
        """Put the cursor on a line."""
        place = self._items.place(key)
        if place is not None:
            self._move_to(place)

    # -- the cursor

    def _place(self) -> int | None:
        return None if self._key is None else self._items.place(self._key)

    def _choose(self, place: int | None) -> None:
        key = None if place is None else self._items[place].key
        if key != self._key:
            self._key = key
            self.post_message(self.Moved(self, key))

    def _move_to(self, place: int) -> None:
        self._choose(place)
        self._in_view()
        self._draw()
        if place == len(self._items) - 1:
            self.post_message(self.Ended())

    def _step(self, by: int) -> None:
        place = self._items.moved(self._place(), by)
        if place is not None:
            self._move_to(place)

    def _in_view(self) -> None:
        place, height = self._place(), self.size.height
        self._at = place
        if height and place is not None:
            first = place - 1 if place and self._items[place - 1].key is None else place  # its heading, too
            self._top = min(max(self._top, place - height + 1), first)
        self._top = max(0, min(self._top, len(self._items) - height))

    def action_up(self) -> None:
        self._step(-1)

    def action_down(self) -> None:
        self._step(1)

    def action_page_up(self) -> None:
        self._step(-max(1, self.size.height - 1))

    def action_page_down(self) -> None:
        self._step(max(1, self.size.height - 1))

    def action_first(self) -> None:
        self._step(-len(self._items))

    def action_last(self) -> None:
        self._step(len(self._items))

    def action_open(self) -> None:
        if self._key is not None:
            self.post_message(self.Opened(self, self._key))

    def on_click(self, event: Click) -> None:
        place = self._top + event.y
        if place < len(self._items) and self._items[place].key is not None:
            if self._items[place].key == self._key:
                self.action_open()
            else:
                self._move_to(place)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._scroll(3)
        event.stop()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._scroll(-3)
        event.stop()

    def _scroll(self, by: int) -> None:
        self._top = max(0, min(self._top + by, len(self._items) - self.size.height))
        self._draw()

    # -- drawing

    def on_resize(self) -> None:
        self._in_view()
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    @property
    def rows(self) -> list[Row]:
        """The rows on the screen, from the first to the last."""
        return [self._drawn.get(y, ()) for y in range(self.size.height)]

    def _draw(self) -> None:
        """Paint the lines that have changed."""
        width, before = self.size.width, self._drawn
        if not width:
            return
        self._drawn = {y: self._line(y, width) for y in range(self.size.height)}
        changed = [y for y, line in self._drawn.items() if before.get(y) != line]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _line(self, y: int, width: int) -> Row:
        place = self._top + y
        if place >= len(self._items):
            return ()
        item = self._items[place]
        content = cut(item.content(width - 1), width - 1)
        if item.key is None or item.key != self._key:
            return row(" ", content)
        lifted = tuple(span if span.on else span._replace(on="raised") for span in content)
        space = width - 1 - width_of(lifted)
        return row(Span("▎", "accent", on="raised"), lifted, Span(" " * max(0, space), on="raised"))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._items)

    def render_line(self, y: int) -> Strip:
        return strip_of(self._drawn.get(y, ()), palette_of(self.app), self.size.width)
