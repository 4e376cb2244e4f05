"""Quadrants: four pixels a cell in two colours; clearly sharper than half-blocks in small fields.

Of the seven ways to divide four pixels between ink and paper, a cell takes the one that leaves the least
squared error in luma, and each side the mean colour of its pixels.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from luxxon_tui.picture import ansi
from luxxon_tui.picture.drivers import CellDriver, Cells, Pixels

Floats = NDArray[np.float32]

FLAT = 5
"""Range of luma (0…255) within which a cell is drawn in one colour."""

SPLITS: tuple[tuple[int, tuple[int, int, int, int]], ...] = (
    (ansi.UPPER_HALF, (1, 1, 0, 0)),
    (ansi.LEFT_HALF, (1, 0, 1, 0)),
    (ansi.DIAGONAL, (1, 0, 0, 1)),
    (ansi.UPPER_LEFT, (1, 0, 0, 0)),
    (ansi.UPPER_RIGHT, (0, 1, 0, 0)),
    (ansi.LOWER_LEFT, (0, 0, 1, 0)),
    (ansi.LOWER_RIGHT, (0, 0, 0, 1)),
    (ansi.BLANK, (0, 0, 0, 0)),
)
"""Glyph, and whether it inks upper left, upper right, lower left, lower right; the last is a flat cell."""

LUMA = np.array([77, 150, 29], np.float32)
"""BT.601, of 256. Whole numbers, so that splits that are equally good stay so whatever adds them up."""
_GLYPHS = np.array([glyph for glyph, _ in SPLITS], np.uint8)
_INKED = np.array([mask for _, mask in SPLITS], np.float32)
_INK = _INKED / np.maximum(_INKED.sum(axis=1, keepdims=True), 1)
_PAPER = (1 - _INKED) / (1 - _INKED).sum(axis=1, keepdims=True)


class Quadrants(CellDriver):
    """``▘▝▖▗▀▌▚`` on a 2x2 grid of pixels."""

    name: ClassVar[str] = "quadrants"
    scale: ClassVar[tuple[int, int]] = (2, 2)

    def split(self, pixels: Pixels) -> Cells:
        rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
        corners = pixels.reshape(rows, 2, columns, 2, 3).transpose(1, 3, 0, 2, 4).reshape(4, rows, columns, 3)
        wide = corners.astype(np.float32)
        choice = _best_split(wide)
        ink = _mean(wide, _INK[choice])
        paper = _mean(wide, _PAPER[choice])
        return Cells(_GLYPHS[choice], ansi.to_565(ink), ansi.to_565(paper))


def _best_split(corners: Floats) -> NDArray[np.intp]:
    """Number of the split of every cell: the least error within is the greatest scatter between the sides."""
    luma = corners @ LUMA
    total = luma.sum(axis=0)
    scatter = np.empty((7, *total.shape), np.float32)
    for number, partner in enumerate((1, 2, 3)):
        pair = luma[0] + luma[partner]
        scatter[number] = (pair * pair + (total - pair) ** 2) / 2
    for corner in range(4):
        scatter[3 + corner] = luma[corner] ** 2 + (total - luma[corner]) ** 2 / 3
    choice: NDArray[np.intp] = scatter.argmax(axis=0)
    choice[luma.max(axis=0) - luma.min(axis=0) < FLAT * 256] = 7
    return choice


def _mean(corners: Floats, weights: Floats) -> Pixels:
    """Weighted mean of the four corners, rounded; weights (rows, columns, 4)."""
    mean = corners[0] * weights[..., 0, None]
    for corner in (1, 2, 3):
        mean += corners[corner] * weights[..., corner, None]
    rounded: Pixels = (mean + 0.5).astype(np.uint8)
    return rounded
