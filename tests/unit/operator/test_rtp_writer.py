"""The packets of a picture, and those that are sent again, as a receiver reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from aiortc import RTCRtpSender
from aiortc.codecs.h264 import H264Encoder
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import RTCP_RTPFB_NACK, HeaderExtensionsMap, RtcpRtpfbPacket, RtpPacket, unwrap_rtx

from luxxon_core.operator import rtp_writer
from luxxon_core.operator.rtp_writer import RtpWriter
from luxxon_core.operator.whip import PacketTrack
from luxxon_core.source import EncodedPacket

VIDEO, RTX = 97, 98
PICTURES = [b"\0\0\0\1\x65" + bytes([number]) * size for number, size in enumerate((40, 5000, 2600), 1)]
STEP = 3000
HEADER_EXTENSIONS = [
    RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
    RTCRtpHeaderExtensionParameters(id=2, uri="http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
]


class Transport:
    """Keeps what a sender hands to DTLS."""

    state, _stats_id = "new", "transport"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.error: Exception | None = None

    def _register_rtp_sender(self, *_: object) -> None: ...

    def _unregister_rtp_sender(self, *_: object) -> None: ...

    def _get_stats(self) -> dict[str, Any]:
        return {}

    async def _send_rtp(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        if data[1] & 0x7F in (VIDEO, RTX):
            self.sent.append(data)


class Sending:
    def __init__(self, *, rtx: bool, extended: bool) -> None:
        self.transport = Transport()
        self.finished, self.done = asyncio.Event(), asyncio.Event()
        self.track = PacketTrack(self._packets())
        self.sender = RTCRtpSender(self.track, self.transport)  # type: ignore[arg-type]
        RtpWriter(self.sender)
        codecs = [RTCRtpCodecParameters(mimeType="video/H264", clockRate=90_000, payloadType=VIDEO)]
        if rtx:
            again = RTCRtpCodecParameters(
                mimeType="video/rtx", clockRate=90_000, payloadType=RTX, parameters={"apt": VIDEO}
            )
            codecs.append(again)
        self.parameters = RTCRtpSendParameters(
            codecs=codecs,
            headerExtensions=HEADER_EXTENSIONS if extended else [],
            muxId="0",
            rtcp=RTCRtcpParameters(cname="x"),
        )
        self.extensions = HeaderExtensionsMap()
        self.extensions.configure(self.parameters)

    async def _packets(self) -> AsyncGenerator[EncodedPacket, None]:
        for number, data in enumerate(PICTURES):
            yield EncodedPacket("h264", number * STEP, True, data)
        self.finished.set()
        await self.done.wait()

    def read(self) -> list[RtpPacket]:
        return [RtpPacket.parse(data, self.extensions) for data in self.transport.sent]

    async def lost(self, *numbers: int) -> list[RtpPacket]:
        """What is sent when a receiver misses packets."""
        self.transport.sent.clear()
        report = RtcpRtpfbPacket(
            fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=self.sender._ssrc, lost=list(numbers)
        )
        await self.sender._handle_rtcp_packet(report)
        return self.read()


@pytest.fixture(params=["extended", "plain"])
async def sending(request: pytest.FixtureRequest) -> AsyncIterator[Sending]:
    made = Sending(rtx=True, extended=request.param == "extended")
    await made.sender.send(made.parameters)
    await asyncio.wait_for(made.finished.wait(), 5)
    yield made
    await asyncio.wait_for(made.sender.stop(), 5)


async def test_a_receiver_reads_the_pictures(sending: Sending) -> None:
    packets, extended = sending.read(), bool(sending.parameters.headerExtensions)
    payloads = [H264Encoder._packetize(iter([picture[4:]])) for picture in PICTURES]
    assert [packet.payload for packet in packets] == [one for each in payloads for one in each]
    marked = [index == len(each) - 1 for each in payloads for index in range(len(each))]
    assert [bool(packet.marker) for packet in packets] == marked
    first = packets[0].sequence_number
    assert [(packet.sequence_number - first) % 65536 for packet in packets] == list(range(len(packets)))
    begun = packets[0].timestamp
    steps = [number * STEP for number, each in enumerate(payloads) for _ in each]
    assert [(packet.timestamp - begun) % (1 << 32) for packet in packets] == steps
    assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(sending.sender._ssrc, VIDEO)}
    assert {packet.extensions.mid for packet in packets} == {"0" if extended else None}
    assert all((packet.extensions.abs_send_time is not None) == extended for packet in packets)
    (stats,) = (one for one in (await sending.sender.getStats()).values() if one.type == "outbound-rtp")
    assert stats.packetsSent == len(packets)
    assert stats.bytesSent == sum(len(packet.payload) for packet in packets)


async def test_what_is_lost_is_sent_again(sending: Sending) -> None:
    before = sending.read()
    again = await sending.lost(before[1].sequence_number, before[-1].sequence_number)
    assert {(packet.ssrc, packet.payload_type) for packet in again} == {(sending.sender._rtx_ssrc, RTX)}
    assert (again[1].sequence_number - again[0].sequence_number) % 65536 == 1
    for packet, original in zip(again, (before[1], before[-1]), strict=True):
        found = unwrap_rtx(packet, payload_type=VIDEO, ssrc=sending.sender._ssrc)
        assert found.serialize(sending.extensions) == original.serialize(sending.extensions)
    assert await sending.lost((before[0].sequence_number - 1) % 65536) == []


async def test_without_rtx_the_packet_itself_comes_again() -> None:
    plain = Sending(rtx=False, extended=True)
    await plain.sender.send(plain.parameters)
    await asyncio.wait_for(plain.finished.wait(), 5)
    sent = list(plain.transport.sent)
    await plain.lost(plain.read()[2].sequence_number)
    assert plain.transport.sent == [sent[2]]
    await asyncio.wait_for(plain.sender.stop(), 5)


async def test_the_numbers_do_not_wrap_before_the_receiver_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts wraps itself (RFC 3711 §3.3.1): of one that it has not seen, no packet after can be read."""
    monkeypatch.setattr(rtp_writer, "getrandbits", lambda bits: 2**bits - 1)
    first = Sending(rtx=True, extended=True)
    await first.sender.send(first.parameters)
    await asyncio.wait_for(first.finished.wait(), 5)
    packets = first.read()
    again = await first.lost(packets[0].sequence_number)
    assert packets[0].sequence_number < 2**15 and again[0].sequence_number < 2**15
    await asyncio.wait_for(first.sender.stop(), 5)


async def test_only_the_newest_packets_are_known(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtp_writer, "HISTORY", 4)
    few = Sending(rtx=True, extended=True)
    await few.sender.send(few.parameters)
    await asyncio.wait_for(few.finished.wait(), 5)
    numbers = [packet.sequence_number for packet in few.read()]
    assert len(numbers) > 4
    assert len(await few.lost(*numbers)) == 4
    await asyncio.wait_for(few.sender.stop(), 5)


@pytest.mark.parametrize("error", [ConnectionError("gone"), RuntimeError("out of the blue")])
async def test_a_sender_that_failed_can_be_stopped(error: Exception) -> None:
    failing = Sending(rtx=True, extended=True)
    failing.transport.error = error
    await failing.sender.send(failing.parameters)
    while failing.track.readyState == "live":
        await asyncio.sleep(0)
    failing.transport.error = None
    await asyncio.wait_for(failing.sender.stop(), 5)
