"""Cameras that the user adds, names and removes: tried first; secrets are never in the settings file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filmed import Cameras
from frames import SIZES, console, filled, shows
from scenes import until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_core.settings import load_cameras
from luxxon_tui.app import ConsoleApp
from luxxon_tui.operate.finding import Finder
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.screens.cameras_add import AddCamera
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.picture import Picture

PLUGIN = """
from pydantic import Field, SecretStr, model_validator
from luxxon_core.plugins import hookimpl
from luxxon_core.source import SourceConfig
from luxxon_core.testing.fake import FakeSourceType


class Config(SourceConfig):
    spec_field = "url"
    url_schemes = ("gate",)
    url: str
    password: SecretStr = SecretStr("")
    width: int = 320
    height: int = 180
    fps: int = 30
    latitude: float | None = None
    longitude: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, values):
        scheme, _, rest = values["url"].partition("://")
        userinfo, at, host = rest.rpartition("@")
        return {**values, "url": f"{scheme}://{host}", "password": userinfo} if at else values


@hookimpl
def luxxon_register_sources(register):
    kind = FakeSourceType(key="gate", title="Gate camera", password="open-sesame")
    kind.Config = Config
    register(kind)
"""
URL, SECRET = "gate://open-sesame@camera.test/1", "open-sesame"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: a module of one name is loaded from one place."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "luxxon_gate.py").write_text(PLUGIN)
    return folder


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plugins: Path) -> Iterator[None]:
    monkeypatch.setenv("LUXXON_PLUGINS_DIR", str(plugins))
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_SECRETS_FILE", str(tmp_path / "secrets.json"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.chdir(tmp_path)
    cameras = Cameras(found=("ptz",))
    monkeypatch.setattr(CamerasScreen, "FINDER", lambda: cameras)
    yield


async def ready(app: ConsoleApp) -> CamerasScreen:
    await until(lambda: isinstance(app.screen_stack[0], CamerasScreen))
    screen = app.screen_stack[0]
    assert isinstance(screen, CamerasScreen)
    await until(lambda: screen.desk.found and all(link.seen for link in screen.desk.links.values()))
    return screen


def fill(app: ConsoleApp, name: str, value: str) -> None:
    field = app.screen.query_one(f"#{name}", Field)
    field.value = value
    field.focus()


async def tried(app: ConsoleApp, pilot: Pilot[Any], address: str) -> None:
    await until(lambda: isinstance(app.screen, AddCamera))
    fill(app, "address", address)
    await pilot.pause()
    await pilot.press("enter")


async def test_a_camera_is_tried_shown_kept_named_and_removed(tmp_path: Path) -> None:
    app = console(filled(()), "cameras")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await ready(app)
        await pilot.press("plus")
        await tried(app, pilot, "http://camera.test")
        await shows(app, "no camera type 'http'")
        await tried(app, pilot, "gate://wrong@camera.test/1")
        await shows(app, "✕ The camera refused the credentials")
        assert not (tmp_path / "luxxon.toml").exists(), "nothing is kept of what does not work"
        await tried(app, pilot, URL)
        await shows(app, "● Gate camera  320×180 30 fps")
        fill(app, "name", "the gate")
        await pilot.press("enter")
        fill(app, "place", "nowhere")
        await pilot.press("enter")
        await shows(app, "that is no place")
        fill(app, "place", "50.8466, 4.3528")
        await pilot.press("enter")
        await until(lambda: "=the-gate" in screen.desk.links)
        await shows(app, "the-gate")
        text = (tmp_path / "luxxon.toml").read_text()
        assert SECRET not in text
        table = tomllib.loads(text)["cameras"]["the-gate"]
        assert table["password"] == {"kept": "cameras.the-gate.password"}
        assert table["operate"] == {"lat": 50.8466, "lng": 4.3528}
        assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0
        told: list[Any] = []
        await screen.desk._aside.run(Finder(0.1).find(told.append))
        again = next(one for one in told if one.name == "the-gate")
        assert again.own and again.config.password.get_secret_value() == SECRET, "with the next start, too"

        await pilot.press("n")
        await shows(app, "Name the-gate")
        app.screen.query_one(Input).value = "yard"
        await pilot.press("enter")
        await until(lambda: "=yard" in screen.desk.links and "=the-gate" not in screen.desk.links)
        assert [*load_cameras().cameras] == ["yard"]
        await pilot.press("D")
        await until(lambda: isinstance(app.screen, Card))
        await pilot.press("enter")
        await until(lambda: [*screen.desk.links] == ["ptz"])
        assert not load_cameras().cameras and SECRET not in (tmp_path / "secrets.json").read_text()
        assert not screen.check_action("remove", ()), "one of luxxon.toml is its owner's to remove"


async def test_what_stands_in_the_file_beside_it_stays(tmp_path: Path) -> None:
    from luxxon_core.camera_file import forget_camera, keep_camera, rename_camera
    from luxxon_core.plugins import load_plugins

    before = '# mine\ntheme = "luxxon-light"\n\n[profiles.acme]\nurl = "https://acme.test"  # theirs\n'
    (tmp_path / "luxxon.toml").write_text(before)
    kind, config = load_plugins().configure("testcard", {"width": 640})
    keep_camera("one", kind.key, config, (1.0, 2.0))
    keep_camera("one-more", kind.key, config)
    rename_camera("one", "first")
    assert [*load_cameras().cameras] == ["first", "one-more"]
    assert load_cameras().cameras["first"].fields == {"width": 640}
    assert load_cameras().cameras["first"].operate == {"lat": 1.0, "lng": 2.0}
    forget_camera("first")
    forget_camera("one-more")
    assert (tmp_path / "luxxon.toml").read_text().strip() == before.strip()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", ["asking", "failed"])
def test_the_card_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(lambda: app.loaded)
        screen = await ready(app)
        await until(lambda: all(not link.is_open for link in screen.desk.links.values()))
        await pilot.press("plus")
        await until(lambda: isinstance(app.screen, AddCamera))
        if state == "failed":
            await tried(app, pilot, "gate://wrong@camera.test/1")
            await shows(app, "refused the credentials")
            await shows(app, "tab next")
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause(0.5)
        for picture in screen.query(Picture):  # noise keeps what was shown before
            picture._painter = None
            picture._paint()
        await pilot.pause()

    assert snap_compare(console(filled(()), "cameras"), terminal_size=size, run_before=before)
