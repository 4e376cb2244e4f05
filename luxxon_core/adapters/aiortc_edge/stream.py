"""What the viewers of a live input get of one kind of media: history, fan-out, and one numbering for ever.

A publisher may be replaced by another: sequence numbers and timestamps go on without a seam and the SSRC
stays, so viewers notice nothing but the picture. A viewer that joins is first sent all packets since the last
keyframe and is then simply up to date: many sources (files, cameras published by packet copy) cannot make a
keyframe on request.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from struct import pack
from typing import NamedTuple

from luxxon_core.adapters.aiortc_edge import payload, rtp, sdp, udp
from luxxon_core.adapters.aiortc_edge.mux import Mux

HISTORY = 2048
"""Packets kept for retransmission and for viewers that join: at most 3 MB a stream."""
HOLD = 0.003
"""Seconds that packets of a frame wait for the rest of it, so that a viewer's share goes in one message."""
MAX_HELD = 32
KEYFRAME_PATIENCE = 3.0
"""Seconds after which a new source is forwarded although no keyframe was recognised."""
REPLAY_BATCH = 24
REPLAY_INTERVAL = 0.004
"""Pace of a replay: 6,000 packets/s, which a default receive buffer survives."""
RESEND_RATE = 1000.0
"""Packets a second that one viewer may ask for again, and as many at once."""
REPORT_RATE = 200.0
"""RTCP compounds a second that are read of one viewer, and as many at once; browsers send 20 to 60."""


class Sent(NamedTuple):
    sequence: int
    """Extended."""
    timestamp: int
    marker: int
    """0 or 0x80."""
    payload: bytes


class Tap(NamedTuple):
    """A packet as the snapshot sees it: numbered as the viewers see it, but extended."""

    sequence: int
    timestamp: int
    marker: bool
    keyframe: bool
    payload: bytes


class Allowance:
    """A bucket that holds one second's worth of what may be done."""

    def __init__(self, rate: float) -> None:
        self._rate = self._left = rate
        self._counted_at = 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed."""
        self._left = min(self._rate, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Subscription:
    """One viewer's part in one stream."""

    def __init__(self, route: udp.Route, payload_type: int, rtx: int | None) -> None:
        self.route, self.payload_type, self.rtx = route, payload_type, rtx
        self.rtx_sequence = secrets.randbits(15)
        self.replay: asyncio.TimerHandle | None = None
        self.may_resend = Allowance(RESEND_RATE).take


