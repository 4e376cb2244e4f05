"""Pictures on the wire, and smaller copies of them."""

from __future__ import annotations

import asyncio
import io
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from luxxon_core.adapters import pictures
from luxxon_core.adapters.pictures import KEPT, PillowScaler
from luxxon_core.kernel.errors import VideoError
from luxxon_core.media.domain import Frame
from luxxon_core.media.schemas import entity_tag, picture_headers, unchanged

NOON = datetime(2026, 5, 13, 12, 0, 0, 250_000, tzinfo=UTC)


def frame(width: int = 640, height: int = 360, level: int = 90) -> Frame:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(out, "JPEG")
    return Frame(out.getvalue(), width, height, NOON)


def test_the_tag_is_of_the_bytes_and_of_nothing_else() -> None:
    one, other = frame(), frame(level=91)
    later = Frame(one.jpeg, one.width, one.height, NOON + timedelta(seconds=3))
    assert entity_tag(one) == entity_tag(later) != entity_tag(other)
    assert entity_tag(one)[0] == entity_tag(one)[-1] == '"'


def test_what_http_says_of_a_picture() -> None:
    one = frame()
    assert picture_headers(one, NOON + timedelta(seconds=3.9)) == {
        "Cache-Control": "no-store",
        "ETag": entity_tag(one),
        "Last-Modified": "Wed, 13 May 2026 12:00:00 GMT",
        "Age": "3",
        "X-Luxxon-Captured-At": "2026-05-13T12:00:00.250Z",
        "X-Luxxon-Size": "640x360",
    }
    assert picture_headers(one, NOON - timedelta(seconds=1))["Age"] == "0"


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        (None, False),
        ("{}", True),
        ("W/{}", True),
        ('"other", {}', True),
        ("*", True),
        ('"other"', False),
        ("", False),
        ("no tag", False),
    ],
)
def test_conditions(condition: str | None, same: bool) -> None:
    one = frame()
    asked = condition and condition.format(entity_tag(one))
    assert unchanged(one, asked) is same


async def test_a_copy_keeps_shape_and_moment_and_a_small_picture_is_left_alone() -> None:
    scaler, one = PillowScaler(), frame()
    small = await scaler.scaled(one, 100)
    assert (small.width, small.height, small.captured_at) == (100, 56, NOON)
    image = Image.open(io.BytesIO(small.jpeg))
    assert (image.format, image.size) == ("JPEG", (100, 56))
    assert abs(np.asarray(image.convert("L")).mean() - 90) < 3
    assert entity_tag(small) != entity_tag(one)
    assert await scaler.scaled(one, 640) is one
    assert await scaler.scaled(one, 4096) is one
    sliver = await scaler.scaled(frame(1600, 4), 16)
    assert (sliver.width, sliver.height) == (16, 1)


async def test_a_copy_is_made_once_for_all_and_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    scaler, one, made = PillowScaler(), frame(), []
    shrunk = pictures._shrunk

    def counted(jpeg: bytes, width: int) -> pictures._Copy:
        made.append((width, threading.current_thread() is threading.main_thread()))
        return shrunk(jpeg, width)

    monkeypatch.setattr(pictures, "_shrunk", counted)
    copies = await asyncio.gather(*(scaler.scaled(one, width) for width in (100, 100, 200, 100)))
    assert {copy.digest for copy in copies[:2]} == {copies[3].digest}
    assert sorted(made) == [(100, False), (200, False)]
    await scaler.scaled(one, 100)
    assert len(made) == 2
    for width in range(16, 16 + KEPT):
        await scaler.scaled(one, width)
    await scaler.scaled(one, 200)
    assert made[-1] == (200, False), "it has been forgotten meanwhile: not everything is kept"


async def test_who_leaves_takes_the_copy_from_nobody() -> None:
    scaler, one = PillowScaler(), frame(4000, 2000)
    leaving, staying = (asyncio.create_task(scaler.scaled(one, 1000)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).width == 1000
    with pytest.raises(asyncio.CancelledError):
        await leaving


@pytest.mark.parametrize("jpeg", [b"", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(50)])
async def test_what_is_no_jpeg_is_refused_each_time(jpeg: bytes) -> None:
    scaler = PillowScaler()
    for _ in range(2):
        with pytest.raises(VideoError) as refused:
            await scaler.scaled(Frame(jpeg, 640, 360, NOON), 100)
        assert refused.value.detail == "video:frame:jpeg"
