"""Cells of two colours to rows of ANSI text, a whole picture at a time in numpy.

A cell is a glyph with an ink and a paper colour. All cells begin as the same bytes, one SGR sequence
(ECMA-48 §8.3.117, 24-bit colours as ISO 8613-6 ``38;2`` and ``48;2``) and a glyph; the digits of the six
channels are gathered from small tables and put into their places. In a busy picture that is all: digits are
filled up with zeros and every cell says both colours. In a calm one what equals the left neighbour's is left
empty, and the NULs of padding are deleted in one pass at the end.

Colours are RGB565: long runs of one colour, and tables that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

GLYPHS = " ▀▌▚▘▝▖▗"
"""Glyphs by number. Number 0 shows paper only, so its ink is never written."""

BLANK, UPPER_HALF, LEFT_HALF, DIAGONAL, UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT, LOWER_RIGHT = range(8)

Colours = NDArray[np.uint16]
"""RGB565."""

Glyphs = NDArray[np.uint8]

_CELL = b"\x1b[38;2;rrr;ggg;bbb;48;2;rrr;ggg;bbbm___"
_INK, _PAPER, _GLYPH = 6, 23, 35
"""Where the levels of the channels begin, each with its ``;``; and ``m`` with the glyph."""
_DIGITS = np.dtype(
    {
        "names": [*"abcdef", "glyph"],
        "formats": ["<u4"] * 7,
        "offsets": [*range(_INK, _INK + 12, 4), *range(_PAPER, _PAPER + 12, 4), _GLYPH],
        "itemsize": len(_CELL),
    }
)
_FEW = 0.15
"""Share of cells that may be shortened, up to which it is not worth the trouble."""


def to_565(pixels: NDArray[np.uint8]) -> Colours:
    """RGB bytes (…, 3) as 16-bit colours (…)."""
    wide = pixels.astype(np.uint16)
    wide[..., 0] &= 0xF8
    wide[..., 1] &= 0xFC
    colours: Colours = np.bitwise_or(
        wide[..., 0] << 8 | wide[..., 1] << 3, wide[..., 2] >> 3, dtype=np.uint16
    )
    return colours


def to_rgb(colour: int) -> tuple[int, int, int]:
    """A 16-bit colour as three bytes over the full range: white stays 255."""
    red, green, blue = colour >> 11, colour >> 5 & 63, colour & 31
    return red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2


def _words(texts: Iterable[bytes]) -> NDArray[np.uint32]:
    return np.frombuffer(b"".join(texts), "<u4")


class _Tables(NamedTuple):
    filled: tuple[NDArray[np.uint32], ...]
    """``;007`` of each level of red, green and blue."""
    padded: tuple[NDArray[np.uint32], ...]
    """The same with NULs instead of zeros."""
    glyph: NDArray[np.uint32]
    """``m`` and a glyph, padded with NULs."""


@cache
def _tables() -> _Tables:
    levels = [
        [to_rgb(level << 11)[0] for level in range(32)],
        [to_rgb(level << 5)[1] for level in range(64)],
        [to_rgb(level)[2] for level in range(32)],
    ]
    return _Tables(
        filled=tuple(_words(b";%03d" % level for level in each) for each in levels),
        padded=tuple(_words(b";" + (b"%d" % level).rjust(3, b"\0") for level in each) for each in levels),
        glyph=_words(b"m" + glyph.encode().rjust(3, b"\0") for glyph in GLYPHS),
    )


def _levels(colours: Colours) -> tuple[NDArray[np.signedinteger], ...]:
    """Numbers of the levels of red, green and blue."""
    return colours >> 11, colours >> 5 & 63, colours & 31


def ansi_bytes(glyphs: Glyphs, ink: Colours, paper: Colours, starts: Sequence[bytes]) -> bytes:
    """Rows of cells (rows, columns) as ANSI text in UTF-8 that ends with all colours off.

    ``starts`` holds what goes before each row: a cursor position, or nothing.
    """
    rows, columns = glyphs.shape
    same_ink, same_paper = np.zeros(glyphs.shape, bool), np.zeros(glyphs.shape, bool)
    np.equal(ink[:, 1:], ink[:, :-1], out=same_ink[:, 1:])
    np.equal(paper[:, 1:], paper[:, :-1], out=same_paper[:, 1:])
    blank = glyphs == BLANK
    shorten = np.count_nonzero(same_ink | same_paper | blank) > _FEW * glyphs.size

    tables = _tables()
    digits = tables.padded if shorten else tables.filled
    out = bytearray(_CELL * glyphs.size)
    cells = np.frombuffer(out, _DIGITS).reshape(rows, columns)
    levels = (*_levels(ink), *_levels(paper))
    for name, level, table in zip("abcdef", levels, (*digits, *digits), strict=True):
        cells[name] = table[level]
    if not shorten and blank.any():  # both colours are the same: any glyph of one width is as good
        glyphs = np.where(blank, np.uint8(UPPER_HALF), glyphs)
        for ours, theirs in zip("abc", "def", strict=True):
            cells[ours][blank] = cells[theirs][blank]
    cells["glyph"] = tables.glyph[glyphs]
    if shorten:
        same_ink[:, 1:] &= ~blank[:, :-1]  # a blank wrote no ink to inherit
        same_ink |= blank
        each = np.frombuffer(out, np.uint8).reshape(rows, columns, len(_CELL))
        each[same_ink, 2 : _PAPER - 4] = 0
        each[same_paper, _PAPER - 5 : _GLYPH] = 0
        each[same_ink & same_paper, : _GLYPH + 1] = 0
    wide = columns * len(_CELL)
    lines = [part for row, start in enumerate(starts) for part in (start, out[row * wide : (row + 1) * wide])]
    text = b"".join((*lines, b"\x1b[0m"))
    return text.translate(None, b"\0") if shorten else text


@lru_cache(1 << 14)
def _style(ink: int, paper: int) -> Style:
    return Style.from_color(Color.from_rgb(*to_rgb(ink)), Color.from_rgb(*to_rgb(paper)))


def segments(glyphs: Glyphs, ink: Colours, paper: Colours) -> list[Segment]:
    """One row of cells (columns) as styled segments: what overlays, filters and exports work on."""
    edges = (np.flatnonzero((ink[1:] != ink[:-1]) | (paper[1:] != paper[:-1])) + 1).tolist()
    text = "".join(GLYPHS[glyph] for glyph in glyphs.tolist())
    return [
        Segment(text[start:end], _style(int(ink[start]), int(paper[start])))
        for start, end in pairwise([0, *edges, len(text)])
    ]
