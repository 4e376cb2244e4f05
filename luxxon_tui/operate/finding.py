"""Which cameras there are: those of ``luxxon.toml``, and what the plugins discover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError, StartError

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

    async def named(self, text: str) -> FoundCamera:
        """The camera that somebody names: a URL, the path of a file, or ``type:value``.

        Raises:
            SourceConfigError: no type of camera takes it.
        """
        registry = self._registry(None)
        spec = _spec(text.strip(), registry.sources)
        source_type, config = registry.configure(spec)
        key = source_type.key
        return FoundCamera(NEW, key, source_type.title, key, source_type, config)

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
                    if (key, device.config) not in known:
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
    return f"file:{text}" if "/" in text or Path(text).expanduser().exists() else text
