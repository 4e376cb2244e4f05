"""Colours: legible in every theme, and told apart by those who see no difference between red and green."""

from __future__ import annotations

from itertools import combinations

import pytest

from luxxon_tui.themes import DEUTERANOPIA, PALETTES, Palette

TEXT = ("faint", "muted", "text", "bright", "accent", "ok", "warn", "bad", "data")


def linear(colour: str) -> tuple[float, float, float]:
    """sRGB to linear light (IEC 61966-2-1)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES.keys())
def test_text_is_legible(palette: Palette) -> None:
    least = 7.0 if palette.bg == "#000000" else 4.5
    assert {role for role in TEXT if contrast(getattr(palette, role), palette.bg) < least} == set()
    assert contrast(palette.ink, palette.accent) >= 4.5 and contrast(palette.ink, palette.warn) >= 4.5
    assert contrast(palette.hint, palette.accent) >= 4.5 and contrast(palette.text, palette.raised) >= 4.5


def as_seen(colour: str) -> tuple[float, float, float]:
    """A colour in CIELAB after Viénot's matrix for deuteranopia (1999)."""
    red, green, blue = linear(colour)
    mixed = 0.29275 * red + 0.70725 * green
    seen = (mixed, mixed, max(0.0, -0.02234 * red + 0.02234 * green + blue))
    x = 0.4124 * seen[0] + 0.3576 * seen[1] + 0.1805 * seen[2]
    y = 0.2126 * seen[0] + 0.7152 * seen[1] + 0.0722 * seen[2]
    z = 0.0193 * seen[0] + 0.1192 * seen[1] + 0.9505 * seen[2]
    fx, fy, fz = (
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x / 0.9505, y, z / 1.089)
    )
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def test_states_differ_without_red_and_green() -> None:
    roles = ("accent", "ok", "warn", "bad", "text")
    for one, other in combinations(roles, 2):
        pairs = zip(as_seen(getattr(DEUTERANOPIA, one)), as_seen(getattr(DEUTERANOPIA, other)), strict=True)
        assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 >= 12, (one, other)
