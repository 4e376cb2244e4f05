"""Drones and other vehicles that speak MAVLink: their camera, their gimbal and their position."""

from __future__ import annotations

from luxxon_core.plugins import Register, hookimpl


@hookimpl
def luxxon_register_sources(register: Register) -> None:
    from luxxon_drone.drone import DroneType

    register(DroneType())
