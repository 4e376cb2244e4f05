"""What opens a camera, in the form that is made of its ``Config``: wherever it stands there, it is neither
shown nor written into the settings; and what a plugin's ``Config`` does wrong ends no console."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from frames import console, filled, shows
from pydantic import (
    BaseModel,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from rich.console import Console
from scenes import until
from textual.widgets import Input

from luxxon_core.camera_file import forget_camera, keep_camera, own_cameras, rename_camera
from luxxon_core.kernel.errors import StartError
from luxxon_core.plugins import PluginRegistry
from luxxon_core.plugins.secrets import resolved
from luxxon_core.source import SourceConfigError
from luxxon_core.testing.conformance import secrets_of
from luxxon_core.testing.fake import FakeSourceType
from luxxon_core.toml_edit import value_of
from luxxon_tui.operate.fields import FormField, Sort, WrongFields, form_of, validated, values_of
from luxxon_tui.operate.finding import Finder
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.screens.cameras_add import AddCamera
from luxxon_tui.widgets.field import Field as Line
from luxxon_tui.widgets.form import Form, _control

SECRET = "open-sesame"


class Auth(BaseModel):
    user: str = ""
    password: SecretStr = SecretStr("")


@dataclass
class Pair:
    user: str
    password: SecretStr


class Deep(BaseModel):
    auth: Auth = Auth()
    pair: Pair | None = None
    tokens: Sequence[SecretStr] = ()
    by_name: dict[str, SecretStr] = {}
    key: SecretBytes = SecretBytes(b"")
    word: Secret[str] = Secret("")
    pin: Secret[int] | None = None
    words: Secret[list[str]] = Secret([])
    urls: list[str] = []


DEEP = {
    "auth": {"user": "a", "password": SECRET},
    "pair": {"user": "b", "password": SECRET},
    "tokens": [SECRET, f"{SECRET}2"],
    "by_name": {"front door": SECRET, "a/b.c": SECRET},
    "key": SECRET,
    "word": SECRET,
    "pin": 4711,
    "words": [SECRET],
    "urls": ["http://c.test", f"http://u:{SECRET}@c.test"],
}
HIDDEN = {"auth", "pair", "tokens", "by_name", "key", "word", "pin", "words"}


def type_of(kind: type[BaseModel]) -> Any:
    made = FakeSourceType(key="odd")
    made.Config = kind  # type: ignore[assignment]
    return made


@pytest.fixture(autouse=True)
def _own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_SECRETS_FILE", str(tmp_path / "secrets.json"))
    monkeypatch.setenv("LUXXON_PLUGINS_DIR", str(tmp_path / "plugins"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.chdir(tmp_path)
    yield


# -- secrets, however deep


def test_a_line_with_a_secret_in_it_is_a_password() -> None:
    form = form_of(Deep, Deep.model_validate(DEEP))
    made = {line.name: _control(line, "") for line in form}
    assert {
        name for name, control in made.items() if isinstance(control, Line) and control.password
    } == HIDDEN
    assert all(SECRET not in made[name].placeholder for name in HIDDEN)  # type: ignore[attr-defined]
    sorts = {line.name: line.sort for line in form}
    assert {name for name, sort in sorts.items() if sort is Sort.SECRET} == {"key", "word", "pin"}
    assert {name for name, sort in sorts.items() if sort is Sort.TEXT} == set()


def test_a_secret_that_comes_by_itself_is_no_hint() -> None:
    class Known(BaseModel):
        auth: Auth = Auth(user="a", password=SecretStr(SECRET))
        tokens: list[SecretStr] = [SecretStr(SECRET)]
        any_of: dict[str, Any] = {"key": SecretStr(SECRET)}

    form = form_of(Known, Known(any_of={"key": SecretStr(f"{SECRET}2")}))
    assert all(line.hidden and SECRET not in f"{line!r} {line.fallback}" for line in (*form_of(Known), *form))


def test_a_form_that_is_filled_again_has_the_secrets_themselves() -> None:
    config = Deep.model_validate(DEEP)
    form = form_of(Deep, config)
    assert not [line.name for line in form if "***" in line.text]
    same = values_of(form, {line.name: line.text for line in form})
    assert Deep.model_validate(same) == config


def test_what_is_typed_for_secrets_is_read() -> None:
    typed = {"auth": f'{{"password": "{SECRET}"}}', "tokens": f'["{SECRET}"]', "key": SECRET, "pin": "7"}
    config = validated(type_of(Deep), values_of(form_of(Deep), typed))
    assert config == Deep.model_validate(
        {"auth": {"password": SECRET}, "tokens": [SECRET], "key": SECRET, "pin": 7}
    )


def test_secrets_are_kept_apart_from_the_settings_and_come_back(tmp_path: Path) -> None:
    config = Deep.model_validate(DEEP)
    keep_camera("deep", "odd", config)
    written = (tmp_path / "luxxon.toml").read_text()
    assert SECRET not in written and "***" not in written and "4711" not in written
    table = dict(own_cameras()["deep"])
    assert table["auth"] == {"user": "a", "password": {"kept": "cameras.deep.auth.password"}}
    assert table["urls"][0] == "http://c.test"
    _, again = PluginRegistry({"odd": type_of(Deep)}).configure(table.pop("type"), table)
    assert again == config
    assert {*secrets_of(again)} == {SECRET, f"{SECRET}2"}
    forget_camera("deep")
    assert (tmp_path / "secrets.json").read_text().strip() == "{}"


def test_a_renamed_camera_keeps_its_secrets_beside_those_of_its_successor(tmp_path: Path) -> None:
    def secret_of(name: str) -> str:
        table = dict(own_cameras()[name])
        _, found = PluginRegistry({"odd": type_of(Auth)}).configure(table.pop("type"), table)
        assert isinstance(found, Auth)
        return found.password.get_secret_value()

    keep_camera("one", "odd", Auth(password=SecretStr("the first")))
    rename_camera("one", "two")
    keep_camera("one", "odd", Auth(password=SecretStr("the second")))
    rename_camera("one", "three")
    keep_camera("one", "odd", Auth(password=SecretStr("the third")))
    assert [secret_of(name) for name in ("two", "three", "one")] == ["the first", "the second", "the third"]
    forget_camera("one")
    assert [secret_of(name) for name in ("two", "three")] == ["the first", "the second"]


def test_what_cannot_be_kept_leaves_no_secret_behind(tmp_path: Path) -> None:
    class Two(BaseModel):
        auth: Auth
        key: SecretBytes

    with pytest.raises(StartError, match="no text"):
        keep_camera("two", "odd", Two(auth=Auth(password=SecretStr(SECRET)), key=SecretBytes(b"\xff")))
    assert SECRET not in (tmp_path / "secrets.json").read_text()
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert not (tmp_path / "luxxon.toml").exists()


def test_a_camera_that_cannot_be_written_is_told_by_the_kind_of_error() -> None:
    class Failing(BaseModel):
        host: str

        @field_serializer("host")
        def _host(self, _value: str) -> str:
            raise LookupError(SECRET)

    with pytest.raises(StartError, match=r"cannot be written \(\w+\)") as error:
        keep_camera("one", "odd", Failing(host=SECRET))
    assert SECRET not in str(error.value)


# -- what the settings can hold


class Kinds(BaseModel):
    sure: bool | None = True
    maybe: bool | None = None
    mode: Literal["x", "y"] | None = "x"
    other: Literal["none", "x", None] = None
    named: Literal["none", "x"] | None = None
    needed: bool | None


def test_none_is_a_choice_where_it_is_the_default() -> None:
    labels = {line.name: [label for label, _ in line.choices] for line in form_of(Kinds)}
    assert labels == {
        "sure": ["true", "false"],
        "maybe": ["none", "true", "false"],
        "mode": ["x", "y"],
        "other": ["none", '"none"', "x"],
        "named": ["none", '"none"', "x"],
        "needed": ["true", "false"],
    }
    typed = {"named": '"none"', "other": "none", "needed": "true", "sure": "false"}
    config = validated(type_of(Kinds), values_of(form_of(Kinds), typed))
    keep_camera("kinds", "odd", config)
    table = dict(own_cameras()["kinds"])
    assert table == {"type": "odd", "sure": False, "named": "none", "needed": True}
    assert Kinds.model_validate(table) == config


def test_tables_in_lists_and_keys_of_any_letters_are_kept() -> None:
    class Tables(BaseModel):
        many: list[dict[str, Any]] = []
        by_name: dict[str, dict[str, int]] = {}

    config = Tables(
        many=[{"a b": 1, "in": [{"x": "\x7f"}]}, {}, {"": 'a "word"'}],
        by_name={"front door": {"a.b": 1}, 'Tür "1"': {}},
    )
    keep_camera("tables", "odd", config)
    assert Tables.model_validate(own_cameras()["tables"]) == config
    assert value_of({"a-b": [1, "x"]}) == '{ a-b = [1, "x"] }', "what needs no quotes has none"


# -- errors of others


class Told(BaseModel):
    """Its validators tell what they should not."""

    password: SecretStr = SecretStr("")
    auth: Auth = Auth()
    port: int = 1
    level: int = 1

    @field_validator("password")
    @classmethod
    def _password(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().startswith("bad"):
            raise ValueError(f"bad {value.get_secret_value().upper()[:5]}")
        return value

    @field_validator("auth")
    @classmethod
    def _auth(cls, value: Auth) -> Auth:
        if value.user == "bad":
            raise PydanticCustomError(
                "auth", "bad {password}", {"password": value.password.get_secret_value()}
            )
        return value

    @field_validator("port")
    @classmethod
    def _port(cls, value: int, info: ValidationInfo) -> int:
        if value == 6:
            raise ValueError(f"6 does not go with {info.data['password'].get_secret_value()}")
        if value > 5:
            raise PydanticCustomError("greater_than", "too large")
        return value

    @model_validator(mode="after")
    def _all(self) -> Told:
        if self.level == 2:
            raise ValueError(f"bad {self.auth.password.get_secret_value()!r}")
        if self.level == 3:
            raise ValueError("level 3 needs another port")
        return self


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"password": "bad-hunter2"}, "not taken"),
        ({"auth": {"user": "bad", "password": SECRET}}, "not taken"),
        ({"password": SECRET, "port": 6}, "not taken"),
        ({"auth": {"password": SECRET}, "level": 2}, "not taken"),
        ({"auth": {"password": SECRET}, "level": 3}, "level 3 needs another port"),
        ({"port": 9}, "too large"),
    ],
)
def test_an_error_tells_no_secret_and_what_it_may(values: Mapping[str, Any], words: str) -> None:
    with pytest.raises(WrongFields) as shown:
        validated(type_of(Told), values)
    assert [*shown.value.wrong.values()] == [words]
    with pytest.raises(SourceConfigError) as printed:
        PluginRegistry({"odd": type_of(Told)}).configure("odd", values)
    assert printed.value.message.endswith(words)


def test_an_error_tells_no_secret_that_was_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(BaseModel):
        url: str

        @field_validator("url")
        @classmethod
        def _url(cls, value: str) -> str:
            raise ValueError(f"bad {value}")

    monkeypatch.setenv("CAMERA_URL", SECRET)
    values = {"url": {"env": "CAMERA_URL"}}
    assert resolved(values) == {"url": SECRET}
    with pytest.raises(SourceConfigError) as printed:
        PluginRegistry({"odd": type_of(Plain)}).configure("odd", values)
    assert printed.value.message == "odd: url: not taken"


def test_a_list_without_an_end_is_none() -> None:
    form = [FormField("many", "many", "", Sort.JSON)]
    assert values_of(form, {"many": "[" * 100_000}) == {"many": "[" * 100_000}


@pytest.mark.parametrize("text", ["~nosuch", "x" * 300, "a\0b"], ids=["nobody's", "long", "odd"])
async def test_an_address_that_is_nothing_is_said_to_be(text: str) -> None:
    with pytest.raises(SourceConfigError):
        await Finder().wanted(text)


# -- on the card

REQUIRED = create_model("Required", need=(str, ...), **{f"f{number}": (str, "") for number in range(12)})  # type: ignore[call-overload]


async def card(pilot: Any) -> AddCamera:
    """Opened, of a console that knows no camera but one type."""
    app = pilot.app
    await until(lambda: isinstance(app.screen_stack[0], CamerasScreen) and app.screen_stack[0].desk.found)
    await pilot.press("plus")
    await until(lambda: isinstance(app.screen, AddCamera))
    assert isinstance(app.screen, AddCamera)
    return app.screen


def known(monkeypatch: pytest.MonkeyPatch, kind: type[BaseModel]) -> None:
    monkeypatch.setattr(Finder, "_registry", lambda *_: PluginRegistry({"odd": type_of(kind)}))


async def test_a_second_enter_while_the_form_is_made_leaves_no_line_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known(monkeypatch, REQUIRED)
    app = console(filled(()), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await card(pilot)
        form, address = screen.query_one(Form), screen.query_one("#address", Line)
        address.value = "odd"
        address.post_message(Input.Submitted(address, "odd"))
        while not 0 < len(form.children) < 13:
            await asyncio.sleep(0)
        address.post_message(Input.Submitted(address, "odd"))
        await until(lambda: screen.has_class("-asked") and form.here is not None)
        assert [*form.texts] == [line.name for line in form.fields] and len(form.children) == 13
        await shows(app, "✕ need: needed")


async def test_a_crash_prints_no_variables() -> None:
    app = console(filled(()), "cameras")
    printed = io.StringIO()

    def fails(*_: object) -> None:
        password = SECRET
        raise LookupError(len(password))

    with pytest.raises(LookupError):
        async with app.run_test(size=(80, 24)) as pilot:
            app.call_later(fails)
            await until(lambda: bool(app._exit_renderables))
            for one in app._exit_renderables:
                Console(file=printed, width=200).print(one)
            await pilot.pause()
    assert "LookupError" in printed.getvalue() and app.return_code == 1
    assert "raise LookupError(len(password))" in printed.getvalue()
    assert SECRET not in printed.getvalue()
