"""RTP as it arrives (RFC 3550): headers, order, what was lost, and the report back to the camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import pack, unpack_from

REORDER_PACKETS, REORDER_SECONDS = 64, 0.1
"""How long a later packet waits for an earlier one over UDP."""
RESTART = 3000
"""A sequence number further off than this begins a new sequence (RFC 3550 §A.1, MAX_DROPOUT)."""


@dataclass(slots=True)
class RtpPacket:
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    lost: bool = False
    """Packets before this one are missing."""


def parse(data: bytes) -> RtpPacket | None:
    """None where it is no RTP packet."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp, ssrc = unpack_from("!BBHII", data)
    start = 12 + 4 * (first & 15)
    if first & 0x10:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * unpack_from("!H", data, start + 2)[0]
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if start > end:
        return None
    return RtpPacket(second & 127, bool(second & 128), sequence, timestamp, ssrc, data[start:end])


class Receiver:
    """Puts the packets of one track in order and counts those that never came."""

    def __init__(self, payload_type: int, clock_rate: int, reorder: bool) -> None:
        self.received = self.lost = 0
        self._payload_type, self._clock_rate, self._reorder = payload_type, clock_rate, reorder
        self._ssrc: int | None = None
        self._next = 0
        self._cycles = 0
        self._waiting: dict[int, tuple[float, RtpPacket]] = {}
        self._jitter, self._transit = 0.0, 0.0
        self._reported = (0, 0)
        self._sender_report = (0, 0.0)

    def put(self, data: bytes, now: float) -> Sequence[RtpPacket]:
        """What can be handed on now, in order, at ``now`` (monotonic seconds)."""
        packet = parse(data)
        if packet is None or packet.payload_type != self._payload_type:
            return ()
        self.received += 1
        self._measure(packet, now)
        ahead = packet.sequence - self._next & 0xFFFF
        if packet.ssrc != self._ssrc or RESTART <= ahead < 0x10000 - RESTART:
            # The first, or the camera's encoder has started again.
            packet.lost = self._ssrc is not None
            self._waiting.clear()
            self._ssrc, ahead = packet.ssrc, 0
        if ahead == 0:
            self._took(packet)
            return (packet, *self._consecutive()) if self._waiting else (packet,)
        if ahead >= 0x8000:
            return ()  # a duplicate, or too late
        if self._reorder:
            self._waiting[packet.sequence] = now, packet
            return tuple(self._overdue(now))
        self.lost += ahead
        packet.lost = True
        self._took(packet)
        return (packet,)

    def _took(self, packet: RtpPacket) -> None:
        self._next = packet.sequence + 1 & 0xFFFF
        self._cycles += self._next == 0

    def _consecutive(self) -> Iterator[RtpPacket]:
        while self._next in self._waiting:
            _, packet = self._waiting.pop(self._next)
            self._took(packet)
            yield packet

    def _overdue(self, now: float) -> Iterator[RtpPacket]:
        while self._waiting:
            oldest = min(arrived for arrived, _ in self._waiting.values())
            if len(self._waiting) <= REORDER_PACKETS and now - oldest < REORDER_SECONDS:
                return
            sequence = min(self._waiting, key=lambda one: one - self._next & 0xFFFF)
            _, packet = self._waiting.pop(sequence)
            self.lost += sequence - self._next & 0xFFFF
            packet.lost = True
            self._took(packet)
            yield packet
            yield from self._consecutive()

    def _measure(self, packet: RtpPacket, now: float) -> None:
        transit = now * self._clock_rate - packet.timestamp
        change = abs(transit - self._transit)
        if change < 10 * self._clock_rate:
            self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def sender_report(self, data: bytes, now: float) -> None:
        """Note a sender report, for the camera to compute its round trip from ours."""
        if len(data) >= 20 and data[0] >> 6 == 2 and data[1] == 200:
            self._sender_report = unpack_from("!I", data, 10)[0], now

    def report(self, own_ssrc: int, now: float) -> bytes | None:
        """A receiver report with an SDES CNAME (RFC 3550 §6.4.2, §6.5); None before the first packet."""
        if self._ssrc is None:
            return None
        received, lost = self.received - self._reported[0], self.lost - self._reported[1]
        self._reported = self.received, self.lost
        fraction = min(255, 256 * lost // max(1, received + lost))
        middle, at = self._sender_report
        delay = round((now - at) * 65536) & 0xFFFFFFFF if middle else 0
        highest = self._cycles << 16 & 0xFFFFFFFF | self._next - 1 & 0xFFFF
        block = pack(
            "!IIIIII",
            self._ssrc,
            fraction << 24 | min(self.lost, 0x7FFFFF),
            highest,
            round(self._jitter) & 0xFFFFFFFF,
            middle,
            delay,
        )
        name = b"\x01\x06luxxon\0\0"
        return (
            pack("!BBHI", 0x81, 201, 7, own_ssrc)
            + block
            + pack("!BBHI", 0x81, 202, 1 + (len(name) + 3) // 4, own_ssrc)
            + name.ljust((len(name) + 3) // 4 * 4, b"\0")
        )
