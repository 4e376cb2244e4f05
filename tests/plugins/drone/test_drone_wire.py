"""A vehicle simulated on the wire: over UDP, TCP and a serial line, with its faults."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from drone_links import Until, config, next_pose, opened
from luxxon_drone import source
from luxxon_drone.config import DroneConfig
from luxxon_drone.drone import DroneType
from pydantic import ValidationError
from pymavlink.dialects.v20 import common as mavlink
from rtp_camera import RtpCamera
from simulated_vehicle import BUSY, DENIED, PtyWire, SimulatedVehicle, TcpWire, UdpWire

from luxxon_core.source import (
    FixType,
    GimbalControl,
    GimbalFrame,
    HealthState,
    PoseSource,
    PtzControl,
    Source,
    SourceAuthError,
    SourceConfigError,
    SourceNotReady,
    ZoomControl,
    ZoomKind,
)


async def test_over_udp_it_says_what_it_is(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone:
        information = drone.device_information
        assert (information.manufacturer, information.model) == ("Skylens", "SL-4")
        assert information.firmware_version == "1.2.3"
        assert information.serial_number == "1"
        (profile,) = drone.media_profiles()
        assert (profile.codec, profile.width, profile.height) == ("h264", 320, 180)
        assert profile.frame_rate == pytest.approx(30, abs=1)
        assert isinstance(drone, Source)
        assert drone.health().state is not HealthState.FAILED
        assert {message.get_type() for message in vehicle.messages} <= {"HEARTBEAT", "COMMAND_LONG"}


@pytest.mark.parametrize(("zoom", "gimbal"), [(True, True), (True, False), (False, True), (False, False)])
async def test_it_can_what_the_vehicle_has(
    camera: RtpCamera, zoom: bool, gimbal: bool, udp_port: Any
) -> None:
    with SimulatedVehicle.udp(
        udp_port(1), video_uri=str(camera.port), has_zoom=zoom, has_gimbal=gimbal
    ) as vehicle:
        async with await opened(config(vehicle)) as drone:
            assert isinstance(drone, ZoomControl) == zoom
            assert isinstance(drone, GimbalControl) == gimbal
            assert isinstance(drone, PoseSource)
            assert not isinstance(drone, PtzControl)


async def test_over_udp_out_and_tcp_and_serial(camera: RtpCamera, until: Until) -> None:
    udp, tcp, serial = UdpWire(), TcpWire(), PtyWire()
    for wire, link in (
        (udp, f"udpout:127.0.0.1:{udp.port}"),
        (tcp, f"tcp:127.0.0.1:{tcp.port}"),
        (serial, serial.path),
    ):
        with SimulatedVehicle(wire) as vehicle:
            settings = DroneConfig(link=link, video=f"udp://127.0.0.1:{camera.port}", baud=115_200)
            async with await opened(settings) as drone:
                assert drone.device_information.model == "SL-4"
                await drone.set_zoom(ZoomKind.RANGE, 40.0)  # type: ignore[attr-defined]
                assert vehicle.zoomed == [(mavlink.ZOOM_TYPE_RANGE, 40.0)]
                async with aclosing(drone.poses()) as poses:
                    assert (await next_pose(poses)).fix_type is FixType.FIX_3D


async def test_positions_carry_quality_heading_and_time(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses:
        pose = await next_pose(poses)
        assert (pose.latitude, pose.longitude, pose.altitude) == (47.3769, 8.5417, 512.25)
        assert (pose.heading, pose.horizontal_accuracy, pose.satellites) == (271.5, 1.25, 14)
        assert abs((datetime.now(UTC) - pose.captured_at).total_seconds()) < 1
        times = [(await next_pose(poses)).captured_at for _ in range(5)]
        assert times == sorted(set(times))
        vehicle.move(heading=None, latitude=-12.5)
        while (pose := await next_pose(poses)).latitude > 0:
            pass
        assert pose.heading is None


async def test_a_lost_fix_is_told(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses:
        assert (await next_pose(poses)).fix_type is FixType.FIX_3D
        vehicle.move(fix_type=1, h_acc_mm=0, eph=65535)
        while (await next_pose(poses)).fix_type is not FixType.NO_FIX:
            pass
        assert "the vehicle has no position fix" in drone.health().warnings
        vehicle.move(fix_type=6, h_acc_mm=20)
        while (pose := await next_pose(poses)).fix_type is not FixType.RTK_FIXED:
            pass
        assert pose.horizontal_accuracy == 0.02
        assert drone.health().warnings == ()


async def test_an_autopilot_that_sends_no_positions_is_asked_for_them(
    vehicle: SimulatedVehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "POSITION_SECONDS", 0.3)
    vehicle.sends_positions = False
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses:
        await next_pose(poses)
        assert set(asked_of(vehicle)) == {33}


def asked_of(vehicle: SimulatedVehicle) -> list[int]:
    """The messages whose rate it was asked for."""
    return [round(one.param1) for one in vehicle.commands_of(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL)]


async def test_an_autopilot_that_sends_positions_alone_is_asked_how_good_they_are(
    vehicle: SimulatedVehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ArduPilot with SRx_POSITION > 0 and SRx_EXT_STAT = 0."""
    monkeypatch.setattr(source, "POSITION_SECONDS", 0.3)
    vehicle.sends_fixes = False
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses, asyncio.timeout(5):
        while (await anext(poses)).fix_type is not FixType.FIX_3D:
            pass
        assert asked_of(vehicle) == [24]
        await asyncio.sleep(0.7)
        assert asked_of(vehicle) == [24], "both come: nothing is asked for"


