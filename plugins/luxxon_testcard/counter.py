"""The frame counter as black and white cells along the lower edge: read from a decoded frame, at any size.

32 cells: a sync pattern of 4, 24 bits of counter with the highest first, 4 bits of checksum.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

Luma = np.ndarray[Any, np.dtype[np.uint8]]
CELLS = 32
STRIP = 0.08
"""Height of the strip as a share of the picture's."""
MODULO = 1 << 24
_SYNC = 0b1010
_WHITE, _BLACK = 235, 16


def strip_top(height: int) -> int:
    """First row of the strip; even, so that chroma rows end with it."""
    return round(height * (1 - STRIP)) // 2 * 2


def write_counter(luma: Luma, number: int) -> None:
    """Draw ``number`` modulo 2**24 into the strip of a luma plane of shape (height, width), uint8."""
    height, width = luma.shape
    number %= MODULO
    word = _SYNC << 28 | number << 4 | _checksum(number)
    bits = np.array([word >> (CELLS - 1 - cell) & 1 for cell in range(CELLS)], dtype=np.uint8)
    row = (bits * (_WHITE - _BLACK) + _BLACK)[np.arange(width) * CELLS // width]
    luma[strip_top(height) :] = row


def read_counter(frame: VideoFrame) -> int | None:
    """The counter burnt into a frame of the test card, or None where there is none to be read."""
    if not frame.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray")):
        frame = frame.reformat(format="yuv420p")
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[
        : frame.height, : frame.width
    ]
    return read_counter_luma(luma)


def read_counter_luma(luma: Luma) -> int | None:
    """As :func:`read_counter`, from a luma plane of shape (height, width), uint8."""
    height, width = luma.shape
    margin = max(1, round(height * STRIP / 4))
    rows = luma[strip_top(height) + margin : height - margin]
    if width < CELLS or not rows.size:
        return None
    edges = np.arange(CELLS + 1) * width / CELLS
    inset = width / CELLS / 4
    word = 0
    for left, right in pairwise(edges):
        cell = rows[:, round(left + inset) : max(round(right - inset), round(left + inset) + 1)]
        word = word << 1 | int(cell.mean() > (_WHITE + _BLACK) / 2)
    number = word >> 4 & MODULO - 1
    return number if word >> 28 == _SYNC and word & 15 == _checksum(number) else None


def _checksum(number: int) -> int:
    # Inverted, so that an all-black strip is not a valid zero.
    return ~sum(number >> shift & 15 for shift in range(0, 24, 4)) & 15
