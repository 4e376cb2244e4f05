"""What a vehicle has: camera, streams and gimbal, asked for by camera and gimbal protocol v2 (mavlink.io)."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import structlog
from pymavlink.dialects.v20 import common as mavlink

from luxxon_core.source import DeviceInformation, SourceConfigError, SourceError, SourceNotReady
from luxxon_drone import permits
from luxxon_drone.codec import text
from luxxon_drone.config import VideoAddress, parse_video
from luxxon_drone.exchange import Command
from luxxon_drone.link import CommandRefused, Link

log = structlog.get_logger(__name__)

CAMERA_IDS = range(mavlink.MAV_COMP_ID_CAMERA, mavlink.MAV_COMP_ID_CAMERA6 + 1)
GIMBAL_IDS = (
    mavlink.MAV_COMP_ID_GIMBAL,
    *range(mavlink.MAV_COMP_ID_GIMBAL2, mavlink.MAV_COMP_ID_GIMBAL6 + 1),
)
MAX_STREAMS = 8


@dataclass(frozen=True, slots=True)
class CameraInformation:
    component: int
    device_id: int
    """1 to 6 for a camera behind the autopilot, 0 for one that is a component itself."""
    flags: int
    vendor: str
    model: str
    firmware_version: str

    @property
    def has_zoom(self) -> bool:
        return bool(self.flags & mavlink.CAMERA_CAP_FLAGS_HAS_BASIC_ZOOM)

    @property
    def has_video(self) -> bool:
        return bool(self.flags & mavlink.CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM)

    @property
    def target(self) -> int:
        """The third parameter of MAV_CMD_SET_CAMERA_ZOOM."""
        return self.device_id or self.component


@dataclass(frozen=True, slots=True)
class StreamInformation:
    stream_id: int
    kind: int
    encoding: int
    uri: str
    name: str
    thermal: bool


@dataclass(frozen=True, slots=True)
class GimbalInformation:
    component: int
    """Of the gimbal manager."""
    device_id: int
    flags: int
    pitch: tuple[float, float]
    yaw: tuple[float, float]
    """Limits in degrees; yaw against the vehicle."""

    @property
    def turns_to_earth(self) -> bool:
        earth = mavlink.GIMBAL_MANAGER_CAP_FLAGS_SUPPORTS_YAW_IN_EARTH_FRAME
        return bool(self.flags & (earth | mavlink.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_LOCK))


async def find_camera(link: Link, configured: int) -> CameraInformation | None:
    """The configured component's camera, or the first that announces itself, or the autopilot's."""
    settings = link.station.settings
    if configured:
        candidates = [configured]
    else:
        announced = {
            component
            for component, kind in link.station.components.items()
            if kind == mavlink.MAV_TYPE_CAMERA or component in CAMERA_IDS
        }
        candidates = [*sorted(announced), settings.target_component]
    wanted = mavlink.MAVLINK_MSG_ID_CAMERA_INFORMATION
    for component, message in await _asked_all(link, wanted, candidates, "tell about its camera"):
        return _camera(component, message)
    return None


async def find_streams(link: Link, camera: CameraInformation) -> list[StreamInformation]:
    """All video streams of a camera; none where it does not answer or refuses.

    Raises:
        SourceNotReady: the link was lost meanwhile.
    """
    wanted = mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION
    purpose = "tell about its video streams"
    try:
        first = await link.request(wanted, camera.component, purpose)
    except (CommandRefused, SourceNotReady):
        if not link.alive:
            raise
        return []
    streams = {first.stream_id: _stream(first)}
    for number in range(1, min(first.count, MAX_STREAMS) + 1):
        if number in streams:
            continue
        try:
            message = await link.request(wanted, camera.component, purpose, number)
        except SourceError:
            continue  # one stream less to choose from
        streams[message.stream_id] = _stream(message)
    return [streams[number] for number in sorted(streams)]


async def find_gimbal(link: Link, camera: CameraInformation | None) -> GimbalInformation | None:
    station = link.station
    announced = {
        component
        for component, kind in station.components.items()
        if kind == mavlink.MAV_TYPE_GIMBAL or component in GIMBAL_IDS
    }
    if camera is not None:
        announced.add(camera.component)
    announced.discard(station.settings.target_component)
    wanted = mavlink.MAVLINK_MSG_ID_GIMBAL_MANAGER_INFORMATION
    candidates = [station.settings.target_component, *sorted(announced)]
    for component, message in await _asked_all(link, wanted, candidates, "tell about its gimbal"):
        return _gimbal(component, message)
    return None


async def _asked_all(
    link: Link, message_id: int, components: list[int], purpose: str
) -> list[tuple[int, Any]]:
    """Ask all at once; the answers of those that have one, in order.

    Raises:
        SourceNotReady: the link was lost meanwhile.
    """
    unique = list(dict.fromkeys(components))
    answers = await asyncio.gather(
        *(link.request(message_id, component, purpose) for component in unique), return_exceptions=True
    )
    found = []
    for component, answer in zip(unique, answers, strict=True):
        if not isinstance(answer, BaseException):
            found.append((component, answer))
        elif not isinstance(answer, SourceError):
            raise answer
    if not found and not link.alive:
        raise link.lost_error()
    return found


def choose_stream(streams: list[StreamInformation], stream_id: int) -> StreamInformation:
    """The one asked for, or the first that can be played, by daylight rather than by heat.

    Raises:
        SourceConfigError: there is no such stream, or none that can be played.
    """
    if stream_id:
        streams = [stream for stream in streams if stream.stream_id == stream_id]
        if not streams:
            raise SourceConfigError("drone:noStream", f"the camera has no video stream {stream_id}")
    if not streams:
        raise SourceConfigError(
            "drone:noVideo", "the vehicle names no video stream; set the video address of the configuration"
        )
    playable = [one for one in streams if one.kind in _KINDS and one.encoding in _ENCODINGS]
    if not playable:
        raise SourceConfigError(
            "drone:streamKind", "the camera's video is neither RTSP nor RTP over UDP; set the video address"
        )
    return min(playable, key=lambda one: (one.thermal, one.encoding == mavlink.VIDEO_STREAM_ENCODING_H265))


_KINDS = (mavlink.VIDEO_STREAM_TYPE_RTSP, mavlink.VIDEO_STREAM_TYPE_RTPUDP)
_ENCODINGS = (
    mavlink.VIDEO_STREAM_ENCODING_UNKNOWN,  # which older cameras send, having no such field
    mavlink.VIDEO_STREAM_ENCODING_H264,
    mavlink.VIDEO_STREAM_ENCODING_H265,
)


def stream_address(stream: StreamInformation) -> VideoAddress:
    """Where a stream of the camera is.

    Raises:
        SourceConfigError: its address is not of the kind it says.
    """
    try:
        address = parse_video(stream.uri)
    except ValueError as error:
        raise SourceConfigError(
            "drone:streamUri", f"the camera's video address cannot be used: {error}"
        ) from None
    if address.rtsp != (stream.kind == mavlink.VIDEO_STREAM_TYPE_RTSP):
        raise SourceConfigError("drone:streamUri", "the camera's video address is not of the kind it says")
    if not address.rtsp and stream.encoding == mavlink.VIDEO_STREAM_ENCODING_H265:
        raise SourceConfigError("drone:streamEncoding", "H.265 by RTP over UDP is not taken; use RTSP")
    return address


async def ensure_streaming(link: Link, camera: CameraInformation, stream: StreamInformation) -> None:
    """Start a stream that says it is not running.

    A camera that does not say, or does not start it, is left alone: its address may work all the same.

    Raises:
        SourceNotReady: the link was lost meanwhile.
    """
    try:
        status = await link.request(
            mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_STATUS,
            camera.component,
            "tell about its video stream",
            stream.stream_id,
        )
        if not status.flags & mavlink.VIDEO_STREAM_STATUS_FLAGS_RUNNING:
            command = Command(permits.VIDEO_START_STREAMING, (stream.stream_id,), camera.component)
            await link.command(command, "start its video stream")
    except (CommandRefused, SourceNotReady) as error:
        if not link.alive:
            raise
        log.info("drone.stream_not_started", reason=error.message)


async def camera_mode(link: Link, camera: CameraInformation) -> int | None:
    """CAMERA_MODE as CAMERA_SETTINGS tells it; None where the camera does not."""
    try:
        settings = await link.request(
            mavlink.MAVLINK_MSG_ID_CAMERA_SETTINGS, camera.component, "tell its settings"
        )
    except (CommandRefused, SourceNotReady):
        return None
    return int(settings.mode_id)


def device_information(
    camera: CameraInformation | None, system: int, autopilot: int, vehicle_type: int
) -> DeviceInformation:
    """Of the camera where the vehicle has told about it, of the vehicle otherwise."""
    vehicle = vehicle_title(system, autopilot, vehicle_type)
    if camera is None:
        return DeviceInformation(model=vehicle, serial_number=str(system))
    return DeviceInformation(
        camera.vendor, camera.model or vehicle, camera.firmware_version, serial_number=str(system)
    )


def vehicle_title(system: int, autopilot: int, vehicle_type: int) -> str:
    """As «quadrotor, PX4, system 1»."""
    pilot = _NAMES.get(autopilot) or _enum_name("MAV_AUTOPILOT", autopilot)
    return f"{_enum_name('MAV_TYPE', vehicle_type)}, {pilot}, system {system}"


_NAMES = {mavlink.MAV_AUTOPILOT_PX4: "PX4", mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA: "ArduPilot"}


def _enum_name(enum: str, value: int) -> str:
    entry = mavlink.enums[enum].get(value)
    return entry.name.removeprefix(enum + "_").replace("_", " ").lower() if entry else f"type {value}"


def _camera(component: int, message: Any) -> CameraInformation:
    version = message.firmware_version
    parts = [version >> shift & 0xFF for shift in (0, 8, 16, 24)]
    firmware = ".".join(map(str, parts)).removesuffix(".0") if version else ""
    return CameraInformation(
        component,
        message.camera_device_id,
        message.flags,
        text(message.vendor_name),
        text(message.model_name),
        firmware,
    )


def _stream(message: Any) -> StreamInformation:
    return StreamInformation(
        message.stream_id,
        message.type,
        message.encoding,
        text(message.uri),
        text(message.name),
        bool(message.flags & mavlink.VIDEO_STREAM_STATUS_FLAGS_THERMAL),
    )


def _gimbal(component: int, message: Any) -> GimbalInformation:
    return GimbalInformation(
        component,
        message.gimbal_device_id,
        message.cap_flags,
        _limits(message.pitch_min, message.pitch_max, 90.0),
        _limits(message.yaw_min, message.yaw_max, 180.0),
    )


def _limits(low: float, high: float, widest: float) -> tuple[float, float]:
    """Radians to degrees; the widest range where a gimbal says nothing that makes sense."""
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return max(-widest, math.degrees(low)), min(widest, math.degrees(high))
    return -widest, widest
