"""An autopilot with camera and gimbal on the wire: it speaks MAVLink by pymavlink, from a thread."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pymavlink.dialects.v20 import common as mavlink

ACCEPTED, BUSY, DENIED, UNSUPPORTED, FAILED, IN_PROGRESS = range(6)
CAMERA = mavlink.MAV_COMP_ID_CAMERA
TICK = 0.02


class Wire:
    """Where bytes go to and come from."""

    def receive(self, timeout: float) -> bytes:
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class UdpWire(Wire):
    """From a port of its own to ``port``, or to whoever speaks first where that is 0."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self._peer = ("127.0.0.1", port) if port else None

    @property
    def port(self) -> int:
        found: int = self.socket.getsockname()[1]
        return found

    def receive(self, timeout: float) -> bytes:
        self.socket.settimeout(timeout)
        try:
            data, peer = self.socket.recvfrom(65536)
        except (TimeoutError, ConnectionError):
            return b""
        self._peer = self._peer or peer
        return data

    def send(self, data: bytes) -> None:
        if self._peer is not None:
            with contextlib.suppress(ConnectionError):
                self.socket.sendto(data, self._peer)

    def close(self) -> None:
        self.socket.close()


class TcpWire(Wire):
    """A server for one peer after another."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self._peer: socket.socket | None = None

    @property
    def port(self) -> int:
        found: int = self._server.getsockname()[1]
        return found

    def receive(self, timeout: float) -> bytes:
        with contextlib.suppress(OSError):
            if self._peer is None:
                self._server.settimeout(timeout)
                self._peer, _ = self._server.accept()
                self.connections += 1
            self._peer.settimeout(timeout)
            data = self._peer.recv(65536)
            if not data:
                self.hang_up()
            return data
        return b""

    def send(self, data: bytes) -> None:
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.sendall(data)

    def hang_up(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def close(self) -> None:
        self.hang_up()
        self._server.close()


class PtyWire(Wire):
    """The far end of a pseudo-terminal whose near end stands for a serial device."""

    def __init__(self) -> None:
        import tty

        self._far, self._near = os.openpty()
        tty.setraw(self._far)
        tty.setraw(self._near)
        self.path = os.ttyname(self._near)

    def receive(self, timeout: float) -> bytes:
        ready, _, _ = select.select([self._far], [], [], timeout)
        return os.read(self._far, 4096) if ready else b""

    def send(self, data: bytes) -> None:
        os.write(self._far, data)

    def close(self) -> None:
        os.close(self._far)
        os.close(self._near)


@dataclass(frozen=True)
class Place:
    latitude: float = 47.3769
    longitude: float = 8.5417
    altitude: float = 512.25
    heading: float | None = 271.5
    fix_type: int = mavlink.GPS_FIX_TYPE_3D_FIX
    satellites: int = 14
    h_acc_mm: int = 1250
    eph: int = 90


@dataclass
class SimulatedVehicle:
    """Set its fields from a test while it runs; what it was told stands in ``messages`` and ``commands``."""

    wire: Any
    system: int = 1
    video_uri: str = ""
    video_type: int = mavlink.VIDEO_STREAM_TYPE_RTPUDP
    streams: Sequence[dict[str, Any]] = ()
    has_camera: bool = True
    has_zoom: bool = True
    has_gimbal: bool = True
    gimbal_flags: int = (
        mavlink.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_LOCK | mavlink.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_LOCK
    )
    stream_running: bool = True
    place: Place | None = field(default_factory=Place)
    sends_positions: bool = True
    """False for an autopilot that sends none until it is asked to."""
    sends_fixes: bool = True
    """The same for GPS_RAW_INT."""
    unanswered: frozenset[int] = frozenset()
    """Messages whose request it passes over in silence."""
    primary: tuple[int, int] = (0, 0)
    results: dict[int, list[int | None]] = field(default_factory=dict)
    """By command: results to answer with, one after another, before it works; None for no answer at all."""
    passphrase: str = ""
    rate: float = 10.0
    """Positions per second."""
    heartbeat_seconds: float = 0.2
    silent: threading.Event = field(default_factory=threading.Event)
    messages: list[Any] = field(default_factory=list)
    commands: list[Any] = field(default_factory=list)
    pointed: tuple[float, float, int] | None = None
    """Pitch, yaw in degrees and flags as last accepted."""
    zoomed: list[tuple[float, float]] = field(default_factory=list)
    """Kind and value."""
    streaming_started: list[int] = field(default_factory=list)
    booted: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _jobs: queue.Queue[Callable[[], None]] = field(default_factory=queue.Queue)

    @classmethod
    def udp(cls, port: int, **fields: Any) -> Self:
        return cls(UdpWire(port), **fields)

    def __post_init__(self) -> None:
        self._autopilot = self._codec(mavlink.MAV_COMP_ID_AUTOPILOT1)
        self._camera = self._codec(CAMERA)
        self._parser = mavlink.MAVLink(None)
        self._parser.robust_parsing = True
        if self.passphrase:
            self._parser.signing.secret_key = hashlib.sha256(self.passphrase.encode()).digest()
        self._thread = threading.Thread(target=self._run, name="vehicle", daemon=True)
        self.booted = time.monotonic() - 100

    def _codec(self, component: int) -> Any:
        codec = mavlink.MAVLink(None, self.system, component)
        if self.passphrase:
            codec.signing.secret_key = hashlib.sha256(self.passphrase.encode()).digest()
            codec.signing.sign_outgoing = True
            codec.signing.timestamp = round((time.time() - 1_420_070_400) * 100_000)
        return codec

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self.wire.close()

    def reboot(self) -> None:
        self.booted = time.monotonic()

    def inject(self, data: bytes) -> None:
        """Send these bytes as they are, from the vehicle's own address."""
        self._jobs.put(lambda: self.wire.send(data))

    def move(self, **changes: Any) -> None:
        assert self.place is not None
        self.place = replace(self.place, **changes)

    def commands_of(self, command: int) -> list[Any]:
        return [one for one in self.commands if one.command == command]

    @property
    def boot_ms(self) -> int:
        return round((time.monotonic() - self.booted) * 1000)

    def _run(self) -> None:
        beat = position = 0.0
        while not self._stop.is_set():
            data = self.wire.receive(TICK)
            for message in self._parser.parse_buffer(data) or []:
                if message.get_type() != "BAD_DATA":
                    self._take(message)
            while not self._jobs.empty():
                self._jobs.get()()
            if self.silent.is_set():
                continue
            now = time.monotonic()
            if now >= beat:
                beat = now + self.heartbeat_seconds
                self._beat()
            if now >= position:
                position = now + 1 / self.rate
                self._tell_position()

    def _send(self, message: Any, codec: Any = None) -> None:
        if not self.silent.is_set():
            codec = codec or self._autopilot
            self.wire.send(message.pack(codec))
            codec.seq = (codec.seq + 1) % 256

    def _beat(self) -> None:
        self._send(
            mavlink.MAVLink_heartbeat_message(
                mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_PX4, 0, 0, mavlink.MAV_STATE_ACTIVE, 3
            )
        )
        if self.has_camera:
            self._send(
                mavlink.MAVLink_heartbeat_message(
                    mavlink.MAV_TYPE_CAMERA, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE, 3
                ),
                self._camera,
            )
        if self.has_gimbal:
            self._send(
                mavlink.MAVLink_gimbal_manager_status_message(self.boot_ms, 0, 154, *self.primary, 0, 0)
            )

    def _tell_position(self) -> None:
        place = self.place
        if place is None:
            return
        degrees = round(place.latitude * 1e7), round(place.longitude * 1e7), round(place.altitude * 1000)
        quality = place.eph, 65535, 0, 65535, place.satellites
        if self.sends_fixes:
            self._send(
                mavlink.MAVLink_gps_raw_int_message(
                    self.boot_ms * 1000, place.fix_type, *degrees, *quality, h_acc=place.h_acc_mm
                )
            )
        heading = 65535 if place.heading is None else round(place.heading * 100)
        if self.sends_positions:
            self._send(
                mavlink.MAVLink_global_position_int_message(self.boot_ms, *degrees, 30_000, 0, 0, 0, heading)
            )

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        if message.get_type() == "GIMBAL_MANAGER_SET_PITCHYAW":
            self.pointed = math.degrees(message.pitch), math.degrees(message.yaw), message.flags
        if message.get_type() != "COMMAND_LONG" or message.target_system not in (0, self.system):
            return
        self.commands.append(message)
        codec = self._camera if message.target_component == CAMERA else self._autopilot
        planned = self.results.get(message.command)
        result = planned.pop(0) if planned else self._obey(message)
        if result is None:
            return
        self._send(
            mavlink.MAVLink_command_ack_message(
                message.command, result, 0, 0, message.get_srcSystem(), message.get_srcComponent()
            ),
            codec,
        )

    def _obey(self, message: Any) -> int | None:  # noqa: PLR0911 - one for each command
        to_camera = message.target_component == CAMERA
        if to_camera and not self.has_camera:
            return UNSUPPORTED
        if message.command == mavlink.MAV_CMD_REQUEST_MESSAGE:
            if round(message.param1) in self.unanswered:
                return None
            return self._requested(round(message.param1), round(message.param2), to_camera)
        if message.command == mavlink.MAV_CMD_SET_MESSAGE_INTERVAL:
            self.sends_fixes |= round(message.param1) == mavlink.MAVLINK_MSG_ID_GPS_RAW_INT
            self.sends_positions |= round(message.param1) == mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT
            return ACCEPTED
        if message.command == mavlink.MAV_CMD_SET_CAMERA_ZOOM and to_camera and self.has_zoom:
            self.zoomed.append((message.param1, message.param2))
            return ACCEPTED
        if message.command == mavlink.MAV_CMD_VIDEO_START_STREAMING and to_camera:
            self.streaming_started.append(round(message.param1))
            return ACCEPTED
        if to_camera or not self.has_gimbal:
            return UNSUPPORTED
        if message.command == mavlink.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE:
            given = message.param1 < 0
            self.primary = (0, 0) if given else (round(message.param1), round(message.param2))
            return ACCEPTED
        if message.command == mavlink.MAV_CMD_DO_GIMBAL_MANAGER_PITCHYAW:
            if self.primary != (message.get_srcSystem(), message.get_srcComponent()):
                return DENIED
            self.pointed = message.param1, message.param2, round(message.param5)
            return ACCEPTED
        return UNSUPPORTED

    def _requested(self, message_id: int, index: int, to_camera: bool) -> int:
        if message_id == mavlink.MAVLINK_MSG_ID_GIMBAL_MANAGER_INFORMATION:
            if to_camera or not self.has_gimbal:
                return UNSUPPORTED
            down, up, side = math.radians(-90), math.radians(30), math.radians(160)
            self._send(
                mavlink.MAVLink_gimbal_manager_information_message(
                    self.boot_ms, self.gimbal_flags, 154, 0, 0, down, up, -side, side
                )
            )
            return ACCEPTED
        if not to_camera:
            return UNSUPPORTED
        if message_id == mavlink.MAVLINK_MSG_ID_CAMERA_INFORMATION:
            flags = mavlink.CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM
            flags |= mavlink.CAMERA_CAP_FLAGS_HAS_BASIC_ZOOM if self.has_zoom else 0
            vendor, model = (name.ljust(32, b"\0") for name in (b"Skylens", b"SL-4"))
            self._send(
                mavlink.MAVLink_camera_information_message(
                    self.boot_ms, vendor, model, 0x00030201, 4.5, 6.3, 4.7, 320, 180, 0, flags, 0, b""
                ),
                self._camera,
            )
            return ACCEPTED
        if message_id == mavlink.MAVLINK_MSG_ID_CAMERA_SETTINGS:
            message = mavlink.MAVLink_camera_settings_message(self.boot_ms, mavlink.CAMERA_MODE_VIDEO, 0, 0)
            self._send(message, self._camera)
            return ACCEPTED
        return self._requested_stream(message_id, index)

    def _requested_stream(self, message_id: int, index: int) -> int:
        streams = self.streams or [{"uri": self.video_uri, "type": self.video_type}]
        chosen = [(number, stream) for number, stream in enumerate(streams, 1) if index in (0, number)]
        running = int(self.stream_running)
        for number, stream in chosen:
            if message_id == mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION:
                message = mavlink.MAVLink_video_stream_information_message(
                    number,
                    len(streams),
                    stream["type"],
                    running | stream.get("flags", 0),
                    30.0,
                    320,
                    180,
                    2_000_000,
                    0,
                    60,
                    b"main",
                    stream["uri"].encode(),
                    stream.get("encoding", mavlink.VIDEO_STREAM_ENCODING_H264),
                )
            elif message_id == mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_STATUS:
                message = mavlink.MAVLink_video_stream_status_message(
                    number, running, 30.0, 320, 180, 2_000_000, 0, 60
                )
            else:
                return UNSUPPORTED
            self._send(message, self._camera)
        return ACCEPTED if chosen else DENIED
