"""Panels of plugins on the Cameras screen: they are drawn, and the crash of one ends it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from camera_stage import afresh
from filmed import Cameras
from frames import SIZES, console, filled, shows, text_of
from scenes import until
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Button, Static

from luxxon_core.plugins import PanelType
from luxxon_tui.app import ConsoleApp
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.widgets.plugin_panel import PanelContext, PluginPanel


def panel(key: str, widget: Callable[[PanelContext], Any], screen: str = "cameras") -> PanelType:
    return PanelType(key=key, title=key.title(), api_version=1, screen=screen, widget=widget)


class Wind(Static):
    """Says which camera it is told of, and counts its clicks."""

    def __init__(self, context: PanelContext) -> None:
        super().__init__("")
        self._facts, self.clicks = context, 0

    def on_mount(self) -> None:
        self.set_interval(0.05, self._say)

    def on_click(self) -> None:
        self.clicks += 1

    def _say(self) -> None:
        camera = self._facts.camera()
        self.update(f"wind at {camera.name if camera else 'none'}: {self.clicks}")


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cameras]:
    cameras = Cameras(found=("ptz", "gate"), panels=(panel("wind", Wind),))
    monkeypatch.setattr(CamerasScreen, "FINDER", lambda: cameras)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    yield cameras


def opened() -> ConsoleApp:
    return console(filled(()), "cameras")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_panel_is_drawn_told_of_the_camera_and_clicked(found: Cameras, size: tuple[int, int]) -> None:
    found.panels += (panel("elsewhere", lambda _: Static("not here"), "map"),)
    app = opened()
    async with app.run_test(size=size) as pilot:
        await shows(app, "Wind ──")
        await shows(app, "wind at ptz-04: 0")
        assert "not here" not in text_of(app)
        await pilot.click(Wind)
        await shows(app, "wind at ptz-04: 1")
        await pilot.press("down")
        await shows(app, "wind at gate: 1")


def raising(*_: object, **__: object) -> Any:
    raise RuntimeError("rtsp://somebody:secret@camera")


class InCompose(Vertical):
    def compose(self) -> ComposeResult:
        yield Static("before")
        raising()


class InMount(Static):
    def on_mount(self) -> None:
        raising()


class InTimer(Static):
    def on_mount(self) -> None:
        self.set_timer(0.05, raising)


class InWorker(Static):
    def on_mount(self) -> None:
        self.run_worker(self._work())

    async def _work(self) -> None:
        raising()


class InRender(Widget):
    DEFAULT_CSS = "InRender { height: 2; }"

    def render(self) -> str:
        return str(raising())


class InMeasure(Static):
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return int(raising())


class InChild(Vertical):
    def compose(self) -> ComposeResult:
        with Vertical():
            yield InRender()


class InStyle(Static):
    DEFAULT_CSS = "InStyle { height: }"


class InClick(Button):
    def on_mount(self) -> None:
        self.set_timer(0.1, self.press)

    def on_button_pressed(self) -> None:
        raising()


FAULTS = (InCompose, InMount, InTimer, InWorker, InRender, InMeasure, InChild, InStyle, InClick)


@pytest.mark.parametrize(
    "widget", [raising, lambda _: 3, *((lambda _, kind=kind: kind()) for kind in FAULTS)],
    ids=["factory", "no widget", *(kind.__name__ for kind in FAULTS)],
)  # fmt: skip
async def test_the_crash_of_a_panel_is_told_in_its_place(found: Cameras, widget: Callable[..., Any]) -> None:
    found.panels = (panel("broken", widget), panel("wind", Wind))
    app = opened()
    async with app.run_test(size=(120, 36)) as pilot:
        await shows(app, "✕ its plugin failed")
        await shows(app, "wind at ptz-04: 0")
        assert "secret" not in text_of(app)
        await pilot.press("down")
        await shows(app, "wind at gate: 0")
        await pilot.press("3")
        await until(lambda: app.current_mode == "sessions")
        await pilot.press("4")
        await shows(app, "its plugin failed")
        broken = [one for one in app.screen.query(PluginPanel) if one.reason]
        assert [one.panel.key for one in broken] == ["broken"]
    assert app.return_code in (0, None)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_panels(snap_compare: Callable[..., bool], found: Cameras, size: tuple[int, int]) -> None:
    found.panels = (panel("weather", lambda _: Static("fine, 21 °C, wind 3 m/s")), panel("broken", raising))

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(lambda: app.loaded)
        await shows(app, "fine, 21 °C")
        await shows(app, "its plugin failed")
        await shows(app, "Broken ──")
        screen = app.screen
        assert isinstance(screen, CamerasScreen)
        await until(lambda: all(link.seen and not link.is_open for link in screen.desk.links.values()))
        await afresh(pilot)

    assert snap_compare(opened(), terminal_size=size, run_before=before)
