"""One WHIP publication (RFC 9725): encoded packets go out as they are, nothing is transcoded here."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import Packet

from luxxon_core.client.peer import EdgeUnreachable, Peer, on_keyframe_request
from luxxon_core.kernel.errors import VideoError
from luxxon_core.operator.rtp_writer import RtpWriter
from luxxon_core.operator.sound import SoundTrack

if TYPE_CHECKING:
    import httpx

    from luxxon_core.source import AudioPacket, EncodedPacket

SENDABLE = ("h264", "vp8")
"""Codecs that are packed into RTP as they come."""

SILENT_SECONDS = 6.0
"""An edge that sent receiver reports and then sends none for this long is dead: RFC 3550 §6.2 asks for one
every 5 s at the most, and ICE consent (RFC 7675) takes 30 s to notice."""
MISSED, MISSED_IN_DOUBT = (3.0, 3.0), (1.5, 1.5)
"""Of an edge that reports more often: so many of its longest pauses, and so many seconds at the least; fewer
when there is reason to doubt."""
DOUBT_SECONDS = 10.0

_WINDOW = 2.0


@dataclass(frozen=True, slots=True)
class SendRate:
    fps: float = 0.0
    bits_per_second: float = 0.0


class PacketTrack(MediaStreamTrack):
    """Feeds aiortc's sender with encoded packets, and remembers how the source ended."""

    kind = "video"

    def __init__(self, packets: AsyncGenerator[EncodedPacket, None]) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        self.frames = 0
        self._packets = packets
        self._sent: deque[tuple[float, int]] = deque(maxlen=240)

    async def recv(self) -> Packet[Any]:
        try:
            packet = await anext(self._packets)
        except StopAsyncIteration:
            self.ended.set()
            raise MediaStreamError("the source has ended") from None
        except Exception as error:  # a plugin's: raised by Publication.run
            self.error = error
            self.ended.set()
            raise MediaStreamError("the source has failed") from error
        self.frames += 1
        self._sent.append((time.monotonic(), len(packet.data)))
        packed = Packet(packet.data)
        packed.pts, packed.time_base = packet.pts, packet.time_base
        return packed

    def rate(self) -> SendRate:
        now = time.monotonic()
        recent = [(at, size) for at, size in self._sent if now - at <= _WINDOW]
        span = recent[-1][0] - recent[0][0] if len(recent) > 1 else 0.0
        if not span:
            return SendRate()
        return SendRate((len(recent) - 1) / span, sum(size for _, size in recent[1:]) * 8 / span)


class Publication:
    """``connect``, ``run`` until it breaks, ``close`` in any case."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        packets: AsyncGenerator[EncodedPacket, None],
        codec: str,
        keyframe_requested: Callable[[], None],
        sound: AsyncGenerator[AudioPacket, None] | None = None,
    ) -> None:
        self._peer = Peer(http)
        self._codec = codec
        self._packets = packets
        self.track = PacketTrack(packets)
        self.round_trip_ms: float | None = None
        transceiver = self._peer.connection.addTransceiver(self.track, direction="sendonly")
        transceiver.setCodecPreferences(
            [
                capability
                for capability in RTCRtpSender.getCapabilities("video").codecs
                if capability.mimeType.lower() in (f"video/{codec}", "video/rtx")
            ]
        )
        on_keyframe_request(transceiver.sender, keyframe_requested)
        RtpWriter(transceiver.sender)
        self._doubted_at = float("-inf")
        self._sound = None if sound is None else SoundTrack(sound)
        if self._sound is not None:
            self._add_sound(self._sound)

    def _add_sound(self, track: SoundTrack) -> None:
        transceiver = self._peer.connection.addTransceiver(track, direction="sendonly")
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([one for one in codecs if one.mimeType.lower() == "audio/opus"])

    async def connect(self, url: str) -> None:
        """As :meth:`luxxon_core.client.peer.Peer.connect`; media flows from here on."""
        await self._peer.connect(url)
        if self._peer.codec != self._codec:
            raise VideoError("edge:codec", f"the media edge does not take {self._codec}")

    def doubt(self) -> None:
        """Something else has broken: the edge may be gone with it."""
        self._doubted_at = time.monotonic()

    async def run(self) -> None:
        """Until the source ends.

        Raises:
            EdgeUnreachable: the connection broke or the edge fell silent.
            Exception: whatever the source raised.
        """
        reports = _Reports()
        while not self.track.ended.is_set():
            if self._peer.lost.is_set():
                raise EdgeUnreachable("edge:lost", "the media edge closed the connection")
            await _wait_any(self.track.ended, self._peer.lost, timeout=0.5)
            for entry in (await self._peer.connection.getStats()).values():
                if entry.type == "remote-inbound-rtp" and entry.kind == "video":
                    reports.seen(entry.timestamp)
                    if entry.roundTripTime is not None:
                        self.round_trip_ms = entry.roundTripTime * 1000
            if reports.missed(in_doubt=time.monotonic() - self._doubted_at < DOUBT_SECONDS):
                raise EdgeUnreachable("edge:silent", "the media edge has fallen silent")
        if self.track.error is not None:
            raise self.track.error

    async def close(self) -> None:
        """DELETE the resource, stop sending, release the source. Idempotent."""
        await self._peer.close()
        self.track.stop()
        await self._packets.aclose()
        if self._sound is not None:
            await self._sound.close()


class _Reports:
    """When an edge reported, and whether it has ceased to."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._heard = time.monotonic()
        self._longest: float | None = None
        """Pause between two of them."""

    def seen(self, at: datetime) -> None:
        if at == self._newest:
            return
        if self._newest is not None:
            self._longest = max(self._longest or 0.0, (at - self._newest).total_seconds())
        self._newest, self._heard = at, time.monotonic()

    def missed(self, *, in_doubt: bool) -> bool:
        if self._newest is None:
            return False
        limit = SILENT_SECONDS
        if self._longest is not None:
            pauses, least = MISSED_IN_DOUBT if in_doubt else MISSED
            limit = min(limit, max(least, pauses * self._longest))
        return time.monotonic() - self._heard > limit


async def _wait_any(*events: asyncio.Event, timeout: float) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
