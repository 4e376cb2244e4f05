"""Opening a drone on the link of a simulated vehicle, and reading its positions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from luxxon_drone.config import DroneConfig
from luxxon_drone.drone import DroneType
from luxxon_drone.source import DroneSource
from simulated_vehicle import SimulatedVehicle

Until = Callable[..., Awaitable[None]]


def config(vehicle: SimulatedVehicle, **fields: Any) -> DroneConfig:
    port = vehicle.wire._peer[1]
    return DroneConfig(link=f"udpin:127.0.0.1:{port}", **fields)


async def opened(settings: DroneConfig) -> DroneSource:
    return await asyncio.wait_for(DroneType().open(settings), 20)


async def next_pose(poses: Any) -> Any:
    return await asyncio.wait_for(anext(poses), 5)
