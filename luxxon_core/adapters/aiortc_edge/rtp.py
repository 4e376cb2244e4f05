"""RTP and RTCP on the wire (RFC 3550, RFC 4585, RFC 4588, RFC 8285, draft-alvestrand-rmcat-remb). Pure.

Parsers raise RtpError and nothing else, whatever bytes arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack, unpack_from
from typing import NamedTuple

VERSION = 0x80
MARKER = 0x80

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206

GENERIC_NACK = 1
PICTURE_LOSS = 1
FULL_INTRA = 4
APPLICATION_LAYER = 15

MAX_PAYLOAD = 1440
"""Largest payload forwarded: with header, RTX sequence number and tag it fits an Ethernet frame over IPv4."""


class RtpError(ValueError):
    """Malformed RTP or RTCP."""


class RtpPacket(NamedTuple):
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class RtcpPacket(NamedTuple):
    kind: int
    subtype: int
    """Report count or feedback message type: the low five bits of the first byte."""
    body: bytes
    """Everything after the four-byte header."""


class SenderInfo(NamedTuple):
    """What a sender report says of the sender (RFC 3550 §6.4.1)."""

    ssrc: int
    ntp: int
    """64-bit NTP timestamp."""
    timestamp: int


class Reception(NamedTuple):
    """One report block (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost: int
    """In 256ths since the last report."""
    lost: int
    highest_sequence: int
    """Extended by the count of cycles."""
    jitter: int
    """In timestamp units."""
    last_report: int
    """Middle 32 bits of the last sender report's NTP timestamp, 0 if none."""
    delay: int
    """Since that report, in 1/65536 s."""


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse a decrypted packet; CSRCs, header extensions and padding are taken off.

    Raises:
        RtpError: the header or its extension is cut short, or the padding is longer than the packet.
    """
    if len(data) < 12:
        raise RtpError("header cut short")
    first, second, sequence, timestamp, ssrc = unpack_from("!BBHLL", data)
    if first >> 6 != 2:
        raise RtpError("not RTP version 2")
    start, end = 12 + 4 * (first & 15), len(data)
    if first & 0x10:
        if start + 4 > end:
            raise RtpError("header extension cut short")
        start += 4 + 4 * unpack_from("!H", data, start + 2)[0]
    if first & 0x20:
        end -= data[-1]
    if start > end:
        raise RtpError("header or padding exceeds the packet")
    return RtpPacket(second & 0x7F, second >= MARKER, sequence, timestamp, ssrc, data[start:end])


def header_extension(data: bytes, identifier: int) -> bytes | None:
    """Value of a header extension element, in the one-byte or the two-byte form (RFC 8285 §4), or None.

    ``data`` is a packet that ``parse_rtp`` took.
    """
    if not data[0] & 0x10:
        return None
    at = 12 + 4 * (data[0] & 15)
    profile, words = unpack_from("!HH", data, at)
    at, end = at + 4, at + 4 + 4 * words
    short = profile == 0xBEDE
    if not short and profile >> 4 != 0x100:
        return None
    while at < end:
        kind = data[at] >> 4 if short else data[at]
        if kind == 0:  # padding
            at += 1
            continue
        if (short and kind == 15) or (not short and at + 1 >= end):
            return None
        size, start = ((data[at] & 15) + 1, at + 1) if short else (data[at + 1], at + 2)
        if kind == identifier:
            return data[start : start + size] if start + size <= end else None
        at = start + size
    return None


def restore_from_rtx(packet: RtpPacket) -> RtpPacket | None:
    """The original of a retransmission (RFC 4588 §4), None for a probe that carries padding alone.

    SSRC and payload type stay those of the retransmission.
    """
    if len(packet.payload) < 2:
        return None
    return packet._replace(sequence=unpack_from("!H", packet.payload)[0], payload=packet.payload[2:])


def rtx_packet(
    *, payload_type: int, sequence: int, timestamp: int, ssrc: int, original: int, marker: int, payload: bytes
) -> bytes:
    """Retransmit the packet ``original`` on the RTX stream (RFC 4588 §4). ``marker`` is 0 or 0x80."""
    header = pack("!BBHLLH", VERSION, marker | payload_type, sequence, timestamp, ssrc, original)
    return header + payload


def is_rtcp(second_byte: int) -> bool:
    """RFC 5761 §4: RTCP packet types share the range 192 to 223 with no RTP payload type in use."""
    return 192 <= second_byte <= 223


def parse_rtcp(data: bytes) -> Iterator[RtcpPacket]:
    """The packets of a compound.

    Raises:
        RtpError: a packet is cut short or is not version 2.
    """
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise RtpError("RTCP header cut short")
        first, kind, words = unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise RtpError("malformed RTCP packet")
        yield RtcpPacket(kind, first & 31, data[at + 4 : end])
        at = end


def parse_sender_info(packet: RtcpPacket) -> SenderInfo:
    """Raises RtpError when ``packet`` is too short for a sender report."""
    if packet.kind != SENDER_REPORT or len(packet.body) < 24:
        raise RtpError("not a sender report")
    return SenderInfo(*unpack_from("!LQL", packet.body))


def parse_nack(packet: RtcpPacket) -> tuple[int, Iterator[int]]:
    """Media SSRC and the sequence numbers asked for (RFC 4585 §6.2.1), as many as the caller has a use for:
    one packet can name 6,000. Raises RtpError if cut short."""
    return feedback_target(packet), _lost(packet.body)


def _lost(body: bytes) -> Iterator[int]:
    for at in range(8, len(body) - 3, 4):
        first, mask = unpack_from("!HH", body, at)
        yield first
        for distance in range(1, mask.bit_length() + 1):
            if mask >> distance - 1 & 1:
                yield first + distance & 0xFFFF


def feedback_target(packet: RtcpPacket) -> int:
    """Media SSRC of a feedback message (RFC 4585 §6.1). Raises RtpError if cut short."""
    if len(packet.body) < 8:
        raise RtpError("feedback message cut short")
    return int.from_bytes(packet.body[4:8], "big")


def nack(sender: int, media: int, lost: Iterable[int]) -> bytes:
    """Generic NACK; neighbours share a bitmask of the 16 that follow (RFC 4585 §6.2.1)."""
    entries: list[list[int]] = []
    for sequence in lost:
        distance = (sequence - entries[-1][0]) & 0xFFFF if entries else 0
        if entries and 1 <= distance <= 16:
            entries[-1][1] |= 1 << (distance - 1)
        elif not entries or distance:
            entries.append([sequence, 0])
    body = b"".join(pack("!HH", first, mask) for first, mask in entries)
    return rtcp_packet(TRANSPORT_FEEDBACK, GENERIC_NACK, pack("!LL", sender, media) + body)


def picture_loss(sender: int, media: int) -> bytes:
    """Picture Loss Indication: please send a keyframe (RFC 4585 §6.3.1)."""
    return rtcp_packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, pack("!LL", sender, media))


def receiver_report(sender: int, reception: Reception | None = None) -> bytes:
    """Without a ``reception`` an empty one: it begins a compound when there is nothing to report (RFC 3550
    §6.1)."""
    blocks = [] if reception is None else [_report_block(reception)]
    return rtcp_packet(RECEIVER_REPORT, len(blocks), pack("!L", sender) + b"".join(blocks))


def _report_block(reception: Reception) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, reception.lost)) & 0xFFFFFF
    return pack(
        "!LLLLLL",
        reception.ssrc,
        reception.fraction_lost << 24 | lost,
        reception.highest_sequence & 0xFFFFFFFF,
        reception.jitter & 0xFFFFFFFF,
        reception.last_report,
        reception.delay & 0xFFFFFFFF,
    )


def sender_report(info: SenderInfo, packets: int, octets: int) -> bytes:
    """A sender report without report blocks; counters wrap at 32 bits."""
    body = pack("!LQLLL", info.ssrc, info.ntp, info.timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    return rtcp_packet(SENDER_REPORT, 0, body)


def source_description(ssrc: int, cname: str) -> bytes:
    """SDES with the one item that RFC 3550 §6.5 demands, CNAME."""
    name = cname.encode()
    chunk = pack("!LBB", ssrc, 1, len(name)) + name + b"\0"
    return rtcp_packet(SOURCE_DESCRIPTION, 1, chunk + bytes(-len(chunk) % 4))


def remb(sender: int, bitrate: int, ssrc: int) -> bytes:
    """Receiver Estimated Maximum Bitrate, in bit/s, for one stream (draft-alvestrand-rmcat-remb-03 §2.2)."""
    exponent = max(0, bitrate.bit_length() - 18)
    body = pack("!LL4sLL", sender, 0, b"REMB", 1 << 24 | exponent << 18 | bitrate >> exponent, ssrc)
    return rtcp_packet(PAYLOAD_FEEDBACK, APPLICATION_LAYER, body)


def rtcp_packet(kind: int, count: int, body: bytes) -> bytes:
    """One RTCP packet; ``count`` is the low five bits of its first byte, ``body`` whole words."""
    return pack("!BBH", VERSION | count, kind, len(body) // 4) + body
