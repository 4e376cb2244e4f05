"""Which driver draws: as many pixels as the terminal takes, else the best cells there is time for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luxxon_tui.picture.probe import KITTY, KITTY_PLACED, SIXEL, Graphics

if TYPE_CHECKING:
    from luxxon_tui.picture.drivers import PictureDriver
    from luxxon_tui.picture.source import Box


FINE_CELLS = 120 * 36
"""Largest field drawn in quadrants and sharpened; above it half-blocks keep a picture's cost in bounds."""

HALF_BLOCKS = "half-blocks"
"""The setting that wants nothing finer."""


def pixel_driver(graphics: Graphics, field: Box) -> PictureDriver | None:
    """None where the terminal takes no pixels, or not so many."""
    columns, rows = field.columns, field.rows
    if graphics.protocol in (KITTY, KITTY_PLACED):
        from luxxon_tui.picture.kitty import MOST_CELLS, Kitty, KittyPlaced

        if graphics.protocol == KITTY_PLACED:
            return KittyPlaced(columns, rows, graphics.cell, far=graphics.far)
        if max(columns, rows) <= MOST_CELLS:
            return Kitty(columns, rows, graphics.cell, tmux=graphics.tmux, far=graphics.far)
    elif graphics.protocol == SIXEL:
        from luxxon_tui.picture.sixel import LONGEST, Sixel

        if columns * graphics.cell[0] < LONGEST:
            return Sixel(columns, rows, graphics.cell, far=graphics.far)
    return None


def cell_driver(field: Box, *, coarse: bool) -> PictureDriver:
    """Quadrants, or what is cheaper."""
    from luxxon_tui.picture.halfblock import HalfBlocks
    from luxxon_tui.picture.quadrant import Quadrants

    few = field.columns * field.rows <= FINE_CELLS
    return Quadrants() if few and not coarse else HalfBlocks()
