"""What may leave towards a vehicle: an allow-list of messages and commands, checked on the packed bytes.

Nothing here flies anything: no mode, no arming, no mission, no setpoint, no parameter, no RC override.
"""

from __future__ import annotations

import struct

from luxxon_core.source import SourceError

HEARTBEAT, COMMAND_LONG, GIMBAL_MANAGER_SET_PITCHYAW = 0, 76, 287
GPS_RAW_INT, GLOBAL_POSITION_INT = 24, 33

SET_MESSAGE_INTERVAL, REQUEST_MESSAGE = 511, 512
SET_CAMERA_ZOOM = 531
DO_GIMBAL_MANAGER_PITCHYAW, DO_GIMBAL_MANAGER_CONFIGURE = 1000, 1001
VIDEO_START_STREAMING = 2502

MESSAGES = frozenset({HEARTBEAT, COMMAND_LONG, GIMBAL_MANAGER_SET_PITCHYAW})
COMMANDS = frozenset(
    {
        SET_MESSAGE_INTERVAL,
        REQUEST_MESSAGE,
        SET_CAMERA_ZOOM,
        DO_GIMBAL_MANAGER_PITCHYAW,
        DO_GIMBAL_MANAGER_CONFIGURE,
        VIDEO_START_STREAMING,
    }
)
INTERVALS = frozenset({GPS_RAW_INT, GLOBAL_POSITION_INT})
"""Messages whose rate may be asked for."""

_MARKER, _HEADER, _CHECKSUM, _SIGNATURE, _SIGNED = 0xFD, 10, 2, 13, 1
_COMMAND_LONG = struct.Struct("<7fHBBB")
"""Payload of COMMAND_LONG as it is on the wire: seven parameters, command, target system and component."""


class ForbiddenMessage(SourceError):
    """Something other than camera, gimbal and telemetry was about to be sent to a vehicle."""

    code, status, default_message = "DRONE_FORBIDDEN", 500, "This message must not be sent to a vehicle"


def check(frame: bytes) -> None:
    """Pass exactly one MAVLink 2 frame of the allow-list.

    Raises:
        ForbiddenMessage: anything else, as two frames in one, an older frame, or a command not listed.
    """
    if len(frame) < _HEADER + _CHECKSUM or frame[0] != _MARKER or frame[2] & ~_SIGNED:
        raise ForbiddenMessage("drone:notAFrame")
    payload_end = _HEADER + frame[1]
    if len(frame) != payload_end + _CHECKSUM + (_SIGNATURE if frame[2] & _SIGNED else 0):
        raise ForbiddenMessage("drone:notOneFrame")
    message_id = int.from_bytes(frame[7:10], "little")
    if message_id not in MESSAGES:
        raise ForbiddenMessage(f"drone:message{message_id}")
    if message_id != COMMAND_LONG:
        return
    # A receiver fills up with zeros what MAVLink 2 cuts off the end.
    payload = frame[_HEADER:payload_end].ljust(_COMMAND_LONG.size, b"\0")
    first, *_, command, _system, _component, _confirmation = _COMMAND_LONG.unpack_from(payload)
    if command not in COMMANDS or (command == SET_MESSAGE_INTERVAL and first not in INTERVALS):
        raise ForbiddenMessage(f"drone:command{command}")
