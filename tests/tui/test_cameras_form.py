"""What a type of camera may be told, on the card that adds one: the form is made of its ``Config``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import SIZES, console, filled, shows, text_of
from luxxon_drone.config import DroneConfig
from luxxon_rtsp_ptz.config import RtspConfig
from pydantic import BaseModel, create_model
from scenes import until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_core.plugins import PluginRegistry, load_plugins
from luxxon_core.settings import CameraSettings
from luxxon_core.testing.fake import FakeSourceType
from luxxon_tui.app import ConsoleApp
from luxxon_tui.operate.fields import YES, form_of
from luxxon_tui.operate.finding import Finder
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.screens.cameras_add import AddCamera
from luxxon_tui.widgets.checks import Checks
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.field import Field as Line
from luxxon_tui.widgets.form import Form, Pick
from luxxon_tui.widgets.picture import Picture

PLUGIN = """
from typing import Literal

from pydantic import Field, SecretStr
from luxxon_core.plugins import hookimpl
from luxxon_core.source import DiscoveredDevice, SourceConfig
from luxxon_core.testing.fake import FakeSourceType


class Config(SourceConfig):
    host: str = Field(title="Host", description="Name or number of the recorder")
    channel: int = Field(title="Channel", ge=1, le=16, description="1 to 16")
    user: str = Field(default="", title="User name")
    password: SecretStr = Field(default=SecretStr(""), title="Password", description="Empty for none")
    stream: Literal["main", "sub"] = Field(default="main", title="Stream")
    tls: bool = Field(default=True, title="TLS", description="Off for an old recorder")
    width: int = Field(default=320, title="Width")
    height: int = Field(default=180, title="Height")
    fps: int = Field(default=30, title="Frames per second")
    latitude: float | None = None
    longitude: float | None = None


class Type(FakeSourceType):
    async def discover(self, timeout):
        yield DiscoveredDevice("hall-1", "Hall camera", Config(host="192.0.2.7", channel=1))


class YardConfig(Config):
    spec_field = "host"


class Yard(FakeSourceType):
    async def discover(self, timeout):
        return
        yield


@hookimpl
def luxxon_register_sources(register):
    kind = Type(key="hall", title="Hall recorder", password="open-sesame")
    kind.Config = Config
    register(kind)
    yard = Yard(key="yard", title="Yard recorder", password="open-sesame")
    yard.Config = YardConfig
    register(yard)
