"""RTP that comes in at a port, as H.264 (RFC 6184): whole pictures only. It blocks: one thread reads."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from av import Packet

from luxxon_core.rtp.depacketize import Depacketizer
from luxxon_core.rtp.nal import AccessUnit, Codec, ParameterSets
from luxxon_core.rtp.receiver import Receiver
from luxxon_core.rtp.stream import LOOKED_AT, StreamInfo, frame_rate, has_b_frames, inspect, opened
from luxxon_core.source import VIDEO_CLOCK, SourceConfigError, SourceNotReady

if TYPE_CHECKING:
    from luxxon_drone.config import VideoAddress

PAYLOAD_TYPE = 96
"""Of those that a sender may choose (RFC 3551 §6) the one that vehicles do."""
CLOCK_RATE = VIDEO_CLOCK.denominator
LOOK_SECONDS = 1.0
WAKE_SECONDS = 0.2
LARGEST_DATAGRAM = 65_536
RECEIVE_BUFFER = 1 << 20
"""A key frame comes in one burst."""


class RtpPort:
    """After a loss there is no picture before a key frame that came whole: those between would be damaged.

    Attributes:
        lost, received: packets, those in order.
    """

    def __init__(
        self,
        address: VideoAddress,
        stop: threading.Event,
        *,
        open_seconds: float,
        read_seconds: float,
        dark_seconds: float,
    ) -> None:
        """Opened until :meth:`close`; reading ends when ``stop`` is set.

        Raises:
            SourceConfigError: it is no address.
            OSError: the port is taken.
        """
        self.context = opened(Codec.H264.label)
        self._address, self._stop = address, stop
        self._open, self._silent, self._dark = open_seconds, read_seconds, dark_seconds
        self._receiver = Receiver(PAYLOAD_TYPE, CLOCK_RATE, reorder=True)
        self._depacketizer = Depacketizer(Codec.H264)
        self._sets = ParameterSets(Codec.H264)
        self._socket = _listening(address)

    @property
    def lost_share(self) -> float:
        """Of the packets that were sent, those that never came."""
        lost, received = self._receiver.lost, self._receiver.received
        return lost / max(1, lost + received)

    def look(self) -> StreamInfo:
        """What the first pictures say.

        Raises:
            SourceNotReady: none come, or none that decodes.
        """
        seen: list[AccessUnit] = []
        began = 0.0
        for unit in self._units(self._open, self._open):
            began = began or time.monotonic()
            seen.append(unit)
            if len(seen) >= LOOKED_AT or time.monotonic() - began > LOOK_SECONDS:
                break
        if not seen:
            raise SourceNotReady("drone:closed", f"{self._address}: closed while it was opened")
        rate = frame_rate([unit.timestamp for unit in seen], CLOCK_RATE)
        keyframe = self._sets.byte_stream(seen[0])
        return inspect(Codec.H264, keyframe, rate, any(map(has_b_frames, seen)))

    def packets(self) -> Iterator[Packet[Any]]:
        """Pictures as they come, in Annex B.

        Raises:
            SourceNotReady: no RTP comes, or nothing of it makes a picture.
        """
        for unit in self._units(self._silent, self._dark):
            packet: Packet[Any] = Packet(self._sets.byte_stream(unit))
            packet.pts, packet.time_base, packet.is_keyframe = unit.timestamp, VIDEO_CLOCK, unit.keyframe
            yield packet

    def close(self) -> None:
        self._socket.close()

    def _units(self, silent: float, dark: float) -> Iterator[AccessUnit]:
        """From a key frame on, with its parameter sets known."""
        heard = shown = time.monotonic()
        while not self._stop.is_set():
            try:
                data = self._socket.recv(LARGEST_DATAGRAM)
            except TimeoutError:
                if time.monotonic() - heard > silent:
                    raise SourceNotReady("drone:noVideo", f"{self._address}: no video comes") from None
                continue
            now = time.monotonic()
            for packet in self._receiver.put(data, now):
                heard = now
                for unit in self._depacketizer.push(packet):
                    self._sets.learn(unit.units)
                    if self._sets.complete:
                        shown = now
                        yield unit
            if now - shown > dark:
                raise SourceNotReady(
                    "drone:noKeyFrame", f"{self._address}: no whole key frame has come for {dark:.0f} s"
                )


def _listening(address: VideoAddress) -> socket.socket:
    try:
        host = ip_address(address.host)
    except ValueError:
        raise SourceConfigError("drone:videoAddress", f"{address.host} is not an address") from None
    made = socket.socket(socket.AF_INET if host.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        made.settimeout(WAKE_SECONDS)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if host.is_multicast:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((str(host), address.port))
        except OSError as error:
            # The address of the sender, as some write it; or a group where none can be bound to.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EINVAL):
                raise
            made.bind(("", address.port))
        if host.is_multicast:
            _join(made, host)
    except BaseException:
        made.close()
        raise
    return made


def _join(made: socket.socket, group: IPv4Address | IPv6Address) -> None:
    """By the interface that the routes name."""
    if group.version == 4:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + bytes(4))
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + bytes(4))
