"""Pictures in pixels, decoded as a terminal decodes them and compared with the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pixel_terminal import PLACEHOLDER, Pixels, PixelTerminal, psnr
from scenes import picture

from luxxon_tui.picture import kitty
from luxxon_tui.picture.kitty import IDS, MOST_CELLS, Kitty, KittyPlaced, diacritics
from luxxon_tui.picture.sixel import Sixel, encoded, palette, quantised

FIELD = (52, 15)


def at_size(size: tuple[int, int]) -> Pixels:
    return np.asarray(picture(640, 360).resize(size, Image.Resampling.BOX))


def blurred(pixels: Pixels) -> Pixels:
    """As an eye sees it that does not resolve single pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(2)))


def noise(height: int, width: int, seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_kitty_shows_the_very_pixels_under_placeholders() -> None:
    screen, driver = PixelTerminal(80, 24), Kitty(*FIELD, (10, 20))
    pixels = at_size(driver.size(*FIELD))
    screen.feed(driver.draw(driver.paint(pixels), 3, 2).decode())
    (image,) = screen.images.values()
    assert psnr(image.pixels, pixels) > 90 and (image.columns, image.rows) == FIELD
    assert screen.count("image") == 52 * 15
    marks = diacritics()
    for x, y in ((0, 0), (51, 0), (7, 9), (51, 14)):
        assert screen.text[2 + y][3 + x] == PLACEHOLDER + marks[y] + marks[x]


def test_kitty_sends_only_the_image_for_the_next_frame() -> None:
    screen, driver = PixelTerminal(80, 24), Kitty(*FIELD, (10, 20))
    pixels = at_size(driver.size(*FIELD))
    screen.feed(driver.draw(driver.paint(pixels), 0, 0).decode())
    assert driver.paint(pixels.copy()) == []
    moved = pixels ^ 0x80
    again = driver.draw(driver.paint(moved), 0, 0).decode()
    assert PLACEHOLDER not in again
    screen.feed(again)
    (image,) = screen.images.values()
    assert (image.pixels == moved).all()


def test_an_image_is_forgotten_and_its_number_used_again() -> None:
    screen, numbers = PixelTerminal(80, 24), set()
    for _ in range(3):
        driver = Kitty(10, 5, (10, 20))
        screen.feed(driver.draw(driver.paint(noise(*driver.size(10, 5)[::-1])), 0, 0).decode())
        numbers |= set(screen.images)
        screen.feed(driver.erase())
        assert not screen.images
        assert driver.erase() == ""
    assert len(numbers) == 1 and numbers.pop() < 1 << 24
    assert IDS.take() != IDS.take()


def test_kitty_goes_through_tmux_wrapped() -> None:
    driver = Kitty(*FIELD, (10, 20), tmux=True)
    out = driver.draw(driver.paint(noise(*driver.size(*FIELD)[::-1])), 0, 0).decode()
    assert "\x1bPtmux;\x1b\x1b_Ga=T" in out
    assert out.replace("\x1b\x1b_G", "").count("\x1b_G") == 0
    screen = PixelTerminal(80, 24)
    screen.feed(out + driver.erase())
    assert len(screen.forgotten) == 1


def test_a_terminal_without_placeholders_gets_the_image_at_the_place() -> None:
    screen, driver = PixelTerminal(80, 24), KittyPlaced(*FIELD, (10, 20))
    pixels = at_size(driver.size(*FIELD))
    screen.feed(driver.draw(driver.paint(pixels), 3, 2).decode())
    (image,) = screen.images.values()
    assert image.at == (3, 2) and psnr(image.pixels, pixels) > 90
    assert PLACEHOLDER not in screen.screen() + driver.text(0)


def test_every_number_has_a_mark_of_its_own() -> None:
    assert len(diacritics()) == len(set(diacritics())) == MOST_CELLS


@pytest.mark.parametrize("far", [False, True])
def test_a_frame_keeps_to_its_budget_of_pixels(far: bool) -> None:
    most = kitty.PIXELS_FAR if far else kitty.PIXELS_NEAR
    width, height = Kitty(200, 50, (10, 20), far=far).size(200, 50)
    assert 0.95 * most < width * height <= most
    assert Kitty(4, 2, (10, 20)).size(4, 2) == (40, 40)


@pytest.mark.parametrize(("cell", "field"), [((10, 20), FIELD), ((9, 17), (47, 13)), ((7, 15), (120, 36))])
def test_sixel_shows_the_picture(cell: tuple[int, int], field: tuple[int, int]) -> None:
    screen, driver = PixelTerminal(130, 40, cell), Sixel(*field, cell)
    pixels = at_size(driver.size(*field))
    screen.feed(driver.draw(driver.paint(pixels), 3, 2).decode())
    top, left = 2 * cell[1], 3 * cell[0]
    seen = screen.canvas[top : top + field[1] * cell[1], left : left + field[0] * cell[0]]
    wanted = np.asarray(picture(640, 360).resize((seen.shape[1], seen.shape[0]), Image.Resampling.BOX))
    assert psnr(blurred(seen), blurred(wanted)) > 26
    assert screen.count("sixel") == field[0] * field[1]
    assert not screen.canvas[:top].any() and not screen.canvas[:, :left].any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 9), (6, 3), (13, 40), (60, 300)])
