"""``luxxon plugins check``: loads a plugin, and runs the conformance suite on its cameras."""

from __future__ import annotations

import sys
import threading
import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError, StartError
from luxxon_core.plugins.discovery import COMMANDS, GROUP, Origin, PluginInfo, installed, load_module
from luxxon_core.plugins.loading import load_plugins, one_line
from luxxon_core.settings import PluginSettings, load_cameras, load_plugin_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.plugins.registry import PluginRegistry
    from luxxon_core.source import SourceType

LOAD_SECONDS, CHECK_SECONDS = 30.0, 75.0
"""After which a plugin is taken to hang; a check ends by itself before, unless the event loop is blocked."""


class State(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found.

    Attributes:
        subject: the plugin or the type of camera.
        hangs: whether the check has not ended, and its thread still runs.
    """

    subject: str
    check: str
    state: State
    reason: str = ""
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What to check, and how a camera is configured.

    Attributes:
        key: the type of camera; all when not given.
        camera: a table ``[cameras.NAME]``.
        fields: of the configuration, over those of the camera.
        still: leave out what moves it.
    """

    key: str | None = None
    camera: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    still: bool = False


def verdicts(name_or_path: str, wish: Wish) -> Iterator[Verdict]:
    """Check the plugin of that name, or that lies there; each verdict as it is found.

    Raises:
        StartError: there is no such plugin, camera or type of camera.
    """
    settings = load_plugin_settings()
    for info in _plugins(name_or_path, settings):
        outcome = _run(lambda info=info: load_plugins([info], settings=settings), LOAD_SECONDS)  # type: ignore[misc]
        if outcome is None:
            yield Verdict(info.name, "loads", State.FAILED, "its import does not end", hangs=True)
            return
        registry = outcome.value()
        if registry.failures:
            yield Verdict(info.name, "loads", State.FAILED, registry.failures[0].reason)
            continue
        keys = ", ".join(registry.plugins[info.name]) or "nothing"
        yield Verdict(info.name, f"loads, and registers {keys}", State.PASSED)
        yield from _commands(info, registry)
        yield from _cameras(registry, wish)


def _plugins(name_or_path: str, settings: PluginSettings) -> list[PluginInfo]:
    path = Path(name_or_path)
    found = [one for one in installed(settings.plugins_directory) if one.name == name_or_path]
    if found or not path.exists():
        if not found:
            raise StartError(message=f"there is no plugin and no path {name_or_path!r}")
        return found[:1]
    path = path.resolve()
    if (path / "pyproject.toml").is_file():
        return _of_project(path)
    code = path / "__init__.py" if path.is_dir() else path
    if code.suffix != ".py" or not code.is_file():
        raise StartError(message=f"{path} is no module, no package and no project")
    name = path.stem if code is path else path.name
    load = lambda: load_module(name, code)  # noqa: E731
    return [PluginInfo(name, str(path), Origin.DIRECTORY, commands=("...",), _load=load)]


def _of_project(path: Path) -> list[PluginInfo]:
    import tomllib

    try:
        project = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        raise StartError(message=f"{path / 'pyproject.toml'} cannot be read: {error}") from None
    groups = project.get("entry-points", {})
    if not groups.get(GROUP):
        raise StartError(message=f"{path / 'pyproject.toml'} has no [project.entry-points.{GROUP}]")
    folder = path / "src" if (path / "src").is_dir() else path
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    commands = groups.get(COMMANDS, {})
    return [
        PluginInfo(
            name,
            module,
            Origin.PACKAGE,
            str(project.get("name", "")),
            str(project.get("version", "")),
            tuple(command for command, of in commands.items() if of == module),
            _load=EntryPoint(name, module, GROUP).load,
        )
        for name, module in groups[GROUP].items()
    ]


def _commands(info: PluginInfo, registry: PluginRegistry) -> Iterator[Verdict]:
    """Whether the commands are those that ``luxxon --help`` lists."""
    if info.origin is Origin.DIRECTORY and "..." in info.commands:
        return
    named, registered = set(info.commands), set(registry.commands)
    if not named and not registered:
        return
    check = f"the entry-point group {COMMANDS} names its commands"
    missing = [f"{name} is not in it" for name in sorted(registered - named)]
    missing += [f"{name} is in it and not registered" for name in sorted(named - registered)]
    yield Verdict(info.name, check, State.FAILED if missing else State.PASSED, "\n".join(missing))


def _cameras(registry: PluginRegistry, wish: Wish) -> Iterator[Verdict]:
    table = None
    if wish.camera is not None:
        cameras = load_cameras().cameras
        if wish.camera not in cameras:
            known = ", ".join(cameras) or "none"
            raise StartError(message=f"luxxon.toml has no camera {wish.camera!r}; it has: {known}")
        table = cameras[wish.camera]
    of_camera = table.type.partition(":")[0] if table is not None else None
    wanted = wish.key or of_camera
    if wanted is not None and wanted not in registry.sources:
        known = ", ".join(registry.sources) or "none"
        raise StartError(message=f"it has no type of camera {wanted!r}; it has: {known}")
    for key in [wanted] if wanted is not None else registry.sources:
        spec = table.type if table is not None and of_camera == key else key
        fields = {**(table.fields if table is not None else {}), **wish.fields}
        try:
            source_type, config = registry.configure(spec, fields)
        except LuxxonError as error:
            hint = "name a camera of luxxon.toml by --camera, or fields by --set"
            yield Verdict(key, "can be configured", State.FAILED, f"{error.message}\n{hint}")
            continue
        yield from _conformance(source_type, config, wish.still)


def _conformance(source_type: SourceType[Any], config: BaseModel, still: bool) -> Iterator[Verdict]:
    from luxxon_core.testing import SourceConformance
    from luxxon_core.testing.conformance import secrets_of

    suite = type("Suite", (SourceConformance,), {})()
    suite.source_type, suite.config, suite.may_move = source_type, config, not still
    tests = [name for kind in type(suite).__mro__ for name in vars(kind) if name.startswith("test_")]
    hung = False
    for name in dict.fromkeys(tests):
        check = name.removeprefix("test_").replace("_", " ")
        if hung:
            yield Verdict(source_type.key, check, State.LEFT_OUT, "not run")
            continue
        outcome = _run(getattr(suite, name), CHECK_SECONDS)
        if outcome is None:
            hung = True
            reason = "does not end: something blocks the event loop"
            yield Verdict(source_type.key, check, State.FAILED, reason, hangs=True)
        else:
            yield Verdict(source_type.key, check, *outcome.judged([*secrets_of(config)]))


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Any = None
    error: BaseException | None = None

    def value(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result

    def judged(self, secrets: list[str]) -> tuple[State, str]:
        match self.error:
            case None:
                return State.PASSED, ""
            case unittest.SkipTest():
                return State.LEFT_OUT, str(self.error)
            case AssertionError() if str(self.error):
                reason = one_line(self.error, secrets).removeprefix("AssertionError: ")
                return State.FAILED, reason
        last = traceback.extract_tb(self.error.__traceback__)[-1]
        where = f"{last.filename}, line {last.lineno}: {last.line}"
        return State.FAILED, f"{one_line(self.error, secrets)}\n{where}"


def _run(work: Callable[[], Any], seconds: float) -> _Outcome | None:
    """In a thread of its own, which can be left behind; None when it has not ended by then."""
    outcomes: list[_Outcome] = []

    def run() -> None:
        try:
            outcomes.append(_Outcome(work()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the verdict
            outcomes.append(_Outcome(error=error))

    thread = threading.Thread(target=run, name="luxxon-check", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcomes[0] if outcomes else None
