"""The pad that moves a camera, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luxxon_tui import format as fmt
from luxxon_tui.operate.hold import WORDS
from luxxon_tui.rows import EMPTY, Row, Span, cut, first_fit, row, section, spread, width_of

if TYPE_CHECKING:
    from luxxon_core.controls.schemas import PtzPreset, PtzStatus

NONE = Span(fmt.NONE, "faint")
PAD_COLUMNS = 11
ARROWS = {"up": "▲", "down": "▼", "left": "◀", "right": "▶"}


@dataclass(frozen=True, slots=True)
class PadView:
    """What the keys move.

    Attributes:
        pressed: the direction that is held.
        prefixed: whether a number is waited for, to go to a preset.
        aim: pitch and yaw of a gimbal, degrees.
    """

    controls: frozenset[str] = frozenset()
    status: PtzStatus | None = None
    presets: tuple[PtzPreset, ...] = ()
    pressed: str = ""
    prefixed: bool = False
    aim: tuple[float, float] = (0.0, 0.0)
    focused: bool = False
    note: str = ""

    @property
    def turns(self) -> bool:
        return bool(self.controls & {"ptz", "gimbal"})


def pad_rows(view: PadView, width: int) -> list[Row]:
    """Six rows: a section line, the arrows around where it looks across, the figures, the presets."""
    title = "PTZ" if "ptz" in view.controls or not view.turns else "Gimbal"
    if not view.controls:
        rows = [
            section(width, title, focused=view.focused),
            cut(row(Span("it does not move", "faint")), width),
        ]
        return [*rows, *[EMPTY] * 4]
    fact = first_fit(
        max(0, width - len(title) - 3),
        row(
            Span("hold ", "faint"), "←↑↓→", Span("  zoom ", "faint"), "z x", Span("  preset ", "faint"), "g1"
        ),
        row(Span("hold ", "faint"), "←↑↓→", Span("  zoom ", "faint"), "z x"),
        row("←↑↓→"),
    )
    cross, values, presets = _cross(view), _values(view), _presets(view)
    rows = [section(width, title, fact, focused=view.focused)]
    room = width - PAD_COLUMNS - 2 - 15 - 2
    for y in range(5):
        left = row(_wide(cross[y], PAD_COLUMNS), "  ", _wide(cut(values[y], 15), 15))
        rows.append(cut(row(left, "  ", cut(presets[y], room)), width) if room >= 6 else cut(left, width))
    return rows


def _wide(spans: Row, width: int) -> Row:
    return (*spans, Span(" " * max(0, width - width_of(spans))))


def _cross(view: PadView) -> list[Row]:
    def arrow(name: str) -> Span:
        role = "accent" if view.pressed == name else "text" if view.turns else "faint"
        return Span(ARROWS[name], role, bold=view.pressed == name)

    pan = 0.0
    if view.status is not None and view.status.position is not None:
        pan = view.status.position.pan
    elif "gimbal" in view.controls:
        pan = view.aim[1] / 180
    across = max(0, min(4, round((pan + 1) * 2)))
    side = Span("│", "coast")
    inside = row(side, " " * across, Span("◉", "accent"), " " * (4 - across), side)
    return [
        row("     ", arrow("up")),
        row("  ", Span("╭─────╮", "coast")),
        row(arrow("left"), " ", inside, " ", arrow("right")),
        row("  ", Span("╰─────╯", "coast")),
        row("     ", arrow("down")),
    ]


def _values(view: PadView) -> list[Row]:
    """Pan, tilt and zoom: a PTZ camera's in its own space, -1 to 1; a gimbal's in degrees."""
    at = view.status.position if view.status is not None else None
    if at is not None:
        figures = [("pan", _signed(at.pan)), ("tilt", _signed(at.tilt)), ("zoom", f"{at.zoom * 100:.0f} %")]
    elif "gimbal" in view.controls:
        figures = [("pitch", _angle(view.aim[0])), ("yaw", _angle(view.aim[1]))]
    else:
        figures = []
    rows = [
        spread(15, row(Span(name, "muted")), row(Span(value, "text", bold=True))) for name, value in figures
    ]
    rows += [EMPTY] * (4 - len(rows))
    moving = WORDS.get(view.pressed, "")
    if view.note:
        return [*rows, row(Span(view.note, "warn"))]
    return [*rows, row(Span(moving, "accent"))]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", fmt.MINUS)


def _angle(value: float) -> str:
    return f"{value:+06.1f}°".replace("-", fmt.MINUS)


def _presets(view: PadView) -> list[Row]:
    """The first four, or the choice of nine while a number is waited for, and home."""
    role = "accent" if view.prefixed else "text"
    named = [
        row(Span(str(number), role, bold=True), Span(f" {preset.name}", "text" if view.prefixed else "muted"))
        for number, preset in enumerate(view.presets[:9], 1)
    ]
    home = row(Span("h", "text", bold=True), Span(" home", "muted")) if view.turns else EMPTY
    if view.prefixed and len(named) > 5:
        pairs = [
            (*_wide(cut(one, 12), 13), *two) for one, two in zip(named[:5], [*named[5:], EMPTY], strict=False)
        ]
        return [*pairs, *[EMPTY] * (5 - len(pairs))]
    if view.prefixed:
        return [*named, *[EMPTY] * (5 - len(named))]
    return [*named[:4], *[EMPTY] * (4 - len(named[:4])), home]
