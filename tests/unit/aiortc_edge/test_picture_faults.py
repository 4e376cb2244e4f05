"""Black, frozen and missing pictures: what is told of them, and when."""

from __future__ import annotations

import io

import numpy as np
import pytest
from edge_packets import CODECS, encode
from PIL import Image

from luxxon_core.adapters.aiortc_edge.decoder import Decoder
from luxxon_core.adapters.aiortc_edge.faults import Change, FaultWatch
from luxxon_core.media.domain import Fault

HEIGHT, WIDTH = 360, 640
DICE = np.random.default_rng(7)


def scene(shift: int = 0, noise: float = 3.0) -> np.ndarray:
    """A picture with large and small shapes, as through a lens with a noisy sensor."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    base = 120 + 60 * np.sin((x + shift) / 50) + 40 * np.cos(y / 40) + 15 * np.sin((x - y) / 5)
    return noisy(np.repeat(base[:, :, None], 3, 2), noise)


def covered(noise: float = 3.0) -> np.ndarray:
    """A lens with a cap on it."""
    return noisy(np.full((HEIGHT, WIDTH, 3), 4.0), noise)


def night(noise: float = 6.0) -> np.ndarray:
    """A dark street with two lamps."""
    picture = np.full((HEIGHT, WIDTH, 3), 10.0)
    for x in (150, 480):
        picture[80:120, x : x + 30] = 220
    return noisy(picture, noise)


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    return np.clip(picture + DICE.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def seen(codec: str, pictures: list[np.ndarray], watch: FaultWatch) -> list[Change]:
    """What is told when these are published, a keyframe each second."""
    decoder, changes = Decoder(codec), []
    fps = 10
    keyframes = set(range(0, len(pictures) * fps, fps))
    for index, unit in enumerate(encode(codec, [one for one in pictures for _ in range(fps)], keyframes)):
        if index in keyframes:
            picture = decoder.decode([unit], every_frame=False, due=0.0).picture
            assert picture is not None
            changes += watch.saw(picture.light, index / fps)
    return changes


@pytest.mark.parametrize("codec", CODECS)
def test_a_frozen_picture_is_told_from_where_it_froze_and_ends_when_it_moves(codec: str) -> None:
    still = scene()
    moving = [scene(shift * 12) for shift in range(1, 4)]
    changes = seen(codec, [*moving, *[still] * 8, *moving], FaultWatch())
    assert changes == [Change(Fault.FROZEN, True, 3.0), Change(Fault.FROZEN, False, 11.0)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_covered_lens_is_black_and_not_frozen_as_well(codec: str) -> None:
    moving = [scene(shift * 12) for shift in range(3)]
    changes = seen(codec, [*moving, *(covered() for _ in range(8)), *moving], FaultWatch())
    assert changes == [Change(Fault.BLACK, True, 3.0), Change(Fault.BLACK, False, 11.0)]


def test_a_dark_street_is_neither() -> None:
    passing = []
    for second in range(9):
        picture = night()
        picture[200:240, 60 * second : 60 * second + 40] = 90  # somebody walks by
        passing.append(picture)
    assert seen("h264", passing, FaultWatch()) == []


def test_what_lasts_less_than_five_seconds_is_no_fault() -> None:
    moving = [scene(shift * 12) for shift in range(2)]
    pictures = [*moving, *[covered(0)] * 5, *moving, *[scene(99)] * 5, *moving]
    assert seen("h264", pictures, FaultWatch()) == []


def test_slow_motion_is_motion() -> None:
    """A shade darker each second: next to nothing between two pictures."""
    watch = FaultWatch()
    for second in range(30):
        assert watch.saw(np.full((36, 64), 200 - 2 * second, np.uint8), float(second)) == []


def test_on_the_brink_of_black_nothing_flutters() -> None:
    watch, changes = FaultWatch(), []
    for second in range(40):
        light = np.full((36, 64), 9 if second < 10 or second % 2 else 12, np.uint8)
        changes += watch.saw(light, float(second))
    assert changes == [Change(Fault.BLACK, True, 0.0)]


def test_video_without_pictures_is_told_and_ends_with_a_picture() -> None:
    watch = FaultWatch()
    assert watch.passed(100.0, 104.9) == []
    assert watch.passed(100.0, 105.0) == [Change(Fault.UNDECODED, True, 100.0)]
    assert watch.passed(100.0, 106.0) == []
    light = np.full((36, 64), 100, np.uint8)
    assert watch.saw(light, 106.5) == [Change(Fault.UNDECODED, False, 106.5)]
    assert watch.passed(100.0, 111.0) == []
    assert watch.passed(100.0, 111.5) == [Change(Fault.UNDECODED, True, 106.5)]


def test_when_media_stop_everything_begins_anew() -> None:
    watch = FaultWatch()
    black = np.zeros((36, 64), np.uint8)
    for second in range(6):
        watch.saw(black, float(second))
    assert watch.open == {Fault.BLACK: 0.0}
    watch.reset()
    assert watch.open == {}
    assert [change for second in range(6) for change in watch.saw(black, 20.0 + second)] == [
        Change(Fault.BLACK, True, 20.0)
    ]


def test_light_is_of_full_range_whatever_the_codec_uses() -> None:
    for codec in CODECS:
        for level in (0, 255):
            (unit,) = encode(codec, [np.full((HEIGHT, WIDTH, 3), level, np.uint8)], {0})
            picture = Decoder(codec).decode([unit], every_frame=False, due=0.0).picture
            assert picture is not None and picture.light.shape == (36, 64)
            assert abs(float(picture.light.mean()) - level) < 3
            assert Image.open(io.BytesIO(picture.jpeg)).size == (WIDTH, HEIGHT)
