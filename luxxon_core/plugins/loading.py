"""Loads plugins one by one, checks what they register, and leaves a faulty one out."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from luxxon_core.plugins.registrations import API_VERSION, SCREENS, EdgeType, PanelType, SignerType
from luxxon_core.plugins.registry import PluginFailure, PluginRegistry

if TYPE_CHECKING:
    from luxxon_core.settings import PluginSettings

KEY = re.compile(r"[a-z][a-z0-9-]*")
BUILT_IN_EDGES = frozenset({"embedded", "cloudflare", "mediamtx"})
SLOW_SECONDS = 5.0
"""An import that takes longer is told of, while it lasts: it may never end, and nothing can end it."""

Found = dict[str, dict[str, Any]]
"""Kind, as the registry names it, to what was registered by key."""


class EntryPointLike(Protocol):
    """The part of ``importlib.metadata.EntryPoint`` that loading needs."""

    @property
    def name(self) -> str: ...

    def load(self) -> Any:
        """Import and return the plugin."""
        ...


def load_plugins(
    entry_points: Iterable[EntryPointLike] | None = None,
    *,
    settings: PluginSettings | None = None,
    only: Collection[str] | None = None,
) -> PluginRegistry:
    """Load the plugins there are, or those given; ``only`` those of these names.

    A plugin that fails to import, ends the process, raises, or registers something that is not of this API
    version is left out whole and named in ``failures``; one that the settings switch off is not imported.

    Args:
        settings: what the plugins are told, and where they are when no entry points are given; read from the
            environment and ``luxxon.toml`` when neither is.

    Raises:
        StartError: those settings cannot be read.
    """
    tables: dict[str, dict[str, Any]] = {}
    disabled: list[str] = []
    if entry_points is None:
        entry_points, tables, disabled = _of_settings(settings)
    elif settings is not None:
        tables = {name: table.config for name, table in settings.plugins.items()}
    wanted = [one for one in entry_points if only is None or one.name in only]
    total: Found = {kind: {} for kind in CHECKS}
    plugins: dict[str, tuple[str, ...]] = {}
    failures: list[PluginFailure] = []
    objects: list[Any] = []
    for entry_point in wanted:
        name, secrets = entry_point.name, set[str]()
        try:
            if name in plugins:
                raise ValueError(f"there is another plugin named {name}")
            config = _config(tables.get(name, {}), secrets)
            found = _load_one(entry_point, config, total, objects)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            # SystemExit and all others are reported: a plugin must not take the host down.
            failures.append(PluginFailure(name, one_line(error, secrets)))
            continue
        for kind, registered in found.items():
            total[kind] |= registered
        plugins[name] = tuple(key for registered in found.values() for key in registered)
    off = tuple(name for name in disabled if only is None or name in only)
    return PluginRegistry(plugins=plugins, failures=tuple(failures), disabled=off, **total)


def _of_settings(
    settings: PluginSettings | None,
) -> tuple[list[EntryPointLike], dict[str, dict[str, Any]], list[str]]:
    from luxxon_core.plugins.discovery import installed
    from luxxon_core.settings import load_plugin_settings

    settings = settings if settings is not None else load_plugin_settings()
    found = installed(settings.plugins_directory, settings.disabled_plugins)
    tables = {name: table.config for name, table in settings.plugins.items()}
    return [one for one in found if one.enabled], tables, [one.name for one in found if not one.enabled]


def _config(table: Mapping[str, Any], secrets: set[str]) -> dict[str, Any]:
    if not table:
        return {}
    from pydantic import SecretStr

    from luxxon_core.plugins.secrets import resolved, secrets_in

    config = resolved(table, SecretStr)
    secrets.update(secrets_in(config))
    return config


def _load_one(
    entry_point: EntryPointLike, config: Mapping[str, Any], taken: Found, objects: list[Any]
) -> Found:
    import pluggy

    from luxxon_core.plugins.hooks import GROUP, HOOKS, HookSpecifications

    with _watched(entry_point.name):
        plugin = entry_point.load()
    if any(plugin is one for one in objects):
        raise ValueError("is registered twice")
    objects.append(plugin)
    # A manager for each: a plugin that raises must not keep the next from being asked.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecifications)
    manager.register(plugin, name=entry_point.name)
    callers = manager.get_hookcallers(plugin)
    if not callers:
        raise TypeError(f"does not implement any hook: {', '.join(HOOKS)}")
    manager.check_pending()
    found: Found = {kind: {} for kind in CHECKS}
    for caller in callers:
        kind = caller.name.removeprefix("luxxon_register_")
        for result in caller(register=_registrar(kind, found, taken), config=config):
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{caller.name} is async; hooks are plain functions")
    return found


def _registrar(kind: str, found: Found, taken: Found) -> Callable[[Any], None]:
    word, check = CHECKS[kind]

    def register(registered: Any) -> None:
        key = check(registered)
        if key in taken[kind] or key in found[kind]:
            raise ValueError(f"registers {word} {key!r}, which exists already")
        found[kind][key] = registered

    return register


@contextmanager
def _watched(name: str) -> Iterator[None]:
    """Say which plugin it is when its import does not end."""

    def tell() -> None:
        import structlog

        structlog.get_logger(__name__).warning("plugin.slow_import", plugin=name, seconds=SLOW_SECONDS)

    timer = threading.Timer(SLOW_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# -- what may be registered -------------------------------------------------------------------------------


def _checked_source(source_type: Any) -> str:
    from pydantic import BaseModel

    from luxxon_core import source

    name = type(source_type).__name__
    if isinstance(source_type, type):
        raise TypeError(f"registers the class {source_type.__name__}; register an instance of it")
    version = getattr(source_type, "api_version", None)
    if version != source.API_VERSION:
        raise TypeError(f"{name} is written for source API version {version!r}, this is {source.API_VERSION}")
    key = _checked_key(source_type)
    config = getattr(source_type, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise TypeError(f"{name}.Config is not a pydantic model")
    for method in ("discover", "open"):
        if not callable(getattr(source_type, method, None)):
            raise TypeError(f"{name} has no method {method}")
    return key


def _checked_edge(edge_type: Any) -> str:
    key = _described(edge_type, EdgeType, "open")
    if key in BUILT_IN_EDGES:
        raise ValueError(f"registers media edge {key!r}, which is built in")
    return key


def _checked_signer(signer_type: Any) -> str:
    return _described(signer_type, SignerType, "open")


def _checked_panel(panel_type: Any) -> str:
    key = _described(panel_type, PanelType, "widget")
    if panel_type.screen not in SCREENS:
        raise ValueError(f"panel {key}: there is no screen {panel_type.screen!r}")
    return key


def _checked_command(command: Any) -> str:
    import click

    if not isinstance(command, click.Command):
        raise TypeError(f"registers a {type(command).__name__} where a click command is wanted")
    if not isinstance(command.name, str) or not KEY.fullmatch(command.name):
        raise TypeError(f"registers a command named {command.name!r}")
    return command.name


CHECKS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "sources": ("camera type", _checked_source),
    "edges": ("media edge", _checked_edge),
    "signers": ("signer", _checked_signer),
    "commands": ("command", _checked_command),
    "panels": ("panel", _checked_panel),
}
"""By kind: what one is called, and the check that gives its key."""


def _described(registered: Any, kind: type, makes: str) -> str:
    if not isinstance(registered, kind):
        raise TypeError(f"registers a {type(registered).__name__} where a {kind.__name__} is wanted")
    version = getattr(registered, "api_version", None)
    if version != API_VERSION:
        raise TypeError(
            f"{kind.__name__} is written for plugin API version {version!r}, this is {API_VERSION}"
        )
    key = _checked_key(registered)
    if not callable(getattr(registered, makes)):
        raise TypeError(f"{kind.__name__}.{makes} cannot be called")
    return key


def _checked_key(registered: Any) -> str:
    name, key = type(registered).__name__, getattr(registered, "key", None)
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise TypeError(f"{name}.key is {key!r}, not lower-case letters, digits and hyphens")
    if not isinstance(getattr(registered, "title", None), str):
        raise TypeError(f"{name}.title is not a string")
    return key


def one_line(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """An error of foreign code in a line without its secrets, fit to be shown."""
    from luxxon_core.source import without_userinfo

    text = str(error)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = without_userinfo(" ".join(text.split())) or "no message"
    return f"{type(error).__name__}: {text}"[:300]
