"""Nothing that could fly a vehicle leaves the link: every other message and command is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxxon_drone import permits
from luxxon_drone.codec import Codec, signing_key
from luxxon_drone.exchange import Command
from luxxon_drone.link import Link
from luxxon_drone.permits import ForbiddenMessage
from luxxon_drone.station import Outgoing, Settings, Station
from pymavlink.dialects.v20 import all as every_dialect
from pymavlink.dialects.v20 import common as mavlink

ALLOWED = {0, 76, 287}


def blank(kind: Any, codec: Any) -> bytes:
    """A message of this kind, all zeros."""
    payload = b"\1" + bytes(kind.unpacker.size - 1)
    frame: bytes = every_dialect.MAVLink_message(kind.id, kind.msgname)._pack(codec, kind.crc_extra, payload)
    return frame


def long(command: int, *parameters: float) -> Any:
    return mavlink.MAVLink_command_long_message(1, 1, command, 0, *(*parameters, *[0.0] * 7)[:7])


class Recorder:
    stream = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def open(self, on_data: object, on_lost: object) -> None:
        pass

    def write(self, data: bytes, routes: object) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        pass


def test_every_other_message_of_every_dialect_is_refused() -> None:
    codec = every_dialect.MAVLink(None, 245, 191)
    refused = 0
    for number, kind in every_dialect.mavlink_map.items():
        if number in ALLOWED:
            continue
        with pytest.raises(ForbiddenMessage):
            permits.check(blank(kind, codec))
        refused += 1
    assert refused > 300


@pytest.mark.parametrize("signed", [False, True])
def test_every_other_command_is_refused(signed: bool) -> None:
    codec = Codec(245, 191, signing_key("secret") if signed else None)
    for command in range(65536):
        # Each command of the standard, and a sample of the numbers that mean nothing today.
        if command not in mavlink.enums["MAV_CMD"] and command % 97:
            continue
        frame = codec.encode(long(command, 24.0), 1.8e9)
        if command in (511, 512, 531, 1000, 1001, 2502):
            permits.check(frame)
            continue
        with pytest.raises(ForbiddenMessage):
            permits.check(frame)


@pytest.mark.parametrize("message_id", [0.0, 1.0, 24.5, 30.0, float("nan"), float("inf")])
def test_only_positions_may_be_sped_up(message_id: float) -> None:
    with pytest.raises(ForbiddenMessage):
        permits.check(Codec(1, 1).encode(long(511, message_id), 1.8e9))


def test_a_command_behind_an_allowed_frame_is_refused() -> None:
    codec = Codec(245, 191)
    heartbeat = codec.encode(mavlink.MAVLink_heartbeat_message(18, 8, 0, 0, 4, 3), 1.8e9)
    arm = codec.encode(long(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 1), 1.8e9)
    permits.check(heartbeat)
    for frame in (heartbeat + arm, heartbeat[:-1], heartbeat + b"\0", b""):
        with pytest.raises(ForbiddenMessage):
            permits.check(frame)


def test_the_older_frame_is_refused() -> None:
    codec = mavlink.MAVLink(None, 245, 191)
    with pytest.raises(ForbiddenMessage):
        permits.check(long(mavlink.MAV_CMD_REQUEST_MESSAGE, 259).pack(codec, force_mavlink1=True))


@given(st.binary(max_size=320))
def test_noise_is_refused_or_harmless(data: bytes) -> None:
    try:
        permits.check(data)
    except ForbiddenMessage:
        return
    assert int.from_bytes(data[7:10], "little") in ALLOWED


async def test_the_link_itself_refuses() -> None:
    """Whoever asks it, by whatever way: nothing is written."""
    wire = Recorder()
    station = Station(Settings(target_system=1))
    link = Link(wire, station, "test", lambda _event: None)
    beat = mavlink.MAVLink_heartbeat_message(2, 12, 0, 0, 4, 3).pack(mavlink.MAVLink(None, 1, 1))
    station.receive(beat, 0.0, 1.8e9, ("127.0.0.1", 9))
    for command in (
        mavlink.MAV_CMD_COMPONENT_ARM_DISARM,
        mavlink.MAV_CMD_NAV_TAKEOFF,
        mavlink.MAV_CMD_DO_SET_MODE,
        mavlink.MAV_CMD_PREFLIGHT_REBOOT_SHUTDOWN,
    ):
        with pytest.raises(ForbiddenMessage):
            await asyncio.wait_for(link.command(Command(command, (1,), 1), "fly"), 1)
    for message in (
        mavlink.MAVLink_manual_control_message(1, 0, 0, 1000, 0, 0),
        mavlink.MAVLink_set_mode_message(1, 1, 4),
        mavlink.MAVLink_param_set_message(1, 1, b"FS_GCS_ENABLE", 0.0, 9),
    ):
        with pytest.raises(ForbiddenMessage):
            link.send(message, 1)
    station._out.append(Outgoing(b"\xfd\x00raw", ()))
    with pytest.raises(ForbiddenMessage):
        link._flush()
    assert wire.sent == []
