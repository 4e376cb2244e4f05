"""Cells of a map: braille dots with one ink a cell, a paper behind them, and text over both.

Two shapes in one cell share its dots, and the more important ink wins; areas are paper, and hide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from luxxon_tui.map.projection import ACROSS, DOWN
from luxxon_tui.themes import DARK, Palette, faded

INKS = (
    "text", "land", "grid", "coast", "accent", "bright", "muted", "faint",
    "ok", "warn", "bad", "data", "line",
)  # fmt: skip
"""Names of inks by number; those of dots rise in importance."""
PAPERS = ("bg", "demand1", "demand2", "demand3", "raised", "surface")
LAND, DEMAND = 0.39, (0.22, 0.4, 0.62)
"""Shares of ``coast`` left in land and of ``data`` in the levels of demand, for themes without their own."""
OWN = {DARK: {"land": "#2a3444", "demand1": "#20324a", "demand2": "#2c4d74", "demand3": "#3c6ea6"}}

_BITS = (0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80)
"""Braille bits in reading order of the dots (Unicode: dots 1, 4, 2, 5, 3, 6, 7, 8)."""
BRAILLE = np.array(
    [sum(bit for at, bit in enumerate(_BITS) if number >> (7 - at) & 1) for number in range(256)], np.uint32
) + np.uint32(0x2800)
BLANK, SPACE, FILLER = 0x2800, 0x20, 0

Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


def ink(name: str) -> int:
    return INKS.index(name)


class Canvas:
    """A field of ``columns`` × ``rows`` cells to draw on."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.dots: Bits = np.zeros((rows * DOWN, columns * ACROSS), bool)
        self.inks: Bytes = np.zeros((rows, columns), np.uint8)
        self.papers: Bytes = np.zeros((rows, columns), np.uint8)
        self.bold: Bytes = np.zeros((rows, columns), np.uint8)
        self.text: NDArray[np.uint32] = np.zeros((rows, columns), np.uint32)
        self.written: Bits = np.zeros((rows, columns), bool)

    def copy(self) -> Canvas:
        """The same, to go on with."""
        other = object.__new__(Canvas)
        other.columns, other.rows = self.columns, self.rows
        for name in ("dots", "inks", "papers", "bold", "text", "written"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def plot(self, x: Ints, y: Ints, name: str, *, instead: str = "") -> None:
        """Add dots inside the field, in an ink that wins over weaker ones.

        Args:
            instead: the strongest ink whose dots give way in the cells that are drawn in, so that a figure
                stays clear; by default all share the cell.
        """
        number = ink(name)
        column, row = x >> 1, y >> 2
        if instead:
            weak = self.inks[row, column] <= ink(instead)
            field = self.dots.reshape(self.rows, DOWN, self.columns, ACROSS)
            field[row[weak], :, column[weak], :] = False
        self.dots[y, x] = True
        weaker = self.inks[row, column] < number
        self.inks[row[weaker], column[weaker]] = number

    def stipple(self, land: Bits) -> None:
        """Every second dot of the land, each way; in its ink where there is nothing stronger."""
        self.dots[: 2 * int(land.shape[0]) : 2, ::2] |= land
        some = np.asarray(land.reshape(-1, DOWN // 2, self.columns).any(axis=1))
        inks = self.inks[: some.shape[0]]
        inks[some & (inks == 0)] = ink("land")

    def write(
        self, column: int, row: int, text: str, name: str, *, bold: bool = False, over: bool = True
    ) -> bool:
        """Text from a cell on; False where it does not fit or, not ``over`` all, would hide other text."""
        cells = _cells(text)
        wide = sum(width for _, width in cells)
        if not 0 <= row < self.rows or column < 0 or column + wide > self.columns:
            return False
        if not over and self.written[row, max(0, column - 1) : column + wide].any():
            return False
        self.written[row, column : column + wide] = True
        self.inks[row, column : column + wide] = ink(name)
        self.bold[row, column : column + wide] = bold
        for sign, width in cells:
            self.text[row, column] = sign
            self.text[row, column + 1 : column + width] = FILLER
            column += width
        return True

    def count(self, columns: Sequence[int], rows: Sequence[int], numbers: Sequence[int], glyph: str) -> None:
        """Many glyphs at once, each with how many it stands for at its right; no text is hidden."""
        column, row = np.array(columns, np.int64), np.array(rows, np.int64)
        number = np.minimum(np.array(numbers, np.int64), 999)
        digits = np.where(number > 1, 1 + (number > 9) + (number > 99), 0)
        free = ~self.written[row, column]
        for place in range(4):
            here = column + place
            some = free & (place <= digits) & (here < self.columns)
            at = row[some], here[some]
            value = number[some] // 10 ** np.maximum(0, digits[some] - place) % 10
            self.text[at] = ord(glyph) if place == 0 else value + ord("0")
            self.inks[at] = ink("bright")
            self.written[at] = True

    def finished(self) -> Picture:
        """The cells as characters and styles."""
        rows, columns = self.rows, self.columns
        packed = np.packbits(
            self.dots.reshape(rows, DOWN, columns, ACROSS).transpose(0, 2, 1, 3).reshape(rows, columns, 8),
            axis=2,
        )[..., 0]
        signs = np.where(self.written, self.text, BRAILLE[packed])
        empty = signs == BLANK
        signs[empty] = SPACE
        styles = ((self.inks << 4) | (self.papers << 1) | self.bold).astype(np.uint8)
        # What is blank takes the style to its left where the paper is the same: fewer changes of colour.
        blank = empty | (signs == SPACE)
        index = np.where(blank, 0, np.arange(columns))
        np.maximum.accumulate(index, axis=1, out=index)
        index += np.arange(rows)[:, None] * columns
        left = styles.ravel()[index]
        same = (left >> 1 & 7) == self.papers
        styles = np.where(blank & same, left, styles)
        return Picture(signs, styles)


class Picture:
    """Characters and styles, ready to become rows of a terminal."""

    def __init__(self, signs: NDArray[np.uint32], styles: Bytes) -> None:
        self.signs, self.styles = signs, styles
        self._text = signs.tobytes().decode("utf-32-le")
        rows, columns = signs.shape
        starts = np.ones((rows, columns), bool)
        starts[:, 1:] = styles[:, 1:] != styles[:, :-1]
        places = np.flatnonzero(starts)
        self._places: list[int] = [*places.tolist(), rows * columns]
        self._codes: list[int] = styles.ravel()[places].tolist()
        self._first: list[int] = np.searchsorted(places, np.arange(rows + 1) * columns).tolist()

    @property
    def rows(self) -> int:
        return len(self._first) - 1

    def changed(self, other: Picture | None) -> list[int]:
        """Rows that differ from those of ``other``."""
        if other is None or other.signs.shape != self.signs.shape:
            return list(range(self.rows))
        differs = (self.signs != other.signs) | (self.styles != other.styles)
        found: list[int] = np.flatnonzero(differs.any(axis=1)).tolist()
        return found

    def runs(self, row: int) -> Iterator[tuple[str, int]]:
        """Text and style of the stretches of a row."""
        text, places = self._text, self._places
        for at in range(self._first[row], self._first[row + 1]):
            yield text[places[at] : places[at + 1]], self._codes[at]

    def plain(self, row: int) -> str:
        return "".join(text for text, _ in self.runs(row)).replace("\0", "")

    def ansi(self, row: int, palette: Palette) -> str:
        """The row as terminal output (ECMA-48 §8.3.117 with 24-bit colours), self-contained."""
        entries = _entries(palette)
        first, last = self._first[row], self._first[row + 1]
        text, places, codes = self._text, self._places, self._codes
        parts: list[str] = []
        before = -1
        for at in range(first, last):
            code = codes[at]
            entry = entries.get((before, code))
            if entry is None:
                entry = entries[before, code] = _entry(palette, before, code)
            parts += (entry, text[places[at] : places[at + 1]])
            before = code
        parts.append("\x1b[0m")
        return "".join(parts).replace("\0", "")

    def segments(self, row: int, palette: Palette) -> list[Segment]:
        return [Segment(text.replace("\0", ""), _style(palette, code)) for text, code in self.runs(row)]


@lru_cache(512)
def _cells(text: str) -> list[tuple[int, int]]:
    """Code points and the cells that each takes; those that take none are left out."""
    return [(ord(sign), cell_len(sign)) for sign in text if cell_len(sign) and ord(sign) >= SPACE]


@lru_cache(64)
def colours(palette: Palette) -> tuple[Sequence[str], Sequence[str]]:
    """Inks and papers of a theme by number, as ``#rrggbb``."""
    made = {
        "land": faded(palette.coast, palette.bg, LAND),
        **{f"demand{level}": faded(palette.data, palette.bg, share) for level, share in enumerate(DEMAND, 1)},
        **OWN.get(palette, {}),
    }
    made["grid"] = made["land"]

    def colour(name: str) -> str:
        found: str = made.get(name) or getattr(palette, name)
        return found

    return [colour(name) for name in INKS], [colour(name) for name in PAPERS]


@lru_cache(4096)
def _style(palette: Palette, code: int) -> Style:
    inks, papers = colours(palette)
    return Style(color=inks[code >> 4], bgcolor=papers[code >> 1 & 7], bold=bool(code & 1))


@lru_cache(16)
def _entries(palette: Palette) -> dict[tuple[int, int], str]:
    """The sequences of a theme that were needed so far, by the styles before and after."""
    return {}


def _entry(palette: Palette, before: int, code: int) -> str:
    """The sequence that turns style ``before`` (-1: unknown) into ``code``."""
    inks, papers = colours(palette)
    parts = []
    if before < 0 or (before ^ code) & 1:
        parts.append("1" if code & 1 else "22")
    if before < 0 or before >> 4 != code >> 4:
        parts.append(_channel(38, inks[code >> 4]))
    if before < 0 or (before ^ code) >> 1 & 7:
        parts.append(_channel(48, papers[code >> 1 & 7]))
    return f"\x1b[{';'.join(parts)}m"


def _channel(kind: int, colour: str) -> str:
    red, green, blue = Color.parse(colour).rgb
    return f"{kind};2;{red};{green};{blue}"
