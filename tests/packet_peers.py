"""WHIP and WHEP clients without a media stack: ICE, DTLS and SRTP by the book, RTP as plain bytes.

They are small enough that one process holds hundreds, and let a test decide about every packet.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from struct import pack

import aiohttp
from aioice import stun

from luxxon_core.adapters.aiortc_edge import private, rtp

H264 = "H264/90000"
VP8 = "VP8/90000"
SDP = {"Content-Type": "application/sdp"}
RECEIVE_BUFFER = 1 << 20
CHECKS_EVERY = 5.0


class PacketPeer:
    """One client on a socket of its own. ``heard`` gets each decrypted packet and whether it is RTCP."""

    def __init__(
        self,
        certificate: private.Certificate | None = None,
        *,
        codec: str = H264,
        payload_type: int = 102,
        rtx: int | None = 103,
        feedback: Sequence[str] = ("nack", "nack pli", "goog-remb"),
        extensions: Sequence[str] = (),
        heard: Callable[[bytes, bool], None] | None = None,
        setup: str = "actpass",
    ) -> None:
        self.certificate = certificate or private.Certificate()
        self.codec, self.payload_type, self.rtx = codec, payload_type, rtx
        self.feedback, self.extensions, self.heard = tuple(feedback), tuple(extensions), heard
        self.setup = setup
        self.gone = asyncio.Event()
        """The edge has said goodbye."""
        self.answer = self.session_url = ""
        self.keys: private.SrtpKeys | None = None
        self.address: tuple[str, int] = ("", 0)
        """Where the edge is."""
        self.mapped: tuple[str, int] | None = None
        """Where the edge saw the last check coming from."""
        self.sock: socket.socket | None = None
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(16)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._early: list[bytes] = []
        self._dtls: private.DtlsConnection | None = None
        self._checks: asyncio.Task[None] | None = None
        self._goodbye: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    # Signalling.

    def offer(self, direction: str) -> str:
        pt, lines = self.payload_type, []
        formats = f"{pt} {self.rtx}" if self.rtx is not None else f"{pt}"
        for algorithm, value in self.certificate.fingerprints:
            lines.append(f"a=fingerprint:{algorithm} {value}")
        lines.append(f"a=rtpmap:{pt} {self.codec}")
        if self.codec == H264:
            lines.append(
                f"a=fmtp:{pt} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
            )
        lines += [f"a=rtcp-fb:{pt} {kind}" for kind in self.feedback]
        lines += [f"a=extmap:{extension}" for extension in self.extensions]
        if self.rtx is not None:
            lines += [f"a=rtpmap:{self.rtx} rtx/90000", f"a=fmtp:{self.rtx} apt={pt}"]
        head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0"]
        head += [f"m=video 9 UDP/TLS/RTP/SAVPF {formats}", "c=IN IP4 0.0.0.0", "a=mid:0", f"a={direction}"]
        head += [
            "a=rtcp-mux",
            f"a=setup:{self.setup}",
            f"a=ice-ufrag:{self._ufrag}",
            f"a=ice-pwd:{self._password}",
        ]
        return "\r\n".join([*head, *lines, ""])

    async def connect(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        publish: bool = False,
        family: int = 0,
        timeout: float = 20,
    ) -> None:
        """POST the offer, check connectivity to a candidate (of ``family`` if given), shake hands."""
        async with http.post(
            url, data=self.offer("sendonly" if publish else "recvonly"), headers=SDP
        ) as reply:
            self.answer = await reply.text()
            if reply.status != 201:
                raise ConnectionError(f"{reply.status}: {self.answer}")
            self.session_url = reply.headers["Location"]
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", self.answer)
        wanted = [(host, int(port)) for host, port in found if _fits(host, family)]
        if not wanted:
            raise ConnectionError("no candidate of that family")
        self.address = wanted[0]
        self.open_socket()
        self._checks = self._loop.create_task(self._keep_checking())
        role = "server" if "a=setup:active" in self.answer else "client"
        self._dtls = private.DtlsConnection(self, self.certificate, role)
        prints = re.findall(r"a=fingerprint:(\S+) (\S+)", self.answer)
        async with asyncio.timeout(timeout):
            while self.mapped is None:
                await asyncio.sleep(0.005)
            self.keys = await self._dtls.handshake(prints)
        for data in self._early:
            self.received(data)
        self._goodbye = self._loop.create_task(self._wait_for_goodbye(self._dtls))

    async def _wait_for_goodbye(self, dtls: private.DtlsConnection) -> None:
        await dtls.wait_closed()
        self.gone.set()

    def open_socket(self) -> None:
        """A fresh socket, and so a fresh source address; the former one is closed."""
        if self.sock is not None:
            self.unwatch()
            self.sock.close()
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.sock.connect(self.address)
        self._loop.add_reader(self.sock.fileno(), self.read)

    def unwatch(self) -> None:
        """Leave reading to the caller."""
        assert self.sock is not None
        self._loop.remove_reader(self.sock.fileno())

    async def _keep_checking(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(CHECKS_EVERY if self.mapped is not None else 0.05)

    def check(self, *, nominate: bool = True) -> None:
        """Send one connectivity check."""
        credentials = dict(re.findall(r"a=ice-(ufrag|pwd):(\S+)", self.answer))
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        message.attributes["USERNAME"] = f"{credentials['ufrag']}:{self._ufrag}"
        message.attributes["PRIORITY"] = 1853817087
        message.attributes["ICE-CONTROLLING"] = 1
        if nominate:
            message.attributes["USE-CANDIDATE"] = None
        message.add_message_integrity(credentials["pwd"].encode())
        self.send(bytes(message))

    # The pipe of DTLS, and datagrams.

    async def receive(self) -> bytes:
        return await self._inbox.get()

    def send(self, datagram: bytes) -> None:
        """As it is. What the kernel does not take is lost, as on any network."""
        if self.sock is not None:
            with suppress(BlockingIOError, ConnectionRefusedError):
                self.sock.send(datagram)

    def read(self) -> None:
        """Take all that has come."""
        assert self.sock is not None
        while True:
            try:
                data = self.sock.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.received(data)

    def received(self, data: bytes) -> None:
        if 127 < data[0] < 192:
            if self.keys is None:
                self._early.append(data)  # it may overtake the end of the handshake
            elif self.heard is not None:
                rtcp = 192 <= data[1] <= 223
                packet = private.unprotect_copy(self.keys, data, rtcp=rtcp)
                if packet is not None:
                    self.heard(packet, rtcp)
        elif 19 < data[0] < 64:
            self._inbox.put_nowait(data)
        elif data[0] < 4:
            address = stun.parse_message(data).attributes.get("XOR-MAPPED-ADDRESS")
            if address is not None:
                self.mapped = address

    # Media.

    def protect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        if self.keys is None:
            raise ConnectionError("not connected")
        cell = private.srtp_ffi.new("char[]", len(packet) + 64)
        private.srtp_ffi.memmove(cell, packet, len(packet))
        length = private.srtp_ffi.new("int *", len(packet))
        if (private.protect_rtcp if rtcp else private.protect)(self.keys.send, cell, length):
            raise ValueError("libsrtp refuses the packet")
        return bytes(private.srtp_ffi.buffer(cell, length[0]))

    def send_rtp(self, packet: bytes) -> None:
        self.send(self.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        self.send(self.protect(packet, rtcp=True))

    async def close(self) -> None:
        tasks = [task for task in (self._checks, self._goodbye) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._checks = self._goodbye = None
        if self._dtls is not None:
            await self._dtls.stop()
        if self.sock is not None:
            self.unwatch()
            self.sock.close()
            self.sock = None


class Source:
    """Numbers what a publisher sends, and sends again what it is asked for."""

    def __init__(self, peer: PacketPeer, *, ssrc: int = 1000, sequence: int = 0, timestamp: int = 0) -> None:
        self.peer, self.ssrc, self.sequence, self.timestamp = peer, ssrc, sequence, timestamp
        self.resent = self.plis = 0
        self.reports: list[rtp.RtcpPacket] = []
        self._history: dict[int, bytes] = {}
        self._rtx_sequence = 0
        peer.heard = self.heard

    def picture(self, payloads: Sequence[bytes], *, ticks: int = 3000) -> None:
        """Send one picture."""
        for at, payload in enumerate(payloads):
            header = rtp_header(
                self.peer.payload_type,
                self.sequence,
                self.timestamp,
                self.ssrc,
                marker=at == len(payloads) - 1,
            )
            self._history[self.sequence & 0xFFFF] = header + payload
            self.peer.send_rtp(header + payload)
            self.sequence += 1
        self.timestamp += ticks

    def heard(self, packet: bytes, rtcp: bool) -> None:
        if not rtcp:
            return
        for part in rtp.parse_rtcp(packet):
            self.reports.append(part)
            if part.kind == rtp.TRANSPORT_FEEDBACK and part.subtype == rtp.GENERIC_NACK:
                for lost in rtp.parse_nack(part)[1]:
                    self._again(lost)
            elif part.kind == rtp.PAYLOAD_FEEDBACK and part.subtype == rtp.PICTURE_LOSS:
                self.plis += 1

    def _again(self, lost: int) -> None:
        packet = self._history.get(lost)
        if packet is None or self.peer.rtx is None:
            return
        self.resent += 1
        parsed = rtp.parse_rtp(packet)
        marker = 0x80 if parsed.marker else 0
        self._rtx_sequence += 1
        self.peer.send_rtp(
            rtp.rtx_packet(
                payload_type=self.peer.rtx, sequence=self._rtx_sequence & 0xFFFF, timestamp=parsed.timestamp,
                ssrc=self.ssrc + 1, original=lost, marker=marker, payload=parsed.payload,
            )
        )  # fmt: skip


def _fits(host: str, family: int) -> bool:
    return not family or ip_address(host).version == (6 if family == socket.AF_INET6 else 4)


def rtp_header(payload_type: int, sequence: int, timestamp: int, ssrc: int, *, marker: bool = False) -> bytes:
    second = payload_type | (0x80 if marker else 0)
    return pack("!BBHLL", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


def h264_payloads(unit: bytes, limit: int = 1200) -> list[bytes]:
    """One NAL unit without its start code as RTP payloads: whole, or in fragments FU-A (RFC 6184 §5.8)."""
    if len(unit) <= limit:
        return [unit]
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 31
    parts = [unit[at : at + limit - 2] for at in range(1, len(unit), limit - 2)]
    last = len(parts) - 1
    return [
        bytes((indicator, kind | (0x80 if at == 0 else 0) | (0x40 if at == last else 0))) + part
        for at, part in enumerate(parts)
    ]


def nal_units(picture: bytes) -> list[bytes]:
    """The NAL units of an access unit in Annex B form."""
    return [unit for unit in re.split(rb"\x00*\x00\x00\x01", picture) if unit]
