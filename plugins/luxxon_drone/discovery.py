"""Vehicles that speak up by themselves. Nothing is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing
from typing import Any

from pymavlink.dialects.v20 import common as mavlink

from luxxon_core.source import DeviceInformation, DiscoveredDevice, SourceError
from luxxon_drone.camera import vehicle_title
from luxxon_drone.codec import Codec
from luxxon_drone.config import DroneConfig, LinkAddress, Medium
from luxxon_drone.station import is_vehicle
from luxxon_drone.transport import UdpTransport

MAX_VEHICLES = 32


async def discover(host: str, port: int, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
    """Each vehicle heard within ``timeout`` seconds, once; none where the port is in use."""
    address = LinkAddress(Medium.UDP_IN, host, port)
    async with aclosing(_heartbeats(address, timeout)) as heartbeats:
        seen: set[int] = set()
        async for message in heartbeats:
            system = message.get_srcSystem()
            if system in seen or len(seen) >= MAX_VEHICLES:
                continue
            seen.add(system)
            title = vehicle_title(system, message.autopilot, message.type)
            config = DroneConfig(link=str(address), target_system=system)
            information = DeviceInformation(model=title, serial_number=str(system))
            yield DiscoveredDevice(f"mavlink-{system}", title, config, information)


async def _heartbeats(address: LinkAddress, timeout: float) -> AsyncGenerator[Any, None]:
    codec, transport = Codec(0, 0), UdpTransport(address)
    queue: asyncio.Queue[bytes] = asyncio.Queue(1024)

    def take(data: bytes, _source: Hashable) -> None:
        if not queue.full():
            queue.put_nowait(data)

    try:
        await transport.open(take, lambda _reason: None)
    except SourceError:
        return
    try:
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            try:
                data = await asyncio.wait_for(queue.get(), left)
            except TimeoutError:
                return
            for message in codec.datagram(data):
                if message.get_msgId() == mavlink.MAVLINK_MSG_ID_HEARTBEAT and is_vehicle(message):
                    yield message
    finally:
        await transport.close()
