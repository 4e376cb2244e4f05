"""Zoom and gimbal of a simulated vehicle: what reaches it, who may turn it, and what it answers."""

from __future__ import annotations

import asyncio
import time

import pytest
from drone_links import Until, config, opened
from luxxon_drone import controls, exchange
from pymavlink.dialects.v20 import common as mavlink
from simulated_vehicle import BUSY, DENIED, FAILED, IN_PROGRESS, UNSUPPORTED, SimulatedVehicle

from luxxon_core.controls.schemas import LONGEST_MOVE
from luxxon_core.source import GimbalFrame, SourceConfigError, SourceError, SourceNotReady, ZoomKind


async def test_zoom_reaches_the_camera(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone:
        for kind, value in ((ZoomKind.STEP, -1.0), (ZoomKind.RANGE, 55.0), (ZoomKind.FOCAL_LENGTH, 35.0)):
            started = time.monotonic()
            await drone.set_zoom(kind, value)  # type: ignore[attr-defined]
            assert time.monotonic() - started < 0.15
        assert vehicle.zoomed == [(0.0, -1.0), (2.0, 55.0), (3.0, 35.0)]
        assert vehicle.commands_of(mavlink.MAV_CMD_SET_CAMERA_ZOOM)[0].target_component == 100
        for value in (101.0, -0.1, float("nan"), float("inf")):
            with pytest.raises(SourceConfigError, match="from 0 to 100"):
                await drone.set_zoom(ZoomKind.RANGE, value)  # type: ignore[attr-defined]
        assert len(vehicle.zoomed) == 3


async def test_a_zoom_nobody_renews_stops_by_itself(
    vehicle: SimulatedVehicle, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "ZOOM_SECONDS", 0.4)
    async with await opened(config(vehicle)) as drone:
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        started = time.monotonic()
        await until(lambda: vehicle.zoomed == [(1.0, 1.0), (1.0, 0.0)], 3)
        assert 0.2 < time.monotonic() - started < 1.0
        await drone.set_zoom(ZoomKind.CONTINUOUS, -0.5)  # type: ignore[attr-defined]
    assert vehicle.zoomed[-1] == (1.0, 0.0)  # closing stops it, too


def test_a_zoom_runs_as_long_as_a_session_may_ask_for() -> None:
    assert controls.ZOOM_SECONDS > LONGEST_MOVE


@pytest.mark.parametrize("results", [[DENIED], [None] * 4], ids=["refused", "lost"])
@pytest.mark.parametrize(
    ("kind", "value"), [(ZoomKind.CONTINUOUS, 0.0), (ZoomKind.RANGE, 50.0), (ZoomKind.CONTINUOUS, -1.0)]
)
async def test_a_zoom_that_could_not_be_stopped_stops_by_itself(
    vehicle: SimulatedVehicle,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    kind: ZoomKind,
    value: float,
    results: list[int | None],
) -> None:
    monkeypatch.setattr(controls, "ZOOM_SECONDS", 0.8)
    monkeypatch.setattr(exchange, "ACK_SECONDS", 0.1)
    async with await opened(config(vehicle)) as drone:
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        vehicle.results[mavlink.MAV_CMD_SET_CAMERA_ZOOM] = list(results)
        with pytest.raises(SourceError):
            await drone.set_zoom(kind, value)  # type: ignore[attr-defined]
        assert vehicle.zoomed == [(1.0, 1.0)]
        await until(lambda: vehicle.zoomed[1:2] == [(1.0, 0.0)], 1.5)


async def test_a_refused_renewal_does_not_put_the_end_off(
    vehicle: SimulatedVehicle, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "ZOOM_SECONDS", 2.0)
    async with await opened(config(vehicle)) as drone:
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        await asyncio.sleep(1.2)
        vehicle.results[mavlink.MAV_CMD_SET_CAMERA_ZOOM] = [DENIED]
        with pytest.raises(SourceError):
            await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        await until(lambda: vehicle.zoomed == [(1.0, 1.0), (1.0, 0.0)], 1.4)


async def test_a_zoom_that_was_stopped_or_renewed_is_not_stopped_again(
    vehicle: SimulatedVehicle, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "ZOOM_SECONDS", 1.0)
    async with await opened(config(vehicle)) as drone:
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        await drone.set_zoom(ZoomKind.RANGE, 50.0)  # type: ignore[attr-defined]
        await asyncio.sleep(1.4)
        assert vehicle.zoomed == [(1.0, 1.0), (2.0, 50.0)]
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        await asyncio.sleep(0.6)
        await drone.set_zoom(ZoomKind.CONTINUOUS, 1.0)  # type: ignore[attr-defined]
        await asyncio.sleep(0.6)
        assert vehicle.zoomed[2:] == [(1.0, 1.0), (1.0, 1.0)]
        await until(lambda: vehicle.zoomed[4:] == [(1.0, 0.0)], 2.0)


async def test_the_gimbal_turns_with_the_vehicle_and_to_the_earth(
    vehicle: SimulatedVehicle, until: Until
) -> None:
    async with await opened(config(vehicle)) as drone:
        await drone.set_pitch_yaw(-45.0, 30.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        assert vehicle.primary == (245, 191)
        pitch, yaw, flags = vehicle.pointed or (0, 0, 0)
        assert (pitch, yaw) == (-45.0, 30.0)
        assert flags & mavlink.GIMBAL_MANAGER_FLAGS_YAW_IN_VEHICLE_FRAME
        assert not flags & mavlink.GIMBAL_MANAGER_FLAGS_YAW_LOCK
        started = time.monotonic()
        await drone.set_pitch_yaw(-120.0, 270.0, GimbalFrame.EARTH)  # type: ignore[attr-defined]
        assert time.monotonic() - started < 0.15
        pitch, yaw, flags = vehicle.pointed or (0, 0, 0)
        assert (pitch, yaw) == (pytest.approx(-90.0), -90.0)  # its limit, and the same direction
        assert flags & mavlink.GIMBAL_MANAGER_FLAGS_YAW_IN_EARTH_FRAME
        assert flags & mavlink.GIMBAL_MANAGER_FLAGS_YAW_LOCK
        await drone.set_pitch_yaw(90.0, 170.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        assert vehicle.pointed is not None
        assert vehicle.pointed[:2] == (pytest.approx(30.0, abs=1e-4), pytest.approx(160.0, abs=1e-4))
        assert len(vehicle.commands_of(mavlink.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE)) == 1
        with pytest.raises(SourceConfigError, match="angles"):
            await drone.set_pitch_yaw(float("nan"), 0.0, GimbalFrame.EARTH)  # type: ignore[attr-defined]
    assert vehicle.primary == (0, 0)  # given back


async def test_a_gimbal_without_a_lock_has_no_earth_frame(vehicle: SimulatedVehicle) -> None:
    vehicle.gimbal_flags = 0
    async with await opened(config(vehicle)) as drone:
        with pytest.raises(SourceConfigError, match="with the vehicle only"):
            await drone.set_pitch_yaw(0.0, 0.0, GimbalFrame.EARTH)  # type: ignore[attr-defined]
        await drone.set_pitch_yaw(0.0, 10.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]


async def test_a_gimbal_in_other_hands_is_left_there_unless_taking_is_allowed(
    vehicle: SimulatedVehicle, until: Until
) -> None:
    async with await opened(config(vehicle)) as drone:
        await drone.set_pitch_yaw(-10.0, 0.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        vehicle.primary = (255, 190)  # the pilot's ground station takes it
        gimbal = drone._vehicle.gimbal
        assert gimbal is not None
        await until(lambda: gimbal._primary == (255, 190))
        with pytest.raises(SourceNotReady, match="system 255, component 190 controls the gimbal"):
            await drone.set_pitch_yaw(-20.0, 0.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        assert vehicle.primary == (255, 190)
    vehicle.primary = (255, 190)
    async with await opened(config(vehicle, take_gimbal=True)) as drone:
        await drone.set_pitch_yaw(-20.0, 0.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        assert vehicle.primary == (245, 191)


async def test_a_manager_without_the_command_gets_the_message(
    vehicle: SimulatedVehicle, until: Until
) -> None:
    vehicle.results[mavlink.MAV_CMD_DO_GIMBAL_MANAGER_PITCHYAW] = [UNSUPPORTED]
    vehicle.results[mavlink.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE] = [UNSUPPORTED]
    async with await opened(config(vehicle)) as drone:
        await drone.set_pitch_yaw(-33.0, 12.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        await until(lambda: vehicle.pointed is not None)
        assert vehicle.pointed is not None
        assert vehicle.pointed[:2] == (pytest.approx(-33.0, abs=1e-3), pytest.approx(12.0, abs=1e-3))


async def test_of_many_turns_at_once_the_last_counts(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone:
        await asyncio.gather(
            *(drone.set_pitch_yaw(-float(n), 0.0, GimbalFrame.VEHICLE) for n in range(30))  # type: ignore[attr-defined]
        )
        assert vehicle.pointed is not None
        assert vehicle.pointed[0] == -29.0
        assert len(vehicle.commands_of(mavlink.MAV_CMD_DO_GIMBAL_MANAGER_PITCHYAW)) <= 2


@pytest.mark.parametrize(
    ("results", "text"),
    [([DENIED], "refuses to zoom"), ([UNSUPPORTED], "cannot zoom"), ([FAILED], "failed to zoom")],
)
async def test_a_refused_command_says_why(vehicle: SimulatedVehicle, results: list[int], text: str) -> None:
    async with await opened(config(vehicle)) as drone:
        vehicle.results[mavlink.MAV_CMD_SET_CAMERA_ZOOM] = list(results)
        with pytest.raises(SourceError, match=text):
            await drone.set_zoom(ZoomKind.RANGE, 10.0)  # type: ignore[attr-defined]
        await drone.set_zoom(ZoomKind.RANGE, 20.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("results", [[None], [BUSY, BUSY]])
async def test_a_command_that_is_lost_or_comes_too_early_is_tried_again(
    vehicle: SimulatedVehicle, results: list[int | None]
) -> None:
    async with await opened(config(vehicle)) as drone:
        vehicle.results[mavlink.MAV_CMD_SET_CAMERA_ZOOM] = list(results)
        await asyncio.wait_for(drone.set_zoom(ZoomKind.RANGE, 10.0), 10)  # type: ignore[attr-defined]
        assert vehicle.zoomed == [(2.0, 10.0)]
        asked = vehicle.commands_of(mavlink.MAV_CMD_SET_CAMERA_ZOOM)
        assert [one.confirmation for one in asked] == [*range(len(results) + 1)]


async def test_a_command_in_progress_is_waited_for(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone:
        vehicle.results[mavlink.MAV_CMD_SET_CAMERA_ZOOM] = [IN_PROGRESS]
        zooming = asyncio.create_task(drone.set_zoom(ZoomKind.RANGE, 10.0))  # type: ignore[attr-defined]
        done, _ = await asyncio.wait((zooming,), timeout=1.5)  # longer than an answer may take
        assert not done
        assert len(vehicle.commands_of(mavlink.MAV_CMD_SET_CAMERA_ZOOM)) == 1
        vehicle.inject(mavlink.MAVLink_command_ack_message(531, 0).pack(mavlink.MAVLink(None, 1, 100)))
        await asyncio.wait_for(zooming, 2)
