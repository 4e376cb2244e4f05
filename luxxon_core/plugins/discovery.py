"""Which plugins there are, told from metadata alone: nothing of theirs is imported to find out."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

GROUP = "luxxon"
COMMANDS = "luxxon.commands"
"""Entry points of this group say which commands a package has: name of the command = module of the plugin."""
OWN = "luxxon"
BUILT_IN = {
    "drone": "luxxon_drone",
    "rtsp-ptz": "luxxon_rtsp_ptz",
    "testcard": "luxxon_testcard",
    "webcam": "luxxon_webcam",
}
"""Plugins of this distribution, for a checkout that is on the path without being installed."""
COMMANDS_HOOK = "luxxon_register_commands"


class Origin(StrEnum):
    BUILT_IN = "built in"
    PACKAGE = "package"
    DIRECTORY = "directory"
    """Of the plugins directory."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What is known of a plugin before it is imported.

    Attributes:
        module: import name, or the path of what is in the plugins directory.
        distribution: the package it was installed with; empty where there is none.
        commands: those that its metadata names. A module of the plugins directory that registers commands has
            ``...`` there: their names are not known before it is imported.
    """

    name: str
    module: str
    origin: Origin
    distribution: str = ""
    version: str = ""
    commands: tuple[str, ...] = ()
    enabled: bool = True
    _load: Callable[[], Any] = field(default=lambda: None, repr=False, compare=False)

    def load(self) -> Any:
        """Import and return the plugin. Raises whatever its import does."""
        return self._load()


def installed(directory: Path | None = None, disabled: Iterable[str] = ()) -> tuple[PluginInfo, ...]:
    """The plugins of this environment and of the plugins directory, those of Luxxon itself first."""
    off = frozenset(disabled)
    directory = _readable(directory)
    packages = [*_packages(directory)]
    found = [*_unpackaged({info.module for info in packages}), *packages]
    if directory is not None:
        found += _of_directory(directory)
    found.sort(key=lambda info: list(Origin).index(info.origin))
    return tuple(replace(info, enabled=info.name not in off) for info in found)


def _readable(directory: Path | None) -> Path | None:
    """The directory, where there is one that can be listed."""
    try:
        if directory is None or not directory.is_dir():
            return None
        next(directory.iterdir(), None)
    except OSError as error:
        import structlog

        log = structlog.get_logger(__name__)
        log.warning("plugin.directory_unreadable", directory=str(directory), reason=error.strerror)
        return None
    return directory.resolve()


def _packages(directory: Path | None) -> Iterator[PluginInfo]:
    """Those on the path, which the plugins directory may be on: its own are told there."""
    try:
        found = entry_points()
    except (ValueError, TypeError, AttributeError, OSError):  # one package's metadata is broken: all but that
        yield from _one_by_one(directory)
        return
    commands = _commands_of(found.select(group=COMMANDS))
    for entry_point in found.select(group=GROUP):
        dist = entry_point.dist
        if directory is not None and dist is not None and Path(str(dist.locate_file(""))) == directory:
            continue
        origin = Origin.BUILT_IN if _distribution(entry_point) == OWN else Origin.PACKAGE
        yield _of_entry_point(entry_point, origin, commands)


def _one_by_one(directory: Path | None) -> Iterator[PluginInfo]:
    for distribution in distributions():
        if directory is None or Path(str(distribution.locate_file(""))) != directory:
            origin = Origin.BUILT_IN if _said(distribution, "Name") == OWN else Origin.PACKAGE
            yield from _of_distribution(distribution, origin)


def _unpackaged(packaged: set[str]) -> Iterator[PluginInfo]:
    from luxxon_core import __version__

    for name, module in BUILT_IN.items():
        if module not in packaged and importlib.util.find_spec(module) is not None:
            entry_point = EntryPoint(name, module, GROUP)
            yield PluginInfo(name, module, Origin.BUILT_IN, OWN, __version__, (), True, entry_point.load)


def _of_entry_point(
    entry_point: EntryPoint, origin: Origin, commands: dict[tuple[str, str], list[str]]
) -> PluginInfo:
    distribution = _distribution(entry_point)
    return PluginInfo(
        entry_point.name,
        entry_point.value,
        origin,
        distribution,
        _said(entry_point.dist, "Version"),
        tuple(sorted(commands.get((distribution, entry_point.value), ()))),
        True,
        entry_point.load,
    )


def _distribution(entry_point: EntryPoint) -> str:
    return _said(entry_point.dist, "Name")


def _said(distribution: Distribution | None, field: str) -> str:
    """A field of the metadata; empty where it is not there, or there is none to be read."""
    try:
        told = distribution.metadata if distribution is not None else None
        return str(told[field] or "") if told is not None and field in told else ""
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        return ""


def _commands_of(named: Iterable[EntryPoint]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for entry_point in named:
        found.setdefault((_distribution(entry_point), entry_point.value), []).append(entry_point.name)
    return found


# -- the plugins directory --------------------------------------------------------------------------------


def _of_directory(directory: Path) -> Iterator[PluginInfo]:
    """Modules and packages that lie there as they are, and what ``pip install --target`` has put there."""
    owned: set[str] = set()
    for distribution in distributions(path=[str(directory)]):
        owned |= {file.parts[0] for file in distribution.files or () if file.parts}
        for info in _of_distribution(distribution, Origin.DIRECTORY):
            yield replace(info, _load=_on_path(directory, info))
    for path in sorted(directory.iterdir()):
        if path.name in owned or path.name.startswith(("_", ".")):
            continue
        code = path / "__init__.py" if path.is_dir() else path
        if code.suffix == ".py" and code.is_file():
            version, commands = _read(code)
            name = path.stem if path is code else path.name
            yield PluginInfo(
                name, str(path), Origin.DIRECTORY, "", version, commands, True, _loader(name, code)
            )


def _on_path(directory: Path, info: PluginInfo) -> Callable[[], Any]:
    def load() -> Any:
        if str(directory) not in sys.path:  # at the end: nothing there replaces what is installed
            sys.path.append(str(directory))
        return info.load()

    return load


def _of_distribution(distribution: Distribution, origin: Origin) -> Iterator[PluginInfo]:
    try:
        found = distribution.entry_points
    except (ValueError, TypeError, AttributeError, OSError) as error:
        yield _unreadable(distribution, origin, error)
        return
    commands = _commands_of(found.select(group=COMMANDS))
    for entry_point in found.select(group=GROUP):
        yield _of_entry_point(entry_point, origin, commands)


def _unreadable(distribution: Distribution, origin: Origin, error: Exception) -> PluginInfo:
    name = _said(distribution, "Name") or "unknown"

    def load() -> None:
        raise ImportError(f"the entry points of {name} cannot be read") from error

    return PluginInfo(name, name, origin, name, _said(distribution, "Version"), (), True, load)


def _read(code: Path) -> tuple[str, tuple[str, ...]]:
    """``__version__`` of a module, and whether it registers commands; without running it."""
    try:
        body = ast.parse(code.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return "", ()  # loading it will say what is wrong
    version = ""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__version__")], value=ast.Constant(value=str(found))):
                version = found
    hooked = any(isinstance(node, ast.FunctionDef) and node.name == COMMANDS_HOOK for node in body)
    return version, ("...",) if hooked else ()


def _loader(name: str, code: Path) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        return load_module(name, code)

    return load


def load_module(name: str, code: Path) -> ModuleType:
    """Import a file under a top-level name, as if its folder were on the path, which it is not.

    Raises:
        ImportError: the name is no module's, or another's; others may write to the file.
        Exception: whatever the module raises.
    """
    if not name.isidentifier():
        raise ImportError(f"{name!r} cannot be the name of a module")
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(code):
        return known
    other = None if known is not None else importlib.util.find_spec(name)
    if known is not None or (other is not None and other.origin != str(code)):
        raise ImportError(f"there is another module named {name}")
    _check_private(code)
    package = [str(code.parent)] if code.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, code, submodule_search_locations=package)
    if spec is None or spec.loader is None:
        raise ImportError(f"{code} is not a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise
    return module


def _check_private(code: Path) -> None:
    """Who may write a plugin may do whatever its user may; on POSIX that must not be everybody."""
    for path in (code, code.parent):
        if sys.platform != "win32" and path.stat().st_mode & 0o002 and not path.stat().st_mode & 0o1000:
            raise ImportError(f"everybody may write to {path}")
