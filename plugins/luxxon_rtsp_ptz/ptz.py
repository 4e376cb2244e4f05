"""ONVIF PTZ of a camera, which may offer less than it says; a move never outlives who asked for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from luxxon_core.source import (
    PtzPreset,
    PtzStatus,
    PtzVector,
    SourceAuthError,
    SourceConfigError,
    SourceError,
    SourceNotReady,
)
from luxxon_rtsp_ptz.onvif_device import NotSupported, OnvifDevice, OnvifProfile, Refused
from luxxon_rtsp_ptz.ptz_spaces import Space, Spaces

log = structlog.get_logger(__name__)

LONGEST_MOVE = 10.0
"""Seconds that one continuous move may last; a longer one is renewed."""
STOP_ATTEMPTS, STOP_AGAIN_SECONDS = 3, 0.3


@dataclass(frozen=True, slots=True)
class PresetTour:
    token: str
    name: str
    state: str
    """``Idle``, ``Touring``, ``Paused`` or what the camera says."""


class OnvifPtz:
    """PTZ of one profile. Commands go out one after another; a move that a newer one overtakes is left out.

    Raises from every command:
        SourceNotReady: the camera does not answer.
        SourceAuthError: the user may not move it.
        NotSupported: this camera cannot do that. Refused: it can, but not with this value.
        SourceConfigError: a value that is no number.
    """

    def __init__(
        self, device: OnvifDevice, profile: str, spaces: Spaces, timeouts: tuple[float, float]
    ) -> None:
        self._device, self._profile, self._spaces = device, profile, spaces
        self._timeouts = timeouts
        self._lock = asyncio.Lock()
        self._turn = 0
        self._deadline = 0.0
        """Monotonic time when a continuous move ends; 0 where none is under way."""
        self._dead_man: asyncio.Task[None] | None = None
        self._missing: set[str] = set()
        """Operations that the camera turned out not to have."""
        self._runaway = False

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self._missing:
            found.append(f"the camera says it has PTZ, but lacks {', '.join(sorted(self._missing))}")
        if self._runaway:
            found.append("the camera did not take the last stop; it may still be moving")
        return tuple(found)

    async def close(self) -> None:
        """Stop what is moving."""
        moving = self._deadline > 0
        if self._dead_man is not None:
            self._dead_man.cancel()
            await asyncio.gather(self._dead_man, return_exceptions=True)
        if moving:
            await self._halt()

    # -- moving ------------------------------------------------------------------------------------------

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        """Move until ``timeout`` seconds from now unless renewed; a velocity of nothing stops.

        The camera is told the time, too, in whole seconds, so that it stops when we cannot tell it.
        """
        _check(velocity.pan, velocity.tilt, velocity.zoom, timeout)
        if velocity == PtzVector() or timeout <= 0:
            await self.stop()
            return
        vector = self._vector(self._spaces.velocity, velocity, "continuous moves")
        timeout = min(timeout, LONGEST_MOVE)
        shortest, longest = self._timeouts
        told = min(max(math.ceil(timeout), shortest), longest)
        # Before it is sent: a camera that does not answer may move all the same.
        self._arm(min(timeout, told))
        await self._move("ContinuousMove", Velocity=vector, Timeout=timedelta(seconds=told))

    async def relative_move(self, translation: PtzVector) -> None:
        _check(translation.pan, translation.tilt, translation.zoom)
        vector = self._vector(self._spaces.translation, translation, "relative moves")
        await self._instead("RelativeMove", Translation=vector)

    async def absolute_move(self, position: PtzVector) -> None:
        _check(position.pan, position.tilt, position.zoom)
        vector = self._vector(self._spaces.position, position, "absolute moves", absolute=True)
        await self._instead("AbsoluteMove", Position=vector)

    async def stop(self) -> None:
        if self._deadline:
            self._deadline = time.monotonic()  # should this one fail, the dead man's switch insists
        await self._instead("Stop", PanTilt=self._spaces.pans, Zoom=self._spaces.zooms)
        self._runaway = False

    async def goto_preset(self, token: str) -> None:
        await self._instead("GotoPreset", PresetToken=token)

    async def goto_home(self) -> None:
        await self._instead("GotoHomePosition")

    async def _instead(self, operation: str, **parameters: Any) -> None:
        """A command that ends a continuous move, once the camera has taken it."""
        if await self._move(operation, **parameters):
            self._deadline = 0.0

    async def _move(self, operation: str, **parameters: Any) -> bool:
        """Whether the command is still the newest."""
        self._turn += 1
        turn = self._turn
        async with self._lock:
            if turn == self._turn or operation == "Stop":
                await self._ask(operation, **parameters)
            return turn == self._turn

    async def _ask(self, operation: str, **parameters: Any) -> Any:
        if operation in self._missing:
            raise NotSupported("ptz:notSupported", f"this camera does not support {operation}")
        try:
            return await self._device.call("ptz", operation, ProfileToken=self._profile, **parameters)
        except NotSupported:
            self._missing.add(operation)
            raise

    def _vector(
        self, spaces: tuple[Space | None, Space | None], wanted: PtzVector, what: str, absolute: bool = False
    ) -> dict[str, Any]:
        """As the camera counts. What it cannot do is left out, unless nothing would be left."""
        pan_tilt, zoom = spaces
        vector: dict[str, Any] = {}
        if pan_tilt is not None:
            x, y = pan_tilt.of(wanted.pan, wanted.tilt, absolute)
            vector["PanTilt"] = {"x": x, "y": y, **pan_tilt.attribute()}
        if zoom is not None:
            vector["Zoom"] = {"x": zoom.of_zoom(wanted.zoom, absolute), **zoom.attribute()}
        lacking = [
            axis
            for axis, space, asked in (
                ("pan and tilt", pan_tilt, wanted.pan or wanted.tilt),
                ("zoom", zoom, wanted.zoom),
            )
            if space is None and asked
        ]
        if not vector or (lacking and not self._moves(spaces, wanted)):
            axes = " and ".join(lacking) or "pan, tilt and zoom"
            raise NotSupported("ptz:notSupported", f"this camera has no {what} of {axes}")
        return vector

    @staticmethod
    def _moves(spaces: tuple[Space | None, Space | None], wanted: PtzVector) -> bool:
        pan_tilt, zoom = spaces
        return bool((pan_tilt and (wanted.pan or wanted.tilt)) or (zoom and wanted.zoom))

    # -- the dead man's switch ---------------------------------------------------------------------------

    def _arm(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        if self._dead_man is None or self._dead_man.done():
            self._dead_man = asyncio.create_task(self._watch(), name="ptz-dead-man")

    async def _watch(self) -> None:
        while self._deadline:
            left = self._deadline - time.monotonic()
            if left > 0:
                # Looked at often: a renewal may shorten the time.
                await asyncio.sleep(min(left, 0.1))
            else:
                await self._halt()

    async def _halt(self) -> None:
        """Stop, and insist, unless a newer command has come."""
        before = self._deadline, self._turn
        for _ in range(STOP_ATTEMPTS):
            try:
                async with self._lock:
                    if (self._deadline, self._turn) != before:
                        return
                    await self._ask("Stop", PanTilt=self._spaces.pans, Zoom=self._spaces.zooms)
            except SourceError as error:
                log.warning("ptz.stop_failed", reason=error.message)
                self._runaway = True
                await asyncio.sleep(STOP_AGAIN_SECONDS)
            else:
                self._runaway = False
                break
        if (self._deadline, self._turn) == before:
            self._deadline = 0.0

    # -- asking ------------------------------------------------------------------------------------------

    async def get_status(self) -> PtzStatus:
        """Where the camera says it is; what it does not say, or not legibly, is None with the reason."""
        try:
            answer = await self._ask("GetStatus")
        except (SourceAuthError, SourceNotReady):
            raise
        except SourceError as error:
            return PtzStatus(None, self._deadline > 0, error.message)
        try:
            position = self._spaces.read(getattr(answer, "Position", None))
            state = getattr(answer, "MoveStatus", None)
            parts = [getattr(state, "PanTilt", None), getattr(state, "Zoom", None)]
            moving = "MOVING" in parts or (set(parts) <= {None, "UNKNOWN"} and self._deadline > 0)
            said = getattr(answer, "Error", None)
        except (TypeError, ValueError):
            return PtzStatus(None, self._deadline > 0, "the camera's position cannot be read")
        return PtzStatus(position, moving, str(said)[:200] if said and said != "NO error" else None)

    async def get_presets(self) -> Sequence[PtzPreset]:
        return [
            PtzPreset(str(token), str(getattr(one, "Name", None) or token)[:100])
            for one in await self._ask("GetPresets") or ()
            if (token := getattr(one, "token", None))
        ]

    async def set_preset(self, name: str, token: str | None = None) -> str:
        """Token of the preset that was made, or moved where ``token`` names one."""
        parameters = {"PresetName": name} | ({"PresetToken": token} if token else {})
        answer = await self._ask("SetPreset", **parameters)
        made = str(getattr(answer, "PresetToken", None) or answer or token or "")
        if not made:
            raise SourceError("onvif:malformed", "the camera does not say which preset it made")
        return made

    async def get_preset_tours(self) -> Sequence[PresetTour]:
        tours = []
        for one in await self._ask("GetPresetTours") or ():
            if token := getattr(one, "token", None):
                state = getattr(getattr(one, "Status", None), "State", None)
                name = str(getattr(one, "Name", None) or token)[:100]
                tours.append(PresetTour(str(token), name, str(state or "")))
        return tours

    async def operate_preset_tour(self, token: str, operation: str) -> None:
        """``Start``, ``Stop`` or ``Pause`` a tour (ONVIF PTZ §5.7)."""
        await self._instead("OperatePresetTour", PresetTourToken=token, Operation=operation)


async def open_ptz(device: OnvifDevice, profile: OnvifProfile) -> tuple[OnvifPtz | None, str | None]:
    """PTZ of a profile, or None and why a camera that advertises it does not get it.

    Raises:
        SourceAuthError, SourceNotReady
    """
    if profile.ptz is None or not device.offers("ptz"):
        return None, None
    spaces = Spaces.unknown()
    try:
        node = await _node(device, getattr(profile.ptz, "NodeToken", None))
        spaces = Spaces.of_node(node, profile.ptz)
    except (SourceAuthError, SourceNotReady):
        raise
    except SourceError as error:
        # It cannot say what it has. If it cannot say where it is either, there is nothing behind it.
        try:
            await device.call("ptz", "GetStatus", ProfileToken=profile.token)
        except (NotSupported, Refused):
            return None, f"PTZ is left out: {error.message}"
        except (SourceAuthError, SourceNotReady):
            raise
        except SourceError:
            log.info("ptz.status_malformed")
    if spaces.empty:
        return None, "PTZ is left out: the camera names nothing that it could move"
    timeouts = await _timeouts(device, profile)
    return OnvifPtz(device, profile.token, spaces, timeouts), None


async def _node(device: OnvifDevice, token: str | None) -> Any:
    if token:
        try:
            return await device.call("ptz", "GetNode", NodeToken=token)
        except (Refused, NotSupported):
            log.info("ptz.no_node", token=token)
    nodes = await device.call("ptz", "GetNodes")
    if not nodes:
        raise NotSupported("ptz:noNode", "the camera names no PTZ node")
    return next((one for one in nodes if getattr(one, "token", None) == token), nodes[0])


async def _timeouts(device: OnvifDevice, profile: OnvifProfile) -> tuple[float, float]:
    """Shortest and longest time-out of a continuous move that the camera takes, in seconds."""
    token = getattr(profile.ptz, "token", None)
    try:
        answer = await device.call("ptz", "GetConfigurationOptions", ConfigurationToken=token)
        allowed = answer.PTZTimeout
        shortest, longest = allowed.Min.total_seconds(), allowed.Max.total_seconds()
    except SourceAuthError:
        raise
    except (SourceError, AttributeError, TypeError):
        return 1.0, 60.0
    return (max(shortest, 0.0), longest) if longest > 0 and shortest <= longest else (1.0, 60.0)


def _check(*numbers: float) -> None:
    if not all(math.isfinite(one) for one in numbers):
        raise SourceConfigError("ptz:value", "a PTZ value must be a finite number")
