"""Transport-wide feedback: what it says is what happened, whatever the network did."""

from __future__ import annotations

import asyncio
from struct import pack, unpack_from

import pytest
from edge_peers import Service, until
from hypothesis import given
from hypothesis import strategies as st
from packet_peers import PacketPeer, Source, rtp_header

from luxxon_core.adapters.aiortc_edge import rtp, transport_cc
from luxxon_core.adapters.aiortc_edge.transport_cc import TICK, URI, Arrivals


def read(message: bytes) -> tuple[int, dict[int, float | None]]:
    """Count of the message, and the arrival in seconds of each packet that it names (None: lost)."""
    (part,) = rtp.parse_rtcp(message)
    assert (part.kind, part.subtype) == (205, 15)
    base, count, word = unpack_from("!HHL", part.body, 8)
    reference = word >> 8
    at, symbols = 16, list[int]()
    while len(symbols) < count:
        (chunk,) = unpack_from("!H", part.body, at)
        at += 2
        if chunk < 0x8000:
            symbols += [chunk >> 13] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    time, arrivals = reference * 0.064, dict[int, float | None]()
    for number, symbol in enumerate(symbols[:count]):
        arrived = None
        if symbol:
            form, size = ("!B", 1) if symbol == 1 else ("!h", 2)
            assert symbol in (1, 2)
            time += unpack_from(form, part.body, at)[0] * 250e-6
            arrived, at = time, at + size
        arrivals[base + number & 0xFFFF] = arrived
    assert 0 <= len(part.body) - at < 4
    return word & 0xFF, arrivals


steps = st.lists(
    st.tuples(st.booleans(), st.floats(0, 0.004) | st.floats(0, 0.3) | st.floats(-0.02, 12)),
    min_size=1,
    max_size=300,
)


@given(st.integers(0, 0xFFFF), steps, st.integers(1, 100))
def test_it_tells_every_packet_and_when_it_came(
    start: int, happened: list[tuple[bool, float]], batch: int
) -> None:
    arrivals, now, sent = Arrivals(), 1000.0, dict[int, float | None]()
    told: dict[int, float | None] = {}
    counts = []
    for number, (came, step) in enumerate(happened):
        now += step
        if came or number == 0:
            arrivals.record(start + number & 0xFFFF, now)
        sent[start + number & 0xFFFF] = now if came or number == 0 else None
        if number % batch == 0 or number == len(happened) - 1:
            for message in arrivals.feedback(1, 2):
                count, read_out = read(message)
                counts.append(count)
                assert not told.keys() & read_out.keys()
                told |= read_out
    assert counts == list(range(len(counts)))
    for number, at in sent.items():
        if at is None or number not in told:
            assert told.get(number) is None
            continue
        heard = told[number]
        assert heard is not None and abs(heard - at) <= TICK * 1.01
    assert all(number in told for number, at in sent.items() if at is not None)


def test_nothing_is_said_of_silence() -> None:
    arrivals = Arrivals()
    assert arrivals.feedback(1, 2) == []
    arrivals.record(7, 1.0)
    assert len(arrivals.feedback(1, 2)) == 1
    assert arrivals.feedback(1, 2) == []


def test_late_and_repeated_packets_change_nothing() -> None:
    arrivals = Arrivals()
    for number, now in ((5, 1.0), (7, 1.01), (7, 1.5)):
        arrivals.record(number, now)
    (message,) = arrivals.feedback(1, 2)
    arrivals.record(6, 1.02)
    assert arrivals.feedback(1, 2) == []
    assert [at is not None for at in read(message)[1].values()] == [True, False, True]


def test_no_message_outgrows_a_datagram_however_disorderly_the_arrivals() -> None:
    arrivals, told = Arrivals(), dict[int, float | None]()
    for number in range(1000):
        arrivals.record(number, 1 + 0.08 * (number % 2))
    messages = arrivals.feedback(1, 2)
    for message in messages:
        assert len(message) <= rtp.MAX_PAYLOAD
        told |= read(message)[1]
    assert list(told) == list(range(1000)) and None not in told.values()


def test_a_sender_that_starts_over_is_followed() -> None:
    arrivals = Arrivals()
    arrivals.record(100, 1.0)
    arrivals.record(40_000, 1.1)
    (message,) = arrivals.feedback(1, 2)
    assert list(read(message)[1]) == [40_000]


