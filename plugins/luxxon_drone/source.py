"""An open drone: its video, its position, and of zoom and gimbal what it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from pymavlink.dialects.v20 import common as mavlink

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox, SharedSource
from luxxon_core.source import (
    FixType,
    GeoPose,
    GimbalFrame,
    Health,
    HealthState,
    MediaProfile,
    SourceConfigError,
    SourceError,
    ZoomKind,
)
from luxxon_drone import permits
from luxxon_drone.camera import (
    CameraInformation,
    camera_mode,
    choose_stream,
    device_information,
    ensure_streaming,
    find_camera,
    find_gimbal,
    find_streams,
    stream_address,
)
from luxxon_drone.codec import signing_key
from luxxon_drone.config import DroneConfig, VideoAddress, parse_link, parse_video
from luxxon_drone.controls import Gimbal, Zoom
from luxxon_drone.exchange import Command
from luxxon_drone.link import Link
from luxxon_drone.rtsp import VideoLogin
from luxxon_drone.station import Beat, Event, LinkLost, LinkUp, Moved, Rebooted, Received, Settings, Station
from luxxon_drone.transport import transport_for
from luxxon_drone.video import Video

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_core.rtp.stream import StreamInfo
    from luxxon_core.source import DeviceInformation
    from luxxon_drone.position import Position

log = structlog.get_logger(__name__)

COMPONENT_SECONDS = 1.2
"""Within that every component of the vehicle has sent a heartbeat of its own."""
POSITION_SECONDS = 3.0
"""Without a position for so long the autopilot is asked to send some."""
POSITION_INTERVAL = 200_000
"""Microseconds between them."""


async def open_drone(config: DroneConfig) -> DroneSource:
    """Raises SourceNotReady, SourceAuthError or SourceConfigError; see :meth:`SourceType.open`."""
    vehicle = Vehicle(config)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(vehicle.close)
        await vehicle.start()
        meter = HealthMeter()
        video = Video(
            vehicle.video_address,
            VideoLogin(config.video_username, config.video_password.get_secret_value()),
            meter,
        )
        undo.push_async_callback(asyncio.to_thread, video.close)
        info = await asyncio.to_thread(video.start)
        undo.pop_all()
    kind = _CLASSES[vehicle.zoom is not None, vehicle.gimbal is not None]
    return kind(vehicle, video, info, meter)


class Vehicle:
    """The MAVLink side: a link, what was found on it, and who listens for positions and for its loss."""

    def __init__(self, config: DroneConfig) -> None:
        self._config = config
        key = config.signing_key.get_secret_value()
        self.station = Station(
            Settings(
                system_id=config.system_id,
                component_id=config.component_id,
                target_system=config.target_system,
                target_component=config.target_component,
                heartbeat_type=(
                    mavlink.MAV_TYPE_GCS
                    if config.announce_as == "gcs"
                    else mavlink.MAV_TYPE_ONBOARD_CONTROLLER
                ),
                heartbeat_seconds=1 / config.heartbeat_hz,
                timeout=config.link_timeout,
                key=signing_key(key) if key else None,
            )
        )
        address = parse_link(config.link)
        self.link = Link(transport_for(address, config.baud), self.station, str(address), self._happened)
        self.camera: CameraInformation | None = None
        self.zoom: Zoom | None = None
        self.gimbal: Gimbal | None = None
        self.video_address = VideoAddress()
        self.fix_type: FixType | None = None
        self.lost: list[PacketMailbox | FrameMailbox[VideoFrame]] = []
        """Closed with the reason when the link is lost."""
        self._poses: list[FrameMailbox[GeoPose]] = []
        self._image_mode = False
        self._beat = asyncio.Event()
        self._moved_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    @property
    def title(self) -> DeviceInformation:
        station = self.station
        return device_information(self.camera, station.vehicle or 0, station.autopilot, station.vehicle_type)

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.station.neighbours:
            others = ", ".join(map(str, sorted(self.station.neighbours)))
            found.append(f"other vehicles on the link are ignored: {others}")
        if self.station.impostors:
            found.append("messages in the vehicle's name come from a second address and are ignored")
        if self.station.alive and self.fix_type is not None and self.fix_type < FixType.FIX_2D:
            found.append("the vehicle has no position fix")
        if self._image_mode:
            found.append("the camera is in photo mode")
        return tuple(found)

    async def start(self) -> None:
        await self.link.start()
        await self.link.wait_up(self._config.link_timeout)
        self._asking = asyncio.create_task(self._keep_positions_coming(), name="drone-positions")
        if not self._config.camera_component:
            await self._components()
        self.camera = await find_camera(self.link, self._config.camera_component)
        found, self.video_address = await asyncio.gather(
            find_gimbal(self.link, self.camera), self._find_video()
        )
        if self.camera is not None:
            self._image_mode = await camera_mode(self.link, self.camera) == mavlink.CAMERA_MODE_IMAGE
            if self.camera.has_zoom:
                self.zoom = Zoom(self.link, self.camera)
        if found is not None:
            self.gimbal = Gimbal(self.link, found, self._config.take_gimbal)

    async def _components(self) -> None:
        """Wait for the heartbeats of the vehicle's other components: one turn of the autopilot's."""
        self._beat.clear()
        try:
            async with asyncio.timeout(COMPONENT_SECONDS):
                await self._beat.wait()
        except TimeoutError:
            return

    async def _find_video(self) -> VideoAddress:
        if self._config.video:
            return parse_video(self._config.video)
        if self.camera is None:
            raise SourceConfigError(
                "drone:noCamera",
                "no camera answers on the link; set the video address of the configuration",
            )
        stream = choose_stream(await find_streams(self.link, self.camera), self._config.stream_id)
        await ensure_streaming(self.link, self.camera, stream)
        return stream_address(stream)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for control in (self.zoom, self.gimbal):
            if control is not None:
                await control.close()
        await self.link.close()
        for reader in [*self._poses, *self.lost]:
            reader.close()

    @contextmanager
    def listening(self) -> Iterator[FrameMailbox[GeoPose]]:
        mailbox: FrameMailbox[GeoPose] = FrameMailbox()
        self._poses.append(mailbox)
        try:
            yield mailbox
        finally:
            self._poses.remove(mailbox)

    def _happened(self, event: Event) -> None:
        if isinstance(event, Beat):
            self._beat.set()
        elif isinstance(event, Moved):
            self._moved(event.position)
        elif isinstance(event, LinkLost):
            error = self.link.lost_error()
            self.fix_type = None
            for reader in [*self._poses, *self.lost]:
                reader.close(error)
        elif isinstance(event, Rebooted | LinkUp):
            if isinstance(event, Rebooted):
                log.warning("drone.rebooted", system=self.station.vehicle)
            self._moved_at = float("-inf")
            if self.gimbal is not None:
                self.gimbal.forget()
        elif (
            isinstance(event, Received)
            and self.gimbal is not None
            and event.message.get_msgId() == mavlink.MAVLINK_MSG_ID_GIMBAL_MANAGER_STATUS
        ):
            self.gimbal.status(event.component, event.message)

    def _moved(self, position: Position) -> None:
        now = time.monotonic()
        self._moved_at = now
        if self.fix_type != position.fix_type:
            log.info("drone.fix", fix=position.fix_type.name, satellites=position.satellites)
        self.fix_type = position.fix_type
        pose = GeoPose(
            position.latitude,
            position.longitude,
            position.altitude,
            position.heading,
            position.horizontal_accuracy,
            position.fix_type,
            self.link.clock() - timedelta(seconds=now - position.taken),
            position.satellites,
        )
        for reader in self._poses:
            reader.put(pose)

    async def _keep_positions_coming(self) -> None:
        """Ask for positions, and for how good they are, where the autopilot does not send them; it may
        refuse either."""
        refused: dict[int, str] = {}
        while True:
            await asyncio.sleep(POSITION_SECONDS)
            now = time.monotonic()
            known = {
                permits.GPS_RAW_INT: self.station.fix_known(now),
                permits.GLOBAL_POSITION_INT: now - self._moved_at < POSITION_SECONDS,
            }
            for message_id, comes in known.items():
                if comes or not self.link.alive:
                    continue
                command = Command(
                    permits.SET_MESSAGE_INTERVAL,
                    (message_id, POSITION_INTERVAL),
                    self.station.settings.target_component,
                )
                try:
                    await self.link.command(command, "send its position")
                except SourceError as error:
                    if refused.get(message_id) != error.message:
                        log.info("drone.no_positions", message=message_id, reason=error.message)
                    refused[message_id] = error.message


class DroneSource(SharedSource):
    """A drone with a position. Those with zoom or gimbal are of the classes below.

    One thread reads the video for all readers; each gets the newest frame when it asks.
    """

    def __init__(self, vehicle: Vehicle, video: Video, info: StreamInfo, meter: HealthMeter) -> None:
        super().__init__(vehicle.title, meter)
        self._vehicle, self._video, self._info = vehicle, video, info
        if info.encode_reason:
            log.warning("drone.encoded_again", reason=info.encode_reason)

    @property
    def encode_reason(self) -> str | None:
        return self._info.encode_reason

    def media_profiles(self) -> list[MediaProfile]:
        return [self._info.profile("main")]

    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        """Each position once, the newest where the reader is slow.

        Raises:
            SourceNotReady: the link is down.
        """
        if not self._vehicle.link.alive:
            raise self._vehicle.link.lost_error()
        with self._vehicle.listening() as mailbox:
            async for pose in mailbox:
                yield pose

    def health(self) -> Health:
        health = super().health()
        warnings = self._vehicle.warnings + self._video.warnings()
        if self.encode_reason:
            warnings = (f"the video is decoded and encoded again: {self.encode_reason}", *warnings)
        reconnects = health.reconnects + self._vehicle.link.reconnects
        if health.state is not HealthState.CLOSED and not self._vehicle.link.alive:
            health = replace(
                health, state=HealthState.FAILED, last_error=self._vehicle.link.lost_error().message
            )
        return replace(health, reconnects=reconnects, warnings=warnings)

    async def close(self) -> None:
        try:
            await self._vehicle.close()
        finally:
            await asyncio.to_thread(self._video.close)

    async def _add(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        if not self._vehicle.link.alive:
            raise self._vehicle.link.lost_error()
        self._vehicle.lost.append(mailbox)
        self._video.add(mailbox)

    async def _remove(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        if mailbox in self._vehicle.lost:
            self._vehicle.lost.remove(mailbox)
        self._video.remove(mailbox)


class ZoomDrone(DroneSource):
    async def set_zoom(self, kind: ZoomKind, value: float) -> None:
        """Steps and speeds in -1..1, a range in 0..100 %, a focal length in millimetres."""
        assert self._vehicle.zoom is not None
        await self._vehicle.zoom.set(kind, value)


class GimbalDrone(DroneSource):
    async def set_pitch_yaw(self, pitch: float, yaw: float, frame: GimbalFrame) -> None:
        """See :meth:`luxxon_drone.controls.Gimbal.set`."""
        assert self._vehicle.gimbal is not None
        await self._vehicle.gimbal.set(pitch, yaw, frame)


class ZoomGimbalDrone(ZoomDrone, GimbalDrone):
    pass


_CLASSES: dict[tuple[bool, bool], type[DroneSource]] = {
    (False, False): DroneSource,
    (True, False): ZoomDrone,
    (False, True): GimbalDrone,
    (True, True): ZoomGimbalDrone,
}
"""By what the vehicle has: zoom, gimbal."""
