"""Plugins are found without being imported; one with a fault is named, and the others work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_files import CAMERA, imports_forgotten, module, package
from structlog.testing import capture_logs

from luxxon_core.plugins import Origin, PluginRegistry, installed, load_plugins, loading
from luxxon_core.settings import PluginSettings
from luxxon_core.source import SourceConfigError

NAMES = ("gate_a", "gate_b", "gate_c", "gate_pack", "gate_dist")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with imports_forgotten(*NAMES):
        yield tmp_path / "plugins"


def settings_of(directory: Path, **tables: dict[str, Any]) -> PluginSettings:
    return PluginSettings(plugins_dir=directory, plugins=tables)


def load(directory: Path, **tables: dict[str, Any]) -> PluginRegistry:
    return load_plugins(settings=settings_of(directory, **tables))


def broken(registry: PluginRegistry) -> dict[str, str]:
    return {failure.plugin: failure.reason for failure in registry.failures if failure.plugin in NAMES}


def test_modules_packages_and_installed_ones_are_listed_unimported(directory: Path) -> None:
    module(directory, "gate_a", "__version__ = '0.7'\nraise RuntimeError('imported')\n")
    module(directory / "gate_pack", "__init__", "raise RuntimeError('imported')")
    package(directory, "gate_dist", "raise RuntimeError('imported')", commands=("open-gate",))
    module(directory, "_private", "raise RuntimeError('imported')")
    module(directory, "gate_b", "def luxxon_register_commands(register): ...\n")
    (directory / "notes.txt").write_text("not a plugin")
    found = {info.name: info for info in installed(directory, ["gate_pack"])}
    mine = {name: found[name] for name in found if found[name].origin is Origin.DIRECTORY}
    assert {name: (info.version, info.distribution) for name, info in mine.items()} == {
        "gate_a": ("0.7", ""),
        "gate_b": ("", ""),
        "gate_pack": ("", ""),
        "gate_dist": ("1.2.3", "gate_dist"),
    }
    assert (mine["gate_dist"].commands, mine["gate_b"].commands) == (("open-gate",), ("...",))
    assert [name for name, info in mine.items() if not info.enabled] == ["gate_pack"]
    assert found["testcard"].origin is Origin.BUILT_IN
    assert (found["testcard"].distribution, found["testcard"].version[:2]) == ("luxxon", "0.")
    assert not {*NAMES} & {*sys.modules}


def test_a_directory_of_all_three_kinds_works(directory: Path) -> None:
    module(directory, "gate_a", CAMERA.format(key="a"))
    module(directory / "gate_pack", "__init__", "from gate_pack.inner import *")
    module(directory / "gate_pack", "inner", CAMERA.format(key="packed"))
    package(directory, "gate_dist", CAMERA.format(key="dist"))
    for _ in range(2):  # a second time, with the modules imported already
        registry = load(directory)
        assert not broken(registry)
        assert {"a", "packed", "dist", "testcard"} <= set(registry.sources)


FAULTS = {
    "import": ("import no_such_sdk", "No module named 'no_such_sdk'"),
    "syntax": ("def (", "SyntaxError"),
    "cancelled": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    "exit": ("raise SystemExit('bye')", "SystemExit: bye"),
    "half": ("import gate_b.inner", "'gate_b' is not a package"),
    "nothing": ("x = 1", "does not implement any hook"),
    "async": (
        "from luxxon_core.plugins import hookimpl\n"
        "@hookimpl\nasync def luxxon_register_sources(register): ...",
        "luxxon_register_sources is async",
    ),
    "version": (
        "from luxxon_core.plugins import *\nfrom luxxon_core.plugins import hookimpl\n"
        "@hookimpl\ndef luxxon_register_panels(register):\n"
        "    register(PanelType(key='a', title='A', api_version=7, screen='live', widget=print))",
        "plugin API version 7, this is 1",
    ),
    "screen": (
        "from luxxon_core.plugins import *\nfrom luxxon_core.plugins import hookimpl\n"
        "@hookimpl\ndef luxxon_register_panels(register):\n"
        "    register(PanelType(key='a', title='A', api_version=1, screen='moon', widget=print))",
        "there is no screen 'moon'",
    ),
    "edge": (
        "from luxxon_core.plugins import *\nfrom luxxon_core.plugins import hookimpl\n"
        "@hookimpl\ndef luxxon_register_edges(register):\n"
        "    register(EdgeType(key='embedded', title='A', api_version=1, open=print))",
        "is built in",
    ),
    "command": (
        "from luxxon_core.plugins import hookimpl\n"
        "@hookimpl\ndef luxxon_register_commands(register):\n    register(print)",
        "where a click command is wanted",
    ),
    "signer": (
        "from luxxon_core.plugins import hookimpl\n"
        "@hookimpl\ndef luxxon_register_signers(register):\n    register('0xkey')",
        "registers a str where a SignerType is wanted",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_plugin_is_named_and_left_out(directory: Path, fault: str) -> None:
    text, reason = FAULTS[fault]
    module(directory, "gate_a", CAMERA.format(key="a"))
    module(directory, "gate_b", text)
    module(directory, "gate_c", CAMERA.format(key="c"))
    registry = load(directory)
    assert {"a", "c"} <= set(registry.sources)
    assert not registry.panels
    assert not registry.edges
    ((name, told),) = broken(registry).items()
    assert name == "gate_b"
    assert reason in told
    assert "\n" not in told


def test_a_plugin_that_is_off_is_not_imported(directory: Path) -> None:
    module(directory, "gate_a", "raise RuntimeError('imported')")
    registry = load(directory, gate_a={"enabled": False})
    assert not broken(registry)
    assert registry.disabled == ("gate_a",)
    with pytest.raises(SourceConfigError, match="switched off: gate_a"):
        registry.configure("gate")


def test_a_plugin_gets_its_table_with_secrets_in_it(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_KEY", "hunter2")
    module(
        directory,
        "gate_a",
        """
        from luxxon_core.plugins import hookimpl
        told = None

        @hookimpl
        def luxxon_register_sources(register, config):
            global told
            told = config
            raise ValueError(config["key"].get_secret_value() + " and " + repr(config))
        """,
    )
    table = {"key": {"env": "GATE_KEY"}, "deep": {"list": [{"env": "GATE_KEY"}]}, "plain": 3}
    registry = load(directory, gate_a=table)
    assert broken(registry)["gate_a"].startswith("ValueError: *** and {'key': SecretStr")
    assert "hunter2" not in repr(registry)
    told = sys.modules["gate_a"].told
    assert told["deep"]["list"][0].get_secret_value() == "hunter2"
    assert told["plain"] == 3


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"env": "NO_SUCH_VARIABLE"}, "the environment has no variable NO_SUCH_VARIABLE"),
        ({"keyring": "gate"}, "not of the form service/user"),
        ({"keyring": "gate.example/nobody"}, "the keyring "),
    ],
)
def test_a_secret_that_is_not_there_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, reference: dict[str, str], reason: str
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    module(directory, "gate_a", CAMERA.format(key="a"))
    registry = load(directory, gate_a={"key": reference})
    assert reason in broken(registry)["gate_a"]
    with pytest.raises(SourceConfigError, match=reason):
        registry.configure("testcard", {"width": reference})


def test_a_secret_of_the_keyring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring", reason="pip install keyring")

    class Ring(keyring.backend.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 1

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

        def get_password(self, service: str, username: str) -> str | None:
            return "320" if (service, username) == ("gate/one", "me") else None

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        _, config = load_plugins().configure("testcard", {"width": {"keyring": "gate/one/me"}})
    finally:
        keyring.set_keyring(before)
    assert config.model_dump()["width"] == 320


def test_what_an_installer_left_half_done_is_no_ones_problem(directory: Path) -> None:
    module(directory, "gate_a", CAMERA.format(key="a"))
    package(directory, "gate_dist", CAMERA.format(key="dist"))
    info = directory / "gate_dist-1.2.3.dist-info"
    (info / "METADATA").unlink()
    registry = load(directory)
    assert {"a", "dist"} <= set(registry.sources)
    (info / "entry_points.txt").write_text("[luxxon]\nno equals sign\n")
    assert [one.name for one in installed(directory) if one.origin is Origin.DIRECTORY][-1] == "gate_a"
    registry = load(directory)
    assert "a" in registry.sources
    assert "entry points" in " ".join(one.reason for one in registry.failures)


def test_a_directory_that_cannot_be_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with capture_logs() as lines:
        registry = load(tmp_path)
    assert "testcard" in registry.sources
    assert lines[0]["event"] == "plugin.directory_unreadable"


def test_the_same_name_twice_is_refused_to_the_later(directory: Path) -> None:
    module(directory, "testcard", CAMERA.format(key="other"))
    registry = load(directory)
    assert {one.plugin: one.reason for one in registry.failures}["testcard"].endswith("named testcard")
    assert "other" not in registry.sources
    assert "testcard" in registry.sources


def test_nothing_in_the_directory_takes_the_place_of_a_module(directory: Path) -> None:
    module(directory, "email", CAMERA.format(key="mail"))
    reasons = {one.plugin: one.reason for one in load(directory).failures}
    assert "there is another module named email" in reasons["email"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_what_everybody_may_write_is_not_run(directory: Path) -> None:
    module(directory, "gate_a", CAMERA.format(key="a")).chmod(0o666)
    module(directory, "gate_b", CAMERA.format(key="b"))
    registry = load(directory)
    assert "everybody may write" in broken(registry)["gate_a"]
    assert "b" in registry.sources


def test_an_import_that_does_not_end_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SLOW_SECONDS", 0.01)
    module(
        directory,
        "gate_a",
        "import time; time.sleep(0.2)\n" + CAMERA.format(key="slow").strip(),
    )
    with capture_logs() as lines:
        registry = load(directory)
    assert [line["plugin"] for line in lines if line["event"] == "plugin.slow_import"] == ["gate_a"]
    assert "slow" in registry.sources


def test_the_rest_of_the_file_may_be_wrong(tmp_path: Path) -> None:
    (tmp_path / "luxxon.toml").write_text('rpc_url = "nonsense"\n[plugins.webcam]\nenabled = false\n')
    script = "import luxxon_core.plugins as p; r = p.load_plugins(); print(*r.disabled, *sorted(r.sources))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert {"testcard", "file"} <= set(done.stdout.split())
    assert done.stdout.split()[0] == "webcam"
