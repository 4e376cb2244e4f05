"""Datagrams in and out, protected and unprotected: the interface, and the way that works everywhere.

``PlainSocket`` makes one system call a datagram (macOS and whatever else lacks ``sendmmsg``); ``batch`` has
the fast one. A socket of IPv6 serves IPv4 as well, under mapped addresses: the functions on addresses are the
only places that know.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import pack, unpack
from typing import Protocol

from luxxon_core.adapters.aiortc_edge import private

STRIDE = 1600
"""Bytes a slot: an Ethernet payload and what protection adds."""
MAX_PLAIN = STRIDE - private.MAX_TRAILER
"""Largest packet that a slot has room to protect: libsrtp writes behind it unasked."""
RECEIVE_ROUND = 512
"""Datagrams taken in one wake-up, so that a flood leaves the event loop room for others."""


ADDRESS_SIZES = {socket.AF_INET: 16, socket.AF_INET6: 28}
"""Bytes of a packed address, by family of the socket."""
_MAPPED = bytes(10) + b"\xff\xff"
"""Prefix of an IPv4 address on a socket of both families (RFC 4291 §2.5.5.2)."""


def pack_address(host: str, port: int, scope: int = 0) -> bytes:
    """A ``struct sockaddr_in`` or ``sockaddr_in6`` of Linux: opaque to all but this module, equal if the
    address is. ``host`` as the socket tells it: on one of both families IPv4 is mapped, ``::ffff:192.0.2.1``.
    """
    if ":" in host:
        raw = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return pack("=H", socket.AF_INET6) + pack("!HL", port, 0) + raw + pack("=L", scope)
    return pack("=H", socket.AF_INET) + pack("!H", port) + socket.inet_aton(host) + bytes(8)


def unpack_address(address: bytes) -> tuple[str, int]:
    """Host and port as the peer knows them: a mapped IPv4 address is an IPv4 address."""
    port = unpack("!H", address[2:4])[0]
    if len(address) == ADDRESS_SIZES[socket.AF_INET]:
        return socket.inet_ntoa(address[4:8]), port
    if address[8:20] == _MAPPED:
        return socket.inet_ntoa(address[20:24]), port
    return socket.inet_ntop(socket.AF_INET6, address[8:24]), port


def socket_address(address: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    """What ``sendto`` of the socket from which ``address`` came takes."""
    port = unpack("!H", address[2:4])[0]
    if len(address) == ADDRESS_SIZES[socket.AF_INET]:
        return socket.inet_ntoa(address[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, address[8:24]), port, 0, unpack("=L", address[24:28])[0]


class Route:
    """Where and how packets go to one peer; changed in place when the peer's address changes."""

    __slots__ = ("address", "keys")

    def __init__(self) -> None:
        self.address = b""
        self.keys: private.SrtpKeys | None = None


class Unprotect(Protocol):
    """Decrypt the datagram at hand, or None when it is not authentic."""

    def __call__(self, keys: private.SrtpKeys, rtcp: bool) -> bytes | None: ...


class Receiver(Protocol):
    """Takes each datagram as it comes; ``data`` is valid only during the call."""

    def __call__(self, data: memoryview, address: bytes, unprotect: Unprotect) -> None: ...


@dataclass(slots=True)
class Counters:
    received: int = 0
    sent: int = 0
    dropped: int = 0
    """Not sent, because the kernel's buffer stayed full."""
    errors: int = 0
    """Refused by libsrtp or by the kernel."""


class UdpSocket(Protocol):
    counters: Counters

    @property
    def address(self) -> tuple[str, int]:
        """The bound host and port."""
        ...

    def send(self, datagram: bytes, address: bytes) -> None:
        """Queue one datagram as it is."""
        ...

    def fan(self, routes: Iterable[Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        """Queue ``packets``, 128 at most, for each route, protected with its keys."""
        ...

    def flush(self) -> None:
        """Hand what is queued to the kernel."""
        ...

    def close(self) -> None: ...


class PlainSocket:
    """One system call a datagram."""

    def __init__(self, sock: socket.socket, receiver: Receiver) -> None:
        self.counters = Counters()
        self._sock, self._receiver = sock, receiver
        self._cell = private.srtp_ffi.new("char[]", STRIDE)
        self._view = memoryview(private.srtp_ffi.buffer(self._cell)).cast("B")
        self._length = private.srtp_ffi.new("int *")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()[:2]
        return host, port

    def _readable(self) -> None:
        for _ in range(RECEIVE_ROUND):
            try:
                data, source = self._sock.recvfrom(STRIDE)
            except OSError:  # nothing left, or an ICMP error of an earlier datagram
                return
            self.counters.received += 1

            def decrypt(keys: private.SrtpKeys, rtcp: bool, data: bytes = data) -> bytes | None:
                return private.unprotect_copy(keys, data, rtcp=rtcp)

            address = pack_address(source[0], source[1], source[3] if len(source) > 2 else 0)
            self._receiver(memoryview(data), address, decrypt)

    def send(self, datagram: bytes, address: bytes) -> None:
        try:
            self._sock.sendto(datagram, socket_address(address))
        except (BlockingIOError, InterruptedError):
            self.counters.dropped += 1
        except OSError:
            self.counters.errors += 1
        else:
            self.counters.sent += 1

    def fan(self, routes: Iterable[Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        function = private.protect_rtcp if rtcp else private.protect
        for route in routes:
            if route.keys is None:
                continue
            for packet in packets:
                size = len(packet)
                if size > MAX_PLAIN:
                    self.counters.errors += 1
                    continue
                self._view[:size] = packet
                self._length[0] = size
                if function(route.keys.send, self._cell, self._length):
                    self.counters.errors += 1
                else:
                    self.send(bytes(self._view[: self._length[0]]), route.address)

    def flush(self) -> None:
        """Nothing waits: each datagram went at once."""

    def close(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
