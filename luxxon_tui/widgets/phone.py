"""The card with a link for a phone, as a QR code that its camera reads off the screen."""

from __future__ import annotations

from luxxon_core.qr import half_blocks
from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.themes import Palette, is_dark

PADDING = 2
"""Rows that a card has around its content."""


TITLES = {"consumer": "Watch on a phone", "operator": "Film with a phone"}


def phone_card(url: str, side: str, until: str, palette: Palette, height: int) -> list[Row]:
    """The code under its caption as the height allows: without the caption, with less margin, at last the
    address alone.

    Args:
        side: of the session that the link is of.
        until: the time of day until which the link can be opened.
        palette: the theme's; the code is dark on light in each.
        height: rows of the screen.
    """
    caption = [
        row(Span(TITLES[side], "bright", bold=True), Span(f"  opens until {until}", "muted")),
    ]
    for quiet in (2, 1):
        code = half_blocks(url, quiet=quiet)
        for above in ([*caption, EMPTY], caption, []):
            if len(above) + len(code) + PADDING <= height:
                return [*above, *(_drawn(line, palette) for line in code)]
    return [*caption, EMPTY, *(row(Span(url[at : at + 60])) for at in range(0, len(url), 60))]


def _drawn(line: str, palette: Palette) -> Row:
    dark, light = ("ink", "bright") if is_dark(palette) else ("bright", "ink")
    return row(Span(line, dark, on=light))
