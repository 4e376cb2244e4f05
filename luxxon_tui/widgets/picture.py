"""The live picture: newest frame only, drawn row by row where it changed, never behind the terminal.

Uncovered, rows go straight to the terminal's writer: a compositor's pass for every frame costs more than the
frame. Covered by anything (a card, a toast), filtered (``NO_COLOR``), headless or on a terminal without
24-bit colour, the same rows go through Textual's compositor as styled text.

On a terminal that takes pixels (kitty, sixel) they are drawn over the cells. While anything covers the
picture it is drawn in cells: pixels must not shine through what is in front, nor outlive what they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import thread_time
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from luxxon_tui.picture.choice import FINE_CELLS, HALF_BLOCKS, cell_driver, pixel_driver
from luxxon_tui.picture.strip import RawStrip, runs
from luxxon_tui.picture.terminal import Terminal
from luxxon_tui.rows import Row, strip_of
from luxxon_tui.themes import palette_of

if TYPE_CHECKING:
    from luxxon_tui.picture.drivers import PictureDriver
    from luxxon_tui.picture.source import Box, Scaler, Source

DROPPED_LIMIT = 20
"""Frames dropped for a slow terminal, less those drawn, after which half-blocks take over."""

COARSE_FRAMES = 300
"""Frames drawn more cheaply before the fine picture is tried again."""

PIXELS, FINE, COARSE = range(3)
"""Ways to draw, from the best to the cheapest."""

SLOW_SECONDS = 0.02
"""CPU of a frame in pixels, on average, above which cells take over."""

LAYOUT_SECONDS = 0.05
"""How long pixels wait for a layout that is due."""

WIDE, HIGH = 16, 9
"""Shape of the field: that of most cameras. A picture of another shape is centred in it."""


class Picture(Widget):
    """Shows frames of a stream in cells.

    ``show`` takes the newest frame; while the terminal still has one to write it is kept but not drawn, so
    that at most one picture waits. A plate of rows is laid over the middle; a dimmed frame is grey, because
    it is no longer live.

    Args:
        reserve: rows of the container to leave to what stands below the picture.
    """

    DEFAULT_CSS = """
    Picture { width: 1fr; height: auto; background: $lx-video; }
    Picture.-shown { background: $background; }
    """
    ALLOW_SELECT = False
    mounted: ClassVar[int] = 0
    """Pictures that share the terminal: each may have one frame waiting."""

    def __init__(self, *, id: str | None = None, reserve: int = 0) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.reserve = reserve
        self._latest: Source | None = None
        self._painter: PictureDriver | None = None
        self._scaler: Scaler | None = None
        self._field: Box | None = None
        self._strips: dict[int, Strip] = {}
        self._dimmed = False
        self._plate: tuple[Row, ...] = ()
        self._dropped = 0
        self._way = PIXELS
        self._fine_from = 0
        self._cost = 0.0
        self._pixels_on = False
        self._stale: set[int] = set()
        self._restoring = False
        self._terminal = Terminal(self)
        self.drawn = 0
        """Frames drawn since the start."""

    # -- what the screen tells it

    @property
    def latest(self) -> Source | None:
        """The newest frame at its full size, drawn or not."""
        return self._latest

    @property
    def driver_name(self) -> str | None:
        """How the picture is drawn (``quadrants``), None before the first one."""
        return self._painter.name if self._painter else None

    def show(self, source: Source) -> bool:
        """Make ``source`` the picture; False when it was not drawn because the terminal is behind."""
        if (
            self._latest is not None
            and source.width * self._latest.height != source.height * self._latest.width
        ):
            self._drop_painter()  # a camera that was turned: the picture has another shape
        self._latest = source
        if self._terminal.pending() >= max(1, Picture.mounted):
            self._dropped += 1
            if self._dropped >= DROPPED_LIMIT:
                self._cheaper()
            return False
        self._dropped = max(0, self._dropped - 1)
        if self._way != PIXELS and self.drawn >= self._fine_from:
            self._try_fine()
        self._paint()
        return True

    def clear(self) -> None:
        """Forget the picture, before another stream's."""
        self._drop_painter()
        self._latest = self._field = None
        self._plate, self._dimmed = (), False
        self._strips.clear()
        self.remove_class("-shown")
        self.refresh()

    def mark(self, *, dimmed: bool, plate: tuple[Row, ...] = ()) -> None:
        """Grey the frame or not, and lay rows over it; nothing is redrawn that stays the same."""
        if plate != self._plate:
            self._plate = plate
            self._strips.clear()
            if plate:
                self._switch(on=False)
            self.refresh()
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self._drop_painter()  # stillness would leave colours of the live picture in the grey one
            self._paint()

    # -- drawing

    def _paint(self) -> None:
        source = self._latest
        if source is None or not self.size:
            return
        from luxxon_tui.picture.drivers import greyed, sharpened

        began = thread_time()
        if self._painter is None:
            self._painter = self._fresh_painter(source)
        assert self._field is not None and self._scaler is not None, "made with the painter"
        painter, field = self._painter, self._field
        pixels = self._scaler.pixels(source, *painter.size(field.columns, field.rows))
        if not painter.pixel and field.columns * field.rows <= FINE_CELLS:
            pixels = sharpened(pixels)
        changed = painter.paint(greyed(pixels) if self._dimmed else pixels)
        self.drawn += 1
        for row in changed:
            self._strips.pop(row + field.y, None)
        direct = self._direct()
        if painter.pixel:
            self._paint_pixels(painter, changed, direct)
            self._cost += (thread_time() - began - self._cost) / 16
            if self._cost > SLOW_SECONDS:
                self._cheaper()
        elif changed and direct:
            self._put(painter, changed)
        elif changed:
            self.refresh(*runs(changed, field.y, self.size.width))

    def _paint_pixels(self, painter: PictureDriver, changed: list[int], direct: bool | None) -> None:
        assert self._field is not None, "there is a painter"
        if direct is not None:
            self._switch(on=direct)
        if not self._pixels_on:
            if changed:
                self.refresh(*runs(changed, self._field.y, self.size.width))
            return
        self._stale.update(changed)
        if direct and self._stale:
            self._put(painter, sorted(self._stale))
            self._stale.clear()

    def _put(self, painter: PictureDriver, rows: list[int]) -> None:
        """Draw past the compositor."""
        assert self._field is not None, "there is a painter"
        x, y = self.region.offset
        self._terminal.write(painter.draw(rows, x + self._field.x, y + self._field.y))

    def _direct(self) -> bool | None:
        """Whether the picture may be drawn past the compositor; None while a layout is due."""
        painter, field = self._painter, self._field
        if painter is None or field is None or self._plate:
            return False
        if not (self._plain() if painter.pixel else self._raw()):
            return False
        below = self.app.size.height - self.region.y - field.y - field.rows
        if painter.pixel and not painter.inline and below < 1:
            return False  # under pixels the cursor must have a line to go to, or the whole screen scrolls
        return self._terminal.uncovered()

    def _switch(self, *, on: bool) -> None:
        """Put pixels over the cells, or take them off and show the cells."""
        painter, field = self._painter, self._field
        if on == self._pixels_on or painter is None or field is None or not painter.pixel:
            return
        self._pixels_on = on
        self._strips.clear()
        self._stale = set(range(field.rows)) if on else set()
        if not on:
            self._erase(painter)
            self.refresh()

    def _erase(self, painter: PictureDriver) -> None:
        text = painter.erase()
        if text:
            self._terminal.write(text.encode())

    def _drop_painter(self) -> None:
        if self._painter is not None and self._pixels_on:
            self._erase(self._painter)
        self._painter, self._pixels_on, self._cost = None, False, 0.0
        self._stale.clear()
        self._strips.clear()

    def _fresh_painter(self, source: Source) -> PictureDriver:
        from luxxon_tui.picture.source import Scaler, fit

        columns, rows = self.size
        self._scaler = self._scaler or Scaler()
        self._field = fit(columns, rows, source.width, source.height)
        self.add_class("-shown")
        self._strips.clear()
        self.refresh()
        coarse = self._way == COARSE or self._setting == HALF_BLOCKS
        return self._pixel_painter(self._field) or cell_driver(self._field, coarse=coarse)

    def _pixel_painter(self, field: Box) -> PictureDriver | None:
        if self._way != PIXELS or not self._plain():
            return None
        return pixel_driver(self._terminal.graphics(self._setting), field)

    @property
    def _setting(self) -> str:
        facts = getattr(self.app, "facts", None)
        return getattr(facts, "preview", "auto")

    def _cheaper(self) -> None:
        """The terminal, or this machine, is too slow for what is drawn: draw less for a while."""
        self._dropped = 0
        if self._way == COARSE:
            return
        pixel = self._painter is not None and self._painter.pixel
        self._drop_painter()
        self._way = FINE if pixel else COARSE
        self._fine_from = self.drawn + COARSE_FRAMES

    def _try_fine(self) -> None:
        """Forget that something was too slow."""
        self._drop_painter()
        self._way, self._dropped = PIXELS, 0

    # -- what happens around it

    def on_mount(self) -> None:
        Picture.mounted += 1
        self.app.screen_change_signal.subscribe(self, self._screen_changed, immediate=True)
        self.app.app_resume_signal.subscribe(self, lambda _: self._paint())
        self.call_after_refresh(self._ask)

    async def _ask(self) -> None:
        await self._terminal.ask(self._graphics_changed, self._drop_painter)

    def _graphics_changed(self) -> None:
        """The terminal has told what it can draw."""
        if self._way != COARSE:
            self._drop_painter()
            self._paint()

    def _screen_changed(self, screen: object) -> None:
        if screen is not self.screen:
            self._switch(on=False)

    def on_hide(self) -> None:
        self._switch(on=False)

    def on_unmount(self) -> None:
        Picture.mounted -= 1
        self._terminal.forget(self._graphics_changed)
        self._drop_painter()

    def on_resize(self) -> None:
        self._try_fine()
        self._paint()

    def _repainted(self, crop: Region) -> None:
        """The compositor draws rows: what of the pixels it takes away comes back when it is done."""
        painter, field = self._painter, self._field
        if painter is None or field is None or not painter.pixel:
            return
        direct = self._direct()
        if direct is False:
            self._switch(on=False)
            return
        if self._pixels_on and not painter.inline:
            self._stale.update(
                row for row in range(crop.y - field.y, crop.bottom - field.y) if 0 <= row < field.rows
            )
        if (direct is None or self._stale or not self._pixels_on) and not self._restoring:
            self._restoring = True
            self.call_after_refresh(self._restore)

    def _restore(self) -> None:
        """Draw the pixels again, once the layout stands."""
        direct = self._direct()
        if direct is None:
            self.set_timer(LAYOUT_SECONDS, self._restore)
            return
        self._restoring = False
        if self._painter is not None and self._painter.pixel and self.is_mounted:
            self._paint_pixels(self._painter, [], direct)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        wanted = round(width * HIGH / (2 * WIDE))
        return max(1, min(wanted, container.height - self.reserve))

    def render_lines(self, crop: Region) -> list[Strip]:
        # Past Textual's cache of styled lines: a live picture changes faster than that cache pays.
        self._repainted(crop)
        strips = self._strips
        missing = [y for y in range(crop.y, crop.bottom) if y not in strips]
        strips.update(zip(missing, self._make_strips(missing), strict=True))
        whole = [strips[y] for y in range(crop.y, crop.bottom)]
        if crop.x == 0 and crop.right == self.size.width:
            return whole
        return [strip.crop(crop.x, crop.right) for strip in whole]

    def _make_strips(self, lines: list[int]) -> Iterator[Strip]:
        width = self.size.width
        field, painter = self._field, self._painter
        pixel = painter is not None and painter.pixel
        raw = self._pixels_on if pixel else self._raw()
        if painter is None or field is None:
            yield from (self._finished(y, self._blank(width)) for y in lines)
            return
        left, right = self._blank(field.x), self._blank(width - field.x - field.columns)
        console = self.app.console
        for y in lines:
            if not field.y <= y < field.y + field.rows:
                yield self._finished(y, self._blank(width))
                continue

            def styled(row: int = y - field.y) -> list[Segment]:
                return [*left, *painter.segments(row), *right]

            if raw and self._plate_row(y) is None:
                text = left.render(console) + painter.text(y - field.y) + right.render(console)
                yield RawStrip(text, width, styled)
            else:
                yield self._finished(y, Strip(styled(), width))

    def _blank(self, width: int) -> Strip:
        return Strip([Segment(" " * width, self.rich_style)] if width else [], width)

    def _plate_row(self, y: int) -> Row | None:
        index = y - (self.size.height - len(self._plate)) // 2
        return self._plate[index] if 0 <= index < len(self._plate) else None

    def _finished(self, y: int, strip: Strip) -> Strip:
        """A row with its part of the plate and the filters of the application."""
        row = self._plate_row(y)
        if row is not None:
            width = self.size.width
            plate = strip_of(row, palette_of(self.app)).crop(0, width)
            x = (width - plate.cell_length) // 2
            strip = Strip.join([strip.crop(0, x), plate, strip.crop(x + plate.cell_length)])
        for line_filter in self._colour_filters():
            strip = strip.apply_filter(line_filter, self.background_colors[1])
        return strip

    def _raw(self) -> bool:
        """Whether this terminal takes 24-bit colour as it comes, with nothing between."""
        return self._plain() and self.app.console.color_system == "truecolor"

    def _plain(self) -> bool:
        """Whether this is a terminal with nothing between."""
        return not self.app.is_headless and not self._colour_filters()

    def _colour_filters(self) -> list[LineFilter]:
        """Filters that matter (``NO_COLOR``); ours are all 24-bit colours, so there are none to translate."""
        return [each for each in self.get_line_filters() if not isinstance(each, ANSIToTruecolor)]
