"""Draws a scene in a view, layer by layer, keeping what a step does not change."""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len

from luxxon_core.kernel.geo import Circle
from luxxon_tui import format as fmt
from luxxon_tui.map.canvas import Canvas, Picture
from luxxon_tui.map.land import Frame, coast, level_for, levels
from luxxon_tui.map.layers import Circles, Cluster, Heat, Places, circles_of, clusters
from luxxon_tui.map.projection import ACROSS, DOWN, View, scale_bar
from luxxon_tui.map.scene import Camera, MapScene

CAMERA, CHOSEN, HERE = "◎", "◉", "╋"
RING = 7
"""Dots of the radius of the ring around the chosen point."""
CLOSE = 10
"""Dots of a circle's radius from which it takes the place of the ring, and cameras are named."""
GRID = 16
"""Dots between lines of the grid; a dot in four of a line is drawn."""


class Painter:
    """Draws scenes. One for each map: it remembers the last land and the last layers."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._base: Canvas | None = None
        self._scene = MapScene()
        self._circles = Circles.of(())
        self._cameras = Places.of(())
        self._heat = Heat.of(())
        self.clusters: list[Cluster] = []
        """Cameras where they stand in the last picture."""

    @staticmethod
    def load() -> None:
        """Read the coastlines: once, in a thread."""
        levels()

    def paint(self, scene: MapScene, view: View) -> Picture:
        """The map, and its legend in the last row."""
        self._take(scene)
        land = View(view.columns, view.rows - 1, view.size, view.left, view.top)
        frame = Frame.of(land)
        canvas = self._land(land, frame)
        if scene.show_demand:
            self._heat.paint(canvas.papers, frame)
        if scene.show_coverage:
            canvas.plot(*self._circles.dots(frame), "coast", instead="grid")
        self.clusters = clusters(self._cameras, frame)
        self._foreground(canvas, scene, land, frame)
        self._legend(canvas, scene, view, frame)
        return canvas.finished()

    def _take(self, scene: MapScene) -> None:
        if scene.cameras is not self._scene.cameras:
            self._circles = circles_of(scene.cameras)
            self._cameras = Places.of([each.point for each in scene.cameras])
        if scene.demand is not self._scene.demand:
            self._heat = Heat.of(scene.demand)
        self._scene = scene

    # -- layers

    def _land(self, view: View, frame: Frame) -> Canvas:
        if view != self._view or self._base is None:
            self._view, self._base = view, Canvas(view.columns, view.rows + 1)
            if view.streets:
                _grid(self._base, frame)
            else:
                x, y, land = coast(level_for(view), frame)
                self._base.plot(x, y, "coast")
                self._base.stipple(land)
        return self._base.copy()

    def _foreground(self, canvas: Canvas, scene: MapScene, view: View, frame: Frame) -> None:
        rows = view.rows
        chosen = scene.circle or (scene.serving.area if scene.serving else None)
        close = chosen is not None and _dots(chosen, view) >= CLOSE
        if chosen is not None and close:
            canvas.plot(*Circles.of([chosen]).dots(frame), "accent", instead="grid")
        here = view.cell_of(scene.chosen) if scene.chosen else None
        if here and not close:
            canvas.plot(*_ring(here, frame), "accent", instead="coast")
        if here and _inside(here, view):
            _name_chosen(canvas, scene, here, close=close, rows=rows)
        if scene.serving is not None and close and not scene.circle:
            _serving(canvas, scene.serving, view)
        for mark in scene.marks:
            at = view.cell_of(mark.point)
            if _inside(at, view) and canvas.write(int(at[0]), int(at[1]), mark.glyph, mark.role, over=False):
                label = mark.label if view.streets else ""
                _label(canvas, int(at[0]), int(at[1]), label, "text")
        self._markers(canvas, scene, view)
        if scene.crosshair:
            canvas.write(view.columns // 2, rows // 2, "┼", "muted", over=False)

    def _markers(self, canvas: Canvas, scene: MapScene, view: View) -> None:
        shown = [
            each for each in self.clusters if each.many > 1 or scene.cameras[each.first] is not scene.serving
        ]
        if not view.streets:
            canvas.count(
                [each.column for each in shown],
                [each.row for each in shown],
                [each.many for each in shown],
                CAMERA,
            )
            return
        for each in shown:
            camera = scene.cameras[each.first]
            number = str(each.many) if each.many > 1 else ""
            if not canvas.write(each.column, each.row, CAMERA + number, "bright", over=False) or number:
                continue
            covers = scene.chosen is not None and camera.area.contains(scene.chosen)
            name = camera.name or camera.kind
            _label(canvas, each.column, each.row, name, "text" if covers else "muted", bold=covers)

    # -- legend

    def _legend(self, canvas: Canvas, scene: MapScene, view: View, frame: Frame) -> None:
        row, column = view.rows - 1, 0
        cells, metres = scale_bar(view)
        length = _length(metres)
        bar = "├" + "─" * max(0, cells - 2) + "┤"
        right = view.columns - cells - 1 - cell_len(length)
        canvas.write(right, row, bar, "muted")
        canvas.write(right + cells + 1, row, length, "muted")
        entries = [(CAMERA, "bright", "camera"), (CHOSEN, "accent", "chosen"), ("      ", "text", "demand")]
        for glyph, role, word in entries:
            if column + cell_len(glyph) + 1 + len(word) >= right:
                return
            if word == "demand":
                if not scene.show_demand:
                    continue
                canvas.papers[row, column : column + 6] = (1, 1, 2, 2, 3, 3)
            canvas.write(column, row, glyph, role)
            canvas.write(column + cell_len(glyph) + 1, row, word, "muted")
            column += cell_len(glyph) + 1 + len(word) + 2
        figures = [
            (str(sum(each.many for each in self.clusters)), "cameras"),
            (str(self._heat.asked(frame)), "requests"),
        ]
        wide = sum(len(number) + 1 + len(word) for number, word in figures) + 2
        at = right - 3 - wide
        if at < column + 2:
            return
        for number, word in figures:
            canvas.write(at, row, number, "text")
            canvas.write(at + len(number) + 1, row, word, "muted")
            at += len(number) + 1 + len(word) + 2


def _length(metres: float) -> str:
    """``250 m``, ``2.5 km``, ``3 000 km``."""
    if metres < 1000:
        return f"{metres:g} m"
    kilometres = metres / 1000
    figure = fmt.grouped(str(int(kilometres))) if kilometres >= 10 else f"{kilometres:g}"
    return f"{figure} km"


def _dots(circle: Circle, view: View) -> float:
    return circle.radius_m / view.metres_per_dot(min(84.0, abs(circle.center.lat)))


def _inside(at: tuple[float, float], view: View) -> bool:
    return 0 <= at[0] < view.columns and 0 <= at[1] < view.rows


def _grid(canvas: Canvas, frame: Frame) -> None:
    """Dotted lines that lie still on the ground."""
    height, width = frame.height, frame.width
    y, x = np.arange(height)[:, None] + frame.top, np.arange(width)[None, :] + frame.left
    on_line = ((x % GRID == 0) & (y % 4 == 0)) | ((y % GRID == 0) & (x % 4 == 0))
    rows, columns = np.nonzero(on_line)
    canvas.plot(columns, rows, "grid")


def _ring(at: tuple[float, float], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = RING - 0.01  # else a single dot stands out on two of its sides
    x = np.floor((np.floor(at[0]) + 0.5) * ACROSS + radius * np.cos(turn)).astype(np.int64)
    y = np.floor((np.floor(at[1]) + 0.5) * DOWN + radius * np.sin(turn)).astype(np.int64)
    kept = (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    return x[kept], y[kept]


def _name_chosen(
    canvas: Canvas, scene: MapScene, here: tuple[float, float], *, close: bool, rows: int
) -> None:
    column, row = int(here[0]), int(here[1])
    if close:
        canvas.write(column, row, HERE, "bright", bold=True)
        word = "here" if scene.circle else "request"
        _label(canvas, column, row, word, "text")
        return
    canvas.write(column, row, CHOSEN, "accent")
    name = scene.chosen_name
    if not name:
        return
    gap = RING // ACROSS + 2
    if not canvas.write(column + gap, row, name, "accent", bold=True):
        canvas.write(column - gap - cell_len(name) + 1, row, name, "accent", bold=True)


def _serving(canvas: Canvas, camera: Camera, view: View) -> None:
    at = view.cell_of(camera.point)
    column, row = int(at[0]), int(at[1])
    if not _inside(at, view) or not canvas.write(column, row, CHOSEN, "accent", over=True):
        return
    name = camera.name or camera.kind
    if name and not canvas.write(column - cell_len(name) - 1, row, name, "text", bold=True, over=False):
        _label(canvas, column, row, name, "text", bold=True)


def _label(canvas: Canvas, column: int, row: int, text: str, role: str, *, bold: bool = False) -> None:
    """Text beside a glyph where there is room for it, at the right or at the left."""
    if not text:
        return
    for at in (column + 2, column - cell_len(text) - 1):
        before = canvas.written[row, column] if 0 <= column < canvas.columns else False
        canvas.written[row, column] = False
        placed = canvas.write(at, row, text, role, bold=bold, over=False)
        canvas.written[row, column] = before
        if placed:
            return
