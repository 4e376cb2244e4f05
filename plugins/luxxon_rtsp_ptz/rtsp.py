"""An RTSP/1.0 client (RFC 2326): one connection to one camera, RTP interleaved with it or over UDP."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from luxxon_core.rtp.receiver import Receiver, RtpPacket
from luxxon_core.source import SourceAuthError, SourceConfigError, SourceError, SourceNotReady
from luxxon_rtsp_ptz import sdp
from luxxon_rtsp_ptz.config import StreamUrl
from luxxon_rtsp_ptz.credentials import Authorization, Challenge, Credentials, parse_challenge
from luxxon_rtsp_ptz.rtsp_wire import Response, WireProtocol

CONNECT_SECONDS, ANSWER_SECONDS, TEARDOWN_SECONDS = 3.0, 5.0, 0.5
REPORT_SECONDS = 5.0
SESSION_SECONDS = 60
"""A session's life without a sign from the client, where the camera does not say (RFC 2326 §12.37)."""
RECEIVE_BUFFER = 1 << 20
"""A key frame comes in one burst."""

OnPacket = Callable[[sdp.Track, RtpPacket], None]


class TransportRefused(SourceNotReady):
    """461 Unsupported Transport."""

    code, default_message = "RTSP_TRANSPORT", "The camera does not offer this transport"


@dataclass(slots=True)
class _Channel:
    track: sdp.Track
    receiver: Receiver
    send_report: Callable[[bytes], None]
    close: Callable[[], None] = lambda: None


