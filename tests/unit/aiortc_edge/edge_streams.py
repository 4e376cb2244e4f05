"""A publisher that sends pictures to the edge packet by packet, and viewers that keep each packet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
from edge_peers import Service, encoded
from packet_peers import PacketPeer, Source, h264_payloads, nal_units

from luxxon_core.adapters.aiortc_edge import private, rtp
from luxxon_core.media.domain import LiveInput

CERTIFICATE = private.Certificate()


def pictures(count: int = 50) -> list[list[bytes]]:
    """RTP payloads of H.264 320x240; the first is a keyframe, the others are not."""
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    made = encoded([np.roll(noise, number, 1) for number in range(count)])
    return [[p for unit in nal_units(picture) for p in h264_payloads(unit, 1000)] for picture in made]


PICTURES = pictures()


class Watcher:
    """A viewer that keeps what it gets."""

    def __init__(self, **options: object) -> None:
        options = {"certificate": CERTIFICATE, **options}
        self.peer = PacketPeer(heard=self.heard, **options)  # type: ignore[arg-type]
        self.packets: list[rtp.RtpPacket] = []
        self.raw: list[bytes] = []

    def heard(self, packet: bytes, rtcp: bool) -> None:
        if not rtcp:
            self.raw.append(packet)
            parsed = rtp.parse_rtp(packet)
            if parsed.payload_type == self.peer.payload_type:
                self.packets.append(parsed)

    @property
    def unbroken(self) -> bool:
        return {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(self.packets)} <= {1}


class Publishing:
    """A publisher that sends 25 pictures a second until it is stopped; it makes no keyframe on request."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.number = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.source.picture(PICTURES[self.number % len(PICTURES)])
            self.number += 1
            await asyncio.sleep(0.04)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def publishing(
    service: Service,
    live_input: LiveInput,
    *,
    family: int = 0,
    source: dict[str, int] | None = None,
    **options: object,
) -> AsyncIterator[Publishing]:
    peer = PacketPeer(**{"certificate": CERTIFICATE, **options})  # type: ignore[arg-type]
    await peer.connect(service.http, live_input.whip_url, publish=True, family=family)
    running = Publishing(Source(peer, **(source or {})))
    try:
        yield running
    finally:
        await running.stop()
        await peer.close()


@asynccontextmanager
async def watching(
    service: Service, live_input: LiveInput, *, family: int = 0, **options: object
) -> AsyncIterator[Watcher]:
    watcher = Watcher(**options)
    await watcher.peer.connect(service.http, live_input.whep_url, family=family)
    try:
        yield watcher
    finally:
        await watcher.peer.close()
