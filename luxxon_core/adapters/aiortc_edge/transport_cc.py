"""When packets arrived, told to a sender that controls congestion itself. Pure.

draft-holmer-rmcat-transport-wide-cc-extensions-01: a sequence number of its own on every packet of a
transport, and feedback that names each with its arrival, in units of 250 µs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import pack

from luxxon_core.adapters.aiortc_edge import rtp

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
FEEDBACK = "transport-cc"
INTERVAL = 0.1
"""Seconds between feedback messages."""
MAX_STATUSES = 500
"""Packets of one message; one with all deltas large is then 1.2 kB, which a datagram carries."""
MAX_JUMP = 5000
"""A longer jump is another sender, not loss."""
TICK = 250e-6
REFERENCE = 256
"""Ticks in the 64 ms of the reference time."""
LOST, SMALL, LARGE = 0, 1, 2
"""Symbols of §3.1.1: no delta, one of 8 bits, one of 16 bits with a sign."""
RUN = 14
"""From this length on a run is shorter than a vector."""


class Arrivals:
    """Arrivals since the last feedback of one transport."""

    def __init__(self) -> None:
        self._next: int | None = None
        """Extended number of the first packet not reported yet."""
        self._arrived: dict[int, int] = {}
        """Extended number -> ticks."""
        self._messages = 0

    def record(self, sequence: int, now: float) -> None:
        """Packet ``sequence`` (16 bits) has come. Those already reported as lost stay so."""
        if self._next is None:
            self._next = sequence
        distance = sequence - self._next & 0xFFFF
        if distance >= 0x8000:
            distance -= 0x10000
        if distance > MAX_JUMP or distance < -MAX_JUMP:
            self._next, distance = sequence, 0
            self._arrived.clear()
        if distance >= 0:
            self._arrived.setdefault(self._next + distance, int(now / TICK))

    def feedback(self, sender: int, media: int) -> list[bytes]:
        """RTCP messages for all since the last call, none if nothing came."""
        if self._next is None or not self._arrived:
            return []
        end = max(self._arrived) + 1
        messages = []
        while self._next < end:
            messages.append(self._message(sender, media, self._next, min(end, self._next + MAX_STATUSES)))
        self._arrived.clear()
        return messages

    def _message(self, sender: int, media: int, base: int, end: int) -> bytes:
        """Feedback from ``base`` to ``end``, or to where a delta exceeds 16 bits."""
        first = next(
            self._arrived[number] for number in range(base, end + MAX_JUMP) if number in self._arrived
        )
        reference = first // REFERENCE
        before, symbols, deltas = reference * REFERENCE, list[int](), b""
        for number in range(base, end):
            if (at := self._arrived.get(number)) is None:
                symbols.append(LOST)
                continue
            delta = at - before
            if not -0x8000 <= delta <= 0x7FFF:
                break
            before = at
            symbols.append(SMALL if 0 <= delta <= 0xFF else LARGE)
            deltas += pack("!B" if 0 <= delta <= 0xFF else "!h", delta)
        self._next = base + len(symbols)
        head = pack("!LLHH", sender, media, base & 0xFFFF, len(symbols))
        time_and_count = (reference & 0xFFFFFF) << 8 | self._messages & 0xFF
        self._messages += 1
        body = head + pack("!L", time_and_count) + b"".join(_chunks(symbols)) + deltas
        return rtp.rtcp_packet(rtp.TRANSPORT_FEEDBACK, rtp.APPLICATION_LAYER, body + bytes(-len(body) % 4))


def _chunks(symbols: Sequence[int]) -> Iterator[bytes]:
    """Packet status chunks (§3.1.3, §3.1.4): runs, and vectors of 14 one-bit or 7 two-bit symbols."""
    at = 0
    while at < len(symbols):
        run = 1
        while at + run < len(symbols) and symbols[at + run] == symbols[at] and run < 0x1FFF:
            run += 1
        vector = symbols[at : at + 14]
        if run >= min(RUN, len(symbols) - at):
            yield pack("!H", symbols[at] << 13 | run)
            at += run
        elif LARGE not in vector:
            bits = sum(symbol << 13 - place for place, symbol in enumerate(vector))
            yield pack("!H", 0x8000 | bits)
            at += 14
        else:
            bits = sum(symbol << 12 - 2 * place for place, symbol in enumerate(vector[:7]))
            yield pack("!H", 0xC000 | bits)
            at += 7
