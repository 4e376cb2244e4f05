"""Keeps a source published at a WHIP URL: connects, watches, and comes back when the connection breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from luxxon_core.client.peer import EdgeBusy, http_client
from luxxon_core.kernel.errors import LuxxonError, NotAuthorized, NotFound
from luxxon_core.operator.encoder import BIT_RATE, KEYFRAME_HOLD_OFF, H264Encoder, KeyframeGate, encoded
from luxxon_core.operator.feed import Feed, SourceChanged, SourceLost, SourceSwitched
from luxxon_core.operator.sound import sound_of
from luxxon_core.operator.whip import SENDABLE, Publication
from luxxon_core.source import (
    AudioSource,
    EncodedPacket,
    MediaProfile,
    Source,
    SourceAuthError,
    SourceConfigError,
    SynchronizationPoint,
)

if TYPE_CHECKING:
    import httpx

    from luxxon_core.operator.masks import Privacy

log = structlog.get_logger(__name__)

BACKOFF = (0.2, 5.0)
"""Seconds between attempts to come back, the least and the most …"""
OUTAGE_SHARE = 0.05
"""… and in between this part of the time that it has been away: the attempts cost few of the paid seconds."""
STEADY_SECONDS = 5.0
"""A connection that held this long starts the back-off anew."""
LEAST_BIT_RATE = 300_000
"""Of a profile that is smaller than the camera's best, and encoded with that much less."""
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
    """Publishes ``source``, one URL at a time. The source stays open and is the caller's.

    Args:
        profile: the first of the source's when not given.
        privacy: what is masked; such a picture is always encoded here.
        microphone: sound, too, of a source that has any.
        patience: seconds that a failing source is waited for; None for ever.
    """

    def __init__(
        self,
        source: Source,
        *,
        profile: MediaProfile | None = None,
        bit_rate: int = BIT_RATE,
        http: httpx.AsyncClient | None = None,
        privacy: Privacy | None = None,
        microphone: bool = False,
        patience: float | None = None,
    ) -> None:
        self._source = source
        self._wanted = profile and profile.token
        self._privacy = privacy
        self._microphone = microphone
        self._profile = self._chosen()
        self._bit_rate = bit_rate
        self._http = http
        self._gate = KeyframeGate()
        self._feed = Feed(self._source_failed, self._source_healed, patience)
        self._asking: asyncio.Task[None] | None = None
        self._publication: Publication | None = None
        self._state = PublishState.IDLE
        self._ask_again = False
        self._frames = self._reconnects = self._keyframe_requests = 0
        self._connected_at = 0.0
        self._last_error: str | None = None
        if privacy is not None and self._profile.codec in SENDABLE:
            log.warning("publish.masked", reason="the camera's own video is decoded and encoded again")

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

    @property
    def connected(self) -> bool:
        """Whether the edge takes what the source sends, even if that is nothing at present."""
        return self._publication is not None

    def switch(self, profile: MediaProfile) -> None:
        """Send another profile of the source: what is published goes on with its next key frame; with another
        codec it is connected anew."""
        if profile.token == self._profile.token:
            return
        self._wanted = profile.token
        if self._publication is None:
            self._profile = self._chosen()

    def doubt(self) -> None:
        """The marketplace is away: whether the edge is, too, is to be found out soon."""
        if self._publication is not None:
            self._publication.doubt()

    async def publish(self, whip_url: str) -> PublishEnd:
        """Publish until the source ends or the edge no longer knows the URL; cancel it to stop earlier.

        However it ends, the WHIP resource is deleted.

        Raises:
            NotAuthorized: the edge refuses the URL.
            SourceConfigError, SourceAuthError: the source cannot work as it is configured.
            SourceLost: it failed for longer than the patience.
        """
        http = self._http or http_client()
        try:
            return await self._publish(http, whip_url)
        finally:
            self._state = PublishState.IDLE
            if self._http is None:
                await http.aclose()

    async def _publish(self, http: httpx.AsyncClient, url: str) -> PublishEnd:
        away_since = time.monotonic()
        self._state = PublishState.CONNECTING
        while True:
            started, asked = time.monotonic(), 0.0
            try:
                await self._once(http, url)
            except NotFound:
                return PublishEnd.GONE
            except (NotAuthorized, SourceConfigError, SourceAuthError, SourceLost) as error:
                self._last_error = error.message
                raise
            except LuxxonError as error:
                self._last_error = error.message
                if isinstance(error, EdgeBusy):
                    asked = error.retry_after or 0.0
            else:
                return PublishEnd.FINISHED
            now = time.monotonic()
            if now - started > STEADY_SECONDS and self._connected_at > started:
                away_since = now
            delay = max(asked, min(max(BACKOFF[0], (now - away_since) * OUTAGE_SHARE), BACKOFF[1]))
            log.info("publish.reconnect", reason=self._last_error, delay=round(delay, 1))
            self._state = PublishState.RECONNECTING
            await asyncio.sleep(delay)
            self._reconnects += 1

    async def _once(self, http: httpx.AsyncClient, url: str) -> None:
        packets = self._feed.packets(self._opened)
        if self._feed.failing_since is not None:  # no edge waits long for the first packet
            packets = await _primed(packets)
        sound = sound_of(self._source) if self._microphone and isinstance(self._source, AudioSource) else None
        publication = Publication(http, packets, self._codec, self._keyframe_requested, sound)
        try:
            await publication.connect(url)
            self._publication, self._state = publication, PublishState.PUBLISHING
            self._connected_at = time.monotonic()
            await publication.run()
        finally:
            self._publication = None
            self._frames += publication.track.frames
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)
                self._asking = None
            await publication.close()

    def _source_failed(self, error: Exception) -> None:
        if isinstance(error, LuxxonError):
            reason = error.message
        else:
            reason = f"the camera source failed ({type(error).__name__})"
        if reason != self._last_error or self._state is not PublishState.RECONNECTING:
            # Not the message: FFmpeg's name the URL, and a camera's carries its password.
            log.warning("publish.source_failed", reason=reason, errno=getattr(error, "errno", None))
        self._last_error, self._state = reason, PublishState.RECONNECTING
        self._reconnects += 1

    def _source_healed(self) -> None:
        log.info("publish.source_healed")
        if self._publication is not None:
            self._state = PublishState.PUBLISHING

    @property
    def _copied(self) -> bool:
        return self._profile.codec in SENDABLE and self._privacy is None

    def _chosen(self) -> MediaProfile:
        """The wanted profile as the source has it now, or its best one."""
        profiles = self._source.media_profiles()
        return next((one for one in profiles if one.token == self._wanted), profiles[0])

    @property
    def _codec(self) -> str:
        return self._profile.codec if self._copied else "h264"

    def _opened(self) -> AsyncGenerator[EncodedPacket, None]:
        codec = self._codec
        self._profile = self._chosen()
        if self._codec != codec:
            raise SourceChanged("source:codec", f"the camera now sends {self._codec}")
        if self._copied:
            return self._until_switched(self._source.packets(self._profile))
        frame_rate = min(self._profile.frame_rate or MAX_FPS, MAX_FPS)
        frames = self._source.frames(self._profile, MAX_WIDTH, MAX_FPS)
        if self._privacy is not None:
            frames = self._privacy.masked(frames)
        best = self._source.media_profiles()[0]
        bit_rate = max(
            min(LEAST_BIT_RATE, self._bit_rate), round(self._bit_rate * _share(self._profile, best))
        )
        return self._until_switched(encoded(frames, H264Encoder(bit_rate, frame_rate), self._gate))

    async def _until_switched(
        self, packets: AsyncGenerator[EncodedPacket, None]
    ) -> AsyncGenerator[EncodedPacket, None]:
        """The same packets; SourceSwitched instead of the next one when another profile is wanted."""
        wanted = self._wanted
        async with aclosing(packets):
            async for packet in packets:
                if self._wanted != wanted:
                    raise SourceSwitched
                yield packet

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


def _share(profile: MediaProfile, best: MediaProfile) -> float:
    """Pixels a second of a profile beside those of the source's best, 1 at the most."""

    def pixels(one: MediaProfile) -> float:
        return one.width * one.height * min(one.frame_rate or MAX_FPS, MAX_FPS)

    return min(1.0, pixels(profile) / pixels(best)) if pixels(best) else 1.0


async def _primed(packets: AsyncGenerator[EncodedPacket, None]) -> AsyncGenerator[EncodedPacket, None]:
    """The same packets, once the first one is there."""
    try:
        first = await anext(packets)
    except BaseException as error:
        await packets.aclose()
        if isinstance(error, StopAsyncIteration):
            return packets
        raise
    return _after(first, packets)


async def _after(
    first: EncodedPacket, packets: AsyncGenerator[EncodedPacket, None]
) -> AsyncGenerator[EncodedPacket, None]:
    async with aclosing(packets):
        yield first
        async for packet in packets:
            yield packet
