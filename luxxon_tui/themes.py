"""Colours by role, for four themes, and the Textual themes made of them.

Contrast was measured on the background (WCAG 2.2 §1.4.3): every text role reaches 4.5:1; ``line`` is
decoration.
``accent`` means one thing: live, money moving now, focus, the one primary action or the chosen point.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

FADED = 0.42
"""Share of the ``data`` colour left at the foot of a graph."""


@dataclass(frozen=True, slots=True)
class Palette:
    """One colour for each role, as ``#rrggbb``."""

    bg: str
    surface: str
    raised: str
    line: str
    faint: str
    muted: str
    text: str
    bright: str
    accent: str
    ok: str
    warn: str
    bad: str
    data: str
    ink: str
    """Text on accent or warn."""
    hint: str
    """A key named on accent."""
    coast: str
    """Outlines of areas and neutral bars."""
    data_low: str
    """``data`` faded to 42 %: the foot of a graph."""
    video: str
    """Where a picture will be, before there is one."""


def faded(colour: str, ground: str, share: float = FADED) -> str:
    """``colour`` mixed into ``ground``, keeping ``share`` of it."""
    pairs = ((int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(top * share + under * (1 - share)):02x}" for top, under in pairs)


DARK = Palette(
    bg="#0b0e14",
    surface="#121720",
    raised="#1b2230",
    line="#27303f",
    faint="#6f7c91",
    muted="#98a4b8",
    text="#d5dce6",
    bright="#f4f7fb",
    accent="#ffc857",
    ok="#86c98f",
    warn="#f59e62",
    bad="#f2727f",
    data="#6ea8e0",
    ink="#0b0e14",
    hint="#6b5215",
    coast="#5b6b82",
    data_low=faded("#6ea8e0", "#0b0e14"),
    video="#10141c",
)

LIGHT = Palette(
    bg="#fafbfc",
    surface="#f0f3f6",
    raised="#e8ecf1",
    line="#cfd6df",
    faint="#687484",
    muted="#4f5b6b",
    text="#1c2430",
    bright="#0b1018",
    accent="#8a5a00",
    ok="#2c7a3b",
    warn="#a8500f",
    bad="#b3263a",
    data="#2a6db3",
    ink="#fafbfc",
    hint="#f3dfb4",
    coast="#8b97a7",
    data_low=faded("#2a6db3", "#fafbfc"),
    video="#f0f3f6",
)

CONTRAST = Palette(
    bg="#000000",
    surface="#0d0d0d",
    raised="#262626",
    line="#8c8c8c",
    faint="#b8b8b8",
    muted="#d6d6d6",
    text="#ffffff",
    bright="#ffffff",
    accent="#ffd60a",
    ok="#5cff8f",
    warn="#ffb066",
    bad="#ff8a94",
    data="#8cc8ff",
    ink="#000000",
    hint="#4d4000",
    coast="#a6a6a6",
    data_low="#5b82a6",
    video="#0d0d0d",
)
"""Every text role at 10:1 or more (WCAG 2.2 §1.4.6 asks for 7:1), hairlines at 6:1."""

DEUTERANOPIA = replace(
    DARK,
    accent="#ffe24a",
    ok="#5cb8f0",
    warn="#e8912d",
    bad="#e79ad2",
    data="#8f9ff0",
    hint="#6b5f15",
    data_low=faded("#8f9ff0", "#0b0e14"),
)
"""Okabe and Ito's advice: good is blue, bad a light purple, warnings orange; none of them differ by red and
green alone."""

PALETTES = {
    "luxxon-dark": DARK,
    "luxxon-light": LIGHT,
    "luxxon-high-contrast": CONTRAST,
    "luxxon-deuteranopia": DEUTERANOPIA,
}


def is_dark(palette: Palette) -> bool:
    """Whether its ground is darker than its text."""
    return int(palette.bg[1:3], 16) < int(palette.text[1:3], 16)


def palette_of(app: App[object]) -> Palette:
    """The palette of the theme in use."""
    return PALETTES.get(app.theme, DARK)


def textual_themes() -> list[Theme]:
    """The palettes as Textual themes; each role is also a style sheet variable (``$lx-raised``)."""
    return [
        Theme(
            name=name,
            primary=palette.accent,
            secondary=palette.data,
            accent=palette.accent,
            foreground=palette.text,
            background=palette.bg,
            surface=palette.surface,
            panel=palette.raised,
            boost=palette.raised,
            success=palette.ok,
            warning=palette.warn,
            error=palette.bad,
            dark=is_dark(palette),
            variables={f"lx-{role.replace('_', '-')}": colour for role, colour in asdict(palette).items()},
        )
        for name, palette in PALETTES.items()
    ]
