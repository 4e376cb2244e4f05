"""The map as a widget: keys and mouse move it, and it draws only what a step has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import BindingType
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from luxxon_core.kernel.geo import Point
from luxxon_tui.actions import action
from luxxon_tui.map.projection import ACROSS, EQUATOR_M, View
from luxxon_tui.map.scene import MapScene
from luxxon_tui.picture.strip import RawStrip
from luxxon_tui.rows import Row, strip_of
from luxxon_tui.themes import palette_of

if TYPE_CHECKING:
    from luxxon_tui.map.canvas import Picture
    from luxxon_tui.map.painter import Painter

STEP = (4, 2)
"""Columns and rows of a step."""
WHEEL_ZOOM = 2.0**0.5
CONTINENT = 250
"""Dots around the world when a place is shown with what lies around it."""
DIGITS = 5
"""Decimals of a degree to which a point is chosen: a metre."""


class MapView(Widget, can_focus=True):
    """Shows a :class:`MapScene`. Its last row is the legend with the scale.

    Until the coastlines are read, which a thread does when the widget is mounted, it shows everything but
    them. A plate of rows can be laid over its middle.
    """

    DEFAULT_CSS = "MapView { width: 1fr; height: 1fr; }"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        replace(
            action("map.closer", "plus", "zoom", "Closer; the wheel zooms at the pointer", do="zoom(2)"),
            key_display="+ −",
        ),
        action("map.closer_too", "equals_sign", "zoom", "", do="zoom(2)", show=False),
        action("map.further", "minus,underscore", "zoom out", "Further away", do="zoom(0.5)", show=False),
        replace(
            action(
                "map.west",
                "left",
                "pan",
                "Move the map west; shift leaps half its width",
                do=f"pan({-STEP[0]}, 0)",
            ),
            key_display="←↑↓→",
        ),
        action("map.east", "right", "east", "Move the map east", do=f"pan({STEP[0]}, 0)", show=False),
        action("map.north", "up", "north", "Move the map north", do=f"pan(0, {-STEP[1]})", show=False),
        action("map.south", "down", "south", "Move the map south", do=f"pan(0, {STEP[1]})", show=False),
        action("map.far_west", "shift+left", "far west", "", do="leap(-1, 0)", show=False),
        action("map.far_east", "shift+right", "far east", "", do="leap(1, 0)", show=False),
        action("map.far_north", "shift+up", "far north", "", do="leap(0, -1)", show=False),
        action("map.far_south", "shift+down", "far south", "", do="leap(0, 1)", show=False),
        action("map.choose", "space", "choose", "Choose the place in the middle of the map", show=False),
        action("map.home", "home", "to the place", "The map around the chosen place", show=False),
        action("map.world", "w", "world", "The whole world", show=False),
    ]

    class Chosen(Message):
        """A place was pointed at."""

        def __init__(self, view: MapView, point: Point) -> None:
            super().__init__()
            self.view, self.point = view, point

        @property
        def control(self) -> MapView:
            return self.view

    def __init__(self, scene: MapScene | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._scene = scene or MapScene()
        self._look: tuple[Point, int] | None = None
        self._view: View | None = None
        self._painter: Painter | None = None
        self._picture: Picture | None = None
        self._painted: tuple[MapScene, View] | None = None
        self._strips: dict[int, Strip] = {}
        self._plate: tuple[Row, ...] = ()
        self._held: tuple[int, int] | None = None
        self._dragged = False
        self.loaded = asyncio.Event()
        """Set when the coastlines are read."""
        self.painted = 0
        """Pictures painted since the start."""

    # -- what the screen tells it

    @property
    def scene(self) -> MapScene:
        return self._scene

    @property
    def view(self) -> View | None:
        """What it shows; None before it has a size."""
        return self._view

    def show(self, scene: MapScene) -> None:
        """Take another scene."""
        scene = replace(scene, crosshair=self._crosshair(scene))
        if scene != self._scene:
            self._scene = scene
            self._update()

    def mark(self, plate: tuple[Row, ...]) -> None:
        """Lay rows over the middle, or none."""
        if plate != self._plate:
            self._plate = plate
            self._strips.clear()
            self.refresh()

    def look_at(self, point: Point, *, across_m: float | None = None, size: int | None = None) -> None:
        """Put a place in the middle: at the scale there is, with ``across_m`` metres from edge to edge, or
        with ``size`` dots around the world."""
        size = size or (self._view.size if self._view else CONTINENT)
        columns = self.size.width
        if across_m is not None and columns:
            shrink = max(0.05, View.around(point, EQUATOR_M, columns, 1).metres_per_dot(point.lat))
            size = round(EQUATOR_M * shrink * columns * ACROSS / max(across_m, 1.0))
        if not columns:
            self._look = (point, size)
            return
        self._go(View.around(point, size, columns, self._rows))

    # -- moving

    def action_pan(self, columns: int, rows: int) -> None:
        if self._view is not None:
            self._go(self._view.moved(columns, rows))

    def action_leap(self, columns: int, rows: int) -> None:
        self.action_pan(columns * self.size.width // 2, rows * self.size.height // 2)

    def action_zoom(self, factor: float) -> None:
        """Around the chosen place where it is in sight, else around the middle."""
        if self._view is None:
            return
        at = self._view.cell_of(self._scene.chosen) if self._scene.chosen else None
        inside = at is not None and 0 <= at[0] < self._view.columns and 0 <= at[1] < self._view.rows
        self._go(self._view.zoomed(float(factor), *(at if at and inside else (None, None))))

    def action_choose(self) -> None:
        if self._view is not None:
            self._choose(self._view.columns // 2, (self._view.rows - 1) // 2)

    def action_home(self) -> None:
        if self._scene.chosen is not None:
            self.look_at(self._scene.chosen)

    def action_world(self) -> None:
        if self._view is not None:
            self._go(View.world(self._view.columns, self._view.rows))

    @property
    def _rows(self) -> int:
        return max(2, self.size.height)

    def _go(self, view: View) -> None:
        if view == self._view:
            return
        self._view = view
        self._scene = replace(self._scene, crosshair=self._crosshair(self._scene))
        self._update()

    def _crosshair(self, scene: MapScene) -> bool:
        """Whether the middle is worth marking: the keys are here, and it is not where the place is."""
        if self._view is None or not self.has_focus:
            return False
        if scene.chosen is None:
            return True
        column, row = self._view.cell_of(scene.chosen)
        away = abs(column - self._view.columns / 2) + abs(row - (self._view.rows - 1) / 2)
        return away > 6

    def _choose(self, column: int, row: int) -> None:
        if self._view is None or row >= self._view.rows - 1:
            return
        found = self._camera_at(column, row)
        if found is None:
            found = self._view.point_at(column + 0.5, row + 0.5)
        self.post_message(self.Chosen(self, Point(round(found.lat, DIGITS), round(found.lng, DIGITS))))

    def _camera_at(self, column: int, row: int) -> Point | None:
        """The camera whose glyph is pointed at."""
        for each in self._painter.clusters if self._painter else ():
            wide = len(str(each.many)) if each.many > 1 else 0
            if each.row == row and each.column <= column <= each.column + wide:
                return self._scene.cameras[each.first].point
        return None

    # -- mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1:
            self._held, self._dragged = (event.x, event.y), False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held is None:
            return
        columns, rows = self._held[0] - event.x, self._held[1] - event.y
        if columns or rows:
            self._dragged = True
            self._held = (event.x, event.y)
            self.action_pan(columns, rows)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        held, self._held = self._held, None
        self.release_mouse()
        if held is not None and not self._dragged:
            self._choose(event.x, event.y)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, WHEEL_ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 / WHEEL_ZOOM)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        event.prevent_default()
        if self._view is not None:
            self._go(self._view.zoomed(factor, event.x + 0.5, event.y + 0.5))

    # -- drawing

    async def on_mount(self) -> None:
        self.run_worker(self._load(), name="coastlines", group="map", exit_on_error=True)

    async def _load(self) -> None:
        self._painter = await asyncio.to_thread(_painter)
        self.loaded.set()
        self._update()

    def on_resize(self) -> None:
        columns, rows = self.size.width, self._rows
        if not columns:
            return
        if self._view is not None:
            view = self._view.resized(columns, rows)
        elif self._look is not None:
            view = View.around(*self._look, columns, rows)
        else:
            view = View.world(columns, rows)
        self._picture = None
        self._strips.clear()
        self._go(view)

    def on_focus(self) -> None:
        self.show(self._scene)

    def on_blur(self) -> None:
        self.show(self._scene)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self.refresh()

    def _update(self) -> None:
        """Ask to be drawn. What is painted is decided then, so that a burst of steps costs one picture."""
        self.refresh()

    def _paint(self) -> None:
        if self._painter is None or self._view is None or self._view.shape != (self.size.width, self._rows):
            return
        wanted = (self._scene, self._view)
        if self._painted == wanted and self._picture is not None:
            return
        before, self._picture = self._picture, self._painter.paint(*wanted)
        self._painted = wanted
        self.painted += 1
        for row in self._picture.changed(before):
            self._strips.pop(row, None)

    def render_lines(self, crop: Region) -> list[Strip]:
        # Past Textual's cache of styled lines: rows are kept here, for as long as they do not change.
        self._paint()
        strips, width = self._strips, self.size.width
        missing = [y for y in range(crop.y, crop.bottom) if y not in strips]
        if missing:
            strips.update(zip(missing, self._make_strips(missing, width), strict=True))
        whole = [strips[y] for y in range(crop.y, crop.bottom)]
        if crop.x == 0 and crop.right == width:
            return whole
        return [strip.crop(crop.x, crop.right) for strip in whole]

    def _make_strips(self, rows: list[int], width: int) -> Iterator[Strip]:
        picture, palette = self._picture, palette_of(self.app)
        filters = [each for each in self.get_line_filters() if not isinstance(each, ANSIToTruecolor)]
        raw = self._raw() and not filters
        top = (self.size.height - len(self._plate)) // 2
        for y in rows:
            plate = self._plate[y - top] if 0 <= y - top < len(self._plate) else None
            if picture is None or y >= picture.rows:
                strip = strip_of((), palette, width)
            elif raw and plate is None:
                segments = partial(picture.segments, y, palette)
                yield RawStrip(picture.ansi(y, palette), width, segments)
                continue
            else:
                strip = Strip(picture.segments(y, palette), width)
            if plate is not None:
                cut = strip_of(plate, palette, ground="surface").crop(0, width)
                x = (width - cut.cell_length) // 2
                strip = Strip.join([strip.crop(0, x), cut, strip.crop(x + cut.cell_length)])
            for each in filters:
                strip = strip.apply_filter(each, self.background_colors[1])
            yield strip

    def _raw(self) -> bool:
        return not self.app.is_headless and self.app.console.color_system == "truecolor"


def _painter() -> Painter:
    from luxxon_tui.map.painter import Painter

    Painter.load()
    return Painter()
