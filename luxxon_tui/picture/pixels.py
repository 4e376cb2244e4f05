"""What kitty and sixel share: real pixels, and the same picture in cells for when something is in front."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment

from luxxon_tui.picture.drivers import CellDriver, Pixels, settled
from luxxon_tui.picture.halfblock import HalfBlocks


class PixelDriver:
    """A field of ``columns`` × ``rows`` cells that is drawn in pixels.

    ``text`` and ``segments`` give cells, unless a driver's text carries the pixels itself (``inline``).
    """

    name: ClassVar[str]
    inline: ClassVar[bool] = False
    pixel: ClassVar[bool] = True

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._pixels: Pixels | None = None
        self._cells: CellDriver | None = None

    def size(self, columns: int, rows: int) -> tuple[int, int]:
        raise NotImplementedError

    def paint(self, pixels: Pixels) -> list[int]:
        old = self._pixels
        if old is None or old.shape != pixels.shape:
            self._pixels, self._cells = pixels, None
            return list(range(self.rows))
        pixels = settled(pixels, old)
        moved = (pixels != old).any(axis=(1, 2))
        self._pixels = pixels
        if not moved.any():
            return []
        self._cells = None
        lines = np.flatnonzero(moved) * self.rows // len(moved)
        changed: list[int] = np.unique(lines).tolist()
        return changed

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        raise NotImplementedError

    def erase(self) -> str:
        raise NotImplementedError

    def text(self, row: int) -> str:
        return self._in_cells.text(row)

    def segments(self, row: int) -> list[Segment]:
        return self._in_cells.segments(row)

    @property
    def _in_cells(self) -> CellDriver:
        if self._cells is None:
            from PIL import Image

            assert self._pixels is not None, "paint first"
            self._cells = cells = HalfBlocks()
            size = cells.size(self.columns, self.rows)
            small = Image.fromarray(self._pixels).resize(size, Image.Resampling.BOX)
            cells.paint(np.asarray(small))
        return self._cells
