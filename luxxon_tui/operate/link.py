"""One camera as the screen has it: opened, watched, moved, closed. The camera itself lives aside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.operate.aside import Aside, Home
from luxxon_tui.operate.finding import FoundCamera

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_core.controls.schemas import Order, PtzPreset, PtzResult, PtzStatus
    from luxxon_core.operator.ptz import Controls
    from luxxon_core.source import DeviceInformation, GeoPose, Health, MediaProfile, Source

PREVIEW_WIDTH, PREVIEW_FPS = 480, 10.0
STILL_SECONDS = 6.0
"""How long a camera may take over its first picture."""
STATUS_SECONDS = 1.0
RETRY_SECONDS = 2.0
REFUSED = "SOURCE_AUTH"
"""Code of ``SourceAuthError``."""


class LinkState(StrEnum):
    CLOSED = "CLOSED"
    OPENING = "OPENING"
    OPEN = "OPEN"
    FAILED = "FAILED"


class CameraLink:
    """Args:
    told: called here after what it knows has changed, but for pictures: :attr:`number` counts those.
    """

    def __init__(self, found: FoundCamera, aside: Aside, told: Callable[[], None]) -> None:
        self.found = found
        self._aside, self._home, self._told = aside, Home(), told
        self.state = LinkState.CLOSED
        self.reason = ""
        self.refused = False
        """Whether the camera did not take what opens it."""
        self.fault: Exception | None = None
        """What has kept it from opening, the last time."""
        self.seen = False
        """Whether it has been opened once."""
        self.frame: VideoFrame | None = None
        """The newest picture; it stays when the camera is closed."""
        self.number = 0
        self.profiles: tuple[MediaProfile, ...] = ()
        self.token: str | None = None
        """Of the profile that somebody has chosen."""
        self.trouble = ""
        """Why it is not online although it should be."""
        self.information: DeviceInformation | None = None
        self.health: Health | None = None
        self.controls: frozenset[str] = frozenset()
        """Of ``ptz``, ``zoom``, ``gimbal``."""
        self.capabilities: tuple[str, ...] = ()
        self.presets: tuple[PtzPreset, ...] = ()
        self.status: PtzStatus | None = None
        self.pose: GeoPose | None = None
        self.aim = (0.0, 0.0)
        """Pitch and yaw that the gimbal was told, in degrees."""
        self._lock = asyncio.Lock()
        self._source: Source | None = None
        self._moves: Controls | None = None
        self._running: list[asyncio.Task[None]] = []
        self._preview: asyncio.Task[None] | None = None
        self._pictured = asyncio.Event()
        self.kept = False
        """Whether it is to stay open: somebody watches, or it is online."""

    @property
    def is_open(self) -> bool:
        return self.state is LinkState.OPEN

    @property
    def asks(self) -> bool:
        """Whether it was found, and wants to be told what opens it."""
        return self.refused and not self.found.configured

    @property
    def profile(self) -> MediaProfile | None:
        """What is shown and published: the chosen one, else the camera's best."""
        best = self.profiles[0] if self.profiles else None
        return next((one for one in self.profiles if one.token == self.token), best)

    @property
    def watched(self) -> bool:
        """Whether its picture is asked for."""
        return self._preview is not None

    @property
    def source(self) -> Source:
        """The open camera, for what runs aside.

        Raises:
            SourceNotReady: it is not open, or not any more.
        """
        from luxxon_core.source import SourceNotReady

        if self._source is None:
            raise SourceNotReady("source:closed", "it is closed")
        return self._source

    # -- from here

    async def open(self, *, watch: bool = True) -> bool:
        """Open it, and keep its picture coming; whether it is open. Again it does nothing.

        Args:
            watch: whether its picture comes, if it was not open.
        """
        async with self._lock:
            if self.is_open:
                return True
            self._now(LinkState.OPENING)
            self.refused, self.fault = False, None
            try:
                await self._aside.run(self._open(watch))
            except Exception as error:  # noqa: BLE001 - a plugin's
                self.refused, self.fault = isinstance(error, LuxxonError) and error.code == REFUSED, error
                self._now(LinkState.FAILED, reason_of(error))
            else:
                self._now(LinkState.OPEN)
            return self.is_open

    async def close(self) -> None:
        """Close it. Idempotent."""
        async with self._lock:
            await self._aside.run(self._close())
            if self.state is not LinkState.FAILED:
                self._now(LinkState.CLOSED)

    async def pictured(self, seconds: float) -> bool:
        """Wait for its first picture; whether it has come in time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pictured.wait(), seconds)
        return self._pictured.is_set()

    async def look(self) -> None:
        """Open it for a picture, and close it again."""
        if self.is_open or not await self.open():
            return
        await self.pictured(STILL_SECONDS)
        if not self.kept:
            await self.close()

    async def watch(self, on: bool) -> None:
        """Have its picture come, or not, while it stays open."""
        await self._aside.run(self._watch(on))

    async def switch(self, token: str) -> None:
        """Show another profile from now on."""
        self.token = token
        if self._preview is not None:
            await self.watch(True)
        self._told()

    async def order(self, order: Order) -> PtzResult | None:
        """Have it move; None while it is not open."""
        if self._moves is None or not self.is_open:
            return None
        return await self._aside.run(self._moves.handle(order))

    def _now(self, state: LinkState, reason: str = "") -> None:
        self.state, self.reason, self.seen = state, reason, self.seen or state is not LinkState.CLOSED
        self._told()

    # -- aside

    async def _open(self, watch: bool) -> None:
        from luxxon_core.operator.camera import opened
        from luxxon_core.operator.ptz import Controls, offered
        from luxxon_core.source import PoseSource, PtzControl

        source = await opened(self.found.source_type, self.found.config)
        await source.__aenter__()
        self._source = source
        try:
            self.profiles, self.information = tuple(source.media_profiles()), source.device_information
            self.controls = offered(source)
            self.capabilities = capabilities_of(source)
            self._moves = Controls(source, self.controls)
            self.health = source.health()
        except BaseException:  # a device that stays open could not be opened again
            await self._close()
            raise
        await self._watch(watch)
        self._running = []
        if isinstance(source, PtzControl):
            self._running.append(asyncio.create_task(self._always(self._follow_ptz, source), name="ptz"))
        if isinstance(source, PoseSource):
            self._running.append(asyncio.create_task(self._always(self._follow_pose, source), name="pose"))

    async def _close(self) -> None:
        await self._watch(False)
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        moves, self._moves = self._moves, None
        if moves is not None:
            await moves.halt()
        source, self._source = self._source, None
        if source is not None:
            with suppress(Exception):  # a plugin's: closed or not, it is let go
                await source.__aexit__(None, None, None)

    async def _watch(self, on: bool) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            preview.cancel()
            await asyncio.gather(preview, return_exceptions=True)
        if on and self._source is not None:
            self._preview = asyncio.create_task(self._always(self._read, self._source), name="preview")

    async def _always(self, work: Callable[[Any], Awaitable[None]], source: Source) -> None:
        """Do it for ever; a camera that fails is asked again."""
        while True:
            try:
                await work(source)
            except Exception as error:  # noqa: BLE001 - a plugin's
                self._home.tell(self._failing, reason_of(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _failing(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self._told()

    async def _read(self, source: Source) -> None:
        profiles = source.media_profiles()
        profile = next((one for one in profiles if one.token == self.token), profiles[0])
        async with aclosing(source.frames(profile, PREVIEW_WIDTH, PREVIEW_FPS)) as frames:
            async for frame in frames:
                if self.reason:
                    self._home.tell(self._failing, "")
                self.frame, self.health = frame, source.health()
                self.number += 1
                if self.number == 1:
                    self._home.tell(self._pictured.set)

    async def _follow_ptz(self, _source: Source) -> None:
        from luxxon_core.controls.schemas import GetPresets, GetStatus

        moves = self._moves
        assert moves is not None, "made before"
        presets = (await moves.handle(GetPresets())).presets
        self._home.tell(self._moved, None, presets or ())
        while True:
            status = (await moves.handle(GetStatus())).status
            self._home.tell(self._moved, status, None)
            await asyncio.sleep(STATUS_SECONDS / 4 if moves.running else STATUS_SECONDS)

    def _moved(self, status: PtzStatus | None, presets: Sequence[PtzPreset] | None) -> None:
        found = self.presets if presets is None else tuple(presets)
        if (status or self.status, found) != (self.status, self.presets):
            self.status, self.presets = status or self.status, found
            self._told()

    async def _follow_pose(self, source: Any) -> None:
        async with aclosing(source.poses()) as poses:
            async for pose in poses:
                self._home.tell(self._placed, pose)

    def _placed(self, pose: GeoPose) -> None:
        self.pose = pose
        self._told()


def reason_of(error: Exception) -> str:
    """Why a camera fails, to be shown; of what is not ours the type alone: its text may be a URL with a
    password."""
    if isinstance(error, LuxxonError):
        return error.message
    return f"its plugin failed ({type(error).__name__})"


def capabilities_of(source: object) -> tuple[str, ...]:
    """What a source can do beside showing a picture, in words."""
    from luxxon_core.source import AudioSource, GimbalControl, PoseSource, PtzControl, ZoomControl

    kinds = {
        "pan-tilt-zoom": PtzControl,
        "gimbal": GimbalControl,
        "zoom": ZoomControl,
        "position": PoseSource,
        "sound": AudioSource,
    }
    return tuple(word for word, kind in kinds.items() if isinstance(source, kind))
