"""5 % of all packets lost on each of the four ways: what the viewer receives is decoded without a stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import av
import pytest
from edge_peers import Service, serving, until
from edge_streams import CERTIFICATE, PICTURES
from packet_peers import PacketPeer, Source

from luxxon_core.adapters.aiortc_edge import payload, rtp, sdp
from luxxon_core.adapters.aiortc_edge.inbound import Inbound
from luxxon_core.adapters.aiortc_edge.snapshot import Assembler
from luxxon_core.adapters.aiortc_edge.stream import Tap

LOSS = 0.05
SECONDS = 6
RATE = 25
LONGEST_STOP = 0.75


class Player:
    """A viewer that asks for what it misses, puts pictures together and decodes them with FFmpeg."""

    def __init__(self, peer: PacketPeer) -> None:
        self.peer = peer
        self.decoded: list[float] = []
        """When each picture was."""
        self.refused = self.lost_for_good = self.breaks = 0
        codec = sdp.Codec(peer.payload_type, "H264", 90000, rtx=peer.rtx)
        self.inbound = Inbound("video", codec, peer.send_rtcp, 5_000_000)
        self.inbound.sink = self
        self._assembler = Assembler()
        self._decoder = av.CodecContext.create("h264", "r")
        self._loop = asyncio.get_running_loop()
        peer.heard = self.heard

    def heard(self, packet: bytes, rtcp: bool) -> None:
        if not rtcp:
            parsed = rtp.parse_rtp(packet)
            self.inbound.receive(parsed, rtx=parsed.payload_type == self.peer.rtx, now=self._loop.time())

    async def tick(self) -> None:
        while True:
            self.inbound.tick(self._loop.time())
            await asyncio.sleep(0.02)

    # The sink of ``inbound``.

    def write(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        keyframe = payload.starts_keyframe("h264", packet.payload)
        tap = Tap(sequence, packet.timestamp, packet.marker, keyframe, packet.payload)
        for unit in self._assembler.push(tap, now):
            try:
                frames = self._decoder.decode(av.Packet(payload.assemble("h264", unit.payloads)))
            except av.FFmpegError:
                self.refused += 1
            else:
                self.decoded += [now] * sum(not frame.is_corrupt for frame in frames)
        return keyframe

    def discontinued(self) -> None:
        self.breaks += 1

    def lost(self, sequence: int) -> None:
        self.lost_for_good += 1

    def reported(self, info: rtp.SenderInfo) -> None: ...


def lossy(peer: PacketPeer, rng: random.Random, counted: list[int]) -> None:
    """Lose packets of media and their reports, in both directions."""
    send, received = peer.send, peer.received

    def keep(datagram: bytes, go_on: Callable[[bytes], None]) -> None:
        if 127 < datagram[0] < 192 and rng.random() < LOSS:
            counted[0] += 1
        else:
            go_on(datagram)

    peer.send = lambda datagram: keep(datagram, send)  # type: ignore[method-assign]
    peer.received = lambda datagram: keep(datagram, received)  # type: ignore[method-assign]


async def seen_through(service: Service, *, rtx: int | None) -> tuple[Player, Source, list[int]]:
    rng, counted = random.Random(9), [0]
    live = await service.edge.create()
    publisher, viewer = PacketPeer(CERTIFICATE), PacketPeer(CERTIFICATE, rtx=rtx)
    source, player = Source(publisher), Player(viewer)
    await publisher.connect(service.http, live.whip_url, publish=True)
    await viewer.connect(service.http, live.whep_url)
    for peer in (publisher, viewer):
        lossy(peer, rng, counted)
    ticking = asyncio.create_task(player.tick())
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(SECONDS * RATE):
        # one keyframe every two seconds, whatever is asked for: only repair helps
        source.picture(PICTURES[number % len(PICTURES)])
        await asyncio.sleep(max(0.0, began + (number + 1) / RATE - loop.time()))
    await until(lambda: len(player.decoded) >= SECONDS * RATE - 3, timeout=5)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    for peer in (publisher, viewer):
        await peer.close()
    return player, source, counted


@pytest.mark.parametrize("rtx", [103, None], ids=["rtx", "plain"])
async def test_no_decode_stops_at_five_percent_loss_each_way(rtx: int | None) -> None:
    async with serving() as service:
        player, source, counted = await seen_through(service, rtx=rtx)
    assert counted[0] > 0.04 * 2 * source.sequence
    assert source.resent > 0.02 * source.sequence
    assert player.refused == 0
    assert player.lost_for_good <= 0.001 * source.sequence
    gaps = [b - a for a, b in zip(player.decoded, player.decoded[1:], strict=False)]
    assert max(gaps) < LONGEST_STOP, f"stopped for {max(gaps):.2f} s"
