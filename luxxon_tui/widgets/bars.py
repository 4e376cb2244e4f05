"""Bars and graphs as rows: half-height blocks on a track, braille fills."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import cos, pi, sin

from luxxon_tui.rows import Row, Span
from luxxon_tui.views import Loss

CLEAN, LOST, TO_COME = "▄", "▂", "▄"

_ROLES = {"clean": (CLEAN, "accent"), "lost": (LOST, "bad"), "to come": (TO_COME, "raised")}


def progress(width: int, share: float, *, role: str = "accent") -> Row:
    """A bar filled to ``share`` (0…1) in a role's colour; anything above nothing shows at least one cell."""
    filled = min(width, max(round(width * share), 1 if share > 0 else 0))
    return Span("▄" * filled, role), Span("▄" * (width - filled), "raised")


def cell_at(at_ms: float, total_ms: int, width: int) -> int:
    """The cell in which a moment of a session falls."""
    return min(width - 1, max(0, int(at_ms * width / total_ms))) if total_ms else 0


def meter(width: int, elapsed_ms: int, total_ms: int, losses: Sequence[Loss], *, role: str = "accent") -> Row:
    """A session as a bar: clean, lost and to come. A loss takes at least one cell, however short it was."""
    filled = cell_at(elapsed_ms, total_ms, width) + 1 if elapsed_ms > 0 else 0
    cells = ["clean"] * filled + ["to come"] * (width - filled)
    for loss in losses:
        first = cell_at(loss.opened_ms, total_ms, width)
        closed = loss.closed_ms if loss.closed_ms is not None else elapsed_ms
        last = max(first, cell_at(closed - 1, total_ms, width))
        for cell in range(first, min(last + 1, filled)):
            cells[cell] = "lost"
    return tuple(
        Span(_ROLES[kind][0] * len(list(run)), role if kind == "clean" else _ROLES[kind][1])
        for kind, run in groupby(cells)
    )


def braille(values: Sequence[float | None], width: int, height: int, top: float) -> list[str]:
    """A filled graph, ``height`` rows of ``width`` cells, two samples a cell, the newest at the right.

    A sample, even of zero, has at least one dot, so that a silence differs from a time before the start.
    """
    newest = values[-2 * width :]
    samples: list[float | None] = [*[None] * (2 * width - len(newest)), *newest]
    dots = 4 * height
    levels = [
        0 if value is None else max(1, min(dots, round(value / top * dots) if top > 0 else 1))
        for value in samples
    ]
    rows = []
    for row in range(height):
        base = dots - 4 * (row + 1)
        rows.append(
            "".join(
                chr(
                    0x2800
                    | _LEFT[_clamp(levels[2 * cell] - base)]
                    | _RIGHT[_clamp(levels[2 * cell + 1] - base)]
                )
                for cell in range(width)
            ).replace("\u2800", " ")
        )
    return rows


_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)


def _clamp(level: int) -> int:
    return min(4, max(0, level))


def ring(width: int, height: int) -> list[str]:
    """A circle of braille dots that fills ``width`` × ``height`` cells; blank inside."""
    across, down = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    steps = 4 * (across + down)
    for step in range(steps):
        angle = 2 * pi * step / steps
        x = min(across - 1, max(0, round((across - 1) / 2 * (1 + cos(angle)))))
        y = min(down - 1, max(0, round((down - 1) / 2 * (1 + sin(angle)))))
        cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    return ["".join(chr(0x2800 | dots) if dots else " " for dots in line) for line in cells]


_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
