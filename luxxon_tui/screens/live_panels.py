"""What stands under and beside the picture of the Live screen."""

from __future__ import annotations

from luxxon_tui.operate.hand import move_row
from luxxon_tui.rows import EMPTY, Row, section
from luxxon_tui.screens import meter_panels, picture_panels
from luxxon_tui.screens.scene import Scene
from luxxon_tui.views import Phase

SIDE_NARROW, SIDE_WIDE, SIDE_WIDEST = 24, 34, 60
NARROW_BELOW, WIDE_BELOW = 5, 9
"""Rows under the picture: caption, bar, moments and timeline with their gaps; and with section lines."""


def side_width(columns: int, rows: int, *, full: bool) -> int:
    """Columns of the panels on a wide screen: what a picture that the height limits leaves free, within
    bounds."""
    left_over = columns - 2 - 3 - (rows - 3 - 1 - (WIDE_BELOW if full else NARROW_BELOW)) * 32 // 9
    return min(SIDE_WIDEST, max(SIDE_WIDE, left_over))


def under(scene: Scene, width: int, *, full: bool, wide: bool) -> list[Row]:
    """What stands under the picture: caption, windows, and the timeline where it is not across the screen."""
    rows = [picture_panels.caption(scene, width, full=wide)]
    if full:
        rows.append(EMPTY)
    rows += meter_panels.windows(scene, width, full=full)
    if full:
        rows += [EMPTY, section(width, "Timeline", picture_panels.timeline_fact(scene))]
    elif wide:
        rows.append(EMPTY)
    if wide:
        rows.append(meter_panels.timeline(scene, width))
    return rows


def beside(scene: Scene, width: int, room: int, *, full: bool, held: str = "") -> list[Row]:
    """The panels at the right; a session that is over shows its receipt there."""
    session = scene.session
    meter = meter_panels.meter(scene, width, full=full)
    if scene.view.phase is Phase.OVER and session is not None and session.started_at is not None:
        meter = meter[:3]
        return [*meter, EMPTY, *meter_panels.receipt(scene, session, width, room - len(meter) - 1)]
    if scene.view.phase is Phase.EMPTY:
        return [*meter, EMPTY, *picture_panels.empty_help(scene, width)]
    panels = [
        meter,
        picture_panels.signal(scene, width, full=full),
        picture_panels.position(scene, width, full=full),
        picture_panels.camera(scene, width, full=full),
    ]
    if session is not None and session.controls and scene.live:
        panels[2:2] = [[move_row(width, frozenset(session.controls), held)]]
    rows: list[Row] = []
    for panel in panels:
        rows += [*([EMPTY] if rows else []), *panel]
    return rows[:room]
