"""One m= section of a publisher: find loss, ask again, report (RFC 3550 §6.4 and A, RFC 4585, RFC 4588)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from luxxon_core.adapters.aiortc_edge import rtp, sdp

MAX_BURST = 200
"""A longer gap is not repaired but bridged by a keyframe."""
MAX_MISSING = 1000
"""Packets waited for at once; beyond that a keyframe is the shorter way."""
MAX_DROPOUT = 3000
"""A longer jump must be confirmed by the next packet before it counts as a restart (RFC 3550 A.1)."""
MAX_MISORDER = 1000
NACK_DELAYS = (0.05, 0.075, 0.11, 0.17, 0.25, 0.38)
"""Seconds to wait after each request for the same packet; then it is given up."""
NACK_BATCH = 64
KEYFRAME_INTERVAL = 0.5
"""Seconds between keyframe requests; those in between are joined into the next."""
FIRST_KEYFRAME_INTERVAL = 0.1
REPORT_INTERVAL = 1.0


class Sink(Protocol):
    """Takes the repaired stream. ``sequence`` is extended: it never wraps."""

    def write(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        """Whether a keyframe starts here."""
        ...

    def discontinued(self) -> None:
        """What follows does not continue what came before."""
        ...

    def lost(self, sequence: int) -> None:
        """A packet that will never come."""
        ...

    def reported(self, info: rtp.SenderInfo) -> None:
        """The publisher's clock, for synchronisation of sound and picture."""
        ...


