"""Where things are: Mercator, views that move in whole cells, circles that are true on the sphere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luxxon_core.kernel.geo import Circle, Point, distance_m
from luxxon_tui.map.layers import Circles
from luxxon_tui.map.projection import (
    ACROSS,
    DOWN,
    LARGEST,
    LIMIT_LAT,
    View,
    project,
    scale_bar,
    unproject,
)

lats = st.floats(-85, 85)
lngs = st.floats(-180, 180, exclude_max=True)
points = st.builds(Point, lats, lngs)
sizes = st.integers(400, LARGEST)
shapes = st.tuples(st.integers(20, 240), st.integers(4, 70))
views = st.builds(lambda point, size, shape: View.around(point, size, *shape), points, sizes, shapes)


@given(points)
def test_there_and_back(point: Point) -> None:
    back = unproject(*project(point))
    assert distance_m(point, back) < 0.001


@given(st.floats(-90, 90), lngs)
def test_everything_is_inside_the_square(lat: float, lng: float) -> None:
    x, y = project(Point(lat, lng))
    assert 0 <= x <= 1 and -1e-9 <= y <= 1 + 1e-9


@given(views, st.floats(0, 1), st.floats(0, 1))
def test_a_cell_is_the_place_that_it_shows(view: View, across: float, down: float) -> None:
    column, row = across * (view.columns - 1), down * (view.rows - 1)
    y = (view.top + row) * DOWN / view.size
    assume(0.001 < y < 0.999)
    found = view.cell_of(view.point_at(column, row))
    around = view.size / ACROSS
    assert abs((found[0] - column + around / 2) % around - around / 2) < 0.01
    assert abs(found[1] - row) < 0.01


@given(views, st.integers(-5_000, 5_000), st.integers(-500, 500))
def test_a_step_there_and_back_shows_the_same(view: View, columns: int, rows: int) -> None:
    moved = view.moved(columns, rows)
    assert moved.size == view.size and moved.shape == view.shape
    assert 0 <= moved.left + moved.columns / 2 <= moved.size / ACROSS + 1
    back = moved.moved(-columns, view.top - moved.top)
    assert abs(back.left - view.left) % (view.size // ACROSS) <= 1 and back.top == view.top


@given(views, st.sampled_from([2.0, 0.5, 2**0.5]), st.floats(0, 1), st.floats(0, 1))
def test_zooming_keeps_what_is_under_the_pointer(
    view: View, factor: float, across: float, down: float
) -> None:
    column, row = across * view.columns, down * view.rows
    zoomed = view.zoomed(factor, column, row)
    assume(zoomed.size != view.size)
    before, after = view.point_at(column, row), zoomed.point_at(column, row)
    high = zoomed.size // DOWN - zoomed.rows
    assume(0 < zoomed.top < high)  # at a pole the view stays on the world instead
    cell = 2 * ACROSS * DOWN * zoomed.metres_per_dot(before.lat) + 10
    assert distance_m(before, after) <= cell


@given(views)
def test_no_view_leaves_the_world(view: View) -> None:
    assert view.size >= ACROSS * view.columns
    if view.rows * DOWN <= view.size:
        assert 0 <= view.top <= view.size // DOWN - view.rows
    assert abs(view.centre.lat) <= LIMIT_LAT + 1e-9


@given(views)
def test_the_scale_bar_is_true_at_the_middle(view: View) -> None:
    cells, metres = scale_bar(view)
    row = view.rows / 2
    at = view.columns / 2
    left, right = view.point_at(at - 0.05, row), view.point_at(at + 0.05, row)
    per_cell = distance_m(left, right) / 0.1
    assert abs(metres / per_cell - cells) <= max(0.51, 0.01 * cells)
    assert 1 <= cells <= 9
    assert f"{metres / 10 ** math.floor(math.log10(metres)):g}" in ("1", "2", "2.5", "5")


@given(st.lists(st.tuples(points, st.floats(1, 3_000_000)), min_size=1, max_size=8))
def test_a_circle_is_as_far_from_its_middle_as_its_radius(wanted: list[tuple[Point, float]]) -> None:
    circles = Circles.of([Circle(point, radius) for point, radius in wanted])
    lat, lng = circles.corners(36)
    assert np.abs(np.diff(lng, axis=1)).max() <= 180.0 + 1e-6, "unwrapped: no line runs across the map"
    for number, (point, radius) in enumerate(wanted):
        for north, east in zip(lat[number], lng[number], strict=True):
            corner = Point(float(np.clip(north, -90, 90)), float((east + 180) % 360 - 180))
            assert distance_m(point, corner) == pytest.approx(radius, rel=1e-6, abs=0.01)


def test_at_the_equator_a_circle_is_round_on_the_map() -> None:
    view = View.around(Point(0.0, 0.0), 40_000, 100, 40)
    from luxxon_tui.map.land import Frame

    x, y = Circles.of([Circle(Point(0.0, 0.0), 40_000)]).dots(Frame.of(view))
    assert abs((x.max() - x.min()) - (y.max() - y.min())) <= 1
    assert (x.max() - x.min()) == pytest.approx(2 * 40_000 / view.metres_per_dot(), abs=2)


def test_far_north_it_is_larger_by_the_stretch() -> None:
    from luxxon_tui.map.land import Frame

    widths = []
    for lat in (0.0, 60.0):
        view = View.around(Point(lat, 10.0), 40_000, 160, 60)
        x, _ = Circles.of([Circle(Point(lat, 10.0), 30_000)]).dots(Frame.of(view))
        widths.append(x.max() - x.min())
    assert widths[1] == pytest.approx(2 * widths[0], abs=3)
