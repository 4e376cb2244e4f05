"""Pictures by sixel: six pixel rows to a band, one line of characters for each colour of a band.

A fixed palette of 240 colours with an ordered dither: it is the same for every frame, so that what stands
still stays the same to the bit and only rows that changed are sent. All in numpy, whole fields at a time.

Source: DEC, VT330/VT340 Programmer Reference Manual, volume 2, chapter 14.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from luxxon_tui.picture.drivers import Pixels
from luxxon_tui.picture.pixels import PixelDriver

LEVELS = (6, 8, 5)
"""Levels of red, green and blue: the eye is finest for green."""
COLOURS = LEVELS[0] * LEVELS[1] * LEVELS[2]
BAND = 6
LONGEST = 1 << 13
"""Longest run, and so the widest picture in pixels."""
PIXELS_NEAR, PIXELS_FAR = 320 * 180, 160 * 90
"""Most pixels that are told apart; above it, blocks of pixels get one colour."""
DITHER = 0.75
"""Reach of the dither, in steps of the palette."""

_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16 - 0.5

Indices = NDArray[np.uint8]


@cache
def _steps() -> tuple[NDArray[np.uint8], ...]:
    """For each channel the part of the palette's number, by place in the dither (16) and byte (256)."""
    tables = []
    weights = (LEVELS[1] * LEVELS[2], LEVELS[2], 1)
    for levels, weight in zip(LEVELS, weights, strict=True):
        exact = np.arange(256)[None, :] * (levels - 1) / 255 + _BAYER.reshape(16, 1) * DITHER
        tables.append((exact.round().clip(0, levels - 1) * weight).astype(np.uint8).reshape(-1))
    return tuple(tables)


def quantised(pixels: Pixels) -> Indices:
    """RGB (height, width, 3) as numbers of the palette, dithered by place."""
    height, width, _ = pixels.shape
    place = np.tile(np.arange(16, dtype=np.uint16).reshape(4, 4) << 8, (height // 4 + 1, width // 4 + 1))
    place = place[:height, :width]
    red, green, blue = (table[place | pixels[..., n]] for n, table in enumerate(_steps()))
    numbers: Indices = red + green + blue
    return numbers


@cache
def palette() -> NDArray[np.uint8]:
    """The colours in percent, (240, 3): what a terminal is told."""
    numbers = np.arange(COLOURS)
    each = numbers // (LEVELS[1] * LEVELS[2]), numbers // LEVELS[2] % LEVELS[1], numbers % LEVELS[2]
    levels = [(n * 100 / (top - 1)).round() for n, top in zip(each, LEVELS, strict=True)]
    return np.stack(levels, axis=-1).astype(np.uint8)


def _padded(texts: list[str], width: int) -> NDArray[np.void]:
    return np.frombuffer(b"".join(text.encode().ljust(width, b"\0") for text in texts), f"V{width}")


@cache
def _tables() -> tuple[NDArray[np.void], NDArray[np.void]]:
    """How a line of a colour begins, on the same band and on the next; and how a run says its length."""
    heads = _padded([f"{lead}#{number}" for lead in "$-" for number in range(COLOURS)], 5)
    counts = _padded(["" if count < 4 else f"!{count}" for count in range(LONGEST)], 5)
    return heads, counts


@cache
def _definitions() -> tuple[str, ...]:
    return tuple(f"#{n};2;{r};{g};{b}" for n, (r, g, b) in enumerate(palette().tolist()))


_RUN = [("head", "V5"), ("count", "V5"), ("first", "u1"), ("second", "u1"), ("third", "u1")]


def encoded(numbers: Indices, block: int = 1, wide: int | None = None) -> str:
    """A sixel image of these colours, (height, width); pixels of the last band below it stay as they are.

    A number is ``block`` pixels wide, the last ones less if the image is to be only ``wide`` pixels.
    """
    height, width = numbers.shape
    wide = wide or width * block
    bands = -(-height // BAND)
    columns = np.arange(width, dtype=np.int32)
    flat = np.zeros(bands * COLOURS * width, np.uint8)
    used = np.zeros((bands, COLOURS), bool)
    for row in range(BAND):
        line = numbers[row::BAND]
        band = np.arange(len(line), dtype=np.int32)[:, None]
        flat[(band * COLOURS + line) * width + columns] |= 1 << row
        used[band, line] = True
    lines = flat.reshape(bands, COLOURS, width)[used]

    new = np.ones(lines.shape, bool)
    np.not_equal(lines[:, 1:], lines[:, :-1], out=new[:, 1:])
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=lines.size)
    values = lines.reshape(-1)[starts]
    needed = (values != 0) | ((starts + lengths) % width != 0)  # a blank at the end of a line says nothing
    starts, lengths, values = starts[needed], lengths[needed], values[needed]

    heads, counts = _tables()
    band_of, colour_of = np.nonzero(used)
    next_band = np.diff(band_of, prepend=0) > 0
    at_start = starts % width == 0
    ends = np.minimum((starts % width + lengths) * block, wide)
    lengths = ends - starts % width * block
    runs = np.zeros(len(starts), _RUN)
    runs["head"][at_start] = heads[colour_of + COLOURS * next_band]
    runs["count"] = counts[lengths]
    characters = values + np.uint8(63)
    runs["first"] = characters
    runs["second"] = np.where((lengths == 2) | (lengths == 3), characters, 0)
    runs["third"] = np.where(lengths == 3, characters, 0)
    body = runs.tobytes().translate(None, b"\0").decode()
    colours = "".join(_definitions()[number] for number in np.flatnonzero(used.any(axis=0)).tolist())
    return f'\x1bP0;1q"1;1;{wide};{height}{colours}{body[1:]}\x1b\\'


class Sixel(PixelDriver):
    """Rows of cells as sixel images of their own, so that only those that changed are sent."""

    name: ClassVar[str] = "sixel"

    def __init__(self, columns: int, rows: int, cell: tuple[int, int], *, far: bool = False) -> None:
        super().__init__(columns, rows)
        self._cell = cell
        wide, high = columns * cell[0], rows * cell[1]
        most = PIXELS_FAR if far else PIXELS_NEAR
        self._block = next(side for side in range(1, 99) if wide * high <= most * side * side)
        self._numbers: Indices | None = None

    def size(self, columns: int, rows: int) -> tuple[int, int]:
        return -(-columns * self._cell[0] // self._block), -(-rows * self._cell[1] // self._block)

    def paint(self, pixels: Pixels) -> list[int]:
        changed = super().paint(pixels)
        old = self._numbers
        if not changed:
            return []
        assert self._pixels is not None, "just painted"
        block, down = self._block, self._cell[1]
        numbers = quantised(self._pixels).repeat(block, axis=0)
        self._numbers = numbers = numbers[: self.rows * down]
        if old is None or old.shape != numbers.shape:
            return list(range(self.rows))
        moved = (old != numbers).any(axis=1).reshape(self.rows, down).any(axis=1)
        return np.flatnonzero(moved).tolist()

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        assert self._numbers is not None, "paint first"
        (across, down), out, start = self._cell, "", 0
        for place, row in enumerate(rows):
            if place + 1 == len(rows) or rows[place + 1] != row + 1:
                first = rows[start]
                part = self._numbers[first * down : (row + 1) * down]
                out += f"\x1b[{y + first + 1};{x + 1}H{encoded(part, self._block, self.columns * across)}"
                start = place + 1
        return out.encode()

    def erase(self) -> str:
        """Nothing: text that is written over pixels takes their place."""
        return ""
