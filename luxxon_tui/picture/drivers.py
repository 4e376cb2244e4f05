"""The interface between a picture and the terminal, and what drivers that draw with cells share.

A driver says how many pixels it wants for a field of cells and turns pixels into rows of text. A driver for a
pixel protocol (kitty, sixel) fits in as well: the text of a row may hold any sequence of the protocol.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment

from luxxon_tui.picture import ansi

Pixels = NDArray[np.uint8]
"""RGB, (height, width, 3)."""

STILL = 4
"""Levels by which a channel may differ and still count as sensor noise: it keeps what is shown."""


class PictureDriver(Protocol):
    """Draws one field of cells, remembering what it showed so that it redraws no more than it must."""

    name: ClassVar[str]
    pixel: ClassVar[bool]
    """Whether it draws over the cells: then nothing else may stand in front, or below its last row."""
    inline: ClassVar[bool]
    """Whether ``text`` shows the picture itself; else it shows the cells that stand in for it."""

    def size(self, columns: int, rows: int) -> tuple[int, int]:
        """Pixels that it wants for a field of cells: width, height."""

    def paint(self, pixels: Pixels) -> list[int]:
        """Take the next picture, (height, width, 3) by ``size``; the numbers of the rows that changed."""

    def erase(self) -> str:
        """Terminal output that takes away what cells written over it would not."""

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        """Terminal output that puts ``rows`` of a field whose corner is column ``x``, line ``y``, from 0."""

    def text(self, row: int) -> str:
        """One row as terminal output for where the cursor stands; it leaves no colour switched on."""

    def segments(self, row: int) -> list[Segment]:
        """The same row as styled text, for overlays, filters and exports."""


class Cells(NamedTuple):
    """A picture in cells of two colours, each (rows, columns); glyphs number ``ansi.GLYPHS``."""

    glyphs: ansi.Glyphs
    ink: ansi.Colours
    paper: ansi.Colours


class CellDriver:
    """What half-blocks and quadrants share: stillness, changed rows, text when it is asked for."""

    name: ClassVar[str]
    pixel: ClassVar[bool] = False
    inline: ClassVar[bool] = True
    scale: ClassVar[tuple[int, int]]
    """Pixels of a cell: across, down."""

    def __init__(self) -> None:
        self._pixels: Pixels | None = None
        self._cells: Cells | None = None

    def size(self, columns: int, rows: int) -> tuple[int, int]:
        return columns * self.scale[0], rows * self.scale[1]

    def erase(self) -> str:
        return ""

    def split(self, pixels: Pixels) -> Cells:
        """Choose glyph, ink and paper of every cell."""
        raise NotImplementedError

    def paint(self, pixels: Pixels) -> list[int]:
        old = self._cells
        if old is None or self._pixels is None or self._pixels.shape != pixels.shape:
            self._pixels, self._cells = pixels, self.split(pixels)
            return list(range(len(self._cells.glyphs)))
        self._pixels = pixels = settled(pixels, self._pixels)
        self._cells = new = self.split(pixels)
        changed = (new.glyphs != old.glyphs) | (new.ink != old.ink) | (new.paper != old.paper)
        return np.flatnonzero(changed.any(axis=1)).tolist()

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        glyphs, ink, paper = self._shown
        places = [b"\x1b[%d;%dH" % (y + row + 1, x + 1) for row in rows]
        if len(rows) == len(glyphs):
            return ansi.ansi_bytes(glyphs, ink, paper, places)
        return ansi.ansi_bytes(glyphs[rows], ink[rows], paper[rows], places)

    def text(self, row: int) -> str:
        glyphs, ink, paper = self._shown
        only = slice(row, row + 1)
        return ansi.ansi_bytes(glyphs[only], ink[only], paper[only], [b""]).decode()

    def segments(self, row: int) -> list[Segment]:
        glyphs, ink, paper = self._shown
        return ansi.segments(glyphs[row], ink[row], paper[row])

    @property
    def _shown(self) -> Cells:
        assert self._cells is not None, "paint first"
        return self._cells


def settled(pixels: Pixels, shown: Pixels) -> Pixels:
    """``pixels``, but a channel that moved by no more than ``STILL`` levels keeps what is already ``shown``.

    Sensor noise would otherwise flip colours between two levels and redraw every row of a still scene.
    """
    moved = np.maximum(pixels, shown) - np.minimum(pixels, shown) > STILL
    return np.where(moved, pixels, shown)


def sharpened(pixels: Pixels) -> Pixels:
    """A light unsharp mask (four neighbours, 3/8): a resize to few pixels leaves edges soft."""
    wide = pixels.astype(np.int16)
    detail = np.zeros_like(wide)
    inner = wide[1:-1, 1:-1]
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    detail[1:-1, 1:-1] = (4 * inner - around) * 3 >> 5
    wide += detail
    return wide.clip(0, 255, out=wide).astype(np.uint8)


def greyed(pixels: Pixels) -> Pixels:
    """A picture that is no longer live: grey, at 42 % of its brightness (BT.601 luma)."""
    luma = pixels @ np.array([77, 150, 29], np.uint32)  # weights of 256
    grey = (luma * 108 >> 16).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
