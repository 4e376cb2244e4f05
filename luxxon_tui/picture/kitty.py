"""Pictures by kitty's graphics protocol: the terminal holds the image and scales it to the field.

Two ways to place one. Placeholders (U+10EEEE with a row's and a column's diacritic, the image's id as ink)
are text like any other: they move, scroll and get covered with the cells, also inside tmux. Terminals that
know no placeholders get the image at the cursor.

Source: kitty, "Terminal graphics protocol".
"""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from functools import cache
from heapq import heappop, heappush
from typing import ClassVar

from luxxon_tui.picture.drivers import Pixels
from luxxon_tui.picture.pixels import PixelDriver
from luxxon_tui.picture.probe import wrapped

CHUNK = 4096
"""Most characters of base64 in one sequence."""

PIXELS_NEAR, PIXELS_FAR = 320 * 180, 192 * 108
"""Most pixels of an image: what a frame may cost, here and over a network."""

PLACEHOLDER = "\U0010eeee"

_NUMBERS = (
    "305 30D-30E 310 312 33D-33F 346 34A-34C 350-352 357 35B 363-36F 483-487 592-595 597-599 59C-5A1 "
    "5A8-5A9 5AB-5AC 5AF 5C4 610-617 657-65B 65D-65E 6D6-6DC 6DF-6E2 6E4 6E7-6E8 6EB-6EC 730 732-733 "
    "735-736 73A 73D 73F-741 743 745 747 749-74A 7EB-7F1 7F3 816-819 81B-823 825-827 829-82D 951 953-954 "
    "F82-F83 F86-F87 135D-135F 17DD 193A 1A17 1A75-1A7C 1B6B 1B6D-1B73 1CD0-1CD2 1CDA-1CDB 1CE0 1DC0-1DC1 "
    "1DC3-1DC9 1DCB-1DCC 1DD1-1DE6 1DFE 20D0-20D1 20D4-20D7 20DB-20DC 20E1 20E7 20E9 20F0 2CEF-2CF1 "
    "2DE0-2DFF A66F A67C-A67D A6F0-A6F1 A8E0-A8F1 AAB0 AAB2-AAB3 AAB7-AAB8 AABE-AABF AAC1 FE20-FE26 10A0F "
    "10A38 1D185-1D189 1D1AA-1D1AD 1D242-1D244"
)
"""Combining marks that number rows and columns, in the protocol's order."""


@cache
def diacritics() -> str:
    """The mark of each number from 0."""
    marks = ""
    for part in _NUMBERS.split():
        first, _, last = part.partition("-")
        marks += "".join(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return marks


MOST_CELLS = 297
"""Rows or columns that placeholders can number."""


class _Ids:
    """Numbers of images, 24 bits: unlike another console's in the same terminal, given back and reused."""

    def __init__(self) -> None:
        self._base = (os.getpid() & 0xFFF) << 12 | 0x001
        self._next = 0
        self._free: list[int] = []

    def take(self) -> int:
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._base + self._next - 1

    def give_back(self, number: int) -> None:
        heappush(self._free, number)


IDS = _Ids()


class Kitty(PixelDriver):
    """An image under placeholders."""

    name: ClassVar[str] = "kitty"
    inline: ClassVar[bool] = True

    def __init__(
        self, columns: int, rows: int, cell: tuple[int, int], *, tmux: bool = False, far: bool = False
    ) -> None:
        super().__init__(columns, rows)
        self._cell = cell
        self._most = PIXELS_FAR if far else PIXELS_NEAR
        self._tmux = tmux
        self._id: int | None = None
        self._fresh = True
        self._placed: set[int] = set()

    def size(self, columns: int, rows: int) -> tuple[int, int]:
        width, height = columns * self._cell[0], rows * self._cell[1]
        shrink = min(1.0, (self._most / (width * height)) ** 0.5)
        return max(1, int(width * shrink)), max(1, int(height * shrink))

    def paint(self, pixels: Pixels) -> list[int]:
        changed = super().paint(pixels)
        self._fresh = self._fresh or bool(changed)
        return changed

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        out = self._image("U=1") if self._fresh else ""
        self._fresh = False
        for row in sorted(set(rows) - self._placed):
            out += f"\x1b[{y + row + 1};{x + 1}H{self.text(row)}"
        self._placed.update(rows)
        return out.encode()

    def erase(self) -> str:
        """Take the image off the screen and out of the terminal's memory; the number is free again."""
        self._placed.clear()
        self._fresh = True
        if self._id is None:
            return ""
        number, self._id = self._id, None
        IDS.give_back(number)
        return self._wrap(f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\")

    def text(self, row: int) -> str:
        number, marks = self._number, diacritics()
        ink = f"\x1b[38;2;{number >> 16};{number >> 8 & 255};{number & 255}m"
        cells = "".join(PLACEHOLDER + marks[row] + marks[column] for column in range(self.columns))
        return ink + cells + "\x1b[0m"

    @property
    def _number(self) -> int:
        if self._id is None:
            self._id = IDS.take()
        return self._id

    def _image(self, placing: str) -> str:
        assert self._pixels is not None, "paint first"
        height, width, _ = self._pixels.shape
        data = b64encode(zlib.compress(self._pixels.tobytes(), 1)).decode()
        head = (
            f"a=T,f=24,o=z,i={self._number},p=1,s={width},v={height},"
            f"{placing},c={self.columns},r={self.rows},q=2,"
        )
        out = []
        for start in range(0, len(data), CHUNK):
            more = int(start + CHUNK < len(data))
            out.append(
                self._wrap(f"\x1b_G{'' if start else head}m={more};{data[start : start + CHUNK]}\x1b\\")
            )
        return "".join(out)

    def _wrap(self, sequence: str) -> str:
        return wrapped(sequence) if self._tmux else sequence


class KittyPlaced(Kitty):
    """An image over the cells where the cursor stood; the console has to keep it off what covers it."""

    name: ClassVar[str] = "kitty"
    inline: ClassVar[bool] = False

    def draw(self, rows: list[int], x: int, y: int) -> bytes:
        if not self._fresh:
            return b""
        self._fresh = False
        return (f"\x1b[{y + 1};{x + 1}H" + self._image("C=1")).encode()

    def text(self, row: int) -> str:
        return PixelDriver.text(self, row)
