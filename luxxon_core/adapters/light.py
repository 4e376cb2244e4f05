"""How light pictures are, by Pillow in threads."""

from __future__ import annotations

import asyncio
import io

from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame
from luxxon_core.observations.domain import Light

PARTS = (32, 18)
"""Of a picture, over each of which luma is averaged: a sensor's noise in the dark is no contrast."""


class PillowLightmeter:
    """Implements :class:`~luxxon_core.observations.ports.Lightmeter`."""

    async def measured(self, frame: Frame) -> Light:
        return await asyncio.to_thread(_light, frame.jpeg)


def _light(jpeg: bytes) -> Light:
    from PIL import Image, ImageStat

    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            image.draft("L", PARTS)  # the decoder skips colour and what would be averaged away
            parts = image.convert("L").resize(PARTS, Image.Resampling.BOX)
    except (OSError, ValueError) as error:
        raise VideoError("video:frame:jpeg", "The picture cannot be read") from error
    found = ImageStat.Stat(parts)
    return Light(found.mean[0], found.stddev[0])
