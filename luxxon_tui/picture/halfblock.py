"""Half-blocks: two pixels a cell, exact in both colours; the base that every terminal can show."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from luxxon_tui.picture.ansi import BLANK, UPPER_HALF, to_565
from luxxon_tui.picture.drivers import CellDriver, Cells, Pixels


class HalfBlocks(CellDriver):
    """``▀`` with the upper pixel as ink and the lower as paper; blank where both are the same."""

    name: ClassVar[str] = "half-blocks"
    scale: ClassVar[tuple[int, int]] = (1, 2)

    def split(self, pixels: Pixels) -> Cells:
        colours = to_565(pixels)
        upper, lower = colours[0::2], colours[1::2]
        glyphs = np.where(upper == lower, np.uint8(BLANK), np.uint8(UPPER_HALF))
        return Cells(glyphs, upper, lower)
