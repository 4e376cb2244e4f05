"""``luxxon plugins list``, ``info`` and ``check``: what they tell of plugins good and bad."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_files import CAMERA, module

ROOT = Path(__file__).parents[2]


class Line:
    """The command line in a folder with a plugins directory and a ``luxxon.toml``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plugins = folder, folder / "plugins"
        self.plugins.mkdir()

    def settings(self, text: str) -> None:
        (self.folder / "luxxon.toml").write_text(text)

    def __call__(self, *arguments: str, seconds: float = 90, **environment: str) -> tuple[int, str, str]:
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        environment["LUXXON_PLUGINS_DIR"] = str(self.plugins)
        done = subprocess.run(
            [sys.executable, "-m", "luxxon_core", "plugins", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def row(text: str, name: str) -> list[str]:
    return next(found.split() for found in text.splitlines() if found.split()[0] == name)


def test_list_shows_all_and_imports_none(line: Line) -> None:
    path = module(line.plugins, "gate", "__version__ = '4.5'\nraise SystemExit('imported')")
    line.settings("[plugins.gate]\nenabled = false\nkey = { env = 'NOT_READ' }\n")
    status, out, err = line("list")
    assert (status, err) == (0, "")
    assert row(out, "gate") == ["gate", "-", "4.5", str(path), "off"]
    assert row(out, "testcard")[1:] == ["luxxon", row(out, "webcam")[2], "built", "in"]
    told = json.loads(line("list", "--json")[1])["plugins"]
    assert {"name": "gate", "version": "4.5", "from": "directory", "enabled": False}.items() <= told[
        -1
    ].items()


def test_info_tells_what_a_plugin_registers(line: Line) -> None:
    path = module(line.plugins, "gate", CAMERA.format(key="gate-one"))
    line.settings("[plugins.gate]\ntoken = 'hunter2'\n")
    status, out, _ = line("info", "gate")
    assert status == 0
    assert re.search(r"^cameras +gate-one: Fake camera$", out, re.MULTILINE)
    assert re.search(r"^configured +token$", out, re.MULTILINE)
    assert "hunter2" not in out
    told = json.loads(line("info", "gate", "--json")[1])
    assert told["registers"] == {"cameras": {"gate-one": "Fake camera"}}
    assert "password" in told["fields"]["gate-one"]
    assert told["path"] == str(path)


def test_info_says_why_a_plugin_is_left_out(line: Line) -> None:
    module(line.plugins, "gate", "import no_such_sdk")
    status, out, _ = line("info", "gate")
    assert status == 1
    assert re.search(r"^not loaded +ModuleNotFoundError: No module named 'no_such_sdk'$", out, re.MULTILINE)
    status, out, err = line("info", "gat")
    assert (status, out) == (2, "")
    assert err.startswith("luxxon: there is no plugin 'gat'; there are: ")


def test_without_a_command_the_cameras_are_listed(line: Line) -> None:
    module(line.plugins, "gate", "import no_such_sdk")
    status, out, err = line()
    assert status == 0
    assert {"file", "testcard", "webcam"} <= {found.split()[0] for found in out.splitlines()}
    assert re.fullmatch(r"gate +not loaded: ModuleNotFoundError: No module named 'no_such_sdk'\n", err)


def test_check_of_a_good_camera(line: Line) -> None:
    module(line.plugins, "gate", CAMERA.format(key="gate-one"))
    line.settings(
        "[cameras.front]\ntype = 'gate-one'\nlatitude = 50.8\nlongitude = 4.3\nwidth = 64\nheight = 36\n"
    )
    status, out, err = line("check", "gate", "--camera", "front", "--still")
    assert (status, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[0] == "ok     gate: loads, and registers gate-one"
    assert "ok     gate-one: frames come in order and in size" in lines
    assert "-      gate-one: stop ends a move at once" in lines
    assert "ok     gate-one: poses are complete and in order" in lines
    assert re.fullmatch(r"good: \d+ passed, 0 failed, \d+ do not apply", lines[-1])


BAD = """
import asyncio
from luxxon_core.plugins import hookimpl
from luxxon_core.testing import FakeCamera, FakeConfig, FakeSourceType

class Config(FakeConfig):
    host: str

class Camera(FakeCamera):
    def health(self):
        raise ValueError(f"no health at {self.config.password.get_secret_value()}")

class Type(FakeSourceType):
    async def discover(self, timeout):
        await asyncio.sleep(timeout + 5)
        return
        yield

@hookimpl
def luxxon_register_sources(register):
    register(Type(key="gate-one", password="hunter2", camera=Camera, Config=Config))
"""


def test_check_says_what_is_wrong_and_where(line: Line) -> None:
    path = module(line.plugins, "gate", BAD)
    status, out, _ = line("check", str(path), "--json", "--set", "host=a", "--set", "password=hunter2")
    assert status == 1
    told = json.loads(out)
    checks: dict[str, dict[str, Any]] = {one["check"]: one for one in told["checks"]}
    assert checks["discovery ends in time"]["reason"] == "discover(1.0) took 6.0 s"
    health = checks["opens and closes"]["reason"]
    assert health.startswith("ValueError: no health at ***\n")
    assert re.search(r"gate\.py, line \d+: raise ValueError", health)
    assert "hunter2" not in out
    assert checks["profiles are complete"]["state"] == "passed"
    assert told["failed"] == sum(one["state"] == "failed" for one in checks.values()) >= 3


def test_check_asks_for_what_a_configuration_needs(line: Line) -> None:
    module(line.plugins, "gate", BAD)
    status, out, _ = line("check", "gate")
    assert status == 1
    assert "FAILED gate-one: can be configured" in out
    assert "gate-one: host: Field required" in out
    assert "--set" in out


FAILING_CONFIG = """
from luxxon_core.plugins import hookimpl
from luxxon_core.testing import FakeConfig, FakeSourceType
from pydantic import field_validator

class Config(FakeConfig):
    host: str

    @field_validator("host")
    @classmethod
    def known(cls, value):
        return {}[value]

@hookimpl
def luxxon_register_sources(register):
    register(FakeSourceType(key="gate-one", Config=Config))
    register(FakeSourceType(key="gate-two"))
"""


def test_check_goes_on_after_a_configuration_that_fails(line: Line) -> None:
    module(line.plugins, "gate", FAILING_CONFIG)
    status, out, err = line("check", "gate", "--set", "host=hunter2", "--source", "gate-one")
    assert (status, err) == (1, "")
    assert "FAILED gate-one: can be configured" in out
    assert "gate-one: its configuration failed (KeyError)" in out
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing",), "there is no plugin and no path 'nothing'"),
        (("gate", "--source", "other"), "it has no type of camera 'other'; it has: gate-one"),
        (("gate", "--camera", "front"), "luxxon.toml has no camera 'front'; it has: none"),
        (("gate", "--set", "width"), "'width' is not of the form FIELD=VALUE"),
        ((".",), "is no module, no package and no project"),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_line(line: Line, arguments: tuple[str, ...], told: str) -> None:
    module(line.plugins, "gate", CAMERA.format(key="gate-one"))
    status, _, err = line("check", *arguments)
    assert status == 2
    assert told in err
    assert len(err.splitlines()) == 1


HANGS = """
import time
from luxxon_core.plugins import hookimpl
from luxxon_core.testing import FakeSourceType

class Type(FakeSourceType):
    async def discover(self, timeout):
        time.sleep(3600)
        yield

@hookimpl
def luxxon_register_sources(register):
    register(Type(key="gate-one"))
"""


IMPATIENT = """
import sys
from luxxon_core.cli import main
from luxxon_core.plugins import checks
checks.LOAD_SECONDS = checks.CHECK_SECONDS = 1.0
sys.argv[1:] = ["plugins", "check", "gate"]
main()
"""


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (HANGS, "FAILED gate-one: discovery ends in time"),
        ("import time; time.sleep(3600)", "FAILED gate: loads"),
    ],
    ids=["check", "import"],
)
def test_check_gives_up_on_what_never_ends(line: Line, text: str, check: str) -> None:
    module(line.plugins, "gate", text)
    tree = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT],
        cwd=line.folder,
        env={**os.environ, "LUXXON_PLUGINS_DIR": str(line.plugins), "PYTHONPATH": tree},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert check in done.stdout
    assert "does not end" in done.stdout
    assert "not good yet" in done.stdout


def test_a_wrong_table_is_named(line: Line) -> None:
    line.settings("[plugins.gate]\nenabled = 'perhaps'\n")
    status, out, err = line("list")
    assert (status, out) == (2, "")
    assert err.startswith("luxxon: setting plugins.gate.enabled: ")
    line.settings("[cameras.front]\npassword = 'hunter2'\n")
    assert line("list")[0] == 0  # cameras are nobody's concern here
    status, _, err = line("check", "testcard", "--camera", "front")
    assert (status, "hunter2" in err) == (2, False)
    assert "cameras.front.type" in err