def test_sixel_says_every_pixel_once(height: int, width: int) -> None:
    numbers = np.random.default_rng(width).integers(0, 240, (height, width), np.uint8)
    numbers[:, width // 2 :] = 7
    screen = PixelTerminal(width, height + 2, (1, 1))
    screen.feed("\x1b[1;1H" + encoded(numbers))
    wanted = (palette()[numbers].astype(float) * 2.55).round()
    assert np.abs(screen.canvas[:height] - wanted).max() <= 1


def test_sixel_sends_only_rows_that_changed() -> None:
    screen, driver = PixelTerminal(80, 24), Sixel(20, 6, (10, 20))
    pixels = noise(*driver.size(20, 6)[::-1])
    whole = driver.draw(driver.paint(pixels), 0, 0).decode()
    screen.feed(whole)
    assert driver.paint(pixels.copy()) == []
    moved = pixels.copy()
    high = len(moved) // 6
    moved[2 * high + 1 : 3 * high - 1] ^= 0x80
    rows = driver.paint(moved)
    assert rows == [2]
    part = driver.draw(rows, 0, 0).decode()
    assert len(part) < len(whole) / 3
    screen.feed(part)
    fresh, beside = PixelTerminal(80, 24), Sixel(20, 6, (10, 20))
    fresh.feed(beside.draw(beside.paint(moved), 0, 0).decode())
    assert (fresh.canvas == screen.canvas).all()


def test_a_flat_colour_stays_that_colour_on_average() -> None:
    for colour in ((0, 0, 0), (255, 255, 255), (90, 130, 61), (200, 17, 128)):
        numbers = quantised(np.full((64, 64, 3), colour, np.uint8))
        mean = (palette()[numbers] * 2.55).mean(axis=(0, 1))
        assert np.abs(mean - colour).max() < 9


@pytest.mark.parametrize(
    "driver", [Kitty(30, 8, (10, 20)), KittyPlaced(30, 8, (10, 20)), Sixel(30, 8, (10, 20))]
)
def test_what_stands_in_while_it_is_covered_is_the_same_picture(driver: Kitty | Sixel) -> None:
    driver.paint(at_size(driver.size(30, 8)))
    for row in range(8):
        cells = driver.segments(row)
        assert sum(len(segment.text) for segment in cells) == 30
    ink = driver.segments(0)[0].style
    assert ink is not None and ink.bgcolor is not None
    assert np.abs(np.array(ink.bgcolor.get_truecolor()) - at_size((30, 16))[1, 0]).max() <= 12
