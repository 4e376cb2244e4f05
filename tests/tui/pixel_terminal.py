"""A terminal that draws pixels, as far as the tests need one: cells, kitty's images and sixel, decoded."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

Pixels = NDArray[np.uint8]
PLACEHOLDER = "\U0010eeee"
TMUX = re.compile(r"\x1bPtmux;((?:[^\x1b]|\x1b\x1b)*)\x1b\\", re.DOTALL)
TOKEN = re.compile(
    r"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\"
    r"|\x1bP(?P<parameters>[\d;]*)q(?P<sixel>[^\x1b]*)\x1b\\"
    r"|\x1b\[(?P<arguments>[<>=?]?[\d;:]*)(?P<command>[ -/]*[@-~])"
    r"|\x1b[\]PX^_][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b[78=>]"
    r"|(?P<text>[^\x1b]+)",
    re.DOTALL,
)
RUN = re.compile(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([$-])|([?-~])|\"([\d;]+)")


def sixel_pixels(data: str) -> tuple[Pixels, NDArray[np.bool_]]:
    """The image (height, width, 3) of what follows ``q``, and which of its pixels were set."""
    size = re.match(r'"\d+;\d+;(\d+);(\d+)', data)
    assert size is not None, "raster attributes come first"
    width, height = map(int, size.groups())
    image = np.zeros((height + 6, width, 3), np.uint8)
    drawn = np.zeros((height + 6, width), bool)
    colours: dict[int, tuple[int, ...]] = {}
    x = y = 0
    colour: tuple[int, ...] = (0, 0, 0)
    for number, red, green, blue, chosen, times, repeated, move, single, _ in RUN.findall(data):
        if number:
            colours[int(number)] = tuple(round(int(level) * 255 / 100) for level in (red, green, blue))
        elif chosen:
            colour = colours[int(chosen)]
        elif move:
            x, y = 0, y + 6 * (move == "-")
        elif repeated or single:
            count, bits = int(times or 1), ord(repeated or single) - 63
            for row in range(6):
                if bits >> row & 1:
                    assert x + count <= width and y + row < height
                    image[y + row, x : x + count] = colour
                    drawn[y + row, x : x + count] = True
            x += count
    return image[:height], drawn[:height]


@dataclass
class Image:
    """An image that the terminal keeps."""

    pixels: Pixels
    columns: int
    rows: int
    at: tuple[int, int] | None
    """Column and line of its corner; None where placeholders show it."""


@dataclass
class PixelTerminal:
    """What it shows after ``feed``."""

    columns: int
    rows: int
    cell: tuple[int, int] = (10, 20)
    images: dict[int, Image] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)
    """Numbers of images that were deleted."""

    def __post_init__(self) -> None:
        self.text = [[" "] * self.columns for _ in range(self.rows)]
        self.inks = [[0] * self.columns for _ in range(self.rows)]
        across, down = self.cell
        self.canvas = np.zeros((self.rows * down, self.columns * across, 3), np.uint8)
        self.pixels = np.zeros((self.rows, self.columns), bool)
        """Cells that show sixel pixels."""
        self.bytes = 0
        self._x = self._y = self._ink = 0
        self._rest = ""
        self._head: dict[str, str] = {}
        self._data = ""

    def feed(self, output: str) -> None:
        """Interpret output; what is not whole yet waits."""
        self.bytes += len(output)
        output = TMUX.sub(lambda match: match[1].replace("\x1b\x1b", "\x1b"), self._rest + output)
        place = 0
        while place < len(output):
            match = TOKEN.match(output, place)
            if match is None:
                break
            place = match.end()
            if (kitty := match["kitty"]) is not None:
                self._kitty(kitty)
            elif (sixel := match["sixel"]) is not None:
                self._sixel(sixel)
            elif (text := match["text"]) is not None:
                self._write(text)
            elif match["command"]:
                self._control(match["arguments"], match["command"])
        self._rest = output[place:]

    def shown(self, x: int, y: int) -> str:
        """``image``, ``sixel`` or the text of a cell."""
        for image in self.images.values():
            if image.at is not None:
                left, top = image.at
                if left <= x < left + image.columns and top <= y < top + image.rows:
                    return "image"
        if self.text[y][x].startswith(PLACEHOLDER):
            return "image" if self.inks[y][x] in self.images else "nothing"
        return "sixel" if self.pixels[y, x] else self.text[y][x]

    def line(self, y: int) -> str:
        return "".join(self.text[y])

    def screen(self) -> str:
        return "\n".join(map(self.line, range(self.rows)))

    def count(self, what: str) -> int:
        if not self.images and what in ("image", "sixel"):
            return int(self.pixels.sum()) if what == "sixel" else 0
        return sum(self.shown(x, y) == what for x in range(self.columns) for y in range(self.rows))

    def _control(self, arguments: str, command: str) -> None:
        numbers = [int(number) if number.isdigit() else 0 for number in re.split("[;:]", arguments)]
        if command == "H":
            self._y, self._x = numbers[0] - 1, (numbers[1] if len(numbers) > 1 else 1) - 1
        elif command == "C":
            self._x += numbers[0] or 1
        elif command == "m" and "38;2;" in arguments:
            place = arguments.index("38;2;")
            red, green, blue = map(int, arguments[place + 5 :].split(";")[:3])
            self._ink = red << 16 | green << 8 | blue
        elif command == "h" and arguments == "?1049":
            self.pixels[:] = False

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\r":
                self._x = 0
            elif character == "\n":
                self._y += 1
            elif character >= " ":
                width = 1 if character == PLACEHOLDER else cell_len(character)
                inside = 0 <= self._y < self.rows
                if width == 0 and self._x and inside:
                    self.text[self._y][min(self._x, self.columns) - 1] += character
                elif width and inside and self._x < self.columns:
                    self.text[self._y][self._x] = character
                    self.inks[self._y][self._x] = self._ink
                    self.pixels[self._y, self._x] = False
                self._x += width

    def _kitty(self, sequence: str) -> None:
        head, _, data = sequence.partition(";")
        keys = dict(pair.split("=", 1) for pair in head.split(",") if pair)
        if "a" in keys:
            self._head, self._data = keys, ""
        if self._head.get("a") == "d":
            number = int(keys["i"])
            if self.images.pop(number, None) is not None:
                self.forgotten.append(number)
        elif self._head.get("a") == "T":
            assert len(data) <= 4096
            self._data += data
            if keys["m"] == "0":
                self._transmitted()

    def _transmitted(self) -> None:
        head = self._head
        assert (head["f"], head["o"], head["q"]) == ("24", "z", "2")
        raw = zlib.decompress(b64decode(self._data, validate=True))
        pixels = np.frombuffer(raw, np.uint8).reshape(int(head["v"]), int(head["s"]), 3)
        at = None if head.get("U") == "1" else (self._x, self._y)
        self.images[int(head["i"])] = Image(pixels, int(head["c"]), int(head["r"]), at)

    def _sixel(self, data: str) -> None:
        image, drawn = sixel_pixels(data)
        across, down = self.cell
        top, left = self._y * down, self._x * across
        place = self.canvas[top : top + len(image), left : left + image.shape[1]]
        assert place.shape == image.shape, "it would scroll or be cut"
        assert top + len(image) < len(self.canvas), "the cursor would scroll the screen"
        place[drawn] = image[drawn]
        rows, columns = len(image) // down, image.shape[1] // across
        self.pixels[self._y : self._y + rows, self._x : self._x + columns] = True


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal to noise, in dB, of two pictures of one size."""
    error = float(((one.astype(float) - other) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))
