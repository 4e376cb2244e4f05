"""One WHIP publication (RFC 9725): encoded packets go out as they are, nothing is transcoded here."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import Packet

from luxxon_core.client.peer import EdgeUnreachable, Peer, on_keyframe_request
from luxxon_core.kernel.errors import VideoError

if TYPE_CHECKING:
    import httpx

    from luxxon_core.source import EncodedPacket

SENDABLE = ("h264", "vp8")
"""Codecs that are packed into RTP as they come."""

SILENT_SECONDS = 6.0
"""An edge that sent receiver reports and then sends none for this long is dead: RFC 3550 §6.2 asks for one
every 5 s at the most, and ICE consent (RFC 7675) takes 30 s to notice."""

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

    async def connect(self, url: str) -> None:
        """As :meth:`luxxon_core.client.peer.Peer.connect`; media flows from here on."""
        await self._peer.connect(url)
        if self._peer.codec != self._codec:
            raise VideoError("edge:codec", f"the media edge does not take {self._codec}")

    async def run(self) -> None:
        """Until the source ends.

        Raises:
            EdgeUnreachable: the connection broke or the edge fell silent.
            Exception: whatever the source raised.
        """
        heard, report_at = time.monotonic(), None
        while not self.track.ended.is_set():
            if self._peer.lost.is_set():
                raise EdgeUnreachable("edge:lost", "the media edge closed the connection")
            await _wait_any(self.track.ended, self._peer.lost, timeout=1.0)
            for entry in (await self._peer.connection.getStats()).values():
                if entry.type == "remote-inbound-rtp" and entry.timestamp != report_at:
                    heard, report_at = time.monotonic(), entry.timestamp
                    if entry.roundTripTime is not None:
                        self.round_trip_ms = entry.roundTripTime * 1000
            if report_at is not None and time.monotonic() - heard > SILENT_SECONDS:
                raise EdgeUnreachable("edge:silent", "the media edge has fallen silent")
        if self.track.error is not None:
            raise self.track.error

    async def close(self) -> None:
        """DELETE the resource, stop sending, release the source. Idempotent."""
        await self._peer.close()
        self.track.stop()
        await self._packets.aclose()


async def _wait_any(*events: asyncio.Event, timeout: float) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
