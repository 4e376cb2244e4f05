"""A screen over another one, which stays to be seen in darker colours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual._context import active_app, visible_screen_stack
from textual.color import Color
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip

if TYPE_CHECKING:
    from typing import Self

    from textual.screen import Screen

T = TypeVar("T")

STYLES = 1 << 14
"""Darkened styles that are kept: a map has hundreds, a film new ones with each frame."""


class Under:
    """The screen below in darker colours, row by row.

    Textual renders and tints all of it for each refresh of the screen above, whatever that was about. Here a
    row is looked at again only where it may have changed, and tinted again only where it has: a map has
    thousands of differently coloured cells.
    """

    def __init__(self, screen: Screen[Any], tint: Color, ground: Style) -> None:
        self.screen, self.tint, self.ground = screen, tint, ground
        self._size = screen._compositor.size
        self._drawn: dict[int, tuple[tuple[Strip | None, ...], Strip]] = {}
        """By row: the strips that it was made of, and what became of them."""
        self._stale = set(range(self._size.height))
        self._dark: dict[Style | None, Style] = {}

    def fits(self, screen: Screen[Any], tint: Color, ground: Style) -> bool:
        """Whether this is still what lies below."""
        same = screen is self.screen and tint == self.tint and ground == self.ground
        return same and screen._compositor.size == self._size

    def changed(self, regions: Iterable[Region]) -> None:
        """Look again at what is in these regions; at everything, where there are none."""
        rows = {row for region in regions for row in region.line_range}
        self._stale |= rows or set(range(self._size.height))
        if isinstance(self.screen, Modal):
            self.screen.below_changed(*regions)

    def rows(self, crop: Region) -> list[Strip]:
        """The rows of a region, over their full width."""
        wanted = self._stale.intersection(crop.line_range)
        if wanted:
            self._stale -= wanted
            self._look(wanted)
        drawn, blank = self._drawn, Strip.blank(self._size.width, self.ground)
        return [drawn[y][1] if y in drawn else blank for y in crop.line_range]

    def _look(self, wanted: set[int]) -> None:
        top, bottom = min(wanted), max(wanted) + 1
        crop = Region(0, top, self._size.width, bottom - top)
        chops = self.screen._compositor._render_chops(crop, wanted.__contains__)
        for y in wanted:
            found = tuple(chops[y].values())
            before = self._drawn.get(y)
            if before is None or len(before[0]) != len(found) or not all(map(_same, before[0], found)):
                self._drawn[y] = found, self._darkened(found)

    def _darkened(self, strips: Iterable[Strip | None]) -> Strip:
        dark, style_of, made = self._dark, self._style, []
        if len(dark) > STYLES:
            dark.clear()
        for strip in strips:
            if strip is None:
                continue
            for text, style, control in strip:
                if control is None:
                    made.append(Segment(text, dark.get(style) or style_of(style)))
        # Measured, not summed up: on the way to a new size a widget may still give rows of the former one
        return Strip(made).adjust_cell_length(self._size.width, self.ground)

    def _style(self, style: Style | None) -> Style:
        if style is None:
            found = self.ground
        else:
            ink, paper = (
                None if colour is None else (Color.from_rich_color(colour) + self.tint).rich_color
                for colour in (style.color, style.bgcolor)
            )
            found = self.ground + style.clear_meta_and_links() + Style.from_color(ink, paper)
        self._dark[style] = found
        return found


def _same(one: object, other: object) -> bool:
    return one is other


class Modal(ModalScreen[T]):
    """A modal screen whose translucent background costs little."""

    _under: Under | None = None

    def __init__(self, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(name, id, classes)
        _learn(type(self))

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        if regions:  # so a screen that is covered tells the one that covers it what of it has changed
            self.below_changed(*regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    async def on_screen_resume(self) -> None:
        self.below_changed()  # while another screen stood over this one, only that one was told
        # Before Textual arranges and draws all of this screen in one go: what can wait has a turn in between.
        visible_screen_stack.set(self.app._background_screens)
        self.render_lines(self.app.size.region)
        await asyncio.sleep(0)

    def below_changed(self, *regions: Region) -> None:
        """What is drawn below has changed in these regions; everywhere, where there are none."""
        if self._under is not None:
            self._under.changed(regions)

    def render_lines(self, crop: Region) -> list[Strip]:
        # Past Textual's cache of styled lines and past Rich: rows are kept as they are below.
        below, tint = visible_screen_stack.get([]), self.styles.background
        if not below or below[-1] is self or tint.a == 1:
            self._under = None
            return super().render_lines(crop)
        screen, ground = below.pop(), self.visual_style.rich_style
        if self._under is None or not self._under.fits(screen, tint, ground):
            self._under = Under(screen, tint, ground)
        strips = self._under.rows(crop)
        for each in self.get_line_filters():
            if not isinstance(each, ANSIToTruecolor):  # what is below has passed that one
                strips = [strip.apply_filter(each, self.background_colors[1]) for strip in strips]
        if crop.x == 0 and crop.width == self.size.width == screen._compositor.size.width:
            return strips
        # Extended too: of a new size of the terminal one screen hears before the other
        return [strip.crop_extend(crop.x, crop.right, ground) for strip in strips]


def _learn(screen: type[Modal[Any]]) -> None:
    """Add a class's CSS to the application's, as the first showing would: that parses everything anew, and
    styles every widget of every screen again, for rules that are of this class alone."""
    app = active_app.get(None)
    if app is not None and screen.CSS:
        path, variable = inspect.getfile(screen), f"{screen.__name__}.CSS"
        if not app.stylesheet.has_source(path, variable):
            scope = screen._css_type_name if screen.SCOPED_CSS else ""
            app.stylesheet.add_source(screen.CSS, (path, variable), scope=scope)