@dataclass
class RtspClient:
    """``connect``, ``describe``, ``setup`` each track, ``play``; packets come until ``closed`` is set."""

    url: StreamUrl
    credentials: Credentials
    udp: bool
    tls: ssl.SSLContext | None
    on_packet: OnPacket
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    server: str = ""
    """The Server header: often the camera's make."""
    _wire: WireProtocol | None = None
    _authorization: Authorization | None = None
    _sequence: int = 0
    _session: str | None = None
    _session_seconds: float = SESSION_SECONDS
    _control: str = ""
    _methods: frozenset[str] = frozenset()
    _channels: list[_Channel] = field(default_factory=list)
    _interleaved: dict[int, _Channel] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ssrc: int = field(default_factory=lambda: secrets.randbits(32))

    async def connect(self) -> None:
        """Raises SourceNotReady: unreachable. SourceConfigError: the certificate is not trusted."""
        loop = asyncio.get_running_loop()
        where = f"{self.url.host}:{self.url.port}"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, self._wire = await loop.create_connection(
                    lambda: WireProtocol(self._arrived, self._lost),
                    self.url.host,
                    self.url.port,
                    ssl=self.tls,
                    server_hostname=self.url.host if self.tls else None,
                )
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or "not trusted"
            raise SourceConfigError("rtsp:certificate", f"{where}: the certificate: {reason}") from None
        except TimeoutError:
            raise SourceNotReady("rtsp:timeout", f"{where} does not answer") from None
        except OSError as error:  # TLS errors are among them
            # asyncio's own text repeats the address; name resolution and TLS have no errno to speak of.
            number = error.errno or 0
            reason = os.strerror(number).lower() if number > 1 else error.strerror or "unreachable"
            raise SourceNotReady("rtsp:unreachable", f"{where}: {reason}") from None

    async def describe(self) -> sdp.Description:
        """Raises SourceAuthError, SourceConfigError (no such stream), SourceNotReady."""
        options = await self._request("OPTIONS", str(self.url))
        self._methods = frozenset(one.strip().upper() for one in options.header("public").split(","))
        response = await self._request("DESCRIBE", str(self.url), {"Accept": "application/sdp"})
        self.server = response.header("server")
        _check(response, "DESCRIBE")
        base = response.header("content-base") or response.header("content-location") or str(self.url)
        description = sdp.parse(response.body.decode("utf-8", "replace"), base)
        self._control = description.control
        return description

    async def setup(self, track: sdp.Track) -> None:
        """Raises TransportRefused, and as :meth:`describe`."""
        receiver = Receiver(track.payload_type, track.clock_rate, reorder=self.udp)
        await (self._setup_udp if self.udp else self._setup_interleaved)(track, receiver)

    async def play(self) -> None:
        response = await self._request("PLAY", self._control, {"Range": "npt=0.000-"})
        if response.status == 457:
            response = await self._request("PLAY", self._control)
        _check(response, "PLAY")
        self._tasks = [
            asyncio.create_task(self._keep_alive(), name="rtsp-keep-alive"),
            asyncio.create_task(self._report(), name="rtsp-reports"),
        ]

    def lost(self) -> tuple[int, int]:
        """RTP packets of video that were lost, and that were received."""
        video = [one.receiver for one in self._channels if one.track.kind == "video"]
        return sum(one.lost for one in video), sum(one.received for one in video)

    async def close(self) -> None:
        """Tell the camera, then drop everything. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._session and self._wire and not self.closed.is_set():
            with suppress(SourceError, TimeoutError):
                async with asyncio.timeout(TEARDOWN_SECONDS):
                    await self._request("TEARDOWN", self._control)
        self._session = None
        for channel in self._channels:
            channel.close()
        if self._wire:
            self._wire.abort()

    # -- setting up --------------------------------------------------------------------------------------

    async def _setup_interleaved(self, track: sdp.Track, receiver: Receiver) -> None:
        number = 2 * len(self._channels)
        wanted = f"RTP/AVP/TCP;unicast;interleaved={number}-{number + 1}"
        answer = await self._setup(track, wanted)
        given = sdp.number_in(answer.get("interleaved", "").partition("-")[0], 255)
        number = given if given < 255 else number
        wire = self._wire
        assert wire is not None
        channel = _Channel(track, receiver, lambda report: wire.send_interleaved(number + 1, report))
        self._channels.append(channel)
        self._interleaved[number] = self._interleaved[number + 1] = channel
        wire.channels.update((number, number + 1))

    async def _setup_udp(self, track: sdp.Track, receiver: Receiver) -> None:
        wire = self._wire
        assert wire is not None
        peer = wire.peer_address
        allowed = {peer}
        channel = _Channel(track, receiver, lambda report: None)

        def media_arrived(data: bytes, address: str) -> None:
            if address in allowed:
                self._rtp(channel, data)

        def control_arrived(data: bytes, address: str) -> None:
            if address in allowed:
                self._rtcp(channel, data)

        def close() -> None:
            media.close()
            control.close()

        media, control = await _port_pair(peer, media_arrived, control_arrived)
        channel.close = close
        self._channels.append(channel)
        port = media.get_extra_info("sockname")[1]
        answer = await self._setup(track, f"RTP/AVP;unicast;client_port={port}-{port + 1}")
        if source := answer.get("source"):
            allowed.add(source)
        first, _, second = answer.get("server_port", "").partition("-")
        if 0 < (port_of_media := sdp.number_in(first, 0)) < 65535:
            ports = port_of_media, min(sdp.number_in(second, port_of_media + 1), 65535)
            channel.send_report = lambda report: control.sendto(report, (peer, ports[1]))
            # Opens the way through a NAT or a firewall between us and the camera.
            media.sendto(b"\x80" + bytes(11), (peer, ports[0]))
            control.sendto(b"\x80\xc9\0\1" + self._ssrc.to_bytes(4, "big"), (peer, ports[1]))

    async def _setup(self, track: sdp.Track, transport: str) -> Mapping[str, str]:
        response = await self._request("SETUP", track.control, {"Transport": transport})
        _check(response, "SETUP")
        session, *parameters = response.header("session").split(";")
        self._session = session.strip() or self._session
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            if name.lower() == "timeout" and (seconds := sdp.number_in(value, 0)):
                self._session_seconds = max(4.0, float(seconds))
        pairs = (part.partition("=") for part in response.header("transport").split(";"))
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    # -- requests ----------------------------------------------------------------------------------------

    async def _request(self, method: str, uri: str, headers: Mapping[str, str] | None = None) -> Response:
        """One request, authenticated where the camera asks for it."""
        for last in (False, True):
            answered = self._authorization is not None
            response = await self._exchange(method, uri, headers or {})
            if response.status != 401:
                return response
            challenges = response.headers.get("www-authenticate", [])
            if (answered and not _stale(challenges)) or last:
                raise SourceAuthError("rtsp:refused", f"{self.url.host} refused the user name and password")
            if not (self.credentials.username or self.credentials.password):
                raise SourceAuthError("rtsp:needed", f"{self.url.host} asks for a user name and password")
            self._authorization = Authorization.choose(challenges, self.credentials)
            if self._authorization is None:
                raise SourceAuthError("rtsp:scheme", f"{self.url.host} asks for an unknown authentication")
            # Some cameras close the connection with the refusal; no session is lost by that yet.
            if self._session is None and self._wire and self._wire.ended:
                self.closed.clear()
                await self.connect()
        raise AssertionError("the last attempt returns or raises")

    async def _exchange(self, method: str, uri: str, headers: Mapping[str, str]) -> Response:
        if self._wire is None or self._wire.ended:
            raise SourceNotReady("rtsp:closed", f"{self.url.host} closed the connection")
        sequence = self._send(method, uri, headers)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._wire.answer(sequence)
        except TimeoutError:
            raise SourceNotReady("rtsp:silent", f"{self.url.host} does not answer {method}") from None
        except ConnectionError:
            raise SourceNotReady("rtsp:closed", f"{self.url.host} closed the connection") from None

    def _send(self, method: str, uri: str, headers: Mapping[str, str]) -> int:
        assert self._wire is not None
        self._sequence += 1
        fields = {"CSeq": str(self._sequence), "User-Agent": "Luxxon", **headers}
        if self._session:
            fields["Session"] = self._session
        if self._authorization:
            fields["Authorization"] = self._authorization.header(method, uri)
        self._wire.send_request(method, uri, fields)
        return self._sequence

    async def _keep_alive(self) -> None:
        method = "GET_PARAMETER" if "GET_PARAMETER" in self._methods else "OPTIONS"
        while not self.closed.is_set():
            await asyncio.sleep(min(25.0, self._session_seconds / 2))
            # Some cameras never answer these; that media come is what counts.
            with suppress(SourceNotReady):
                await self._request(method, self._control)

    async def _report(self) -> None:
        while not self.closed.is_set():
            await asyncio.sleep(REPORT_SECONDS)
            for channel in self._channels:
                if report := channel.receiver.report(self._ssrc, time.monotonic()):
                    channel.send_report(report)

    # -- media -------------------------------------------------------------------------------------------

    def _arrived(self, number: int, data: bytes) -> None:
        if channel := self._interleaved.get(number):
            (self._rtcp if number % 2 else self._rtp)(channel, data)

    def _rtp(self, channel: _Channel, data: bytes) -> None:
        for packet in channel.receiver.put(data, time.monotonic()):
            self.on_packet(channel.track, packet)

    def _rtcp(self, channel: _Channel, data: bytes) -> None:
        channel.receiver.sender_report(data, time.monotonic())

    def _lost(self) -> None:
        self.closed.set()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, str], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._received(data, address[0])


async def _port_pair(
    peer: str, media: Callable[[bytes, str], None], control: Callable[[bytes, str], None]
) -> tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]:
    """An even port and the odd one above it (RFC 3550 §11)."""
    family, any_address = (socket.AF_INET6, "::") if ":" in peer else (socket.AF_INET, "0.0.0.0")  # noqa: S104
    loop = asyncio.get_running_loop()
    for _ in range(50):
        first = socket.socket(family, socket.SOCK_DGRAM)
        second = socket.socket(family, socket.SOCK_DGRAM)
        try:
            first.bind((any_address, 0))
            port = first.getsockname()[1]
            if port % 2:
                raise OSError("odd")
            second.bind((any_address, port + 1))
        except OSError:
            first.close()
            second.close()
            continue
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        transports = [
            (await loop.create_datagram_endpoint(lambda one=received: _Datagrams(one), sock=sock))[0]  # type: ignore[misc]
            for sock, received in ((first, media), (second, control))
        ]
        return transports[0], transports[1]
    raise SourceNotReady("rtsp:ports", "no pair of UDP ports is free")


def _stale(challenges: Sequence[str]) -> bool:
    parsed: list[Challenge] = [parse_challenge(one) for one in challenges]
    return any(one.stale for one in parsed)


def _check(response: Response, method: str) -> None:
    status, reason = response.status, f"{response.status} {response.reason}".strip()
    if 200 <= status < 300:
        return
    if status == 403:
        raise SourceAuthError("rtsp:forbidden", f"the camera does not let this user in ({reason})")
    if status == 461:
        raise TransportRefused()
    if status == 404:
        raise SourceConfigError("rtsp:notFound", "the camera has no such stream (404)")
    if 300 <= status < 400:
        raise SourceConfigError("rtsp:moved", f"the camera is now at {response.header('location')[:200]}")
    raise SourceNotReady("rtsp:refused", f"the camera refuses {method}: {reason[:100]}")
