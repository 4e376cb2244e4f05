"""From a video frame or an image to pixels of the size that a driver asks for.

Decoded video goes through swscale straight to the target size: scaling 720p to a terminal's pixels costs a
third of a millisecond, where a full-size RGB conversion alone costs five.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from luxxon_tui.picture.drivers import Pixels

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL.Image import Image

    Source: TypeAlias = "VideoFrame | Image"


class Box(NamedTuple):
    """A rectangle of cells inside a field."""

    x: int
    y: int
    columns: int
    rows: int


def fit(columns: int, rows: int, width: int, height: int) -> Box:
    """The largest box of cells with the shape of a ``width`` × ``height`` picture, centred.

    A cell counts as twice as high as wide. A picture that misses the field by less than one cell fills it.
    """
    wanted_rows = columns * height / (2 * width)
    if abs(wanted_rows - rows) < 1:
        return Box(0, 0, columns, rows)
    if wanted_rows < rows:
        inner = max(1, round(wanted_rows))
        return Box(0, (rows - inner) // 2, columns, inner)
    inner = min(columns, max(1, round(rows * 2 * width / height)))
    return Box((columns - inner) // 2, 0, inner, rows)


class Scaler:
    """Scales frames of a stream, keeping swscale's tables between them."""

    def __init__(self) -> None:
        self._reformatter: object | None = None

    def pixels(self, source: Source, width: int, height: int) -> Pixels:
        """RGB pixels (height, width, 3), area-averaged."""
        from PIL.Image import Image, Resampling

        if isinstance(source, Image):
            image = source.convert("RGB").resize((width, height), Resampling.BOX, reducing_gap=2.0)
            return np.asarray(image)

        from av.video.reformatter import Interpolation, VideoReformatter

        if not isinstance(self._reformatter, VideoReformatter):
            self._reformatter = VideoReformatter()
        small = self._reformatter.reformat(
            source, width, height, format="rgb24", interpolation=Interpolation.AREA, threads=1
        )
        pixels: Pixels = small.to_ndarray()  # type: ignore[assignment]  # of rgb24 it is bytes
        return pixels
