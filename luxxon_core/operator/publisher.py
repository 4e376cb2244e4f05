"""Keeps a source published at a WHIP URL: connects, watches, and comes back when the connection breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from luxxon_core.client.peer import EdgeBusy, http_client
from luxxon_core.kernel.errors import LuxxonError, NotAuthorized, NotFound
from luxxon_core.operator.encoder import BIT_RATE, KEYFRAME_HOLD_OFF, H264Encoder, KeyframeGate, encoded
from luxxon_core.operator.whip import SENDABLE, Publication
from luxxon_core.source import (
    EncodedPacket,
    MediaProfile,
    Source,
    SourceAuthError,
    SourceConfigError,
    SynchronizationPoint,
)

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

BACKOFF = (0.2, 5.0)
"""Seconds before the first and between later attempts to come back, doubling."""
STEADY_SECONDS = 5.0
"""A connection that held this long starts the back-off anew."""
MAX_WIDTH, MAX_FPS = 1280, 30.0
"""What is encoded at most: the size that level 3.1 of the offered profile (42e01f) allows."""


class PublishState(StrEnum):
    IDLE = "IDLE"
    CONNECTING = "CONNECTING"
    PUBLISHING = "PUBLISHING"
    RECONNECTING = "RECONNECTING"


class PublishEnd(StrEnum):
    FINISHED = "FINISHED"
    """The source came to its end."""
    GONE = "GONE"
    """The edge does not know the URL (any more): the session is over."""


@dataclass(frozen=True, slots=True)
class PublishStatus:
    state: PublishState = PublishState.IDLE
    codec: str = ""
    copied: bool = False
    """Packets of the source as they are, or frames encoded here."""
    fps: float = 0.0
    bits_per_second: float = 0.0
    round_trip_ms: float | None = None
    frames: int = 0
    reconnects: int = 0
    keyframe_requests: int = 0
    last_error: str | None = None


class Publisher:
    """Publishes ``source``, one URL at a time. The source stays open and is the caller's."""

    def __init__(
        self,
        source: Source,
        *,
        profile: MediaProfile | None = None,
        bit_rate: int = BIT_RATE,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._source = source
        self._profile = profile or source.media_profiles()[0]
        self._copied = self._profile.codec in SENDABLE
        self._bit_rate = bit_rate
        self._http = http
        self._gate = KeyframeGate()
        self._asking: asyncio.Task[None] | None = None
        self._publication: Publication | None = None
        self._state = PublishState.IDLE
        self._ask_again = False
        self._frames = self._reconnects = self._keyframe_requests = 0
        self._last_error: str | None = None

    @property
    def status(self) -> PublishStatus:
        publication = self._publication
        rate = publication.track.rate() if publication else None
        return PublishStatus(
            state=self._state,
            codec=self._codec,
            copied=self._copied,
            fps=rate.fps if rate else 0.0,
            bits_per_second=rate.bits_per_second if rate else 0.0,
            round_trip_ms=publication.round_trip_ms if publication else None,
            frames=self._frames + (publication.track.frames if publication else 0),
            reconnects=self._reconnects,
            keyframe_requests=self._keyframe_requests,
            last_error=self._last_error,
        )

    async def publish(self, whip_url: str) -> PublishEnd:
        """Publish until the source ends or the edge no longer knows the URL; cancel it to stop earlier.

        However it ends, the WHIP resource is deleted.

        Raises:
            NotAuthorized: the edge refuses the URL.
            SourceConfigError, SourceAuthError: the source cannot work as it is configured.
        """
        http = self._http or http_client()
        try:
            return await self._publish(http, whip_url)
        finally:
            self._state = PublishState.IDLE
            if self._http is None:
                await http.aclose()

    async def _publish(self, http: httpx.AsyncClient, url: str) -> PublishEnd:
        delay = BACKOFF[0]
        self._state = PublishState.CONNECTING
        while True:
            started = time.monotonic()
            try:
                await self._once(http, url)
            except NotFound:
                return PublishEnd.GONE
            except (NotAuthorized, SourceConfigError, SourceAuthError) as error:
                self._last_error = error.message
                raise
            except LuxxonError as error:
                self._last_error = error.message
                if isinstance(error, EdgeBusy) and error.retry_after is not None:
                    delay = max(error.retry_after, BACKOFF[0])
            except Exception as error:  # noqa: BLE001 - a plugin's, shown and logged; the next attempt may work
                self._last_error = f"the camera source failed ({type(error).__name__})"
                # Not the message: FFmpeg's name the URL, and a camera's carries its password.
                number = getattr(error, "errno", None)
                log.warning("publish.source_failed", error=type(error).__name__, errno=number)
            else:
                return PublishEnd.FINISHED
            if time.monotonic() - started > STEADY_SECONDS:
                delay = BACKOFF[0]
            log.info("publish.reconnect", reason=self._last_error, delay=delay)
            self._state = PublishState.RECONNECTING
            await asyncio.sleep(delay)
            self._reconnects += 1
            delay = min(delay * 2, BACKOFF[1])

    async def _once(self, http: httpx.AsyncClient, url: str) -> None:
        publication = Publication(http, self._packets(), self._codec, self._keyframe_requested)
        try:
            await publication.connect(url)
            self._publication, self._state = publication, PublishState.PUBLISHING
            await publication.run()
        finally:
            self._publication = None
            self._frames += publication.track.frames
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)
                self._asking = None
            await publication.close()

    @property
    def _codec(self) -> str:
        return self._profile.codec if self._copied else "h264"

    def _packets(self) -> AsyncGenerator[EncodedPacket, None]:
        if self._copied:
            return self._source.packets(self._profile)
        frame_rate = min(self._profile.frame_rate or MAX_FPS, MAX_FPS)
        frames = self._source.frames(self._profile, MAX_WIDTH, MAX_FPS)
        return encoded(frames, H264Encoder(self._bit_rate, frame_rate), self._gate)

    def _keyframe_requested(self) -> None:
        self._keyframe_requests += 1
        if not self._copied:
            self._gate.request()
        elif isinstance(self._source, SynchronizationPoint):
            self._ask_again = True
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_camera(self._source), name="keyframe-request")

    async def _ask_camera(self, source: SynchronizationPoint) -> None:
        """Pass requests on to a camera that takes them; those of one hold-off become one."""
        while self._ask_again:
            self._ask_again = False
            try:
                await source.set_synchronization_point(self._profile)
            except LuxxonError as error:
                self._last_error = error.message
            except Exception as error:  # noqa: BLE001 - a plugin's; without the key frame the video goes on
                self._last_error = f"the camera made no key frame ({type(error).__name__})"
            await asyncio.sleep(KEYFRAME_HOLD_OFF)
