"""Cameras that keep silent about their streams, or refuse to start them: the video's address may work."""

from __future__ import annotations

import asyncio

import pytest
from drone_links import Until, config, opened
from luxxon_drone import exchange
from pymavlink.dialects.v20 import common as mavlink
from simulated_vehicle import DENIED, FAILED, SimulatedVehicle

from luxxon_core.source import SourceConfigError, SourceNotReady
from luxxon_core.testing.conformance import take

STATUS = mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_STATUS
INFORMATION = mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION
START = mavlink.MAV_CMD_VIDEO_START_STREAMING


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ACK_SECONDS", 0.15)


async def plays(vehicle: SimulatedVehicle) -> bool:
    async with await opened(config(vehicle)) as drone:
        return len(await asyncio.wait_for(take(drone.packets(drone.media_profiles()[0]), 3), 10)) == 3


@pytest.mark.usefixtures("hasty")
async def test_a_camera_that_does_not_tell_whether_its_stream_runs_is_left_alone(
    vehicle: SimulatedVehicle,
) -> None:
    vehicle.unanswered = frozenset({STATUS})
    vehicle.stream_running = False
    assert await plays(vehicle)
    assert vehicle.streaming_started == []


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("results", [[DENIED], [FAILED], [None] * 10], ids=["denied", "failed", "silent"])
async def test_a_camera_that_does_not_start_its_stream_is_left_alone(
    vehicle: SimulatedVehicle, results: list[int | None]
) -> None:
    vehicle.stream_running = False
    vehicle.results[START] = list(results)
    assert await plays(vehicle)
    assert vehicle.commands_of(START)


@pytest.mark.usefixtures("hasty")
async def test_a_camera_that_does_not_tell_about_its_streams_has_none(vehicle: SimulatedVehicle) -> None:
    vehicle.unanswered = frozenset({INFORMATION})
    with pytest.raises(SourceConfigError, match="names no video stream"):
        await opened(config(vehicle))


@pytest.mark.parametrize("silent", [STATUS, INFORMATION], ids=["status", "information"])
async def test_a_vehicle_that_falls_silent_meanwhile_is_not_ready(
    vehicle: SimulatedVehicle, until: Until, silent: int
) -> None:
    vehicle.unanswered = frozenset({silent})
    opening = asyncio.create_task(opened(config(vehicle, link_timeout=1)))
    requests = mavlink.MAV_CMD_REQUEST_MESSAGE
    await until(lambda: any(one.param1 == silent for one in vehicle.commands_of(requests)))
    vehicle.silent.set()
    with pytest.raises(SourceNotReady, match="no heartbeat"):
        await opening