"""
SECRET = "open-sesame"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: a module of one name is loaded from one place."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "luxxon_hall.py").write_text(PLUGIN)
    return folder


class HallFinder(Finder):
    """Knows one plugin."""

    def __init__(self) -> None:
        super().__init__(0.2)

    def _registry(self, settings: CameraSettings | None) -> PluginRegistry:
        return load_plugins(settings=settings, only=("luxxon_hall",))


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plugins: Path) -> Iterator[None]:
    monkeypatch.setenv("LUXXON_PLUGINS_DIR", str(plugins))
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_SECRETS_FILE", str(tmp_path / "secrets.json"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CamerasScreen, "FINDER", HallFinder)
    yield


async def ready(app: ConsoleApp) -> CamerasScreen:
    await until(lambda: isinstance(app.screen_stack[0], CamerasScreen))
    screen = app.screen_stack[0]
    assert isinstance(screen, CamerasScreen)
    await until(lambda: screen.desk.found and all(link.seen for link in screen.desk.links.values()))
    await until(lambda: all(link.state in ("CLOSED", "FAILED") for link in screen.desk.links.values()))
    return screen


async def asked(app: ConsoleApp) -> Form:
    """The form of the card, once it stands."""
    await until(lambda: isinstance(app.screen, AddCamera) and app.screen.has_class("-asked"))
    form = app.screen.query_one(Form)
    await until(lambda: form.here is not None)
    return form


async def adding(app: ConsoleApp, pilot: Pilot[Any], address: str) -> None:
    await pilot.press("plus")
    await until(lambda: isinstance(app.screen, AddCamera))
    app.screen.query_one("#address", Line).value = address
    await pilot.press("enter")


def hand(form: Form) -> str:
    """The name of the line in hand."""
    return form.here.name if form.here is not None else ""


def write(form: Form, name: str, text: str) -> None:
    control = form._controls[name]
    assert isinstance(control, Line)
    control.value = text
    control.focus()


async def test_a_camera_that_was_found_is_told_what_opens_it(tmp_path: Path) -> None:
    app = console(filled(()), "cameras")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await ready(app)
        assert [*screen.desk.links] == ["hall:hall-1"]
        await shows(app, "enter: sign in")
        await pilot.press("enter")
        form = await asked(app)
        await shows(app, "Sign in to Hall camera")
        await shows(app, "✕ The camera refused the credentials")
        assert form.texts["host"] == "192.0.2.7" and hand(form) == "user"
        await pilot.press(*"admin", "tab", *"wrong", "enter")
        await shows(app, "✕ The camera refused the credentials")
        assert not (tmp_path / "luxxon.toml").exists(), "nothing is kept of what does not work"
        form = await asked(app)
        await until(lambda: hand(form) == "password")
        assert "wrong" not in text_of(app)
        write(form, "password", SECRET)
        await pilot.press("enter")
        await shows(app, "● Hall recorder  320×180 30 fps")
        assert app.screen.query_one("#name", Line).value == "Hall-camera"
        await pilot.press("enter", "enter")
        await until(lambda: [*screen.desk.links] == ["=Hall-camera"])
        table = tomllib.loads((tmp_path / "luxxon.toml").read_text())["cameras"]["Hall-camera"]
        kept = {"kept": "cameras.Hall-camera.password"}
        assert table == {
            "type": "hall", "host": "192.0.2.7", "channel": 1, "user": "admin", "password": kept
        }  # fmt: skip
        assert SECRET in (tmp_path / "secrets.json").read_text()
        told: list[Any] = []
        await screen.desk._aside.run(HallFinder().find(told.append))
        assert [one.key for one in told] == ["=Hall-camera"], "it is not found beside itself"
        assert told[0].config.password.get_secret_value() == SECRET


async def test_a_type_that_needs_more_than_an_address_says_what(tmp_path: Path) -> None:
    app = console(filled(()), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(app)
        await adding(app, pilot, "hall:192.0.2.9")
        await shows(app, "takes no value after the colon")
        app.screen.query_one("#address", Line).value = "hall"
        await pilot.press("enter")
        form = await asked(app)
        await shows(app, "✕ Host: needed")
        assert form.wrong == {"host": "needed", "channel": "needed"} and hand(form) == "host"
        assert "✕ Channel" in text_of(app)
        write(form, "host", "192.0.2.9")
        write(form, "channel", "17")
        await shows(app, "✕ Channel: needed")
        await pilot.press("enter")
        await shows(app, "✕ Channel: 16 or less")
        write(form, "channel", "2")
        write(form, "password", SECRET)
        await shows(app, "Empty for none")
        await pilot.press("tab", "space")
        await until(lambda: isinstance(app.screen, Choose))
        await pilot.press("down", "enter")
        await shows(app, "sub ▾")
        await pilot.press("tab", "space", "enter")
        await shows(app, "● Hall recorder  320×180")
        await pilot.press("enter", "enter")
        await until(lambda: "=hall" in screen.desk.links)
        table = tomllib.loads((tmp_path / "luxxon.toml").read_text())["cameras"]["hall"]
        kept = {"kept": "cameras.hall.password"}
        assert table == {
            "type": "hall", "host": "192.0.2.9", "channel": 2, "password": kept, "stream": "sub", "tls": False
        }  # fmt: skip


async def test_more_names_the_types_and_what_was_typed_stays() -> None:
    app = console(filled(()), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app)
        await pilot.press("plus")
        await until(lambda: isinstance(app.screen, AddCamera))
        await pilot.press("ctrl+o")
        await until(lambda: isinstance(app.screen, Choose))
        await shows(app, "Hall recorder")
        await pilot.press("enter")
        form = await asked(app)
        assert app.screen.query_one("#address", Line).value == "hall" and not form.wrong
        for name, text in {"host": "192.0.2.9", "channel": "2", "password": SECRET, "width": "640"}.items():
            write(form, name, text)
        await pilot.press("enter")
        await shows(app, "● Hall recorder  640×180")
        assert not app.screen.has_class("-asked"), "the card is as short as for an address alone"
        await pilot.press("ctrl+o")
        form = await asked(app)
        assert not app.screen.has_class("-seen") and form.texts["width"] == "640"
        write(form, "width", "")
        await pilot.press("enter")
        await shows(app, "● Hall recorder  320×180")
        await pilot.press("escape")
        assert isinstance(app.screen, CamerasScreen)


async def test_what_was_typed_stays_when_the_address_changes() -> None:
    app = console(filled(()), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app)
        await adding(app, pilot, "yard:192.0.2.7")
        form = await asked(app)
        assert "host" not in form.texts, "the address says it"
        write(form, "channel", "3")
        write(form, "password", "wrong")
        await pilot.press("enter")
        await shows(app, "✕ The camera refused the credentials")
        address = app.screen.query_one("#address", Line)
        address.value = "yard:192.0.2.8"
        write(form, "password", SECRET)
        await pilot.press("enter")
        await shows(app, "● Yard recorder")
        assert isinstance(app.screen, AddCamera)
        link = app.screen._link
        assert link is not None
        config: Any = link.found.config
        assert (config.host, config.channel) == ("192.0.2.8", 3)
        address.value = "hall"
        await until(lambda: not form.fields)
        address.focus()
        await pilot.press("enter")
        await shows(app, "✕ Host: needed")
        assert set(form.texts.values()) == {"", "main", YES}, "what one was told no other is"


MANY = create_model("Many", **{f"field_{number}": (str, "") for number in range(40)})  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", [DroneConfig, RtspConfig, MANY])
async def test_the_longest_form_fits_the_smallest_screen(
    kind: type[BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def registry(_finder: Finder, _settings: object) -> PluginRegistry:
        made = FakeSourceType(key="long")
        monkeypatch.setattr(made, "Config", kind, raising=False)
        return PluginRegistry({"long": made})

    monkeypatch.setattr(HallFinder, "_registry", registry)
    app = console(filled(()), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app)
        await pilot.press("plus")
        await until(lambda: isinstance(app.screen, AddCamera))
        app.screen.query_one("#address", Line).value = "long"
        await pilot.press("ctrl+o")
        form = await asked(app)
        for line in form.fields:
            form._controls[line.name].focus()
            for words in ("address", line.title[:19], "enter looks at it"):
                await shows(app, words)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", ["found", "wrong"])
def test_the_form_looks(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(lambda: app.loaded)
        screen = await ready(app)
        if state == "found":
            await pilot.press("enter")
        else:
            await adding(app, pilot, "hall")
        await asked(app)
        for line in app.screen.query(Input):
            line.cursor_blink = False
        await pilot.pause(0.5)
        for picture in screen.query(Picture):  # noise keeps what was shown before
            picture._painter = None
            picture._paint()
        await pilot.pause()

    assert snap_compare(console(filled(()), "cameras"), terminal_size=size, run_before=before)


def test_switches_are_boxes_and_choices_cards() -> None:
    from luxxon_tui.widgets.form import _control

    made = {line.name: _control(line, line.text) for line in form_of(RtspConfig)}
    assert isinstance(made["tls_verify"], Checks) and made["tls_verify"].ticked
    assert isinstance(made["audio"], Checks) and not made["audio"].ticked
    assert isinstance(made["transport"], Pick) and made["transport"].chosen == "auto"
    password = made["password"]
    assert isinstance(password, Line) and password.password
