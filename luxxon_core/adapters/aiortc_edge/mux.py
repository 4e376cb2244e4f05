"""All peers on one UDP socket: who sent a datagram, and what is it (RFC 8445 §7.3, RFC 7983)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Protocol

import psutil

from luxxon_core.adapters.aiortc_edge import private, rtp, stun, udp
from luxxon_core.adapters.aiortc_edge.batch import BatchSocket, batch_supported


class Endpoint(Protocol):
    """What the mux needs of a peer."""

    route: udp.Route
    heard: float
    """Monotonic time of the last authentic datagram."""

    def nominated(self, ufrag: bytes) -> None:
        """The peer's address is known and authenticated under ``ufrag``."""
        ...

    def dtls_received(self, datagram: bytes) -> None: ...

    def early(self, datagram: bytes) -> None:
        """SRTP that came before the keys; to be handed to ``Mux.deliver`` once they are there."""
        ...

    def rtp_received(self, packet: bytes, now: float) -> None: ...

    def rtcp_received(self, packet: bytes, now: float) -> None: ...


BUFFER = 4 << 20
"""Bytes of kernel buffer asked for in each direction."""
SILENT = 3.0
"""Seconds after which a peer's new address is believed although it was not nominated."""
MAX_ADDRESSES = 16
"""Addresses remembered of one peer: candidates that it checked from."""


class Mux:
    """Demultiplexes by username fragment until an address is authenticated, then by address."""

    def __init__(self, host: str, port: int, *, batch: bool | None = None) -> None:
        """Bind; must run on the event loop. Raises OSError when the address cannot be bound."""
        self.socket: udp.UdpSocket = _open_socket(host, port, self._received, batch)
        self._by_ufrag: dict[bytes, tuple[Endpoint, bytes]] = {}
        self._by_address: dict[bytes, Endpoint] = {}
        self._addresses: dict[Endpoint, list[bytes]] = {}
        self._ufrags: dict[Endpoint, set[bytes]] = {}
        self.malformed = 0

    def register(self, ufrag: str, password: str, endpoint: Endpoint) -> None:
        """Answer binding requests for ``ufrag`` on behalf of ``endpoint``."""
        self._by_ufrag[ufrag.encode()] = endpoint, password.encode()
        self._ufrags.setdefault(endpoint, set()).add(ufrag.encode())
        self._addresses.setdefault(endpoint, [])

    def forget_ufrag(self, ufrag: str) -> None:
        if (known := self._by_ufrag.pop(ufrag.encode(), None)) is not None:
            self._ufrags[known[0]].discard(ufrag.encode())

    def unregister(self, endpoint: Endpoint) -> None:
        for ufrag in self._ufrags.pop(endpoint, ()):
            self._by_ufrag.pop(ufrag, None)
        for address in self._addresses.pop(endpoint, ()):
            if self._by_address.get(address) is endpoint:
                del self._by_address[address]

    def send(self, datagram: bytes, route: udp.Route) -> None:
        """Queue a datagram that carries its own protection (DTLS)."""
        if route.address:
            self.socket.send(datagram, route.address)

    def fan(self, routes: Iterable[udp.Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        """Queue RTP or RTCP packets, protected for each route."""
        self.socket.fan(routes, packets, rtcp=rtcp)

    def close(self) -> None:
        self.socket.close()

    def _received(self, data: memoryview, address: bytes, unprotect: udp.Unprotect) -> None:
        if not data:
            return
        first, now = data[0], time.monotonic()
        if first < 4:
            self._stun(bytes(data), address, now)
            return
        if (peer := self._by_address.get(address)) is None:
            return
        if 127 < first < 192 and len(data) > 11:
            if (keys := peer.route.keys) is None:
                peer.early(bytes(data))
            else:
                rtcp = rtp.is_rtcp(data[1])
                self._deliver(peer, unprotect(keys, rtcp), rtcp, now)
        elif 19 < first < 64:
            peer.dtls_received(bytes(data))

    def deliver(self, peer: Endpoint, datagram: bytes) -> None:
        """Take an SRTP datagram that came early."""
        if peer.route.keys is not None:
            rtcp = rtp.is_rtcp(datagram[1])
            packet = private.unprotect_copy(peer.route.keys, datagram, rtcp=rtcp)
            self._deliver(peer, packet, rtcp, time.monotonic())

    def _deliver(self, peer: Endpoint, packet: bytes | None, rtcp: bool, now: float) -> None:
        if packet is None:
            return
        peer.heard = now
        try:
            if rtcp:
                peer.rtcp_received(packet, now)
            else:
                peer.rtp_received(packet, now)
        except rtp.RtpError:
            self.malformed += 1

    def _stun(self, data: bytes, address: bytes, now: float) -> None:
        try:
            request = stun.parse_binding_request(data)
        except stun.StunError:
            self.malformed += 1
            return
        peer, password = self._by_ufrag.get(request.local_ufrag, (None, b""))
        if peer is None or not request.authentic(password):
            return
        host, port = udp.unpack_address(address)
        self.socket.send(stun.binding_success(request, password, host, port), address)
        self._remember(peer, address)
        route = peer.route
        if address != route.address and (request.nominates or not route.address or now - peer.heard > SILENT):
            route.address = address
        if address == route.address:
            peer.heard = now
            peer.nominated(request.local_ufrag)

    def _remember(self, peer: Endpoint, address: bytes) -> None:
        if self._by_address.get(address) is peer:
            return
        self._by_address[address] = peer
        known = self._addresses[peer]
        known.append(address)
        if len(known) > MAX_ADDRESSES:
            stale = next(a for a in known if a != peer.route.address)
            known.remove(stale)
            if self._by_address.get(stale) is peer:
                del self._by_address[stale]


def _open_socket(host: str, port: int, receiver: udp.Receiver, batch: bool | None) -> udp.UdpSocket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:  # one port for both families, whatever the system's default
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not ip_address(host).is_unspecified))
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    use_batch = batch_supported() if batch is None else batch
    return BatchSocket(sock, receiver) if use_batch else udp.PlainSocket(sock, receiver)


def advertised_addresses(bound: str, public: Sequence[str] = ()) -> tuple[str, ...]:
    """Addresses for our candidates, best first: ``public`` ones (1:1 NAT), then where the socket listens.

    A wildcard stands for every address of the host, ``::`` for those of both families; loopback only where
    there is nothing else. Of each list IPv4 comes first: the first of all is what an answer names outside its
    candidates.

    Raises:
        ValueError: a public address of a family that the socket does not serve.
    """
    versions = (4, 6) if bound == "::" else (ip_address(bound).version,)
    for address in public:
        if ip_address(address).version not in versions:
            raise ValueError(f"{address} cannot be reached through a socket on {bound}")
    if not ip_address(bound).is_unspecified:
        return tuple(dict.fromkeys((*_ordered(public), bound)))
    families = (socket.AF_INET, socket.AF_INET6)
    found = [
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    ]
    here = _ordered(address for address in found if ip_address(address).version in versions)
    outward = [address for address in here if not _local(address)]
    loopback = [address for address in here if ip_address(address).is_loopback]
    return tuple(dict.fromkeys((*_ordered(public), *(outward or loopback or ["127.0.0.1"]))))


def _ordered(addresses: Iterable[str]) -> list[str]:
    return sorted(addresses, key=lambda address: ip_address(address).version)


def _local(address: str) -> bool:
    return ip_address(address).is_loopback or ip_address(address).is_link_local
