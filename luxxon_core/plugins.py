"""Finds camera plugins, checks them and keeps a broken one from taking the host down.

A plugin is a module named by an entry point of group ``luxxon``; it implements one hook::

    from luxxon_core.plugins import hookimpl

    @hookimpl
    def luxxon_register_sources(register):
        register(MySourceType())

Frames never pass through pluggy: the hook registers source types and that is all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pluggy import HookimplMarker, PluginManager
    from pydantic import BaseModel

    from luxxon_core.source import SourceType

    hookimpl: HookimplMarker

GROUP = "luxxon"
BUILT_IN = {"testcard": "luxxon_testcard", "webcam": "luxxon_webcam"}
"""Plugins of this distribution, for a checkout that is on the path without being installed."""

Register = Callable[["SourceType[Any]"], None]


def __getattr__(name: str) -> Any:
    if name == "hookimpl":  # made on demand: pluggy is not paid for by who only reads this module's types
        from pluggy import HookimplMarker

        return HookimplMarker(GROUP)
    raise AttributeError(name)


class EntryPointLike(Protocol):
    """The part of ``importlib.metadata.EntryPoint`` that loading needs."""

    @property
    def name(self) -> str: ...

    def load(self) -> Any:
        """Import and return the plugin."""
        ...


@dataclass(frozen=True, slots=True)
class PluginFailure:
    plugin: str
    reason: str
    """One line, fit to be shown."""


@dataclass(frozen=True, slots=True)
class PluginRegistry:
    sources: Mapping[str, SourceType[Any]] = field(default_factory=dict)
    plugins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Plugin name to the keys it registered."""
    failures: tuple[PluginFailure, ...] = ()

    def configure(
        self, spec: str, values: Mapping[str, Any] | None = None
    ) -> tuple[SourceType[Any], BaseModel]:
        """Resolve ``key`` or ``key:value`` (as ``file:clip.mp4``) to a source type and its configuration.

        ``values`` are further fields. Field values never appear in the error: some are secrets.

        Raises:
            SourceConfigError: unknown key, a value where none is taken, or an invalid field.
        """
        from pydantic import ValidationError

        from luxxon_core.source import SourceConfigError

        key, colon, value = spec.partition(":")
        source_type = self.sources.get(key)
        if source_type is None:
            known = ", ".join(sorted(self.sources)) or "none"
            broken = "".join(f"; {one.plugin} not loaded: {one.reason}" for one in self.failures)
            raise SourceConfigError("source:unknown", f"no camera type {key!r}; available: {known}{broken}")
        fields = dict(values or {})
        if colon:
            spec_field = getattr(source_type.Config, "spec_field", None)
            if spec_field is None:
                raise SourceConfigError(
                    "source:noSpecField", f"camera type {key} takes no value after the colon"
                )
            fields[spec_field] = value
        try:
            return source_type, source_type.Config.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or key
            raise SourceConfigError("source:invalidField", f"{key}: {where}: {first['msg']}") from None


def load_plugins(entry_points: Iterable[EntryPointLike] | None = None) -> PluginRegistry:
    """Load the installed plugins, or those given.

    A plugin that fails to import, raises, or registers something that is no source type of this API version
    is left out whole and named in ``failures``.
    """
    import pluggy

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(_hook_specifications())
    sources: dict[str, SourceType[Any]] = {}
    plugins: dict[str, tuple[str, ...]] = {}
    failures: list[PluginFailure] = []
    for entry_point in _installed() if entry_points is None else entry_points:
        try:
            found = _load_one(manager, entry_point, sources)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported; a plugin must not take the host down
            failures.append(PluginFailure(entry_point.name, _one_line(error)))
            continue
        sources |= found
        plugins[entry_point.name] = tuple(found)
    return PluginRegistry(sources, plugins, tuple(failures))


def _load_one(
    manager: PluginManager, entry_point: EntryPointLike, taken: Mapping[str, SourceType[Any]]
) -> dict[str, SourceType[Any]]:
    plugin = entry_point.load()
    if manager.is_registered(plugin):
        raise ValueError("is registered twice")
    others = list(manager.get_plugins())
    manager.register(plugin, name=entry_point.name)
    found: dict[str, SourceType[Any]] = {}
    try:
        if not manager.get_hookcallers(plugin):
            raise TypeError("does not implement the hook luxxon_register_sources")
        manager.check_pending()

        def register(source_type: SourceType[Any]) -> None:
            key = _checked_key(source_type)
            if key in taken or key in found:
                raise ValueError(f"registers camera type {key!r}, which exists already")
            found[key] = source_type

        # Only this plugin: one that raises must not keep the next from being asked.
        manager.subset_hook_caller("luxxon_register_sources", others)(register=register)
    except BaseException:
        manager.unregister(plugin)
        raise
    return found


def _checked_key(source_type: Any) -> str:
    from pydantic import BaseModel

    from luxxon_core.source import API_VERSION

    name = type(source_type).__name__
    if isinstance(source_type, type):
        raise TypeError(f"registers the class {source_type.__name__}; register an instance of it")
    version = getattr(source_type, "api_version", None)
    if version != API_VERSION:
        raise TypeError(f"{name} is written for source API version {version!r}, this is {API_VERSION}")
    key = getattr(source_type, "key", None)
    if not isinstance(key, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", key):
        raise TypeError(f"{name}.key is {key!r}, not lower-case letters, digits and hyphens")
    if not isinstance(getattr(source_type, "title", None), str):
        raise TypeError(f"{name}.title is not a string")
    config = getattr(source_type, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise TypeError(f"{name}.Config is not a pydantic model")
    for method in ("discover", "open"):
        if not callable(getattr(source_type, method, None)):
            raise TypeError(f"{name} has no method {method}")
    return key


def _hook_specifications() -> type:
    import pluggy

    class HookSpecifications:
        @pluggy.HookspecMarker(GROUP)
        def luxxon_register_sources(self, register: Register) -> None:
            """Call ``register`` once for each source type of the plugin."""

    return HookSpecifications


def _installed() -> list[EntryPointLike]:
    from importlib.metadata import EntryPoint, entry_points
    from importlib.util import find_spec

    installed: list[EntryPointLike] = list(entry_points(group=GROUP))
    names = {entry_point.name for entry_point in installed}
    missing = [(name, module) for name, module in BUILT_IN.items() if name not in names and find_spec(module)]
    return [*(EntryPoint(name, module, GROUP) for name, module in missing), *installed]


def _one_line(error: BaseException) -> str:
    from luxxon_core.source import without_userinfo

    text = without_userinfo(" ".join(str(error).split())) or "no message"
    return f"{type(error).__name__}: {text}"[:300]