class Inbound:
    def __init__(
        self,
        kind: str,
        codec: sdp.Codec,
        send_rtcp: Callable[[bytes], None],
        max_bitrate: int,
        *,
        reduced_size: bool = False,
    ) -> None:
        """``max_bitrate`` in bit/s is what video is asked to stay below. ``reduced_size``: the peer takes
        feedback without a report before it (RFC 5506)."""
        self.kind, self.codec = kind, codec
        self.sink: Sink | None = None
        self.keyframe_seen = False
        self._send, self._max_bitrate = send_rtcp, max_bitrate
        self._reporter = secrets.randbits(32)
        self._name = rtp.source_description(self._reporter, secrets.token_hex(8))
        self._before_feedback = b"" if reduced_size else rtp.receiver_report(self._reporter) + self._name
        self._video = kind == "video"
        self._ssrc: int | None = None
        self._top = self._base = 0
        """Highest and first extended sequence number."""
        self._suspect: int | None = None
        self._missing: dict[int, tuple[int, float]] = {}
        """Extended sequence number -> (requests so far, when to ask again)."""
        self._received = self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._last_report = (0, 0.0)
        self._reported_at = 0.0
        self._keyframe_wanted = False
        self._keyframe_asked = 0.0

    @property
    def parties(self) -> tuple[int, int]:
        """SSRC of our reports, and of the media they are about."""
        return self._reporter, self._ssrc or 0

    def send_feedback(self, feedback: bytes) -> None:
        """In a compound where the peer wants one (RFC 3550 §6.1)."""
        self._send(self._before_feedback + feedback)

    def receive(self, packet: rtp.RtpPacket, *, rtx: bool, now: float) -> bool:
        """Take one packet of the stream, or of its retransmissions. Whether it brought media to the sink."""
        if rtx:
            original = rtp.restore_from_rtx(packet)
            if original is None or self._ssrc is None:
                return False
            return self._late(self._top + _signed(original.sequence - self._top), original, now)
        if packet.ssrc != self._ssrc:
            self._restart(packet)
        delta = _signed(packet.sequence - self._top)
        if delta > MAX_DROPOUT or delta < -MAX_MISORDER:
            if packet.sequence != self._suspect:
                self._suspect = packet.sequence + 1 & 0xFFFF
                return False
            self._restart(packet)
            delta = 1
        self._received += 1
        sequence = self._top + delta
        if delta <= 0:
            return self._late(sequence, packet, now)
        if delta > 1:
            self._gap(sequence, now)
        self._top = sequence
        self._measure_jitter(packet.timestamp, now)
        return self._deliver(sequence, packet, now)

    def _restart(self, packet: rtp.RtpPacket) -> None:
        self._ssrc, self._suspect = packet.ssrc, None
        self._base, self._top = packet.sequence, packet.sequence - 1
        self._missing.clear()
        self._received = self._expected_before = self._received_before = 0
        self._transit, self._jitter, self._last_report = None, 0.0, (0, 0.0)
        if self.sink is not None:
            self.sink.discontinued()

    def _late(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        """Only what is missing is let through: a sequence number never goes out twice with other content."""
        return self._missing.pop(sequence, None) is not None and self._deliver(sequence, packet, now)

    def _deliver(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        """Headers alone are no media: who sends nothing else is not taken for live. They go on all the same,
        or their numbers would look like loss to viewers."""
        if self.sink is None or len(packet.payload) > rtp.MAX_PAYLOAD:
            return False
        self.keyframe_seen |= self.sink.write(sequence, packet, now)
        return bool(packet.payload)

    def _gap(self, sequence: int, now: float) -> None:
        gap = range(self._top + 1, sequence)
        if len(gap) >= MAX_BURST or len(self._missing) + len(gap) > MAX_MISSING:
            self._missing.clear()
            if self.sink is not None:
                self.sink.discontinued()
            self.request_keyframe(now)
            return
        self._missing.update((lost, (1, now + NACK_DELAYS[0])) for lost in gap)
        self._nack(list(gap))

    def _nack(self, sequences: list[int]) -> None:
        if self._video and self._ssrc is not None:
            for at in range(0, len(sequences), NACK_BATCH):
                batch = [sequence & 0xFFFF for sequence in sequences[at : at + NACK_BATCH]]
                self.send_feedback(rtp.nack(self._reporter, self._ssrc, batch))

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        """RFC 3550 A.8. A step beyond 10 s is another clock, not jitter."""
        transit = now * self.codec.clock_rate - timestamp
        if self._transit is not None and abs(transit - self._transit) < 10 * self.codec.clock_rate:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def sender_report(self, info: rtp.SenderInfo, now: float) -> None:
        if info.ssrc == self._ssrc:
            self._last_report = (info.ntp >> 16 & 0xFFFFFFFF, now)
            if self.sink is not None:
                self.sink.reported(info)

    def request_keyframe(self, now: float) -> None:
        """Ask for a keyframe now or as soon as the last request is old enough; never forgotten."""
        self._keyframe_wanted = self._video
        self._ask_keyframe(now)

    def _ask_keyframe(self, now: float) -> None:
        interval = KEYFRAME_INTERVAL if self.keyframe_seen else FIRST_KEYFRAME_INTERVAL
        if self._keyframe_wanted and self._ssrc is not None and now - self._keyframe_asked >= interval:
            self._keyframe_wanted, self._keyframe_asked = False, now
            self.send_feedback(rtp.picture_loss(self._reporter, self._ssrc))

    def tick(self, now: float) -> None:
        """To be called every 50 ms: requests that are due, and the reports of each second."""
        if self._ssrc is None:
            return
        self._ask_keyframe(now)
        self._ask_again(now)
        if now - self._reported_at >= REPORT_INTERVAL:
            self._reported_at = now
            compound = rtp.receiver_report(self._reporter, self._reception(now)) + self._name
            if "goog-remb" in self.codec.feedback:
                compound += rtp.remb(self._reporter, self._max_bitrate, self._ssrc)
            self._send(compound)

    def _ask_again(self, now: float) -> None:
        due = [lost for lost, (_, at) in self._missing.items() if at <= now]
        again = []
        for lost in due:
            requests = self._missing[lost][0]
            if requests < len(NACK_DELAYS):
                self._missing[lost] = requests + 1, now + NACK_DELAYS[requests]
                again.append(lost)
                continue
            del self._missing[lost]
            if self.sink is not None:
                self.sink.lost(lost)
        if len(again) < len(due):
            self.request_keyframe(now)
        self._nack(again)

    def _reception(self, now: float) -> rtp.Reception:
        expected = self._top - self._base + 1
        since, got = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        report, at = self._last_report
        return rtp.Reception(
            ssrc=self._ssrc or 0,
            fraction_lost=min(255, max(0, since - got) * 256 // since) if since > 0 else 0,
            lost=expected - self._received,
            highest_sequence=self._top,
            jitter=int(self._jitter),
            last_report=report,
            delay=int((now - at) * 65536) if report else 0,
        )


def _signed(difference: int) -> int:
    """The shortest way round the circle of 16-bit sequence numbers."""
    difference &= 0xFFFF
    return difference - 0x10000 if difference & 0x8000 else difference
