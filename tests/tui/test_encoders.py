"""Pixels to cells to ANSI: compared with slow, plain implementations and with a terminal's own reading."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.segment import Segment
from scenes import picture

from luxxon_tui.picture import ansi, quadrant
from luxxon_tui.picture.drivers import STILL, CellDriver, Pixels, greyed, settled
from luxxon_tui.picture.halfblock import HalfBlocks
from luxxon_tui.picture.quadrant import Quadrants
from luxxon_tui.picture.source import Scaler, fit
from luxxon_tui.picture.strip import RawStrip

Cell = tuple[str, tuple[int, int, int] | None, tuple[int, int, int] | None]
TOKEN = re.compile(r"\x1b\[([0-9;]*)([mH])|(.)")


def noise(rows: int, columns: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def terminal(output: bytes, rows: int, columns: int) -> list[list[Cell | None]]:
    """What a terminal shows after ``output``: glyph, ink and paper of each cell; None where nothing was put.

    A cell of one colour is a blank, whatever its glyph.
    """
    text = output.decode()
    assert "\0" not in text
    screen: list[list[Cell | None]] = [[None] * columns for _ in range(rows)]
    ink = paper = None
    y = x = 0
    for numbers, command, glyph in TOKEN.findall(text):
        if glyph:
            flat = glyph == " " or ink == paper
            screen[y][x] = (" ", None, paper) if flat else (glyph, ink, paper)
            x += 1
        elif command == "H":
            y, x = (int(number) - 1 for number in numbers.split(";"))
        elif numbers == "0":
            ink = paper = None
        else:
            levels = [int(number) for number in numbers.split(";")]
            for start in range(0, len(levels), 5):
                kind, space, red, green, blue = levels[start : start + 5]
                assert space == 2 and kind in (38, 48)
                ink, paper = ((red, green, blue), paper) if kind == 38 else (ink, (red, green, blue))
    return screen


def seen(segments: list[Segment]) -> list[Cell]:
    """The cells of styled segments."""
    cells: list[Cell] = []
    for text, style, _ in segments:
        assert style is not None and style.color is not None and style.bgcolor is not None
        ink, paper = (tuple(colour.get_truecolor()) for colour in (style.color, style.bgcolor))
        flat = text.isspace() or ink == paper
        cells += [(" ", None, paper) if flat else (glyph, ink, paper) for glyph in text]
    return cells


def level(value: int, bits: int) -> int:
    kept = value >> 8 - bits
    return kept << 8 - bits | kept >> 2 * bits - 8


def colour(pixel: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in pixel)
    return level(red, 5), level(green, 6), level(blue, 5)


@pytest.mark.parametrize("driver", [HalfBlocks, Quadrants])
@pytest.mark.parametrize("seed", range(5))
def test_a_terminal_reads_back_what_the_styled_rows_say(driver: type[CellDriver], seed: int) -> None:
    across, down = driver.scale
    coarse = noise(7, 9, seed) & np.uint8(0xC0)  # few colours: runs, blanks and repeats all happen
    pixels = coarse.repeat(down, axis=0)[: 7 * down].repeat(across, axis=1)
    pixels[: 3 * down] = noise(3 * down, 9 * across, seed + 100)
    drawing = driver()
    rows = drawing.paint(pixels)
    assert rows == list(range(7))
    screen = terminal(drawing.draw(rows, 2, 1), 9, 12)
    for row in rows:
        assert screen[row + 1][2:11] == seen(drawing.segments(row))
        assert terminal(drawing.text(row).encode(), 1, 9)[0] == seen(drawing.segments(row))
        assert screen[row + 1][:2] == [None, None] and screen[row + 1][11] is None
    assert drawing.text(0).endswith("\x1b[0m")


def test_a_blank_passes_no_ink_on() -> None:
    """A blank cell's ink was never written, so the next cell must write its own, even if it is the same."""
    ink = np.array([[7, 9, 9]], np.uint16)
    paper = np.array([[1, 9, 3]], np.uint16)
    glyphs = np.array([[ansi.UPPER_HALF, ansi.BLANK, ansi.UPPER_HALF]], np.uint8)
    shown = terminal(ansi.ansi_bytes(glyphs, ink, paper, [b""]), 1, 3)[0]
    assert shown == seen(ansi.segments(glyphs[0], ink[0], paper[0]))


def test_a_busy_picture_with_few_cells_of_one_colour() -> None:
    pixels = noise(40, 30, 8)
    pixels[10:12, 4:6] = pixels[20:22, 0] = (10, 20, 30)
    drawing = HalfBlocks()
    rows = drawing.paint(pixels)
    screen = terminal(drawing.draw(rows, 0, 0), 20, 30)
    assert screen == [seen(drawing.segments(row)) for row in rows]


def test_half_blocks_show_every_pixel() -> None:
    pixels = noise(8, 6, 3)
    pixels[4:6, 2] = (10, 20, 30)
    drawing = HalfBlocks()
    drawing.paint(pixels)
    for y, x in product(range(4), range(6)):
        upper, lower = colour(pixels[2 * y, x]), colour(pixels[2 * y + 1, x])
        glyph, ink, paper = seen(drawing.segments(y))[x]
        assert paper == lower
        assert (glyph, ink) == ((" ", None) if upper == lower else ("▀", upper))


