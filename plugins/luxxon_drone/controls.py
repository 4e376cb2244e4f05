"""Zoom and gimbal of a vehicle's camera. Neither moves the vehicle."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog
from pymavlink.dialects.v20 import common as mavlink

from luxxon_core.source import GimbalFrame, SourceConfigError, SourceError, SourceNotReady, ZoomKind
from luxxon_drone import permits
from luxxon_drone.exchange import Command, Outcome
from luxxon_drone.link import CommandRefused, Link

if TYPE_CHECKING:
    from luxxon_drone.camera import CameraInformation, GimbalInformation

log = structlog.get_logger(__name__)

ZOOM_SECONDS = 6.0
"""A continuous zoom stops by itself: a lost console must not leave the lens running. Longer than a session
may ask for (5 s): whoever asked ends it, as long as he is there."""
STOP_SECONDS = 3.0
"""How long the answer to that stop is waited for."""
_KINDS = {
    ZoomKind.STEP: mavlink.ZOOM_TYPE_STEP,
    ZoomKind.CONTINUOUS: mavlink.ZOOM_TYPE_CONTINUOUS,
    ZoomKind.RANGE: mavlink.ZOOM_TYPE_RANGE,
    ZoomKind.FOCAL_LENGTH: mavlink.ZOOM_TYPE_FOCAL_LENGTH,
}
_RANGES = {
    ZoomKind.STEP: (-1.0, 1.0),
    ZoomKind.CONTINUOUS: (-1.0, 1.0),
    ZoomKind.RANGE: (0.0, 100.0),
    ZoomKind.FOCAL_LENGTH: (0.0, 10_000.0),
}


class Zoom:
    """MAV_CMD_SET_CAMERA_ZOOM. Continuous zooming ends after ZOOM_SECONDS unless it is asked for again."""

    def __init__(self, link: Link, camera: CameraInformation) -> None:
        self._link, self._camera = link, camera
        self._stoppers: set[asyncio.Task[None]] = set()
        """One for each continuous zoom that may still be running."""

    async def set(self, kind: ZoomKind, value: float) -> None:
        """Raises SourceConfigError for a value out of range, and as :meth:`Link.command`."""
        low, high = _RANGES[kind]
        if not low <= value <= high:
            raise SourceConfigError("zoom:range", f"a zoom of kind {kind} goes from {low:g} to {high:g}")
        earlier = tuple(self._stoppers)
        if kind is ZoomKind.CONTINUOUS and value != 0:
            # Before the command: an answer that is lost does not mean that the lens stands still.
            self._stop_later()
        await self._send(kind, value)
        # Only now: what is refused, or lost, has not ended what was running.
        for stopper in earlier:
            stopper.cancel()

    async def close(self) -> None:
        running = tuple(self._stoppers)
        for stopper in running:
            stopper.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if running and self._link.alive:
            await self._stop()

    def _stop_later(self) -> None:
        stopper = asyncio.create_task(self._stop_in_time(), name="zoom-stop")
        self._stoppers.add(stopper)
        stopper.add_done_callback(self._stoppers.discard)

    async def _stop_in_time(self) -> None:
        await asyncio.sleep(ZOOM_SECONDS)
        await self._stop()

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._send(ZoomKind.CONTINUOUS, 0.0)
        except (SourceError, TimeoutError) as error:
            log.warning("drone.zoom_not_stopped", reason=str(error))

    async def _send(self, kind: ZoomKind, value: float) -> None:
        parameters = (_KINDS[kind], value, self._camera.target)
        command = Command(permits.SET_CAMERA_ZOOM, parameters, self._camera.component)
        await self._link.command(command, "zoom")


class Gimbal:
    """The gimbal manager's protocol: control is claimed once, and given back in the end."""

    def __init__(self, link: Link, gimbal: GimbalInformation, take: bool) -> None:
        self._link, self._gimbal, self._take = link, gimbal, take
        self._claimed = False
        self._primary: tuple[int, int] = 0, 0
        """System and component in control, as GIMBAL_MANAGER_STATUS says."""
        self._turn = asyncio.Lock()
        self._newest = 0
        self._without_command = False

    def status(self, component: int, message: mavlink.MAVLink_gimbal_manager_status_message) -> None:
        """GIMBAL_MANAGER_STATUS: who is in control."""
        if component != self._gimbal.component or message.gimbal_device_id != self._gimbal.device_id:
            return
        self._primary = message.primary_control_sysid, message.primary_control_compid
        if self._primary != self._ours:
            self._claimed = False

    def forget(self) -> None:
        """The vehicle has started anew, or was away: what it was told it may have forgotten."""
        self._claimed, self._primary = False, (0, 0)

    async def set(self, pitch: float, yaw: float, frame: GimbalFrame) -> None:
        """Point at an angle, in degrees; beyond its limits the gimbal is pointed at them.

        Of several calls at once the last one counts.

        Raises:
            SourceConfigError: no angle, or a frame that the gimbal does not have.
            SourceNotReady: somebody else controls the gimbal.
        """
        if not (math.isfinite(pitch) and math.isfinite(yaw)):
            raise SourceConfigError("gimbal:angle", "pitch and yaw must be angles in degrees")
        if frame is GimbalFrame.EARTH and not self._gimbal.turns_to_earth:
            raise SourceConfigError("gimbal:frame", "this gimbal turns with the vehicle only")
        self._newest += 1
        number = self._newest
        async with self._turn:
            if number != self._newest:
                return  # a later one is waiting
            await self._claim()
            try:
                await self._point(pitch, yaw, frame)
            except CommandRefused as error:
                if error.outcome is not Outcome.DENIED or not self._claimed:
                    raise
                # Control was taken and perhaps given back meanwhile.
                self._claimed = False
                await self._claim()
                await self._point(pitch, yaw, frame)

    async def close(self) -> None:
        """Give control back."""
        if not self._claimed or not self._link.alive:
            return
        self._claimed = False
        try:
            async with asyncio.timeout(2.0):
                await self._link.command(self._configure(-3, -3), "give its gimbal back")
        except (SourceError, TimeoutError) as error:
            log.info("drone.gimbal_kept", reason=str(error))

    @property
    def _ours(self) -> tuple[int, int]:
        settings = self._link.station.settings
        return settings.system_id, settings.component_id

    async def _claim(self) -> None:
        if self._claimed:
            return
        if self._primary not in ((0, 0), self._ours) and not self._take:
            system, component = self._primary
            raise SourceNotReady(
                "gimbal:taken", f"system {system}, component {component} controls the gimbal"
            )
        try:
            await self._link.command(self._configure(*self._ours), "hand over its gimbal")
        except CommandRefused as error:
            if error.outcome is not Outcome.UNSUPPORTED:
                raise  # an older manager lets anybody point
        self._claimed = True

    def _configure(self, system: int, component: int) -> Command:
        parameters = (system, component, -1, -1, 0, 0, self._gimbal.device_id)
        return Command(permits.DO_GIMBAL_MANAGER_CONFIGURE, parameters, self._gimbal.component)

    async def _point(self, pitch: float, yaw: float, frame: GimbalFrame) -> None:
        low, high = self._gimbal.pitch
        pitch = min(high, max(low, pitch))
        yaw = math.remainder(yaw, 360.0)
        if frame is GimbalFrame.VEHICLE:
            low, high = self._gimbal.yaw
            yaw = min(high, max(low, yaw))
            flags = mavlink.GIMBAL_MANAGER_FLAGS_YAW_IN_VEHICLE_FRAME
        else:
            flags = mavlink.GIMBAL_MANAGER_FLAGS_YAW_IN_EARTH_FRAME | mavlink.GIMBAL_MANAGER_FLAGS_YAW_LOCK
        for capability, flag in _LOCKS:
            if self._gimbal.flags & capability:
                flags |= flag
        if not self._without_command:
            parameters = (pitch, yaw, math.nan, math.nan, flags, 0, self._gimbal.device_id)
            command = Command(permits.DO_GIMBAL_MANAGER_PITCHYAW, parameters, self._gimbal.component)
            try:
                await self._link.command(command, "turn its gimbal")
                return
            except CommandRefused as error:
                if error.outcome is not Outcome.UNSUPPORTED:
                    raise
            self._without_command = True  # this manager takes the message alone, which nobody acknowledges
        message = mavlink.MAVLink_gimbal_manager_set_pitchyaw_message(
            self._link.station.vehicle or 0,
            self._gimbal.component,
            flags,
            self._gimbal.device_id,
            math.radians(pitch),
            math.radians(yaw),
            math.nan,
            math.nan,
        )
        self._link.send(message, self._gimbal.component)


_LOCKS = (
    (mavlink.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_LOCK, mavlink.GIMBAL_MANAGER_FLAGS_PITCH_LOCK),
    (mavlink.GIMBAL_MANAGER_CAP_FLAGS_HAS_ROLL_LOCK, mavlink.GIMBAL_MANAGER_FLAGS_ROLL_LOCK),
)