@given(st.binary(max_size=40), st.sampled_from([0xBEDE, 0x1000, 0x100F, 0xABAC]), st.integers(1, 255))
def test_any_bytes_as_header_extensions_give_a_value_or_none(data: bytes, profile: int, wanted: int) -> None:
    data += bytes(-len(data) % 4)
    header = rtp_header(96, 1, 2, 3)
    packet = bytes((header[0] | 0x10,)) + header[1:] + pack("!HH", profile, len(data) // 4) + data
    rtp.parse_rtp(packet)
    value = rtp.header_extension(packet, wanted)
    assert value is None or value in data


def test_header_extensions_are_found_in_both_forms() -> None:
    header = rtp_header(96, 1, 2, 3)
    first = bytes((header[0] | 0x10,)) + header[1:]
    short = first + pack("!HH", 0xBEDE, 2) + b"\x10\xaa\0\x31\x12\x34\0\0" + b"payload"
    assert rtp.header_extension(short, 3) == b"\x12\x34"
    assert rtp.header_extension(short, 1) == b"\xaa"
    assert rtp.header_extension(short, 2) is None
    long = first + pack("!HH", 0x1000, 2) + b"\x14\0\x03\x02\x12\x34\0\0" + b"payload"
    assert rtp.header_extension(long, 3) == b"\x12\x34"
    assert rtp.header_extension(long, 20) == b""
    assert rtp.header_extension(header + b"payload", 3) is None


async def test_a_publisher_that_offers_only_transport_cc_is_answered_and_told(service: Service) -> None:
    live = await service.edge.create()
    peer = PacketPeer(
        feedback=("nack", "transport-cc"), extensions=(f"5 {URI}", "6 urn:ietf:params:rtp-hdrext:sdes:mid")
    )
    source = Source(peer)
    await peer.connect(service.http, live.whip_url, publish=True)
    assert f"a=extmap:5 {URI}" in peer.answer and "a=rtcp-fb:102 transport-cc" in peer.answer
    assert "goog-remb" not in peer.answer and "hdrext:sdes:mid" not in peer.answer

    def messages() -> list[rtp.RtcpPacket]:
        return [p for p in source.reports if (p.kind, p.subtype) == (205, 15)]

    for number in range(65_500, 65_600):
        if number % 10:
            header = rtp_header(102, number, 0, 9)
            extension = pack("!HHBHB", 0xBEDE, 1, 0x51, number & 0xFFFF, 0)
            peer.send_rtp(bytes((header[0] | 0x10,)) + header[1:] + extension + b"\x41payload")
        await asyncio.sleep(0.003)
    told: dict[int, float | None] = {}

    def all_told() -> bool:
        for part in messages():
            told.update(read(rtp.rtcp_packet(part.kind, part.subtype, part.body))[1])
        return (65_599 & 0xFFFF) in told

    await until(all_told)
    assert {number for number, at in told.items() if at is None} == {
        n & 0xFFFF for n in range(65_510, 65_600, 10)
    }
    spans = [at for at in told.values() if at is not None]
    assert 0.25 < max(spans) - min(spans) < 3
    assert len(messages()) >= 3
    await peer.close()


@pytest.mark.parametrize("agreed", [False, True])
async def test_feedback_goes_alone_to_those_alone_who_agreed_to_it(service: Service, agreed: bool) -> None:
    """RFC 5506 §4.2; to others each datagram is a report and a CNAME first (RFC 3550 §6.1)."""

    class Peer(PacketPeer):
        def offer(self, direction: str) -> str:
            return super().offer(direction) + ("a=rtcp-rsize\r\n" if agreed else "")

    live = await service.edge.create()
    compounds: list[list[rtp.RtcpPacket]] = []
    peer = Peer(
        feedback=("nack", "nack pli", "goog-remb", "transport-cc"),
        extensions=(f"5 {URI}",),
        heard=lambda packet, rtcp: compounds.append(list(rtp.parse_rtcp(packet))),
    )
    await peer.connect(service.http, live.whip_url, publish=True)
    assert ("a=rtcp-rsize" in peer.answer) is agreed
    for number in (1, 2, 4):
        header = rtp_header(102, number, 0, 9)
        extension = pack("!HHBHB", 0xBEDE, 1, 0x51, number, 0)
        peer.send_rtp(bytes((header[0] | 0x10,)) + header[1:] + extension + b"\x41payload")
    nack, pli, remb, arrivals = (205, 1), (206, 1), (206, 15), (205, 15)

    def kinds() -> set[tuple[int, int]]:
        return {(part.kind, part.subtype) for parts in compounds for part in parts}

    await until(lambda: {nack, pli, remb, arrivals, (201, 1)} <= kinds())
    heads = [[part.kind for part in parts[:2]] for parts in compounds]
    reports = [parts for parts in compounds if (parts[0].kind, parts[0].subtype) == (201, 1)]
    assert reports and all(parts[1].kind == rtp.SOURCE_DESCRIPTION for parts in reports)
    names = {parts[1].body for parts in compounds if parts[0].kind == rtp.RECEIVER_REPORT}
    assert len(names) == 1
    alone = [head for head in heads if head != [rtp.RECEIVER_REPORT, rtp.SOURCE_DESCRIPTION]]
    assert bool(alone) is agreed
    assert all(parts[0].body[:4] == parts[-1].body[:4] for parts in compounds), "from one source"
    await peer.close()


async def test_an_offer_without_the_header_extension_is_not_agreed_to(service: Service) -> None:
    live = await service.edge.create()
    peer = PacketPeer(feedback=("nack", "transport-cc"))
    await peer.connect(service.http, live.whip_url, publish=True)
    assert transport_cc.FEEDBACK not in peer.answer
    await peer.close()
