"""Covers parts of a picture, in blocks of pixels: whatever block a polygon touches is covered whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from av import VideoFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

FILL_BLOCK = 4
"""Pixels of luma."""
BLOCKS_ACROSS = 40
"""A picture that is blurred has this many blocks from left to right: a face of ten is five of them."""
BLACK, GREY = 16, 128
"""Luma and chroma of what is filled (ITU-R BT.601, limited range)."""

Polygons = Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class _Stencil:
    """The rectangle of blocks in which something is covered, and what of it: one of luma, one of chroma."""

    top: int
    left: int
    block: int
    mask: NDArray[np.bool_]
    """By pixel of the rectangle."""


@dataclass
class Painter:
    """Remembers the stencils of the last polygons. Not for two threads at once."""

    blurred: bool = False
    _key: object = field(default=None, init=False)
    _stencils: tuple[_Stencil, _Stencil] | None = field(default=None, init=False)

    def painted(self, frame: VideoFrame, polygons: Polygons | None) -> VideoFrame:
        """A copy in YUV 4:2:0 of even size with polygons covered, or everything for None."""
        width, height = max(2, frame.width // 2 * 2), max(2, frame.height // 2 * 2)
        if (frame.width, frame.height, frame.format.name) != (width, height, "yuv420p"):
            even = frame.reformat(width, height, "yuv420p")
        else:
            even = frame
        picture: Plane = np.asarray(even.to_ndarray(), np.uint8)
        luma, *chroma = _planes(picture, width, height)
        stencils = self._of(width, height, polygons)
        if stencils is not None:
            self._cover(luma, stencils[0], BLACK)
            for plane in chroma:
                self._cover(plane, stencils[1], GREY)
        made = VideoFrame.from_ndarray(picture, format="yuv420p")
        made.pts, made.time_base = frame.pts, frame.time_base
        return made

    def _cover(self, plane: Plane, stencil: _Stencil, value: int) -> None:
        rows, columns = stencil.mask.shape
        part = plane[stencil.top : stencil.top + rows, stencil.left : stencil.left + columns]
        cover = _averaged(part, stencil.block) if self.blurred else np.uint8(value)
        np.copyto(part, cover, where=stencil.mask)

    def _of(self, width: int, height: int, polygons: Polygons | None) -> tuple[_Stencil, _Stencil] | None:
        key = width, height, None if polygons is None else tuple(map(tuple, polygons))
        if key != self._key:
            block = max(16, -(-width // BLOCKS_ACROSS) // 2 * 2) if self.blurred else FILL_BLOCK
            self._stencils, self._key = _stencils(width, height, polygons, block), key
        return self._stencils


def _planes(picture: Plane, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    flat, luma, chroma = picture.reshape(-1), width * height, width * height // 4
    half = height // 2, width // 2
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(half),
        flat[luma + chroma :].reshape(half),
    )


def _stencils(
    width: int, height: int, polygons: Polygons | None, block: int
) -> tuple[_Stencil, _Stencil] | None:
    down, across = -(-height // block), -(-width // block)
    touched = np.ones((down, across), np.bool_)
    if polygons is not None:
        touched = _touched(width, height, polygons, block)
    rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
    if not rows.size:
        return None
    top, left = int(rows[0]), int(columns[0])
    blocks = touched[top : rows[-1] + 1, left : columns[-1] + 1]

    def stencil(size: int, high: int, wide: int) -> _Stencil:
        mask = blocks.repeat(size, 0).repeat(size, 1)
        return _Stencil(top * size, left * size, size, mask[: high - top * size, : wide - left * size])

    return stencil(block, height, width), stencil(block // 2, height // 2, width // 2)


def _touched(width: int, height: int, polygons: Polygons, block: int) -> NDArray[np.bool_]:
    """Which blocks a polygon touches."""
    from PIL import Image, ImageDraw

    down, across = -(-height // block), -(-width // block)
    drawn = Image.new("L", (across * block, down * block))
    draw = ImageDraw.Draw(drawn)
    for polygon in polygons:
        corners = [(x * width, y * height) for x, y in polygon]
        draw.polygon(corners, fill=1, outline=1)
        draw.line([*corners, corners[0]], fill=1, width=3)  # wider by a pixel: nothing shines out at the rim
    pixels = np.asarray(drawn).reshape(down, block, across, block)
    return np.asarray(pixels.any(axis=(1, 3)))


def _averaged(part: Plane, block: int) -> Plane:
    """Each block of pixels by its average; those at the far rims may be smaller."""
    rows, columns = np.arange(0, part.shape[0], block), np.arange(0, part.shape[1], block)
    sums = np.add.reduceat(np.add.reduceat(part, rows, axis=0, dtype=np.uint32), columns, axis=1)
    heights = np.diff(rows, append=part.shape[0])
    widths = np.diff(columns, append=part.shape[1])
    means = (sums // np.outer(heights, widths)).astype(np.uint8)
    return np.asarray(means.repeat(heights, 0).repeat(widths, 1), np.uint8)
