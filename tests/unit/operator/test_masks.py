"""What nobody is to see: covered in every picture, and everything where it is not known what shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
from av import VideoFrame

from luxxon_core.controls.schemas import ContinuousMove
from luxxon_core.operator import masks
from luxxon_core.operator.masks import Cover, Elsewhere, Polygon, Privacy, View
from luxxon_core.operator.paint import Painter
from luxxon_core.operator.ptz import Controls
from luxxon_core.source import VIDEO_CLOCK, PtzStatus, PtzVector
from luxxon_core.testing import FakeSource

Until = Callable[..., Awaitable[None]]
Picture = np.ndarray[Any, np.dtype[np.uint8]]
CORNER: Polygon = ((0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, 0.25))
FAR: Polygon = ((0.75, 0.75), (1.0, 0.75), (1.0, 1.0), (0.75, 1.0))
QUAY, GATE = PtzVector(0.1, 0.0, 0.0), PtzVector(-0.5, 0.2, 0.3)


def noise(width: int = 640, height: int = 360) -> VideoFrame:
    return made(np.random.default_rng(7).integers(40, 220, (height * 3 // 2, width), dtype=np.uint8))


def made(picture: Picture) -> VideoFrame:
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts, frame.time_base = 9000, VIDEO_CLOCK
    return frame


def luma(frame: VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray()[: frame.height], np.uint8)


def chroma(frame: VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray()[frame.height :], np.uint8)


def test_a_polygon_is_filled_and_nothing_else() -> None:
    before = noise()
    after = Painter().painted(before, [CORNER])
    assert (luma(after)[:90, :160] == 16).all()
    clear = np.ones((360, 640), np.bool_)
    clear[: 90 + 8, : 160 + 8] = False
    assert (luma(after)[clear] == luma(before)[clear]).all()
    assert (after.pts, after.time_base) == (9000, VIDEO_CLOCK)
    u = chroma(after).reshape(-1)[: 320 * 180].reshape(180, 320)
    assert (u[:45, :80] == 128).all(), "colour, too"


def test_the_source_keeps_its_own_picture() -> None:
    before = noise()
    kept = luma(before).copy()
    Painter().painted(before, None)
    assert (luma(before) == kept).all(), "a decoder predicts from it, and the preview shows it"


@pytest.mark.parametrize("size", [(640, 360), (641, 361), (322, 182), (1280, 720), (90, 50)])
@pytest.mark.parametrize("blurred", [False, True])
def test_everything_is_everything_at_any_size(size: tuple[int, int], blurred: bool) -> None:
    after = Painter(blurred).painted(noise(size[0] // 2 * 2, size[1] // 2 * 2), None)
    if not blurred:
        assert (luma(after) == 16).all()
        assert (chroma(after) == 128).all()
        return
    kinds = len(np.unique(luma(after).reshape(-1).view()))
    blocks = -(-after.width // 16) * -(-after.height // 16)
    assert kinds <= blocks


def test_a_blurred_block_is_its_average_alone() -> None:
    """Nothing but one number a block is left: two pictures of the same averages come out the same."""
    picture = np.full((540, 640), 128, np.uint8)
    picture[:360] = np.indices((360, 640)).sum(0) % 2 * 100 + 50
    other = picture.copy()
    other[:360] = 200 - picture[:360]  # the pattern the other way round
    first, second = (luma(Painter(blurred=True).painted(made(one), [CORNER])) for one in (picture, other))
    assert (first[:90, :160] == second[:90, :160]).all()
    assert np.unique(first[:90, :160]).size == 1
    assert np.unique(first[200:, 300:]).size == 2, "beside it the pattern is there"


def test_a_thin_or_slanted_polygon_covers_what_it_touches() -> None:
    line: Polygon = ((0.1, 0.1), (0.9, 0.9), (0.9, 0.9))
    after = luma(Painter().painted(noise(), [line]))
    for share in (0.1, 0.37, 0.5, 0.9):
        assert after[int(share * 360), int(share * 640)] == 16


def test_no_polygons_leave_the_picture_alone() -> None:
    before = noise()
    assert (luma(Painter().painted(before, [])) == luma(before)).all()


async def frames(count: int = 10_000) -> AsyncGenerator[VideoFrame, None]:
    for number in range(count):
        frame = noise(160, 90)
        frame.pts = number * 3000
        yield frame
        await asyncio.sleep(0.01)


class Seen:
    """Reads masked frames and knows what the newest covers."""

    def __init__(self, privacy: Privacy) -> None:
        self._frames = privacy.masked(frames())
        self.newest: VideoFrame | None = None
        self.count = 0

    async def read(self) -> None:
        async for frame in self._frames:
            self.newest = frame
            self.count += 1

    def covers(self) -> str:
        if self.newest is None:
            return ""
        picture = luma(self.newest)
        corner, far, middle = picture[5, 5] == 16, picture[-5, -5] == 16, picture[45, 80] == 16
        return (
            "everything"
            if middle
            else "+".join(name for name, is_covered in (("corner", corner), ("far", far)) if is_covered)
        )


def looking(position: PtzVector) -> FakeSource:
    camera = FakeSource()
    camera.position = position
    return camera


def views() -> dict[str, View]:
    return {"quay": View(QUAY, (CORNER,)), "gate": View(GATE, (FAR,))}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(masks, "SETTLE_SECONDS", 0.2)


async def test_each_view_has_masks_of_its_own_and_the_way_between_none_to_see(
    quick: None, until: Until
) -> None:
    camera = looking(QUAY)
    privacy = Privacy(views=views(), control=camera)
    seen = Seen(privacy)
    reading = asyncio.create_task(seen.read())
    await until(lambda: seen.count)
    assert seen.covers() == "everything", "nobody knows yet where it looks"
    await until(lambda: seen.covers() == "corner")
    privacy.moving()
    count = seen.count
    await until(lambda: seen.count >= count + 2)
    assert seen.covers() == "everything", "from the command on, whatever the camera says of it"
    await camera.absolute_move(GATE)
    await until(lambda: seen.covers() == "far")
    camera.position = PtzVector(0.3, 0.1, 0.0)  # by somebody else
    await until(lambda: seen.covers() == "everything")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_while_it_moves_even_through_a_view_everything_is_covered(quick: None, until: Until) -> None:
    camera = looking(QUAY)
    seen = Seen(Privacy(views=views(), control=camera))
    reading = asyncio.create_task(seen.read())
    await until(lambda: seen.covers() == "corner")
    await camera.continuous_move(PtzVector(pan=0.1), 60)
    await until(lambda: seen.covers() == "everything")
    await camera.stop()
    camera.position = QUAY
    await until(lambda: seen.covers() == "corner")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_a_camera_that_says_nothing_of_its_moves_shows_nothing_of_them(
    quick: None, until: Until
) -> None:
    """It claims to rest in its view for as long as it turns by our order."""
    camera = looking(QUAY)
    controls = Controls(camera, ("ptz",))
    camera.continuous_move = AsyncMock()  # type: ignore[method-assign]
    privacy = Privacy(views=views(), control=camera, driven=lambda: controls.driving)
    seen = Seen(privacy)
    reading = asyncio.create_task(seen.read())
    await until(lambda: seen.covers() == "corner")
    privacy.moving()
    await controls.handle(ContinuousMove(pan=0.1, timeout=1))
    ends = time.monotonic() + 0.9  # the settling of what it says would be over after 0.2
    await asyncio.sleep(0.05)
    while time.monotonic() < ends:
        assert seen.covers() == "everything"
        await asyncio.sleep(0.01)
    await until(lambda: seen.covers() == "corner")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_a_camera_that_is_read_anew_shows_nothing_before_it_is_known_where_it_looks(
    quick: None, until: Until
) -> None:
    """It may have been moved meanwhile, or have been off."""
    privacy = Privacy(views=views(), control=looking(QUAY))
    for _ in range(2):
        seen = Seen(privacy)
        reading = asyncio.create_task(seen.read())
        await until(lambda: seen.count)  # noqa: B023
        assert seen.covers() == "everything"
        await until(lambda: seen.covers() == "corner")  # noqa: B023
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("fault", ["fails", "hangs", "knows nothing"])
async def test_a_camera_that_does_not_say_where_it_looks_shows_nothing(
    quick: None, until: Until, fault: str
) -> None:
    class Camera(FakeSource):
        broken = False

        async def get_status(self) -> PtzStatus:
            if not self.broken:
                return PtzStatus(QUAY, False)
            if fault == "fails":
                raise ConnectionResetError("http://admin:hunter2@192.0.2.1/onvif")
            if fault == "hangs":
                await asyncio.Event().wait()
            return PtzStatus(None, False)

    camera = Camera()
    seen = Seen(Privacy(views=views(), control=camera))
    reading = asyncio.create_task(seen.read())
    await until(lambda: seen.covers() == "corner")
    camera.broken = True
    began = time.monotonic()
    await until(lambda: seen.covers() == "everything")
    assert time.monotonic() - began < masks.STATUS_SECONDS + 1
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_elsewhere_the_union_can_do(quick: None, until: Until) -> None:
    camera = looking(PtzVector(0.9, 0.9, 0.0))
    seen = Seen(Privacy(views=views(), control=camera, elsewhere=Elsewhere.UNION))
    reading = asyncio.create_task(seen.read())
    await until(lambda: seen.covers() == "corner+far")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_masks_without_views_are_in_every_picture() -> None:
    privacy = Privacy(masks=(CORNER,), cover=Cover.BLURRED)
    async for frame in privacy.masked(frames(1)):
        assert np.unique(luma(frame)[:16, :16]).size == 1
    assert privacy.policy() == {
        "masks": {"cover": "blurred", "always": 1, "views": {}, "elsewhere": "everything"}
    }