class Stream:
    """Implements ``inbound.Sink``."""

    def __init__(self, kind: str, codec: sdp.Codec, mux: Mux) -> None:
        self.kind, self.codec = kind, codec
        self.ssrc, self.rtx_ssrc = secrets.randbits(32), secrets.randbits(32)
        self.cname = secrets.token_hex(8)
        self.tap: Callable[[Tap, float], None] | None = None
        self.request_keyframe: Callable[[], None] = _nobody
        """Set by whoever knows the publisher."""
        self._mux, self._loop = mux, asyncio.get_running_loop()
        self._groups: dict[tuple[int, int], dict[Subscription, udp.Route]] = {}
        """(payload type, tag size) -> its viewers: each group shares header and sizes."""
        self._awaits_keyframe = kind == "video" and payload.keyframes_known(codec.kind)
        self._history: list[Sent | None] = [None] * HISTORY
        self._head = secrets.randbits(15)
        self._head_timestamp, self._head_at = 0, 0.0
        self._offset: int | None = None
        self._timestamp_offset = self._first = 0
        self._waiting_since: float | None = None
        self._frame = (-1, 0)
        """Timestamp and first sequence number of the newest frame."""
        self._gop: tuple[int, int] | None = None
        """Timestamp and first sequence number of the last keyframe, while nothing since is lost."""
        self._held: list[tuple[int, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._packets = self._octets = 0

    # From the publisher.

    def discontinued(self) -> None:
        self._fan_out()
        self._offset = self._waiting_since = self._gop = None

    def lost(self, sequence: int) -> None:
        if self._offset is not None and self._gop is not None and sequence + self._offset >= self._gop[1]:
            self._gop = None

    def write(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        keyframe = self._awaits_keyframe and payload.starts_keyframe(self.codec.kind, packet.payload)
        if self._offset is None and not self._begin(sequence, packet, keyframe, now):
            return False
        if self._offset is None or sequence < self._first:
            return False
        timestamp = packet.timestamp + self._timestamp_offset & 0xFFFFFFFF
        marker = rtp.MARKER if packet.marker else 0
        sent = Sent(sequence + self._offset, timestamp, marker, packet.payload)
        self._history[sent.sequence % HISTORY] = sent
        if sent.sequence > self._head:
            self._head, self._head_timestamp, self._head_at = sent.sequence, timestamp, now
            if timestamp != self._frame[0]:
                self._frame = timestamp, sent.sequence
        if keyframe:
            self._keyframe(sent)
        self._packets += 1
        self._octets += len(packet.payload)
        if self._groups:
            self._hold(sent)
        if self.tap is not None:
            self.tap(Tap(sent.sequence, timestamp, packet.marker, keyframe, packet.payload), now)
        return keyframe

    def _begin(self, sequence: int, packet: rtp.RtpPacket, keyframe: bool, now: float) -> bool:
        """Join a new source to what went out before; pictures wait for its first keyframe."""
        if not packet.payload:
            return False
        if self._awaits_keyframe and not keyframe:
            if self._waiting_since is None:
                self._waiting_since = now
            if now - self._waiting_since < KEYFRAME_PATIENCE:
                return False
        self._first, self._offset = sequence, self._head + 1 - sequence
        if self._head_at:
            rate = self.codec.clock_rate
            follows = self._head_timestamp + max(rate // 100, int((now - self._head_at) * rate))
            self._timestamp_offset = follows - packet.timestamp
        return True

    def _keyframe(self, sent: Sent) -> None:
        if self._gop is not None and self._gop[0] == sent.timestamp:
            self._gop = sent.timestamp, min(self._gop[1], sent.sequence)
            return
        if self._gop is not None and sent.sequence < self._gop[1]:
            return  # repaired late: a newer keyframe is here
        start = self._frame[1] if self._frame[0] == sent.timestamp else sent.sequence
        self._gop = sent.timestamp, min(start, sent.sequence)

    def reported(self, info: rtp.SenderInfo) -> None:
        """Pass the publisher's clock on, in our numbering: it keeps sound and picture in step."""
        if self._offset is None or not self._groups:
            return
        timestamp = info.timestamp + self._timestamp_offset & 0xFFFFFFFF
        report = rtp.sender_report(
            info._replace(ssrc=self.ssrc, timestamp=timestamp), self._packets, self._octets
        )
        compound = report + rtp.source_description(self.ssrc, self.cname)
        for group in self._groups.values():
            self._mux.fan(group.values(), (compound,), rtcp=True)

    # To the viewers.

    def _hold(self, sent: Sent) -> None:
        self._held.append((sent.marker, self._tail(sent)))
        if sent.marker or self.kind == "audio" or len(self._held) >= MAX_HELD:
            self._fan_out()
        elif self._timer is None:
            self._timer = self._loop.call_later(HOLD, self._fan_out)

    def _tail(self, sent: Sent) -> bytes:
        """All of the packet but its first two bytes: the same for every viewer."""
        return pack("!HLL", sent.sequence & 0xFFFF, sent.timestamp, self.ssrc) + sent.payload

    def _fan_out(self) -> None:
        """Viewer by viewer, so that its SRTP context and the kernel's route stay in the cache."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            for (payload_type, _), group in self._groups.items():
                packets = [bytes((rtp.VERSION, marker | payload_type)) + tail for marker, tail in self._held]
                self._mux.fan(group.values(), packets)
            self._held.clear()

    def subscribe(self, subscription: Subscription) -> None:
        """Serve a connected viewer, from the last keyframe on if everything since is at hand."""
        if self._gop is not None and self._head - self._gop[1] < HISTORY - 1:
            self._replay(subscription, self._gop[1])
        else:
            self._join(subscription)
        self.request_keyframe()

    def _replay(self, subscription: Subscription, at: int) -> None:
        subscription.replay = None
        end = min(at + REPLAY_BATCH, self._head + 1)
        head = bytes((rtp.VERSION,))
        packets = [
            head + bytes((sent.marker | subscription.payload_type,)) + self._tail(sent)
            for sent in map(self._recall, range(at, end))
            if sent is not None
        ]
        self._mux.fan((subscription.route,), packets)
        if end > self._head:
            self._join(subscription)
        else:
            subscription.replay = self._loop.call_later(REPLAY_INTERVAL, self._replay, subscription, end)

    def _join(self, subscription: Subscription) -> None:
        self._fan_out()  # what is held is older than this viewer
        if (keys := subscription.route.keys) is not None:
            group = self._groups.setdefault((subscription.payload_type, keys.tag), {})
            group[subscription] = subscription.route

    def unsubscribe(self, subscription: Subscription) -> None:
        if subscription.replay is not None:
            subscription.replay.cancel()
        for key, group in list(self._groups.items()):
            group.pop(subscription, None)
            if not group:
                del self._groups[key]

    def resend(self, subscription: Subscription, lost: Iterable[int], now: float) -> None:
        """Answer a viewer's NACK from the history, on its RTX stream if it has one. What is not there counts
        too, or asking for it would cost nothing but our time."""
        packets = []
        for number in lost:
            if not subscription.may_resend(now):
                break
            sent = self._recall(self._head - (self._head - number & 0xFFFF))
            if sent is None:
                continue
            if subscription.rtx is None:
                first = bytes((rtp.VERSION, sent.marker | subscription.payload_type))
                packets.append(first + self._tail(sent))
                continue
            sequence, subscription.rtx_sequence = (
                subscription.rtx_sequence,
                subscription.rtx_sequence + 1 & 0xFFFF,
            )
            packets.append(
                rtp.rtx_packet(
                    payload_type=subscription.rtx,
                    sequence=sequence,
                    timestamp=sent.timestamp,
                    ssrc=self.rtx_ssrc,
                    original=number,
                    marker=sent.marker,
                    payload=sent.payload,
                )
            )
        for at in range(0, len(packets), MAX_HELD):
            self._mux.fan((subscription.route,), packets[at : at + MAX_HELD])

    def _recall(self, sequence: int) -> Sent | None:
        sent = self._history[sequence % HISTORY]
        return sent if sent is not None and sent.sequence == sequence else None

    def close(self) -> None:
        """Cancel what is scheduled, and let go of whom it serves."""
        self._held.clear()
        self._groups.clear()
        self.tap, self.request_keyframe = None, _nobody
        if self._timer is not None:
            self._timer.cancel()


def _nobody() -> None:
    """There is nobody to ask for a keyframe."""
