"""A widget that shows rows and redraws only those that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from luxxon_tui.rows import Row, strip_of
from luxxon_tui.themes import palette_of

Draw = Callable[[int], Sequence[Row]]
"""Rows for a width in cells."""


class Lines(Widget):
    """Shows what ``draw`` gives for its width. ``redraw`` asks again; equal rows are not painted again.

    Args:
        draw: a pure function of the width; what it shows is frozen in it.
        ground: role behind the rows.
    """

    DEFAULT_CSS = "Lines { width: 1fr; height: auto; }"
    ALLOW_SELECT = False

    def __init__(self, draw: Draw | None = None, *, id: str | None = None, ground: str = "bg") -> None:  # noqa: A002
        super().__init__(id=id)
        self._draw: Draw = draw or (lambda _width: ())
        self._ground = ground
        self._rows: tuple[Row, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows on the screen."""
        return self._rows

    @property
    def _misfits(self) -> bool:
        """Whether it has another height than its rows: a layout that was under way when they came is lost."""
        height = self.styles.height
        return height is not None and height.is_auto and self.size.height != len(self._rows)

    def redraw(self, draw: Draw | None = None) -> None:
        """Take new content, or the same again after a resize or a change of theme."""
        self._draw = draw or self._draw
        width = self.size.width
        if not width:
            self.refresh(layout=True)
            return
        old, self._rows = self._rows, tuple(self._draw(width))
        if len(old) != len(self._rows) or self._misfits:
            self.refresh(layout=True)
            return
        changed = [
            y for y, (before, after) in enumerate(zip(old, self._rows, strict=True)) if before != after
        ]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def on_resize(self) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._draw(width)) if width else 0

    def render_line(self, y: int) -> Strip:
        row = self._rows[y] if y < len(self._rows) else ()
        return strip_of(row, palette_of(self.app), self.size.width, self._ground)