async def test_a_refusal_of_one_message_does_not_keep_it_from_asking_for_the_other(
    vehicle: SimulatedVehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "POSITION_SECONDS", 0.3)
    vehicle.sends_positions = vehicle.sends_fixes = False
    vehicle.results[mavlink.MAV_CMD_SET_MESSAGE_INTERVAL] = [DENIED]
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses:
        await next_pose(poses)
        assert asked_of(vehicle)[:2] == [24, 33]


async def test_questions_lost_on_the_way_are_asked_again(
    vehicle: SimulatedVehicle,
) -> None:
    vehicle.results[mavlink.MAV_CMD_REQUEST_MESSAGE] = [None, BUSY, None]
    async with await opened(config(vehicle)) as drone:
        assert drone.device_information.model == "SL-4"


async def test_silence_fails_it_and_heartbeats_bring_it_back(vehicle: SimulatedVehicle, until: Until) -> None:
    async with await opened(config(vehicle, link_timeout=1)) as drone:
        (profile,) = drone.media_profiles()
        packets, poses = drone.packets(profile), drone.poses()
        await asyncio.wait_for(anext(packets), 5)
        await next_pose(poses)
        vehicle.silent.set()
        started = time.monotonic()
        with pytest.raises(SourceNotReady, match="no heartbeat for 1 s"):
            async with asyncio.timeout(5):
                async for _ in packets:
                    pass
        assert 0.5 < time.monotonic() - started < 1.8
        with pytest.raises(SourceNotReady):
            async with asyncio.timeout(5):
                async for _ in poses:
                    pass
        assert drone.health().state is HealthState.FAILED
        assert "no heartbeat" in (drone.health().last_error or "")
        with pytest.raises(SourceNotReady):
            await anext(drone.packets(profile))
        with pytest.raises(SourceNotReady):
            await asyncio.wait_for(drone.set_zoom(ZoomKind.RANGE, 1.0), 2)  # type: ignore[attr-defined]
        vehicle.silent.clear()
        await until(lambda: drone.health().state is not HealthState.FAILED, 3)
        assert drone.health().reconnects == 1
        async with aclosing(drone.packets(profile)) as again:
            assert (await asyncio.wait_for(anext(again), 5)).keyframe


