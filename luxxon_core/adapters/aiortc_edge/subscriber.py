"""A WHEP client (draft-ietf-wish-whep): one session with another edge, its packets repaired by ``inbound``.

Full ICE by aioice, because the other side may be ICE-lite; DTLS and SRTP as for our own peers. The URL is a
bearer secret: it stays out of logs and errors.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

from aioice.candidate import Candidate
from aioice.ice import Connection

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp
from luxxon_core.adapters.aiortc_edge.inbound import Inbound
from luxxon_core.adapters.rest import bounded
from luxxon_core.kernel.errors import VideoError

if TYPE_CHECKING:
    from aiohttp import ClientSession

SDP = "application/sdp"
MAX_ANSWER = 64 * 1024
MAX_REDIRECTS = 3
CONNECT_TIMEOUT = 10.0
GOODBYE_TIMEOUT = 2.0
SILENCE = 10.0
"""Seconds without a packet after which a session is given up and asked for anew."""
TICK = 0.05
MAX_BITRATE = 20_000_000
"""bit/s; the picture is the viewers', who ask for less where they must."""
CODECS = (
    (96, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (98, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (100, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"),
    (104, "VP8/90000", ""),
    (106, "VP9/90000", "profile-id=0"),
    (108, "AV1/90000", ""),
)
"""Payload type, encoding and parameters; each has its retransmissions at the next payload type."""
GIVEN = re.compile(r"^a=(ice-ufrag|ice-pwd|candidate):(.+?)\s*$", re.MULTILINE)


class NothingToWatch(Exception):
    """Nobody publishes yet, or the edge takes no viewer now; the argument is the HTTP status."""


class Receiver(Protocol):
    """Takes what a session brings: a ``channel.Channel``."""

    def feed(self, source: Subscriber) -> None: ...
    def fed(self, source: Subscriber, now: float) -> None: ...
    def tend(self, source: Subscriber, now: float) -> None: ...
    def unfed(self, source: Subscriber) -> None: ...


class Subscriber:
    """One session: ``run`` until it ends, by itself or by cancellation. Not to be used twice."""

    role = "source"

    def __init__(
        self,
        http: ClientSession,
        certificate: private.Certificate,
        receiver: Receiver,
        mark: Callable[[bool], None],
    ) -> None:
        """``mark`` is told when the session is connected, and when no longer."""
        self.session = secrets.token_urlsafe(18)
        self.inbounds: dict[str, Inbound] = {}
        self._http, self._certificate, self._receiver, self._mark = http, certificate, receiver, mark
        self._by_payload_type: dict[int, tuple[Inbound, bool]] = {}
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue(256)
        self._keys: private.SrtpKeys | None = None
        self._heard = time.monotonic()
        self._closed = False

    async def run(self, url: str) -> None:
        """Returns when the other side has ended the session or fallen silent.

        Raises:
            NothingToWatch: for now.
            VideoError: refused, unreachable, or an answer that is of no use.
        """
        ice = _Agent(_hosts(url))
        location: str | None = None
        try:
            await ice.gather_candidates()
            location, answer = await self._negotiate(url, self._offer(ice))
            media = self._chosen(answer)
            await self._connect(ice, answer)
            await self._flow(ice, media)
        except (ConnectionError, OSError, TimeoutError) as error:
            raise VideoError("video:whep:unreachable", "The media edge cannot be reached") from error
        finally:
            self._mark(False)
            self._receiver.unfed(self)
            for inbound in self.inbounds.values():
                inbound.sink = None
            await asyncio.shield(self._leave(ice, location))

    def close(self) -> None:
        """Let ``run`` return."""
        self._closed = True

    # Offer and answer.

    def _offer(self, ice: Connection) -> str:
        numbers = [number for first, *_ in CODECS for number in (first, first + 1)]
        lines = [
            "v=0",
            f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            "a=msid-semantic: WMS *",
            f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, numbers))}",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtcp-rsize",
            "a=setup:actpass",
            f"a=ice-ufrag:{ice.local_username}",
            f"a=ice-pwd:{ice.local_password}",
            *(f"a=fingerprint:{name} {value}" for name, value in self._certificate.fingerprints),
        ]
        for number, encoding, parameters in CODECS:
            lines.append(f"a=rtpmap:{number} {encoding}")
            lines += [f"a=fmtp:{number} {parameters}"] if parameters else []
            lines += [f"a=rtcp-fb:{number} {feedback}" for feedback in sdp.FEEDBACK]
            lines += [f"a=rtpmap:{number + 1} rtx/90000", f"a=fmtp:{number + 1} apt={number}"]
        lines += [f"a=candidate:{candidate.to_sdp()}" for candidate in ice.local_candidates]
        return "\r\n".join([*lines, "a=end-of-candidates", ""])

    async def _negotiate(self, url: str, offer: str) -> tuple[str | None, str]:
        """The session's URL and the answer."""
        from aiohttp import ClientError

        try:
            for _ in range(MAX_REDIRECTS):
                async with self._http.post(
                    url, data=offer, headers={"Content-Type": SDP}, allow_redirects=False
                ) as response:
                    location = response.headers.get("Location")
                    if response.status in (307, 308) and location is not None:
                        url = urljoin(url, location)
                        continue
                    if response.status in (404, 409, 425, 429, 503):
                        raise NothingToWatch(response.status)
                    if response.status != 201:
                        raise VideoError(f"video:whep:{response.status}")
                    body = await bounded(response, MAX_ANSWER)
                    return location and urljoin(url, location), body.decode(errors="replace")
        except ClientError:  # whose text and causes hold the URL
            raise VideoError("video:whep:unreachable", "The media edge cannot be reached") from None
        raise VideoError("video:whep:redirects")

    def _chosen(self, answer: str) -> sdp.Media:
        """What the other side sends."""
        try:
            described = sdp.parse_offer(answer)
        except sdp.MalformedSdp as error:
            raise VideoError("video:whep:answer", "The media edge's answer is malformed") from error
        for media in described.media:
            if media.kind != "video" or media.rejected or media.direction in ("inactive", "recvonly"):
                continue
            for codec in media.codecs:
                if codec.kind in sdp.VIDEO_CODECS:
                    self._expect(media, codec)
            if self._by_payload_type:
                return media
        raise NothingToWatch(406)

    def _expect(self, media: sdp.Media, codec: sdp.Codec) -> None:
        """The answer may leave the choice open: the packets make it."""
        inbound = Inbound("video", codec, self._send_rtcp, MAX_BITRATE, reduced_size=media.rtcp_rsize)
        self._by_payload_type[codec.payload_type] = inbound, False
        if codec.rtx is not None:
            self._by_payload_type[codec.rtx] = inbound, True

    # Transport.

    async def _connect(self, ice: Connection, answer: str) -> None:
        given = [(match[1], match[2]) for match in GIVEN.finditer(answer)]
        first = dict(reversed(given))
        if "ice-ufrag" not in first or "ice-pwd" not in first:
            raise VideoError("video:whep:answer", "The media edge's answer is malformed")
        ice.remote_username, ice.remote_password = first["ice-ufrag"], first["ice-pwd"]
        ice.remote_is_lite = re.search(r"^a=ice-lite\s*$", answer, re.MULTILINE) is not None
        for text in dict.fromkeys(value for name, value in given if name == "candidate"):
            with suppress(ValueError):  # of a kind that is not known here
                await ice.add_remote_candidate(Candidate.from_sdp(text))
        await ice.add_remote_candidate(None)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await ice.connect()

    async def _flow(self, ice: Connection, media: sdp.Media) -> None:
        dtls = private.DtlsConnection(
            self, self._certificate, "server" if media.setup == "active" else "client"
        )
        reading = asyncio.create_task(self._read(ice), name="whep read")
        writing = asyncio.create_task(self._write(ice), name="whep write")
        goodbye: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._keys = await dtls.handshake([f for f in media.fingerprints if f[0] in sdp.FINGERPRINTS])
            self._mark(True)
            self._heard = time.monotonic()
            goodbye = asyncio.create_task(dtls.wait_closed(), name="whep goodbye")
            while not (self._closed or goodbye.done() or reading.done()):
                if (now := time.monotonic()) - self._heard > SILENCE:
                    break
                self._tick(now)
                await asyncio.wait((goodbye, reading), timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()  # raises what no packet should have caused
        finally:
            tasks = [task for task in (reading, goodbye) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await dtls.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._outbox.put(None)  # behind the goodbye
                    await asyncio.wait((writing,))
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _read(self, ice: Connection) -> None:
        with suppress(ConnectionError):
            while True:
                self._take(await ice.recv())

    async def _write(self, ice: Connection) -> None:
        with suppress(ConnectionError):
            while (datagram := await self._outbox.get()) is not None:
                await ice.send(datagram)

    def _take(self, datagram: bytes) -> None:
        """Tell DTLS, RTP and RTCP apart (RFC 7983, RFC 5761)."""
        if not datagram:
            return
        if 19 < datagram[0] < 64:
            if not self._inbox.full():
                self._inbox.put_nowait(datagram)
        elif 127 < datagram[0] < 192 and len(datagram) > 11 and self._keys is not None:
            rtcp = 191 < datagram[1] < 224
            packet = private.unprotect_copy(self._keys, datagram, rtcp=rtcp)
            if packet is not None:
                with suppress(rtp.RtpError):
                    (self._rtcp if rtcp else self._rtp)(packet, time.monotonic())

    def _rtp(self, packet: bytes, now: float) -> None:
        parsed = rtp.parse_rtp(packet)
        found = self._by_payload_type.get(parsed.payload_type)
        if found is None:
            return
        self._heard = now
        inbound, rtx = found
        if not rtx and self.inbounds.get("video") is not inbound:  # the first packet, or another codec
            self.inbounds["video"] = inbound
            self._receiver.feed(self)
        if inbound.receive(parsed, rtx=rtx, now=now):
            self._receiver.fed(self, now)

    def _rtcp(self, packet: bytes, now: float) -> None:
        for part in rtp.parse_rtcp(packet):
            if part.kind == rtp.SENDER_REPORT:
                info = rtp.parse_sender_info(part)
                for inbound in self.inbounds.values():
                    inbound.sender_report(info, now)

    def _tick(self, now: float) -> None:
        for inbound in self.inbounds.values():
            inbound.tick(now)
        if self.inbounds:
            self._receiver.tend(self, now)

    def _send_rtcp(self, packet: bytes) -> None:
        if self._keys is not None:
            self.send(private.protect_rtcp_copy(self._keys, packet))

    # The pipe of private.DtlsConnection.

    async def receive(self) -> bytes:
        return await self._inbox.get()

    def send(self, datagram: bytes) -> None:
        if not self._outbox.full():
            self._outbox.put_nowait(datagram)

    async def _leave(self, ice: Connection, location: str | None) -> None:
        from aiohttp import ClientError

        await ice.close()
        if location is not None:
            with suppress(ClientError, TimeoutError):  # it finds out by itself
                async with (
                    asyncio.timeout(GOODBYE_TIMEOUT),
                    self._http.delete(location, allow_redirects=False),
                ):
                    pass


class _Agent(Connection):
    """Gathers on loopback, which aioice leaves out, where the other side is there."""

    def __init__(self, hosts: list[str]) -> None:
        super().__init__(ice_controlling=True)
        self._hosts = hosts

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        return await super().get_component_candidates(
            component, self._hosts or addresses or ["127.0.0.1"], timeout
        )


def _hosts(url: str) -> list[str]:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return []
    return [str(address)] if address.is_loopback else []
