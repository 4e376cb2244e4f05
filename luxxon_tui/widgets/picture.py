"""The live picture: newest frame only, drawn row by row where it changed, never behind the terminal.

Uncovered, rows go straight to the terminal's writer: a compositor's pass for every frame costs more than the
frame. Covered by anything (a card, a toast), filtered (``NO_COLOR``), headless or on a terminal without
24-bit colour, the same rows go through Textual's compositor as styled text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from luxxon_tui.picture.strip import RawStrip
from luxxon_tui.picture.terminal import Terminal
from luxxon_tui.rows import Row, strip_of
from luxxon_tui.themes import palette_of

if TYPE_CHECKING:
    from luxxon_tui.picture.drivers import PictureDriver
    from luxxon_tui.picture.source import Box, Scaler, Source

FINE_CELLS = 120 * 36
"""Largest field drawn in quadrants and sharpened; above it half-blocks keep a picture's cost in bounds."""

DROPPED_LIMIT = 20
"""Frames dropped for a slow terminal, less those drawn, after which half-blocks take over."""

COARSE_FRAMES = 300
"""Frames drawn in half-blocks before the fine picture is tried again."""

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
        self._coarse = False
        self._fine_from = 0
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
            self._painter = None  # a camera that was turned: the picture has another shape
        self._latest = source
        if self._terminal.pending():
            self._dropped += 1
            if self._dropped >= DROPPED_LIMIT and not self._coarse:
                self._coarse, self._painter = True, None
                self._fine_from = self.drawn + COARSE_FRAMES
            return False
        self._dropped = max(0, self._dropped - 1)
        if self._coarse and self.drawn >= self._fine_from:
            self._try_fine()
        self._paint()
        return True

    def mark(self, *, dimmed: bool, plate: tuple[Row, ...] = ()) -> None:
        """Grey the frame or not, and lay rows over it; nothing is redrawn that stays the same."""
        if plate != self._plate:
            self._plate = plate
            self._strips.clear()
            self.refresh()
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self._paint()

    # -- drawing

    def _paint(self) -> None:
        source = self._latest
        if source is None or not self.size:
            return
        from luxxon_tui.picture.drivers import greyed, sharpened

        if self._painter is None:
            self._painter = self._fresh_painter(source)
        assert self._field is not None and self._scaler is not None, "made with the painter"
        columns, rows = self._field.columns, self._field.rows
        across, down = self._painter.scale
        pixels = self._scaler.pixels(source, columns * across, rows * down)
        if columns * rows <= FINE_CELLS:
            pixels = sharpened(pixels)
        changed = self._painter.paint(greyed(pixels) if self._dimmed else pixels)
        self.drawn += 1
        if not changed:
            return
        for row in changed:
            self._strips.pop(row + self._field.y, None)
        if self._plate or not self._raw() or not self._terminal.uncovered():
            self.refresh(*runs(changed, self._field.y, self.size.width))
            return
        x, y = self.region.offset
        self._terminal.write(self._painter.draw(changed, x + self._field.x, y + self._field.y))

    def _fresh_painter(self, source: Source) -> PictureDriver:
        from luxxon_tui.picture.halfblock import HalfBlocks
        from luxxon_tui.picture.quadrant import Quadrants
        from luxxon_tui.picture.source import Scaler, fit

        columns, rows = self.size
        self._scaler = self._scaler or Scaler()
        self._field = fit(columns, rows, source.width, source.height)
        self.add_class("-shown")
        fine = not self._coarse and self._field.columns * self._field.rows <= FINE_CELLS
        self._strips.clear()
        self.refresh()
        return Quadrants() if fine else HalfBlocks()

    def _try_fine(self) -> None:
        """Forget that the terminal was too slow."""
        self._coarse, self._dropped, self._painter = False, 0, None

    def on_resize(self) -> None:
        self._strips.clear()
        self._try_fine()
        self._paint()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        wanted = round(width * HIGH / (2 * WIDE))
        return max(1, min(wanted, container.height - self.reserve))

    def render_lines(self, crop: Region) -> list[Strip]:
        # Past Textual's cache of styled lines: a live picture changes faster than that cache pays.
        strips = self._strips
        missing = [y for y in range(crop.y, crop.bottom) if y not in strips]
        strips.update(zip(missing, self._make_strips(missing), strict=True))
        whole = [strips[y] for y in range(crop.y, crop.bottom)]
        if crop.x == 0 and crop.right == self.size.width:
            return whole
        return [strip.crop(crop.x, crop.right) for strip in whole]

    def _make_strips(self, lines: list[int]) -> Iterator[Strip]:
        width, raw = self.size.width, self._raw()
        field, painter = self._field, self._painter
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
        return (
            not self.app.is_headless
            and self.app.console.color_system == "truecolor"
            and not self._colour_filters()
        )

    def _colour_filters(self) -> list[LineFilter]:
        """Filters that matter (``NO_COLOR``); ours are all 24-bit colours, so there are none to translate."""
        return [each for each in self.get_line_filters() if not isinstance(each, ANSIToTruecolor)]


def runs(rows: list[int], top: int, width: int) -> list[Region]:
    """Consecutive row numbers as regions of full width, ``top`` rows down."""
    regions: list[Region] = []
    start = previous = rows[0]
    for row in [*rows[1:], -1]:
        if row != previous + 1:
            regions.append(Region(0, top + start, width, previous - start + 1))
            start = row
        previous = row
    return regions
