"""Where a camera is and that it is there: ONLINE and OFFLINE, the circle, heartbeats, the pose that moves."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.kernel.geo import Point, distance_m
from luxxon_core.operator.calls import BACKOFF, Trouble, broken
from luxxon_core.operator.marketplace import WorkspacesApi
from luxxon_core.operator.rules import Rules
from luxxon_core.source import FixType, GeoPose, PoseSource

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5.0
"""Cadence of heartbeats; the marketplace calls a workspace stale after 25 s (api-contract §11.3)."""
MAX_SKEW = 86_400_000
"""Milliseconds that a heartbeat's sequence may run ahead of the clock."""
COVERAGE_SECONDS = 10.0
"""A circle that follows the camera is moved no more often than this …"""
COVERAGE_SHARE = 0.1
"""… and only when the camera is this part of its radius away from the centre."""
FIX_SECONDS = 10.0
"""A camera that knows its place only by its receiver has lost it when no fix came for this long."""


@dataclass(frozen=True, slots=True)
class Location:
    """WGS84 degrees, and metres within which they hold."""

    lat: float
    lng: float
    accuracy_meters: float = 10.0

    @property
    def point(self) -> Point:
        return Point(self.lat, self.lng)


@dataclass(frozen=True, slots=True)
class Fix:
    """A location, and when a receiver measured it; None where somebody wrote it down."""

    location: Location
    captured_at: datetime | None = None


