"""Which cameras there are: those of ``luxxon.toml``, and what the plugins discover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError, StartError
from luxxon_tui.operate.fields import FormField, form_of, plain_value, validated

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.operator.config import OperateTable
    from luxxon_core.plugins import PanelType, PluginRegistry
    from luxxon_core.settings import CameraSettings
    from luxxon_core.source import SourceType

DISCOVERY_SECONDS = 4.0
GRACE_SECONDS = 2.0
NEW = "+"
"""Key of a camera that is only tried."""


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that can be opened, or tried to be."""

    key: str
    """Stable while the console runs."""
    name: str
    title: str
    """Of its type: ``Test card``."""
    type_key: str
    source_type: SourceType[Any] = field(repr=False, compare=False)
    config: BaseModel = field(repr=False, compare=False)
    table: OperateTable | None = field(default=None, repr=False, compare=False)
    """``[cameras.NAME.operate]``, where there is one."""
    configured: bool = False
    own: bool = False
    """Whether it is in the user's own file: it can be renamed and removed here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A camera that somebody is about to try.

    Attributes:
        text: that it was named by.
        said: fields of its configuration that were named with it.
        found: where it was found and not named.
    """

    source_type: SourceType[Any]
    text: str = field(default="", repr=False)
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)
    found: FoundCamera | None = None

    @property
    def key(self) -> str:
        """Of its type."""
        return self.source_type.key

    async def form(self, config: BaseModel | None) -> tuple[FormField, ...]:
        """What else it may be told; ``config`` is what is known by now."""
        try:
            return form_of(self.source_type.Config, config, self.said)
        except Exception:  # noqa: BLE001 - a plugin's; it can be tried as it is
            return ()

    async def camera(self, values: Mapping[str, Any]) -> FoundCamera:
        """The camera, with these fields beside those that were said.

        Raises:
            LuxxonError: as :func:`~luxxon_tui.operate.fields.validated`.
        """
        config = validated(self.source_type, {**values, **self.said})
        if self.found is not None:
            return replace(self.found, config=config)
        return FoundCamera(NEW, self.key, self.source_type.title, self.key, self.source_type, config)

    def settled(self, config: BaseModel) -> Wanted:
        """The same, with what was said as the configuration has it: an address without its password."""
        return replace(self, said={name: plain_value(getattr(config, name)) for name in self.said})


@dataclass(frozen=True, slots=True)
class Fault:
    """A plugin or a camera that was left out, and why."""

    name: str
    reason: str


Told = Callable[["FoundCamera | Fault"], object]


class Finder:
    """Looks for cameras. Runs on a loop where it may block."""

    def __init__(self, seconds: float = DISCOVERY_SECONDS) -> None:
        self._seconds = seconds
        self.panels: Sequence[PanelType] = ()
        """Those of the plugins, once cameras have been looked for."""

    async def find(self, told: Told) -> None:
        """Tell each camera and each fault as it is found."""
        settings = self._settings(told)
        registry = self._registry(settings)
        for failure in registry.failures:
            told(Fault(failure.plugin, failure.reason))
        self.panels = tuple(registry.panels.values())
        own = self._own()
        known: list[tuple[str, BaseModel]] = []
        for name, table in settings.cameras.items() if settings is not None else ():
            found = self._configured(registry, name, table.type, table.fields, table.operate)
            if isinstance(found, FoundCamera) and name in own:
                found = replace(found, own=True)
            told(found)
            if isinstance(found, FoundCamera):
                known.append((found.type_key, found.config))
        types = registry.sources.values()
        await asyncio.gather(*(self._discover(source_type, known, told) for source_type in types))

    async def wanted(self, text: str) -> Wanted:
        """What somebody names: a URL, the path of a file, ``type:value`` or a type alone.

        Raises:
            SourceConfigError: no type of camera takes it.
        """
        registry, text = self._registry(None), text.strip()
        spec = _spec(text, registry.sources)
        key, colon, value = spec.partition(":")
        source_type = registry.sources.get(key)
        name = getattr(source_type.Config, "spec_field", None) if source_type is not None else None
        if source_type is None or (colon and name is None):
            source_type, _ = registry.configure(spec)  # says what is wrong with it
        return Wanted(source_type, text, {name: value} if colon and name is not None else {})

    async def kinds(self) -> tuple[tuple[str, str], ...]:
        """Key and title of each type of camera."""
        return tuple((key, one.title) for key, one in self._registry(None).sources.items())

    def _own(self) -> Collection[str]:
        from luxxon_core.camera_file import own_cameras

        try:
            return own_cameras().keys()
        except StartError:  # told already, as that of the cameras
            return ()

    def _settings(self, told: Told) -> CameraSettings | None:
        from luxxon_core.settings import load_cameras

        try:
            return load_cameras()
        except StartError as error:
            told(Fault("luxxon.toml", error.message))
            return None

    def _registry(self, settings: CameraSettings | None) -> PluginRegistry:
        from luxxon_core.plugins import PluginRegistry, load_plugins

        try:
            return load_plugins(settings=settings)
        except StartError:  # told already, as that of the cameras
            return PluginRegistry()

    def _configured(
        self, registry: PluginRegistry, name: str, spec: str, fields: dict[str, Any], operate: dict[str, Any]
    ) -> FoundCamera | Fault:
        from luxxon_core.operator.config import operate_table

        try:
            source_type, config = registry.configure(spec, fields)
            table = operate_table(name, operate) if operate else None
        except LuxxonError as error:
            return Fault(name, error.message)
        key = source_type.key
        return FoundCamera(f"={name}", name, source_type.title, key, source_type, config, table, True)

    async def _discover(
        self, source_type: SourceType[Any], known: list[tuple[str, BaseModel]], told: Told
    ) -> None:
        key = source_type.key
        try:
            async with (
                asyncio.timeout(self._seconds + GRACE_SECONDS),
                aclosing(source_type.discover(self._seconds)) as devices,
            ):
                async for device in devices:
                    if not any(key == type_key and _is_of(device.config, of) for type_key, of in known):
                        told(
                            FoundCamera(
                                f"{key}:{device.key}",
                                device.title,
                                source_type.title,
                                key,
                                source_type,
                                device.config,
                            )
                        )
        except TimeoutError:
            told(Fault(key, "looking for its cameras took too long"))
        except LuxxonError as error:
            told(Fault(key, error.message))
        except Exception as error:  # noqa: BLE001 - a plugin's; its text may be a URL with a password
            told(Fault(key, f"its discovery failed ({type(error).__name__})"))


def _is_of(device: BaseModel, known: BaseModel) -> bool:
    """Whether what was found is what is configured, perhaps with more told of it, such as its password."""
    told = device.model_fields_set
    same = bool(told) and all(getattr(known, name, None) == getattr(device, name) for name in told)
    return same or device == known


def _spec(text: str, types: Mapping[str, SourceType[Any]]) -> str:
    """``type:value`` of what somebody has typed."""
    scheme, separator, rest = text.partition("://")
    if separator:
        for key, source_type in types.items():
            if scheme.lower() in getattr(source_type.Config, "url_schemes", ()):
                return f"{key}:{scheme.lower()}://{rest}"
        return f"file:{rest}" if scheme.lower() == "file" else text
    if text.partition(":")[0] in types:
        return text
    return f"file:{text}" if "/" in text or _is_there(text) else text


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # longer than a name can be; of a user that there is not
        return False
