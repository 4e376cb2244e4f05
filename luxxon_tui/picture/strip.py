"""A row of raw terminal output inside Textual's compositor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region
from textual.strip import Strip


class RawStrip(Strip):
    """A strip whose terminal sequences are known, and that turns into styled segments the moment it must.

    Whole, it is written as it is. Cut by an overlay, filtered (``NO_COLOR``), tinted or exported, it gives
    the styled row instead. None of a strip's caches is made for it: at thirty pictures a second they would
    cost more than the picture.

    Args:
        text: the row's terminal output, self-contained.
        width: cells.
        segments: makes the same row as styled segments.
    """

    __slots__ = ("_make", "_styled")

    def __init__(self, text: str, width: int, segments: Callable[[], list[Segment]]) -> None:
        self._render_cache = text
        self._cell_length = self._cell_count = width
        self._link_ids = set()
        self._make = segments
        self._styled: Strip | None = None

    @property
    def styled(self) -> Strip:
        """The row as an ordinary strip."""
        if self._styled is None:
            self._styled = Strip(self._make(), self._cell_length)
        return self._styled

    @property
    def _segments(self) -> list[Segment]:  # type: ignore[override]  # every inherited method reads it
        return self.styled._segments

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_cache"):  # a cache that only inherited methods ask for
            return getattr(self.styled, name)
        raise AttributeError(name)

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        inside = [cut for cut in cuts if cut <= self.cell_length]
        return [self] if inside == [self.cell_length] else self.styled.divide(inside)

    def crop(self, start: int, end: int | None = None) -> Strip:
        whole = start == 0 and (end is None or end >= self.cell_length)
        return self if whole else self.styled.crop(start, end)

    def apply_filter(self, filter: LineFilter, background: Color) -> Strip:  # noqa: A002  # Textual's name
        return self.styled.apply_filter(filter, background)

    def apply_style(self, style: Style) -> Strip:
        return self.styled.apply_style(style)


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
