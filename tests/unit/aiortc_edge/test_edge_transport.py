"""Peers on real sockets: both address families, new addresses, certificates, takeovers, and every packet."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from struct import pack

import aiohttp
import pytest
from aiortc.rtcdtlstransport import generate_certificate
from cryptography.hazmat.primitives.asymmetric import rsa
from edge_peers import Service, serving, until
from edge_streams import CERTIFICATE, PICTURES, Publishing, Watcher, publishing, watching
from packet_peers import H264, SDP, VP8, PacketPeer, rtp_header

from luxxon_core.adapters.aiortc_edge import mux as mux_module
from luxxon_core.adapters.aiortc_edge import payload, private, rtp
from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.adapters.aiortc_edge.inbound import KEYFRAME_INTERVAL
from luxxon_core.adapters.aiortc_edge.mux import advertised_addresses
from luxxon_core.adapters.aiortc_edge.stream import RESEND_RATE
from luxxon_core.kernel.errors import StartError
from luxxon_core.media.domain import LiveInput


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")


def candidates(answer: str) -> list[str]:
    return re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) \d+ typ host", answer)


# Address families.


@needs_ipv6
@pytest.mark.parametrize("batch", [None, False], ids=["sendmmsg", "sendto"])
async def test_one_port_serves_both_families(monkeypatch: pytest.MonkeyPatch, batch: bool | None) -> None:
    interfaces = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    entries = [type("Entry", (), {"family": family, "address": address})() for family, address in interfaces]
    monkeypatch.setattr(mux_module.psutil, "net_if_addrs", lambda: {"lo": entries})
    async with serving(udp_host="::", batch=batch) as service:
        live_input = await service.edge.create()
        async with (
            publishing(service, live_input, family=socket.AF_INET6) as publisher,
            watching(service, live_input, family=socket.AF_INET) as over4,
            watching(service, live_input, family=socket.AF_INET6) as over6,
        ):
            assert candidates(over4.peer.answer) == ["127.0.0.1", "::1"]
            assert "c=IN IP4 127.0.0.1" in over4.peer.answer
            assert over4.peer.address[1] == over6.peer.address[1]
            assert over4.peer.sock is not None and over6.peer.sock is not None
            assert over4.peer.mapped == over4.peer.sock.getsockname()
            assert over6.peer.mapped == over6.peer.sock.getsockname()[:2]
            assert publisher.source.peer.mapped is not None and publisher.source.peer.mapped[0] == "::1"
            await until(lambda: len(over4.packets) > 50 and len(over6.packets) > 50)
            assert over4.unbroken and over6.unbroken
            assert service.edge.stats().errors == 0


@needs_ipv6
async def test_an_ipv6_address_alone_serves_ipv6_alone() -> None:
    async with serving(udp_host="::1") as service:
        live_input = await service.edge.create()
        async with publishing(service, live_input) as publisher, watching(service, live_input) as watcher:
            assert candidates(publisher.source.peer.answer) == ["::1"]
            assert "c=IN IP6 ::1" in watcher.peer.answer
            await until(lambda: len(watcher.packets) > 20)


def test_public_addresses_come_first_and_fit_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, "fe80::1%eth0"),
        (socket.AF_INET6, "2001:db8::5"),
        (socket.AF_INET, "10.0.0.5"),
    ]
    entries = [type("Entry", (), {"family": family, "address": address})() for family, address in found]
    monkeypatch.setattr(mux_module.psutil, "net_if_addrs", lambda: {"any": entries})
    public = ["2001:db8::99", "203.0.113.1"]
    assert advertised_addresses("::", public) == ("203.0.113.1", "2001:db8::99", "10.0.0.5", "2001:db8::5")
    assert advertised_addresses("0.0.0.0", public[1:]) == ("203.0.113.1", "10.0.0.5")
    with pytest.raises(ValueError, match="2001:db8::99"):
        advertised_addresses("0.0.0.0", public)


async def test_a_public_address_that_cannot_be_served_stops_the_start() -> None:
    edge = AiortcEdge(public_url="http://localhost", public_addresses=["2001:db8::99"])
    with pytest.raises(StartError, match="2001:db8::99"):
        await edge.start()
    await edge.close()


# Sessions that go on.


@pytest.fixture
async def live(service: Service) -> LiveInput:
    return await service.edge.create()


async def test_a_peer_whose_address_changes_keeps_its_session(service: Service, live: LiveInput) -> None:
    async with publishing(service, live) as publisher, watching(service, live) as watcher:
        await until(lambda: len(watcher.packets) > 20)
        for peer in (watcher.peer, publisher.source.peer):
            assert peer.sock is not None
            before = peer.sock.getsockname()
            peer.open_socket()
            assert peer.sock.getsockname() != before
            peer.check()
            count = len(watcher.packets)
            await until(lambda count=count: len(watcher.packets) > count + 50)  # type: ignore[misc]
            assert peer.mapped == peer.sock.getsockname()
        assert [service.edge.stats().publishers, service.edge.stats().viewers] == [1, 1]


async def test_viewers_stay_when_the_publisher_returns_with_other_numbers(
    service: Service, live: LiveInput
) -> None:
    """Another payload type, SSRC, sequence number and timestamp, as of another program."""
    async with watching_after(service, live) as (watcher, first):
        await first.stop()
        await first.source.peer.close()
        seen = len(watcher.packets)
        other = {"ssrc": 77, "sequence": 60_000, "timestamp": 2**32 - 5000}
        async with publishing(service, live, payload_type=120, rtx=None, source=other) as second:
            await until(lambda: len(watcher.packets) > seen + 300)
            assert second.source.sequence > 60_000
        assert watcher.unbroken
        assert len({packet.ssrc for packet in watcher.packets}) == 1
        seams = [
            b
            for a, b in pairwise(watcher.packets)
            if (b.timestamp - a.timestamp) & 0xFFFFFFFF not in (0, 3000)
        ]
        assert len(seams) == 1 and payload.starts_keyframe("h264", seams[0].payload)
        assert (seams[0].timestamp - watcher.packets[0].timestamp) & 0xFFFFFFFF < 90_000 * 10
        assert not watcher.peer.gone.is_set()


@asynccontextmanager
async def watching_after(service: Service, live: LiveInput) -> AsyncIterator[tuple[Watcher, Publishing]]:
    async with publishing(service, live) as publisher, watching(service, live) as watcher:
        await until(lambda: len(watcher.packets) > 50)
        yield watcher, publisher


async def test_viewers_are_sent_away_when_the_codec_changes(service: Service, live: LiveInput) -> None:
    async with watching_after(service, live) as (watcher, _):
        peer = PacketPeer(CERTIFICATE, codec=VP8)
        await peer.connect(service.http, live.whip_url, publish=True)
        async with asyncio.timeout(5):
            await watcher.peer.gone.wait()
        await until(lambda: service.edge.stats().viewers == 0)
        again = Watcher(codec=VP8, payload_type=99, rtx=None)
        await again.peer.connect(service.http, live.whep_url)
        await again.peer.close()
        await peer.close()


VP9 = "VP9/90000\r\na=fmtp:102 profile-id=0"


@pytest.mark.parametrize(
    ("codec", "former", "present", "statuses"),
    [
        (H264, "profile-level-id=42e01f", "profile-level-id=64001f", (204, 201)),
        (VP9, "profile-id=0", "profile-id=2", (404, 422)),
    ],
    ids=["h264", "vp9"],
)
async def test_viewers_are_answered_by_the_profile_that_is_published_now(
    service: Service, live: LiveInput, codec: str, former: str, present: str, statuses: tuple[int, int]
) -> None:
    """Decoders play H.264 of another profile; of VP9 they do not, and who has asked for it must ask anew."""
    peer = PacketPeer(CERTIFICATE, codec=codec)

    async def post(url: str, direction: str, format_: str) -> aiohttp.ClientResponse:
        text = peer.offer(direction).replace(former, format_)
        async with service.http.post(url, data=text, headers=SDP) as answer:
            await answer.read()
            return answer

    first = await post(live.whip_url, "sendonly", former)
    early = await post(live.whep_url, "recvonly", former)
    await service.http.delete(first.headers["Location"])
    await post(live.whip_url, "sendonly", present)
    still = await service.http.get(early.headers["Location"])
    again = await post(live.whep_url, "recvonly", former)
    assert (early.status, still.status, again.status) == (201, *statuses)
    name = codec.split(maxsplit=1)[0]
    both = f"{present}\r\na=rtpmap:110 {name}\r\na=fmtp:110 packetization-mode=1;{former}"
    text = peer.offer("recvonly").replace("102 103", "110 102 103").replace(former, both)
    async with service.http.post(live.whep_url, data=text, headers=SDP) as answer:
        assert "a=rtpmap:102 " in await answer.text(), "the second in the offer, but the one that is sent"


async def test_a_viewer_joins_on_a_keyframe_at_once(service: Service, live: LiveInput) -> None:
    """Although the publisher makes one every two seconds and none on request."""
    async with publishing(service, live) as publisher:
        await until(lambda: publisher.number > len(PICTURES) + 20)
        async with watching(service, live) as watcher:
            loop = asyncio.get_running_loop()
            connected = loop.time()
            await until(lambda: watcher.packets, timeout=2)
            assert loop.time() - connected < 0.3
            await until(lambda: len(watcher.packets) > 100)
            assert payload.starts_keyframe("h264", watcher.packets[0].payload)
            assert watcher.unbroken


# Certificates.


class RsaCertificate(private.Certificate):
    def __init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self._certificate = private._Certificate(key, generate_certificate(key))  # type: ignore[arg-type]
        self.fingerprints = tuple(
            (each.algorithm, each.value)
            for each in self._certificate.getFingerprints()
            if each.algorithm == "sha-256"
        )


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_a_peer_with_an_rsa_certificate(service: Service, live: LiveInput, setup: str) -> None:
    """As DTLS server its certificate decides about the cipher suites."""
    async with (
        publishing(service, live, certificate=RsaCertificate(), setup=setup) as publisher,
        watching(service, live, certificate=RsaCertificate(), setup=setup) as watcher,
    ):
        assert f"a=setup:{'active' if setup == 'passive' else 'passive'}" in publisher.source.peer.answer
        await until(lambda: len(watcher.packets) > 20)


async def test_a_certificate_that_was_not_announced_is_refused(service: Service, live: LiveInput) -> None:
    peer = PacketPeer(CERTIFICATE)
    text = peer.offer

    def lying(direction: str) -> str:
        return re.sub(r"(fingerprint:sha-256 )..", r"\g<1>00", text(direction))

    peer.offer = lying  # type: ignore[method-assign]
    with suppress(ConnectionError, TimeoutError):
        await peer.connect(service.http, live.whip_url, publish=True, timeout=3)
    await until(lambda: service.edge.stats().publishers == 0)
    await peer.close()


# What is in the packets.


async def test_header_extensions_are_taken_off(service: Service, live: LiveInput) -> None:
    """Their numbers mean nothing to viewers: abs-send-time of one is mid of another."""
    extension = pack("!HH", 0xBEDE, 1) + b"\x22abc"
    await packets_as(
        service, live, lambda header, body: bytes((header[0] | 0x10,)) + header[1:] + extension + body
    )


async def test_contributing_sources_and_padding_are_taken_off(service: Service, live: LiveInput) -> None:
    def dressed(header: bytes, body: bytes) -> bytes:
        return bytes((header[0] | 0x22,)) + header[1:] + pack("!LL", 5, 6) + body + b"\0\0\x03"

    await packets_as(service, live, dressed)


async def packets_as(service: Service, live: LiveInput, dressed: Callable[[bytes, bytes], bytes]) -> None:
    async with connected_pair(service, live) as (publisher, watcher):
        sent = []
        for sequence in range(20):
            body = (b"\x65" if sequence == 0 else b"\x41") + b"%020d" % sequence
            publisher.send_rtp(dressed(rtp_header(102, sequence, sequence * 3000, 9, marker=True), body))
            sent.append(body)
        await until(lambda: len(watcher.packets) == 20)
        assert [packet.payload for packet in watcher.packets] == sent
        assert all(raw[0] == 0x80 for raw in watcher.raw)


@asynccontextmanager
async def connected_pair(service: Service, live: LiveInput) -> AsyncIterator[tuple[PacketPeer, Watcher]]:
    publisher = PacketPeer(CERTIFICATE)
    await publisher.connect(service.http, live.whip_url, publish=True)
    async with watching(service, live) as watcher:
        yield publisher, watcher
    await publisher.close()


async def test_padding_and_foreign_payload_types_leave_no_gap(service: Service, live: LiveInput) -> None:
    """Probes of the bandwidth count, redundancy that was not agreed on has numbers of its own."""
    async with connected_pair(service, live) as (publisher, watcher):
        for sequence in range(30):
            header = rtp_header(102, sequence, sequence * 3000, 9, marker=True)
            if sequence % 10 == 5:
                publisher.send_rtp(bytes((header[0] | 0x20,)) + header[1:] + bytes(199) + b"\xc8")
            else:
                publisher.send_rtp(header + (b"\x65" if sequence == 0 else b"\x41") + b"%020d" % sequence)
            publisher.send_rtp(rtp_header(118, sequence, 0, 10) + b"forward error correction")
        await until(lambda: len(watcher.packets) == 30)
        assert watcher.unbroken
        assert [len(packet.payload) for packet in watcher.packets].count(0) == 3


async def test_the_publisher_is_reported_to_in_the_codec_it_chose(service: Service, live: LiveInput) -> None:
    async with publishing(service, live, feedback=("nack", "nack pli")) as publisher:
        await until(lambda: (201, 1) in [(part.kind, part.subtype) for part in publisher.source.reports])
        kinds = {(part.kind, part.subtype) for part in publisher.source.reports}
        assert (rtp.PAYLOAD_FEEDBACK, rtp.APPLICATION_LAYER) not in kinds  # REMB was not offered
        report = next(part for part in publisher.source.reports if (part.kind, part.subtype) == (201, 1))
        assert int.from_bytes(report.body[4:8], "big") == publisher.source.ssrc
    assert H264 in publisher.source.peer.offer("sendonly")


async def test_a_viewer_that_floods_with_requests_is_heard_so_often_and_no_more(
    service: Service, live: LiveInput
) -> None:
    """5,000 requests for a keyframe and 5,000 for packets, in a moment; the next viewer is served as ever."""
    async with publishing(service, live) as publisher, watching(service, live) as flooding:
        await until(lambda: len(flooding.packets) > 200)
        ssrc, lost = flooding.packets[0].ssrc, [packet.sequence for packet in flooding.packets[:100]]
        plis, sent = publisher.source.plis, service.edge.stats().datagrams_sent
        loop = asyncio.get_running_loop()
        began, received = loop.time(), service.edge.stats().datagrams_received
        for number in range(5000):
            flooding.peer.send_rtcp(rtp.picture_loss(1, ssrc))
            flooding.peer.send_rtcp(rtp.nack(1, ssrc, lost))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await until(lambda: service.edge.stats().datagrams_received > received + 5000)
        async with watching(service, live) as other:
            await until(lambda: len(other.packets) > 200)
            assert other.unbroken
        took = loop.time() - began
        regular = took * 25 * 2 * max(map(len, PICTURES)) + 2 * len(PICTURES) * max(map(len, PICTURES))
        assert service.edge.stats().datagrams_sent - sent < RESEND_RATE * (1 + took) + regular
        assert publisher.source.plis - plis <= 2 + took / KEYFRAME_INTERVAL