async def test_garbage_wrong_checksums_and_strangers_change_nothing(
    vehicle: SimulatedVehicle, until: Until, udp_port: Any
) -> None:
    port = vehicle.wire._peer[1]
    async with await opened(config(vehicle, link_timeout=1)) as drone, aclosing(drone.poses()) as poses:
        wrong = bytearray(
            mavlink.MAVLink_global_position_int_message(1, 1, 1, 1, 1, 1, 1, 1, 1).pack(
                mavlink.MAVLink(None, 1, 1)
            )
        )
        wrong[20] ^= 1
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with SimulatedVehicle.udp(port, system=42, place=None), stranger:
            for number in range(200):
                stranger.sendto(bytes([number]) * 300, ("127.0.0.1", port))
                stranger.sendto(bytes(wrong), ("127.0.0.1", port))
                vehicle.inject(b"\xfd\xff" + bytes([number]) * 20)
                vehicle.inject(bytes(wrong))
            for _ in range(10):
                pose = await next_pose(poses)
                assert (pose.latitude, pose.longitude) == (47.3769, 8.5417)
            await until(lambda: drone.health().warnings)
        assert drone.health().warnings == ("other vehicles on the link are ignored: 42",)
        vehicle.silent.set()
        await until(lambda: drone.health().state is HealthState.FAILED, 4)


async def test_a_reboot_is_noticed_and_the_gimbal_claimed_anew(
    vehicle: SimulatedVehicle, until: Until
) -> None:
    async with await opened(config(vehicle)) as drone, aclosing(drone.poses()) as poses:
        await next_pose(poses)
        await drone.set_pitch_yaw(-10.0, 0.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        vehicle.primary = (0, 0)
        vehicle.reboot()
        vehicle.move(latitude=48.0)
        while (await next_pose(poses)).latitude != 48.0:
            pass
        await drone.set_pitch_yaw(-20.0, 0.0, GimbalFrame.VEHICLE)  # type: ignore[attr-defined]
        assert vehicle.pointed is not None
        assert vehicle.pointed[0] == -20.0


async def test_a_tcp_link_that_breaks_is_made_anew(camera: RtpCamera, until: Until) -> None:
    wire = TcpWire()
    with SimulatedVehicle(wire) as vehicle:
        settings = DroneConfig(
            link=f"tcp:127.0.0.1:{wire.port}", video=f"udp://{camera.port}", link_timeout=3
        )
        async with await opened(settings) as drone, aclosing(drone.poses()) as poses:
            await next_pose(poses)
            vehicle._jobs.put(wire.hang_up)
            await until(lambda: wire.connections == 2, 5)
            for _ in range(20):
                await next_pose(poses)
            assert drone.health().state is not HealthState.FAILED


async def test_signed_links(camera: RtpCamera, udp_port: Any) -> None:
    with SimulatedVehicle.udp(udp_port(1), video_uri=str(camera.port), passphrase="open sesame") as vehicle:
        async with await opened(config(vehicle, signing_key="open sesame")) as drone:
            await drone.set_zoom(ZoomKind.RANGE, 40.0)  # type: ignore[attr-defined]
        assert all(message.get_signed() for message in vehicle.messages)
        with pytest.raises(SourceAuthError, match="another key"):
            await opened(config(vehicle, signing_key="open barley", link_timeout=1))


async def test_a_link_nobody_speaks_on_is_not_ready(udp_port: Any) -> None:
    with pytest.raises(SourceNotReady, match="no heartbeat for 1 s"):
        await opened(DroneConfig(link=f"udpin:127.0.0.1:{udp_port(1)}", link_timeout=1))
    with pytest.raises(SourceNotReady):
        await opened(DroneConfig(link="tcp:127.0.0.1:1"))
    with pytest.raises(SourceConfigError, match="no such"):
        await opened(DroneConfig(link="/dev/tty-no-such-drone"))


async def test_a_port_in_use_is_told(vehicle: SimulatedVehicle) -> None:
    async with await opened(config(vehicle)):
        with pytest.raises(SourceNotReady, match="another program listens"):
            await opened(config(vehicle))


async def test_another_vehicle_than_asked_for_is_named(vehicle: SimulatedVehicle) -> None:
    with pytest.raises(SourceNotReady, match="from vehicle 9; heard: 1"):
        await opened(config(vehicle, target_system=9, link_timeout=1))


async def test_a_vehicle_without_a_camera_needs_a_video_address(camera: RtpCamera, udp_port: Any) -> None:
    with SimulatedVehicle.udp(udp_port(1), has_camera=False) as vehicle:
        with pytest.raises(SourceConfigError, match="no camera answers"):
            await opened(config(vehicle))
        async with await opened(config(vehicle, video=f"udp://{camera.port}")) as drone:
            assert drone.device_information.model == "quadrotor, PX4, system 1"
            assert not isinstance(drone, ZoomControl)


async def test_the_stream_by_daylight_is_chosen_and_started(camera: RtpCamera, udp_port: Any) -> None:
    streams = (
        {"uri": "udp://1", "type": mavlink.VIDEO_STREAM_TYPE_MPEG_TS},
        {"uri": "9", "type": 1, "flags": mavlink.VIDEO_STREAM_STATUS_FLAGS_THERMAL},
        {"uri": f"udp://127.0.0.1:{camera.port}", "type": 1, "encoding": 0},
    )
    with SimulatedVehicle.udp(udp_port(1), streams=streams, stream_running=False) as vehicle:
        async with await opened(config(vehicle)):
            assert vehicle.streaming_started == [3]
        with pytest.raises(SourceConfigError, match="no video stream 7"):
            await opened(config(vehicle, stream_id=7))
        with pytest.raises(SourceConfigError, match="neither RTSP nor RTP"):
            await opened(config(vehicle, stream_id=1))


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("file:///etc/passwd", 0),
        ("/etc/passwd", 0),
        ("concat:a|b", 0),
        ("http://127.0.0.1/", 0),
        ("rtsp://", 0),
        ("5600", 0),
        ("rtsp://127.0.0.1/x", 1),
        ("99999", 1),
        ("udp://evil.example:5600\r\na=x", 1),
        ("", 1),
    ],
)
async def test_a_hostile_video_address_is_refused(udp_port: Any, uri: str, kind: int) -> None:
    with (
        SimulatedVehicle.udp(udp_port(1), video_uri=uri, video_type=kind) as vehicle,
        pytest.raises(SourceConfigError, match="video address"),
    ):
        await opened(config(vehicle))