def slow_quadrant(corners: NDArray[np.uint8]) -> float:
    """Least squared error in luma over all ways to give four pixels two levels."""
    luma = corners.reshape(4, 3) @ (quadrant.LUMA.astype(float) / 256)
    best = float("inf")
    for mask in range(1, 15):
        sides = [luma[[bool(mask >> i & 1) == side for i in range(4)]] for side in (True, False)]
        best = min(best, sum(float(((side - side.mean()) ** 2).sum()) for side in sides))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_quadrants_take_the_best_of_all_splits(seed: int) -> None:
    pixels = noise(10, 12, seed)
    cells = Quadrants().split(pixels)
    inked = dict(quadrant.SPLITS)
    for y, x in product(range(5), range(6)):
        corners = pixels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(4, 3).astype(float)
        mask = np.array(inked[int(cells.glyphs[y, x])], bool)
        luma = corners @ (quadrant.LUMA.astype(float) / 256)
        assert np.ptp(luma) >= quadrant.FLAT, "noise has no flat cell"
        error = sum(float(((side - side.mean()) ** 2).sum()) for side in (luma[mask], luma[~mask]))
        assert error == pytest.approx(slow_quadrant(corners), abs=0.5)
        for packed, side in ((cells.ink[y, x], corners[mask]), (cells.paper[y, x], corners[~mask])):
            assert np.abs(np.array(ansi.to_rgb(int(packed))) - side.mean(axis=0)).max() <= 9  # RGB565


def test_a_flat_cell_is_drawn_in_one_colour() -> None:
    pixels = np.full((2, 2, 3), 90, np.uint8)
    pixels[0, 0] += quadrant.FLAT - 2
    drawing = Quadrants()
    drawing.paint(pixels)
    assert seen(drawing.segments(0)) == [(" ", None, colour(np.array([91, 91, 91], np.uint8)))]


@pytest.mark.parametrize("driver", [HalfBlocks, Quadrants])
def test_only_rows_that_changed_are_named(driver: type[CellDriver]) -> None:
    across, down = driver.scale
    pixels = noise(6 * down, 8 * across, 1)
    drawing = driver()
    drawing.paint(pixels)
    assert drawing.paint(pixels.copy()) == []
    changed = pixels.copy()
    changed[4 * down, 3 * across] ^= 0xFF
    assert drawing.paint(changed) == [4]


def test_sensor_noise_redraws_nothing_and_real_change_does() -> None:
    shown = noise(12, 8, 2)
    jitter = np.random.default_rng(9).integers(-STILL, STILL + 1, shown.shape)
    noisy = (shown.astype(int) + jitter).clip(0, 255).astype(np.uint8)
    drawing = HalfBlocks()
    drawing.paint(shown)
    assert drawing.paint(noisy) == []
    moved = shown.copy()
    moved[6, 6, 1] = (int(moved[6, 6, 1]) + 128) % 256
    assert (settled(moved, shown) == moved).all()


def test_a_new_size_redraws_everything() -> None:
    drawing = HalfBlocks()
    drawing.paint(noise(8, 8, 1))
    assert drawing.paint(noise(12, 8, 1)) == list(range(6))


def test_a_dimmed_picture_is_grey_and_dark() -> None:
    grey = greyed(np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8))
    assert grey.tolist() == [[[107] * 3, [32] * 3]]


def test_colours_keep_the_full_range() -> None:
    assert ansi.to_rgb(0xFFFF) == (255, 255, 255)
    assert ansi.to_rgb(0) == (0, 0, 0)


@pytest.mark.parametrize(
    ("field", "source", "box"),
    [
        ((52, 15), (1280, 720), (0, 0, 52, 15)),
        ((80, 23), (640, 480), (9, 0, 61, 23)),
        ((40, 30), (1280, 720), (0, 9, 40, 11)),
        ((80, 20), (720, 1280), (29, 0, 22, 20)),
        ((1, 1), (1280, 720), (0, 0, 1, 1)),
    ],
)
def test_a_picture_keeps_its_shape(
    field: tuple[int, int], source: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert tuple(fit(*field, *source)) == box


def test_frames_and_images_scale_alike() -> None:
    from av import VideoFrame

    image = picture(640, 360)
    scaler = Scaler()
    from_image = scaler.pixels(image, 80, 46)
    from_frame = scaler.pixels(VideoFrame.from_image(image).reformat(format="yuv420p"), 80, 46)
    assert from_image.shape == from_frame.shape == (46, 80, 3)
    assert np.abs(from_image.astype(int) - from_frame).mean() < 3


def test_a_raw_strip_turns_into_styled_text_when_it_is_cut() -> None:
    pixels = noise(2, 10, 4)
    drawing = HalfBlocks()
    drawing.paint(pixels)
    strip = RawStrip(drawing.text(0), 10, lambda: drawing.segments(0))
    assert strip.divide([10]) == [strip]
    assert strip.crop(0, 10) is strip
    left, right = strip.divide([4, 10])
    assert seen(list(left)) + seen(list(right)) == seen(drawing.segments(0))
    assert seen(list(strip.crop(3, 7))) == seen(drawing.segments(0))[3:7]
    assert strip.cell_length == 10 and len(strip.text) == 10
    assert strip.simplify().cell_length == 10
