"""Source type ``drone``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luxxon_core.source import API_VERSION, DiscoveredDevice
from luxxon_drone.config import STANDARD_PORT, DroneConfig

if TYPE_CHECKING:
    from luxxon_drone.source import DroneSource


@dataclass(frozen=True)
class DroneType:
    """``discovery_host`` and ``discovery_port`` are where :meth:`discover` listens."""

    key: ClassVar[str] = "drone"
    title: ClassVar[str] = "MAVLink drone"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[DroneConfig]] = DroneConfig

    discovery_host: str = "0.0.0.0"  # noqa: S104 - vehicles broadcast
    discovery_port: int = STANDARD_PORT

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        """Vehicles that send heartbeats to the standard port; none while another program listens there."""
        discovery = await asyncio.to_thread(_discovery)
        async for device in discovery.discover(self.discovery_host, self.discovery_port, timeout):
            yield device

    async def open(self, config: DroneConfig) -> DroneSource:
        source = await asyncio.to_thread(_source)
        opened: DroneSource = await source.open_drone(config)
        return opened


# In a thread: pymavlink's dialect takes half a second to import.


def _discovery():  # type: ignore[no-untyped-def]
    from luxxon_drone import discovery

    return discovery


def _source():  # type: ignore[no-untyped-def]
    from luxxon_drone import source

    return source
