"""One camera of an operator: opened, offered, and opened anew when it fails, whatever the others do."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.agent import OperatorAgent
from luxxon_core.operator.presence import HEARTBEAT_SECONDS
from luxxon_core.operator.ptz import offered
from luxxon_core.source import PoseSource, Source, SourceAuthError, SourceConfigError, SourceError, SourceType

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.access.schemas import ApiKeyMe, WalletMe
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.operator.config import OperateTable

log = structlog.get_logger(__name__)

OPEN_SECONDS = 30.0
"""A camera that has not opened by then is not ready."""
SOURCE_PATIENCE = 10.0
"""Seconds of a failing source after which it is closed and opened anew."""
QUICK = (0.5, 15.0)
"""Seconds between attempts to open a camera that is not ready. They grow with the time that it has been
away, so that a session in hand loses little more than the outage."""
SLOW = (15.0, 300.0)
"""The same for a camera that refuses or cannot work as configured; they double. Cameras lock accounts."""


class CameraState(StrEnum):
    OPENING = "OPENING"
    OFFERED = "OFFERED"
    FAILED = "FAILED"
    """To be tried again."""
    GIVEN_UP = "GIVEN_UP"


@dataclass
class Attempts:
    """How long a camera that has failed is left alone before it is opened anew."""

    _failing_since: float | None = None
    _slow: float = field(default_factory=lambda: SLOW[0])

    def pause(self, error: Exception, offered: float) -> float:
        """Seconds.

        Args:
            error: why it is not offered: a refusal, a configuration and a plugin's own fault heal slowly.
            offered: seconds for which it was offered before; 0 if it was not.
        """
        if isinstance(error, SourceError) and not isinstance(error, (SourceAuthError, SourceConfigError)):
            now = time.monotonic()
            if offered > 2 * SOURCE_PATIENCE:
                self._failing_since, self._slow = None, SLOW[0]
            self._failing_since = self._failing_since or now
            return min(max(QUICK[0], (now - self._failing_since) / 40), QUICK[1])
        pause, self._slow = self._slow, min(self._slow * 2, SLOW[1])
        return pause


@dataclass
class Camera:
    """Runs one camera. :meth:`run` ends only when the marketplace refuses for good."""

    name: str
    source_type: SourceType[Any]
    config: BaseModel = field(repr=False)
    table: OperateTable
    connect: Callable[[], Luxxon]
    wallet: LocalWallet | None = None
    clock: Clock = utc_now
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    state: CameraState = CameraState.OPENING
    reason: str | None = None
    agent: OperatorAgent | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has been offered, or has failed, for the first time."""

    async def run(self) -> None:
        """Open, offer, and again, until cancelled.

        Raises:
            LuxxonError: the marketplace refuses for good.
        """
        structlog.contextvars.bind_contextvars(camera=self.name)
        attempts = Attempts()
        while True:
            self.state = CameraState.OPENING
            started = time.monotonic()
            try:
                await self._offer()
                return
            except (SourceAuthError, SourceConfigError) as error:
                pause = attempts.pause(error, 0.0)
                self._failed("camera.refused", error.message)
            except SourceError as error:
                offered = time.monotonic() - started if self.state is CameraState.OFFERED else 0.0
                pause = attempts.pause(error, offered)
                self._failed("camera.not_ready", error.message)
            except LuxxonError as error:
                self.state, self.reason = CameraState.GIVEN_UP, str(error)
                self.settled.set()
                raise
            except Exception as error:  # noqa: BLE001 - a plugin's: told, and tried again, as of a device
                pause = attempts.pause(error, 0.0)
                self._failed("camera.crashed", where_failed(error))
            await asyncio.sleep(pause)

    def _failed(self, event: str, reason: str) -> None:
        if reason != self.reason:
            log.error(event, reason=reason)
        self.state, self.reason = CameraState.FAILED, reason
        self.agent = None
        self.settled.set()

    async def _offer(self) -> None:
        source = await opened(self.source_type, self.config)
        async with source, self.connect() as api:
            for warning in source.health().warnings:
                log.warning("camera.warning", reason=warning)
            self.check(source)
            masking = self.table.privacy
            privacy = None if masking is None else masking.privacy(source)
            if (
                privacy is not None
                and not privacy.views
                and offered(source).intersection(self.table.controls)
            ):
                log.warning("camera.warning", reason="it may be moved, and its masks stay where they are")
            workspace_id, sign = await self._identity(api)
            agent = self.agent = OperatorAgent(
                api,
                source,
                workspace_id,
                self.table.location,
                coverage_radius_meters=self.table.radius_meters,
                device_kind=self.table.device_kind,
                clock=self.clock,
                heartbeat_seconds=self.heartbeat_seconds,
                follow=self.table.follow,
                rules=self.table.accept.rules(),
                sign=sign,
                privacy=privacy,
                microphone=self.table.microphone,
                controls=self.table.controls,
                source_patience=SOURCE_PATIENCE,
            )
            log.info("camera.open", profile=_described(source))
            telling = asyncio.create_task(self._tell_when_online(agent), name="online")
            try:
                await agent.run()
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    def check(self, source: Source) -> None:
        """Raises SourceConfigError where the source cannot do what its table asks of it."""
        if self.table.follow and not isinstance(source, PoseSource):
            raise SourceConfigError("camera:follow", "the camera does not tell where it is")

    async def _tell_when_online(self, agent: OperatorAgent) -> None:
        await agent.online.wait()
        self.state, self.reason = CameraState.OFFERED, None
        self.settled.set()

    async def _identity(self, api: Luxxon) -> tuple[str, Callable[[str], str] | None]:
        """The workspace of the key, and who signs for it."""
        me = await self._insisting(api.me.get)
        workspace_id = workspace_of(me)
        if self.wallet is None:
            log.info("camera.no_telemetry", reason="there is no wallet to sign it")
            return workspace_id, None
        workspace = await self._insisting(lambda: api.workspaces.get(workspace_id))
        if workspace.wallet_address.lower() != self.wallet.address.lower():
            log.warning("camera.no_telemetry", reason=f"the workspace is of {workspace.wallet_address}")
            return workspace_id, None
        return workspace_id, self.wallet.sign_message

    async def _insisting(self, call: Callable[[], Awaitable[Any]]) -> Any:
        from luxxon_core.operator.calls import Trouble

        return await Trouble().insisting(call)


async def opened(source_type: SourceType[Any], config: BaseModel) -> Source:
    """The camera, open.

    Raises:
        SourceError: as its type says; SourceNotReady, too, when it takes too long.
    """
    from luxxon_core.source import SourceNotReady

    try:
        async with asyncio.timeout(OPEN_SECONDS):
            source: Source = await source_type.open(config)
            return source
    except TimeoutError:
        raise SourceNotReady("source:slow", f"it has not opened within {OPEN_SECONDS:g} s") from None


def workspace_of(me: ApiKeyMe | WalletMe) -> str:
    """The workspace that an API key is of.

    Raises:
        StartError: it is no API key.
    """
    from luxxon_core.access.schemas import ApiKeyMe
    from luxxon_core.kernel.errors import StartError

    if not isinstance(me, ApiKeyMe):
        raise StartError("operate:apiKey", "an operator needs an API key")
    return me.workspace_id


def where_failed(error: Exception) -> str:
    """What failed and where; not what it says, which may be a URL with a password."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


def _described(source: Source) -> str:
    profile = source.media_profiles()[0]
    return f"{profile.codec} {profile.width}x{profile.height} {profile.frame_rate:g} fps"
