"""Cells of two colours to rows of ANSI text, a whole picture at a time in numpy.

A cell is a glyph with an ink and a paper colour. Every cell is gathered from fixed-width tables of SGR
sequences (ECMA-48 §8.3.117, 24-bit colours as ISO 8613-6 ``38;2`` and ``48;2``); what equals the left
neighbour's is left empty, and the NULs of padding are deleted in one pass at the end.

Colours are RGB565: a table of 65 536 sequences, and long runs of one colour. Putting sequences together from
tables of single channels was measured half as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
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

_SGR = "V19"  # ESC [ 3 8 ; 2 ; r r r ; g g g ; b b b m
_COLOURS = 1 << 16


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


class _Tables(NamedTuple):
    ink: NDArray[np.void]
    """Sequence of each colour as foreground; one entry more for nothing to write."""
    paper: NDArray[np.void]
    glyph: NDArray[np.void]


def _sequences(prefix: bytes) -> NDArray[np.void]:
    every = np.arange(_COLOURS)
    numbers = np.array([f"{level:03d}".lstrip("0").rjust(3, "\0") or "0" for level in range(256)], "S3")
    numbers[0] = b"\0\0" + b"0"
    digits = numbers.view(np.uint8).reshape(256, 3)
    table = np.zeros((_COLOURS + 1, 19), np.uint8)
    table[:_COLOURS, :7] = np.frombuffer(prefix, np.uint8)
    for start, channel in zip((7, 11, 15), to_rgb(every), strict=True):  # type: ignore[arg-type]
        table[:_COLOURS, start : start + 3] = digits[channel]
        table[:_COLOURS, start + 3] = ord("m" if start == 15 else ";")
    return table.view(_SGR)[:, 0]


@cache
def _tables() -> _Tables:
    return _Tables(
        ink=_sequences(b"\x1b[38;2;"),
        paper=_sequences(b"\x1b[48;2;"),
        glyph=np.frombuffer(b"".join(glyph.encode().ljust(3, b"\0") for glyph in GLYPHS), "V3"),
    )


def ansi_text(glyphs: Glyphs, ink: Colours, paper: Colours, starts: Sequence[str]) -> str:
    """Rows of cells (rows, columns) as ANSI text that ends with all colours off.

    ``starts`` holds what goes before each row, at most 19 bytes: a cursor position, or nothing.
    """
    rows, columns = glyphs.shape
    tables = _tables()
    blank = glyphs == BLANK
    same_ink = blank.copy()
    same_ink[:, 1:] |= (ink[:, 1:] == ink[:, :-1]) & ~blank[:, :-1]  # a blank wrote no ink to inherit
    same_paper = np.zeros_like(blank)
    same_paper[:, 1:] = paper[:, 1:] == paper[:, :-1]

    cells = np.zeros((rows, columns + 1), [("ink", _SGR), ("paper", _SGR), ("glyph", "V3")])
    cells["ink"][:, 0] = np.array([start.encode() for start in starts], "S19").view(_SGR)
    inside = cells[:, 1:]
    inside["ink"] = tables.ink[np.where(same_ink, np.int64(_COLOURS), ink)]
    inside["paper"] = tables.paper[np.where(same_paper, np.int64(_COLOURS), paper)]
    inside["glyph"] = tables.glyph[glyphs]
    return cells.tobytes().translate(None, b"\0").decode() + "\x1b[0m"


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