async def test_discovery_finds_each_vehicle_once(udp_port: Any) -> None:
    port = udp_port(1)
    drone_type = DroneType(discovery_host="127.0.0.1", discovery_port=port)
    with SimulatedVehicle.udp(port, system=1), SimulatedVehicle.udp(port, system=7):
        found = [device async for device in drone_type.discover(1.0)]
    assert {device.key for device in found} == {"mavlink-1", "mavlink-7"}
    assert len(found) == 2
    titles = {device.title for device in found}
    assert titles == {"quadrotor, PX4, system 1", "quadrotor, PX4, system 7"}
    assert {device.config.target_system for device in found} == {1, 7}  # type: ignore[attr-defined]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        assert [device async for device in drone_type.discover(0.5)] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"link": "udp:1.2.3.4:5"},
        {"link": "tcp::5760"},
        {"link": "udpin:0.0.0.0:0"},
        {"link": "udpin:0.0.0.0:70000"},
        {"link": "etc/passwd"},
        {"video": "file:///etc/passwd"},
        {"video": "rtsp://user:secret@host/x"},
        {"video": "udp://host.example:5600"},
        {"system_id": 0},
        {"heartbeat_hz": 0},
    ],
)
def test_what_cannot_work_is_refused_by_the_configuration(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DroneConfig(**fields)
    assert "secret" not in str([error["msg"] for error in caught.value.errors()])