@dataclass
class Presence:
    """One workspace's presence. Without a ``location`` nothing is told before the pose brings one."""

    workspaces: WorkspacesApi
    workspace_id: str
    location: Location | None
    coverage_radius_meters: float | None
    device_kind: str | None
    rules: Rules
    clock: Clock
    trouble: Trouble
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    heartbeats: int = 0
    serving: tuple[str, str] | None = None
    """Id and state of the session in hand."""
    _captured_at: datetime | None = field(default=None, init=False)
    _told_at: float = field(default=0.0, init=False)
    _centre: Point | None = field(default=None, init=False)
    _open: bool = field(default=False, init=False)
    _sequence: int = field(default=0, init=False)
    _skew: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._follows = self.location is None
        self._located = asyncio.Event()
        if self.location is not None:
            self._located.set()

    @property
    def fix(self) -> Fix | None:
        """The location as far as it is known now."""
        if self.location is None or self._lost():
            return None
        return Fix(self.location, self._captured_at)

    def _lost(self) -> bool:
        if not self._follows:
            return False
        return self._captured_at is None or asyncio.get_running_loop().time() - self._told_at > FIX_SECONDS

    # -- availability and circle -----------------------------------------------------------------

    async def go_online(self) -> None:
        """Be ONLINE from now on, or, outside the hours, as soon as they begin.

        Raises:
            LuxxonError: the API refuses for good.
        """
        if not self._located.is_set():
            log.info("agent.waiting_for_fix")
            await self._located.wait()
        if self.rules.open_at(self.clock()):
            await self.trouble.insisting(self._online)
        else:
            log.info("agent.closed")

    async def _online(self) -> None:
        if self.coverage_radius_meters is None or self.location is None:
            await self.workspaces.set_availability(self.workspace_id, "ONLINE")
        else:
            await self._cover("ONLINE")
        self._open = True
        log.info("agent.online")

    async def _cover(self, availability: str | None) -> None:
        assert self.location is not None
        assert self.coverage_radius_meters is not None
        location = self.location
        await self.workspaces.update(
            self.workspace_id,
            availability_state=availability,
            coverage_lat=location.lat,
            coverage_lng=location.lng,
            coverage_radius_meters=self.coverage_radius_meters,
            device_kind=self.device_kind,
        )
        self._centre = location.point

    async def go_offline(self) -> None:
        """Whatever the marketplace says to it; 5 s at most."""
        self._open = False
        try:
            async with asyncio.timeout(5.0):
                await self.workspaces.set_availability(self.workspace_id, "OFFLINE")
            log.info("agent.offline")
        except (LuxxonError, TimeoutError) as error:
            # Nothing more to be done: without heartbeats the workspace goes stale by itself.
            log.warning("agent.offline_failed", reason=str(error))

    async def cover(self, radius_meters: float) -> None:
        """Cover so many metres around the camera from now on; while OFFLINE, from the next ONLINE on.

        Raises:
            LuxxonError: the marketplace refuses, or is away; it is told again with the next circle.
        """
        self.coverage_radius_meters = radius_meters
        if self._open and self.location is not None:
            await self._cover(None)
            log.info("agent.covering", radius_meters=round(radius_meters))

    async def keep_covering(self) -> None:
        """Move the circle after the camera, for ever."""
        while True:
            await asyncio.sleep(COVERAGE_SECONDS)
            radius = self.coverage_radius_meters
            if radius is None or self.location is None or self._centre is None or not self._open:
                continue
            away = distance_m(self._centre, self.location.point)
            if away <= radius * COVERAGE_SHARE:
                continue
            try:
                await self._cover(None)
                log.info("agent.covering", moved_meters=round(away))
            except LuxxonError as error:
                if error.status == 401:
                    raise
                self.trouble.failed("agent.coverage_failed", error)

    async def _mind_the_hours(self) -> None:
        open_ = self.rules.open_at(self.clock())
        if open_ and not self._open:
            await self._online()
        elif self._open and not open_:
            await self.workspaces.set_availability(self.workspace_id, "OFFLINE")
            self._open = False
            log.info("agent.closed")

    # -- heartbeats ------------------------------------------------------------------------------

    async def beat(self) -> None:
        """Send heartbeats for ever: while ONLINE, or with a session in hand, and the place is known."""
        while True:
            try:
                await self._mind_the_hours()
                if self._open or self.serving is not None:
                    await self._heartbeat()
            except LuxxonError as error:
                if error.status == 401:
                    raise
                if error.code == "CONFLICT":
                    # Another agent, or this one before its clock was set back, used a higher number.
                    self._skew = min(max(60_000, self._skew * 4), MAX_SKEW)
                self.trouble.failed("agent.heartbeat_failed", error)
            await asyncio.sleep(self.heartbeat_seconds)

    async def _heartbeat(self) -> None:
        fix = self.fix
        if fix is None:
            self.trouble.note("agent.fix_lost", "the camera does not know where it is")
            return
        now_ms = int(self.clock().timestamp() * 1000)
        # Epoch milliseconds rise over restarts, too, with nothing to store.
        self._sequence = max(self._sequence + 1, now_ms + self._skew)
        serving = self.serving
        await self.workspaces.heartbeat(
            self.workspace_id,
            lat=fix.location.lat,
            lng=fix.location.lng,
            accuracy_meters=fix.location.accuracy_meters,
            sequence=self._sequence,
            session_id=serving[0] if serving is not None and serving[1] == "LIVE" else None,
        )
        self.heartbeats += 1

    # -- the pose --------------------------------------------------------------------------------

    async def follow(self, source: PoseSource) -> None:
        """Take the location from the source, for ever; while it fails the last one stands."""
        delay = BACKOFF[0]
        while True:
            try:
                async with aclosing(source.poses()) as poses:
                    async for pose in poses:
                        delay = BACKOFF[0]
                        self._moved(pose)
            except LuxxonError as error:
                self.trouble.failed("agent.pose_failed", error)
            except Exception as error:  # noqa: BLE001 - a plugin's; the last known location stands
                told = broken("pose", "the camera's position failed", error)
                self.trouble.failed("agent.pose_failed", told)
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF[1])

    def _moved(self, pose: GeoPose) -> None:
        if pose.fix_type < FixType.FIX_2D:
            return
        self.location = Location(pose.latitude, pose.longitude, pose.horizontal_accuracy)
        self._captured_at, self._told_at = pose.captured_at, asyncio.get_running_loop().time()
        self._located.set()
