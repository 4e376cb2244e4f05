"""Which cameras there are: those of ``luxxon.toml``, and what the plugins discover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError, StartError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.operator.config import OperateTable
    from luxxon_core.plugins import PluginRegistry
    from luxxon_core.settings import CameraSettings
    from luxxon_core.source import SourceType

DISCOVERY_SECONDS = 4.0
GRACE_SECONDS = 2.0


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

    async def find(self, told: Told) -> None:
        """Tell each camera and each fault as it is found."""
        settings = self._settings(told)
        registry = self._registry(settings)
        for failure in registry.failures:
            told(Fault(failure.plugin, failure.reason))
        known: list[tuple[str, BaseModel]] = []
        for name, table in settings.cameras.items() if settings is not None else ():
            found = self._configured(registry, name, table.type, table.fields, table.operate)
            told(found)
            if isinstance(found, FoundCamera):
                known.append((found.type_key, found.config))
        types = registry.sources.values()
        await asyncio.gather(*(self._discover(source_type, known, told) for source_type in types))

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
