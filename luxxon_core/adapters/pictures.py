"""Smaller copies of pictures, by Pillow in threads."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame, digest_of

QUALITY = 80
KEPT = 64
"""Copies that are kept for those who ask next: a picture is served for five seconds at most."""
AT_ONCE = 2
"""Threads at work; more requests wait."""


class _Copy(NamedTuple):
    jpeg: bytes
    width: int
    height: int
    digest: str


class PillowScaler:
    """Implements :class:`~luxxon_core.media.ports.Scaler`. Each copy is made once for all who ask."""

    def __init__(self) -> None:
        self._copies: OrderedDict[tuple[str, int], asyncio.Future[_Copy]] = OrderedDict()
        self._threads = ThreadPoolExecutor(AT_ONCE, "pictures")
        """Starts none before there is work."""

    async def scaled(self, frame: Frame, max_width: int) -> Frame:
        if frame.width <= max_width:
            return frame
        key = frame.digest, max_width
        copy = self._copies.get(key)
        if copy is None:
            loop = asyncio.get_running_loop()
            copy = self._copies[key] = loop.run_in_executor(self._threads, _shrunk, frame.jpeg, max_width)
            if len(self._copies) > KEPT:
                self._copies.popitem(last=False)
        self._copies.move_to_end(key)
        try:
            made = await asyncio.shield(copy)  # others may wait for it as well
        except VideoError:
            self._copies.pop(key, None)
            raise
        return Frame(made.jpeg, made.width, made.height, frame.captured_at, made.digest)


def _shrunk(jpeg: bytes, width: int) -> _Copy:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            height = max(1, round(image.height * width / image.width))
            image.draft("RGB", (width, height))  # the decoder skips what would be thrown away
            small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    except (OSError, ValueError) as error:
        raise VideoError("video:frame:jpeg", "The picture cannot be read") from error
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    made = out.getvalue()
    return _Copy(made, width, height, digest_of(made))
