"""What is on a console's screen as a picture: every cell as the compositor made it.

Text is drawn in DejaVu Sans Mono; blocks, lines and braille by geometry, as kitty, WezTerm and Ghostty do, so
that they join without seams.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rich.cells import cell_len
from textual._context import visible_screen_stack
from textual.app import App

CELL = (12, 24)
FONTS = Path("/usr/share/fonts/truetype/dejavu")
FONT_SIZE = 20

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of a cell."""

BLOCKS: dict[str, tuple[Box, ...]] = {
    "▀": ((0, 0, 1, 1 / 2),),
    "▄": ((0, 1 / 2, 1, 1),),
    "▂": ((0, 3 / 4, 1, 1),),
    "█": ((0, 0, 1, 1),),
    "▌": ((0, 0, 1 / 2, 1),),
    "▐": ((1 / 2, 0, 1, 1),),
    "▎": ((0, 0, 1 / 4, 1),),
    "▘": ((0, 0, 1 / 2, 1 / 2),),
    "▝": ((1 / 2, 0, 1, 1 / 2),),
    "▖": ((0, 1 / 2, 1 / 2, 1),),
    "▗": ((1 / 2, 1 / 2, 1, 1),),
    "▚": ((0, 0, 1 / 2, 1 / 2), (1 / 2, 1 / 2, 1, 1)),
    "─": ((0, 0.48, 1, 0.54),),
    "━": ((0, 0.46, 1, 0.58),),
}


def fonts() -> dict[bool, ImageFont.FreeTypeFont]:
    """Regular and bold.

    Raises:
        SystemExit: the fonts are not installed; says how to get them.
    """
    try:
        return {
            bold: ImageFont.truetype(str(FONTS / f"DejaVuSansMono{'-Bold' if bold else ''}.ttf"), FONT_SIZE)
            for bold in (False, True)
        }
    except OSError:
        raise SystemExit("DejaVu Sans Mono is missing: apt-get install fonts-dejavu-core") from None


def raster(app: App[object]) -> Image.Image:
    """The screen that ``app`` shows now."""
    faces = fonts()
    across, down = CELL
    visible_screen_stack.set(app._background_screens)  # what cards are drawn over, as when Textual draws
    strips = app.screen._compositor.render_strips()
    image = Image.new("RGB", (app.size.width * across, len(strips) * down))
    draw = ImageDraw.Draw(image)
    for line, strip in enumerate(strips):
        column = 0
        for text, style, _ in strip:
            ink, paper = "#d5dce6", "#0b0e14"
            if style is not None:
                ink = style.color.get_truecolor().hex if style.color else ink
                paper = style.bgcolor.get_truecolor().hex if style.bgcolor else paper
            for glyph in text:
                x, y = column * across, line * down
                width = cell_len(glyph) * across
                draw.rectangle((x, y, x + width - 1, y + down - 1), paper)
                _glyph(draw, glyph, x, y, ink, faces[bool(style and style.bold)])
                column += cell_len(glyph)
    return image


def _glyph(
    draw: ImageDraw.ImageDraw, glyph: str, x: int, y: int, ink: str, face: ImageFont.FreeTypeFont
) -> None:
    across, down = CELL
    if glyph in BLOCKS:
        for left, top, right, bottom in BLOCKS[glyph]:
            box = (
                x + left * across,
                y + round(top * down),
                x + right * across - 1,
                y + round(bottom * down) - 1,
            )
            draw.rectangle(box, ink)
    elif "\u2800" <= glyph <= "\u28ff":
        for bit, (column, row) in enumerate(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))):
            if ord(glyph) - 0x2800 >> bit & 1:
                left, top = x + 1 + column * across // 2, y + 1 + row * down // 4
                draw.rectangle((left, top, left + 3, top + 3), ink)
    elif glyph.strip():
        draw.text((x, y + 1), glyph, ink, face)
