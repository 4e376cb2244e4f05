"""What the panels claim, from a scene alone."""

from __future__ import annotations

from dataclasses import replace

import frames
import pytest
from scenes import (
    CONTEXT,
    EMPTY,
    ENDED,
    LIVE,
    LOADING,
    NOW,
    OFFLINE,
    REQUESTED_POINT,
    headline,
)

from luxxon_core.kernel.geo import Point
from luxxon_tui.context import CameraFacts
from luxxon_tui.rows import Row
from luxxon_tui.screens.meter_panels import windows
from luxxon_tui.screens.picture_panels import position
from luxxon_tui.screens.scene import Scene
from luxxon_tui.views import LiveView, Online, SignalView
from luxxon_tui.widgets.header import header


def text(rows: list[Row]) -> str:
    return "\n".join("".join(span.text for span in row) for row in rows)


def top(view: LiveView, width: int) -> str:
    return text(header(headline(view, CONTEXT), width, (), "Live")[:1])


def ring(camera: Point) -> list[tuple[str, int, int]]:
    """The marks inside the position circle with column and line."""
    facts = CameraFacts("ptz-04", "PTZ", "north-roofs", camera, 500)
    scene = Scene(LIVE, SignalView(), replace(CONTEXT, camera=facts), NOW)
    lines = text(position(scene, 34, full=True)[1:]).split("\n")
    return [(cell, x, y) for y, line in enumerate(lines) for x, cell in enumerate(line[:12]) if cell in "+◉"]


@pytest.mark.parametrize("north", [-1, 0, 1])
@pytest.mark.parametrize("east", [-1, 0, 1])
@pytest.mark.parametrize("step", [2e-5, 2e-4, 4e-4])
def test_a_camera_beside_the_point_does_not_hide_it(north: int, east: int, step: float) -> None:
    at = Point(REQUESTED_POINT.lat + north * step, REQUESTED_POINT.lng + east * step)
    marks = {cell: (x, y) for cell, x, y in ring(at)}
    if not north and not east:
        assert list(marks) == ["◉"]
        return
    (x, y), (middle_x, middle_y) = marks["◉"], marks["+"]
    assert (x, y) != (middle_x, middle_y)
    assert (x - middle_x) * east >= 0 and (middle_y - y) * north >= 0, "in its own direction"


def test_a_receipt_tells_the_whole_loss() -> None:
    for width, words in (
        (52, ""),
        (81, "13.4 s lost"),
        (131, "13.4 s lost, not charged"),
        (200, "in 2 stretches"),
    ):
        told = text(windows(Scene(ENDED, SignalView(), CONTEXT, NOW), width, full=True))
        assert words in told and "12 s" not in told, "a loss alone would read as all of it"


@pytest.mark.parametrize("width", [80, 120])
def test_no_lamp_is_green_without_knowledge(width: int) -> None:
    assert "●" in top(LIVE, width)
    for view in (OFFLINE, LOADING):
        assert "●" not in top(view, width)


@pytest.mark.parametrize("width", [80, 120])
async def test_no_lamp_is_green_where_the_server_refused(width: int) -> None:
    app = frames.console(frames.stored("failed"), "sessions")
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        assert "●" not in frames.text_of(app)


def test_a_lamp_has_a_word() -> None:
    for view in (LOADING, replace(EMPTY, link=Online())):
        assert top(view, 80).rstrip().endswith("◌ no API")
        assert "API ◌" in top(view, 120)
