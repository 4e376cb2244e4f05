"""A broken plugin is reported and left out; the others work. Nothing heavy is imported to find that out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from luxxon_core.operator.left_out import LeftOut
from luxxon_core.plugins import PluginRegistry, hookimpl, load_plugins
from luxxon_core.source import SourceConfig, SourceConfigError, SourceNotReady
from luxxon_core.testing import FakeConfig, FakeSourceType


@dataclass
class Entry:
    name: str
    load: Callable[[], Any]


def plugin(*registrations: Any) -> Callable[[], Any]:
    class Plugin:
        @hookimpl
        def luxxon_register_sources(self, register: Callable[[Any], None]) -> None:
            for registration in registrations:
                register(registration)

    return Plugin


def fails(error: BaseException) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def registering_fails() -> Any:
    class Plugin:
        @hookimpl
        def luxxon_register_sources(self, register: Callable[[Any], None]) -> None:
            register(FakeSourceType(key="half"))
            raise RuntimeError("the SDK\nis missing")

    return Plugin()


def misspelt() -> Any:
    class Plugin:
        @hookimpl
        def luxxon_register_source(self, register: Callable[[Any], None]) -> None: ...

    return Plugin()


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "import": (fails(ModuleNotFoundError("No module named 'sdk'")), "No module named 'sdk'"),
    "exit": (fails(SystemExit(3)), "SystemExit: 3"),
    "raise": (registering_fails, "RuntimeError: the SDK is missing"),
    "misspelt": (misspelt, "luxxon_register_source"),
    "no-hook": (SimpleNamespace, "does not implement"),
    "nonsense": (plugin("a string"), "API version None"),
    "class": (plugin(FakeSourceType), "register an instance"),
    "old": (plugin(FakeSourceType(api_version=0)), "API version 0"),
    "key": (plugin(FakeSourceType(key="My Camera")), "'My Camera'"),
    "config": (plugin(FakeSourceType(Config=dict)), "not a pydantic model"),  # type: ignore[arg-type]
    "twice": (plugin(FakeSourceType(key="same"), FakeSourceType(key="same")), "exists already"),
    "taken": (plugin(FakeSourceType(key="good")), "exists already"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_and_the_others_work(name: str) -> None:
    load, reason = BROKEN[name]
    registry = load_plugins(
        [
            Entry("first", plugin(FakeSourceType(key="good"))),
            Entry(name, load),
            Entry("last", plugin(FakeSourceType(key="better"))),
        ]
    )
    assert set(registry.sources) == {"good", "better"}
    assert registry.plugins == {"first": ("good",), "last": ("better",)}
    (failure,) = registry.failures
    assert failure.plugin == name
    assert reason in failure.reason
    assert "\n" not in failure.reason


def test_built_in_plugins_are_found() -> None:
    registry = load_plugins()
    assert not registry.failures
    assert {"testcard", "file", "webcam"} <= set(registry.sources)


def test_finding_plugins_imports_nothing_heavy() -> None:
    script = (
        "import sys, luxxon_core.plugins as plugins\n"
        "assert not {'pluggy', 'pydantic'} & set(sys.modules)\n"
        "plugins.load_plugins()\n"
        "assert not {'av', 'aiortc', 'numpy', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


class Spec(SourceConfig):
    spec_field = "address"
    address: str
    port: int = 1
    password: SecretStr = SecretStr("")


def registry(config: type[BaseModel]) -> PluginRegistry:
    return PluginRegistry({"cam": FakeSourceType(key="cam", Config=config)})  # type: ignore[arg-type]


def test_a_spec_names_type_and_main_field() -> None:
    source_type, config = registry(Spec).configure("cam:rtsp://host:554/a", {"port": 7})
    assert source_type.key == "cam"
    assert config == Spec(address="rtsp://host:554/a", port=7)


@pytest.mark.parametrize(
    ("config", "spec", "values", "reason"),
    [
        (Spec, "drone", {}, "no camera type 'drone'; available: cam"),
        (Spec, "cam", {}, "address: Field required"),
        (Spec, "cam:x", {"port": "hunter2"}, "cam: port: "),
        (Spec, "cam:x", {"password": ["hunter2"]}, "cam: password: "),
        (FakeConfig, "cam:x", {}, "takes no value"),
    ],
)
def test_a_wrong_spec_is_explained_in_a_line_without_its_values(
    config: type[BaseModel], spec: str, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SourceConfigError) as caught:
        registry(config).configure(spec, values)
    assert reason in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


class Answering(SourceConfig):
    """Its validator looks up what may not be there."""

    errors: ClassVar[dict[str, BaseException]] = {
        "key": KeyError("hunter2"),
        "os": ConnectionRefusedError("http://admin:hunter2@192.0.2.1/"),
        "type": TypeError("hunter2"),
        "exit": SystemExit("hunter2"),
    }
    password: str

    @field_validator("password")
    @classmethod
    def _known(cls, value: str) -> str:
        raise cls.errors[value]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("key", "KeyError"),
        ("os", "ConnectionRefusedError"),
        ("type", "TypeError"),
        ("exit", "SystemExit"),
    ],
)
def test_a_validator_that_fails_leaves_its_camera_out_and_no_other(kind: str, told: str) -> None:
    fake = FakeSourceType()
    found = PluginRegistry({"cam": FakeSourceType(key="cam", Config=Answering), "fake": fake})  # type: ignore[arg-type]
    left_out = LeftOut()
    made = left_out.of(
        [
            ("gate", lambda: found.configure("cam", {"password": kind})),
            ("door", lambda: found.configure("fake")),
        ]
    )
    assert made == [(fake, FakeConfig())]
    error = left_out.errors["gate"]
    assert isinstance(error, SourceConfigError)
    assert error.message == f"cam: its configuration failed ({told})"
    assert "hunter2" not in f"{error!r} {error}"
    assert error.__suppress_context__


def test_a_validator_may_say_itself_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Answering.errors, "own", SourceNotReady("cam:busy", "the camera is updating"))
    with pytest.raises(SourceNotReady, match="is updating"):
        registry(Answering).configure("cam", {"password": "own"})
