"""100,000 damaged packets: nothing is raised, and others keep their stream."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from struct import pack
from typing import Any

import pytest
from aioice import stun
from edge_peers import Service, until
from edge_streams import CERTIFICATE, Publishing, Watcher, publishing, watching
from packet_peers import PacketPeer, rtp_header

from luxxon_core.adapters.aiortc_edge import rtp, transport_cc
from luxxon_core.adapters.aiortc_edge.mux import Endpoint, Mux
from luxxon_core.media.domain import LiveInput

PACKETS = 90_000
"""Handed over as if decrypted: libsrtp would let few of them through."""
PROTECTED = 10_000
DATAGRAMS = 20_000
ROUND = 500
EXTENSION = f"5 {transport_cc.URI}"


def rtp_seeds(ssrc: int) -> list[bytes]:
    """One of each kind that a publisher sends: whole, aggregated, fragmented, repeated, padded, extended."""
    types = [102] * 8 + [103] * 2
    header = [rtp_header(pt, 100 + n, 3000 * n, ssrc, marker=bool(n % 2)) for n, pt in enumerate(types)]
    nal = b"\x65" + bytes(range(200))
    bodies = [
        nal, b"\x41" + bytes(300), b"\x78\x00\x05\x67abcd\x00\x03\x68xy", b"\x7c\x85" + bytes(100),
        b"\x7c\x45" + bytes(100), b"\x19\x00\x01\x00\x02", b"\x00", b"", pack("!H", 102) + nal, b"",
    ]  # fmt: skip
    plain = [a + b for a, b in zip(header, bodies, strict=True)]
    extended = bytes((0x90,)) + header[0][1:] + pack("!HHBHB", 0xBEDE, 1, 0x51, 7, 0) + nal
    padded = bytes((0xA0,)) + header[1][1:] + nal + b"\0\0\x03"
    sources = bytes((0x82,)) + header[2][1:] + bytes(8) + nal
    return [*plain, extended, padded, sources]


def rtcp_seeds(ssrc: int) -> list[bytes]:
    reception = rtp.Reception(ssrc, 3, 5, 1000, 7, 99, 100)
    sender = rtp.sender_report(rtp.SenderInfo(ssrc, 1 << 40, 5000), 10, 1000)
    arrivals = transport_cc.Arrivals()
    for number in range(30):
        arrivals.record(number * 2, number / 100)
    return [
        sender + rtp.source_description(ssrc, "name"),
        rtp.receiver_report(1, reception) + rtp.nack(1, ssrc, [1, 5, 9, 700]),
        rtp.nack(1, ssrc, range(0, 65_000, 20)),
        rtp.picture_loss(1, ssrc),
        rtp.rtcp_packet(206, 4, pack("!LLLBBH", 1, 0, ssrc, 1, 0, 0)),
        rtp.remb(1, 2_000_000, ssrc),
        *arrivals.feedback(1, ssrc),
        rtp.rtcp_packet(203, 1, pack("!L", ssrc)),
        rtp.rtcp_packet(207, 0, pack("!LL", ssrc, 4)),
    ]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes or bits changed, cut out, or added."""
    packet = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        way = rng.randrange(5)
        at = rng.randrange(len(packet)) if packet else 0
        if not packet or way == 0:
            packet[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif way == 1:
            del packet[at : at + rng.randrange(1, 40)]
        elif way == 2:
            packet[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
        elif way == 3:  # a length, most likely
            packet[at : at + 2] = pack("!H", rng.choice((0, 1, 0xFF, 0xFFFF, 0x8000)))
        else:
            packet[at] ^= 1 << rng.randrange(8)
    return bytes(packet[:1500])


class Healthy:
    """Another live input, whose viewer must miss nothing."""

    def __init__(self, publisher: Publishing, watcher: Watcher) -> None:
        self.publisher, self.watcher = publisher, watcher
        self._seen = 0

    async def goes_on(self) -> None:
        await until(lambda: len(self.watcher.packets) > self._seen + 30)
        self._seen = len(self.watcher.packets)
        assert self.watcher.unbroken


@pytest.fixture
async def raised() -> AsyncIterator[list[dict[str, Any]]]:
    """What reached the event loop's last resort."""
    caught: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: caught.append(context))
    yield caught
    loop.set_exception_handler(None)


@asynccontextmanager
async def healthy(service: Service) -> AsyncIterator[Healthy]:
    live = await service.edge.create()
    async with publishing(service, live) as publisher, watching(service, live) as watcher:
        await until(lambda: len(watcher.packets) > 20)
        yield Healthy(publisher, watcher)


@asynccontextmanager
async def attackers(service: Service) -> AsyncIterator[tuple[LiveInput, PacketPeer, PacketPeer]]:
    """A publisher and a viewer of a live input, with every feature agreed."""
    live = await service.edge.create()
    feedback = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
    publisher = PacketPeer(CERTIFICATE, feedback=feedback, extensions=(EXTENSION,))
    await publisher.connect(service.http, live.whip_url, publish=True)
    viewer = PacketPeer(CERTIFICATE)
    await viewer.connect(service.http, live.whep_url)
    yield live, publisher, viewer
    await publisher.close()
    await viewer.close()


def mux_of(service: Service) -> Mux:
    assert service.edge._context is not None
    return service.edge._context.mux


def inside(service: Service, live: LiveInput) -> list[Endpoint]:
    """The edge's side of the publisher and of the viewer."""
    return list(service.edge._channels[live.uid].sessions.values())


async def test_damaged_rtp_and_rtcp(service: Service, raised: list[dict[str, Any]]) -> None:
    rng = random.Random(4)
    async with healthy(service) as other, attackers(service) as (live, publisher, viewer):
        mux, (at_publisher, at_viewer) = mux_of(service), inside(service, live)
        streams = service.edge._channels[live.uid]._streams
        media = rtp_seeds(4242)
        control = [seed for ssrc in (4242, streams["video"].ssrc) for seed in rtcp_seeds(ssrc)]
        now = asyncio.get_running_loop().time()
        for number in range(PACKETS):
            rtcp = rng.random() < 0.4
            packet = damaged(rng, rng.choice(control if rtcp else media))
            if (
                not rtcp and len(packet) > 3 and rng.random() < 0.8
            ):  # a stream that goes on, now and then with loss
                packet = packet[:2] + pack("!H", number + rng.choice((0, 0, 0, 3, -5)) & 0xFFFF) + packet[4:]
            to = rng.choice((at_publisher, at_viewer)) if rtcp else at_publisher
            mux._deliver(to, packet, rtcp, now)
            now += 0.001
            if number % ROUND == 0:
                await asyncio.sleep(0)
            if number % 20_000 == 0:
                await other.goes_on()
        assert mux.malformed > PACKETS / 20
        await protected(rng, publisher, media, rtcp=False)
        await protected(rng, viewer, control, rtcp=True)
        await other.goes_on()
        assert not publisher.gone.is_set() and not viewer.gone.is_set()
        assert service.edge.stats().viewers == 2
    assert raised == []


async def protected(rng: random.Random, peer: PacketPeer, seeds: list[bytes], *, rtcp: bool) -> None:
    """Damaged packets that libsrtp agrees to encrypt, over the wire."""
    sent = 0
    while sent < PROTECTED // 2:
        packet = damaged(rng, rng.choice(seeds))
        with suppress(ValueError):
            peer.send(peer.protect(packet[:1400], rtcp=rtcp))
            sent += 1
        if sent % 50 == 0:
            await asyncio.sleep(0)


async def test_damaged_datagrams_of_every_kind(service: Service, raised: list[dict[str, Any]]) -> None:
    """STUN, DTLS, SRTP and neither, from a stranger's address and from that of a connected peer."""
    rng = random.Random(5)
    async with healthy(service) as other, attackers(service) as (_, publisher, _viewer):
        seeds = [*datagrams(publisher), publisher.protect(rtp_header(102, 5, 5, 5) + b"\x41abc")]
        before = service.edge.stats().datagrams_received
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(publisher.address)
            ways: list[Callable[[bytes], object]] = [stranger.send, publisher.send]
            for number in range(DATAGRAMS):
                with suppress(ConnectionRefusedError):
                    rng.choice(ways)(damaged(rng, rng.choice(seeds)))
                if number % 50 == 0:
                    await asyncio.sleep(0)
                if number % 5000 == 0:
                    await other.goes_on()
        await until(lambda: service.edge.stats().datagrams_received > before + DATAGRAMS / 2)
        assert mux_of(service).malformed > DATAGRAMS / 50
        await other.goes_on()
        publisher.mapped = None
        publisher.check()
        await until(lambda: publisher.mapped)
        assert not publisher.gone.is_set()
    assert raised == []


def datagrams(peer: PacketPeer) -> list[bytes]:
    """What is valid before it is damaged: a check with the right password, other STUN, all kinds of DTLS."""
    sent: list[bytes] = []
    probe = PacketPeer.__new__(PacketPeer)
    probe.answer, probe._ufrag = peer.answer, "abcd"
    probe.send = sent.append  # type: ignore[method-assign]
    probe.check()
    indication = stun.Message(stun.Method.BINDING, stun.Class.INDICATION)
    hello = bytes.fromhex("16fefd0000000000000000002c010000200000000000000020fefd") + bytes(33)
    change = bytes.fromhex("14fefd0000000000000005000101")
    alert = bytes.fromhex("15fefd000000000000000600020228")
    data = bytes.fromhex("17fefd00010000000000010010") + bytes(16)
    return [*sent, bytes(indication), hello, change, alert, data, b"\x40turn channel data", b""]


async def test_garbage_during_the_handshake_ends_no_more_than_that_handshake(
    service: Service, raised: list[dict[str, Any]]
) -> None:
    rng = random.Random(6)
    async with healthy(service) as other:
        live = await service.edge.create()
        for _ in range(20):
            peer = PacketPeer(CERTIFICATE)
            send = peer.send

            def damaging(datagram: bytes, send: Callable[[bytes], None] = send) -> None:
                if datagram[:1] and 19 < datagram[0] < 64:
                    send(damaged(rng, datagram))
                send(datagram)

            peer.send = damaging  # type: ignore[method-assign]
            with suppress(ConnectionError, TimeoutError):
                await peer.connect(service.http, live.whip_url, publish=True, timeout=0.2)
            await peer.close()
        await other.goes_on()
    assert raised == []
