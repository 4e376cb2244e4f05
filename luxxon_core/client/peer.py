"""One WebRTC peer of a WHIP or WHEP endpoint: offer, answer, connection, and the DELETE at the end.

WHIP is RFC 9725, WHEP draft-ietf-wish-whep; both are one HTTP exchange. The URL is a bearer secret
(api-contract §15.2): it stays out of logs and errors. Private names of aiortc and aioice that publisher and
viewer rely on are used here and nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from urllib.parse import urlsplit

import aioice.ice
import httpx
from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)

from luxxon_core.kernel.errors import NotAuthorized, NotFound, StartError, VideoError

SDP = "application/sdp"
MAX_RETRY_AFTER = 30.0
_SDP_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InvalidStateError,
    LookupError,
    RuntimeError,  # a StopIteration that left a coroutine
    TypeError,
    ValueError,
)
"""What aiortc lets out on an answer it cannot use; its SDP parser has no error of its own."""


class EdgeBusy(VideoError):
    """The endpoint exists but takes nobody now: no publisher yet, or one too many."""

    code, default_message = "EDGE_BUSY", "The media edge asks to try again later"

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("edge:busy")
        self.retry_after = retry_after
        """Seconds that the endpoint asked for, if it named any."""


class EdgeUnreachable(VideoError):
    code, default_message = "EDGE_UNREACHABLE", "The media edge cannot be reached"


_addresses: ContextVar[tuple[str, ...]] = ContextVar("luxxon_ice_addresses", default=())


@cache
def check_private_names() -> None:
    """Make sure once per process that what this module reaches into is there, and hook address gathering.

    Raises:
        StartError: the installed aiortc or aioice is not one this was written for.
    """
    if not callable(getattr(RTCRtpSender, "_send_keyframe", None)):
        raise StartError("webrtc:aiortc", "this aiortc has no RTCRtpSender._send_keyframe; 1.16 has")
    gather = getattr(aioice.ice, "get_host_addresses", None)
    if not callable(gather):
        raise StartError("webrtc:aioice", "this aioice has no ice.get_host_addresses; 0.13 has")

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        pinned = [address for address in _addresses.get() if (use_ipv6 if ":" in address else use_ipv4)]
        # A machine with nothing but a loopback interface is one whose edge is on it, too.
        return pinned or gather(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = get_host_addresses
    # httpx writes every URL at INFO, and ours are secret; aiortc warns of every frame that cannot be decoded
    # yet because the viewer joined between two key frames.
    for name, level in (("httpx", logging.WARNING), ("aiortc.rtcrtpreceiver", logging.ERROR)):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(level)


@contextmanager
def gathering_for(url: str) -> Iterator[None]:
    """Gather ICE candidates on loopback while the endpoint is there; aioice leaves loopback out by itself."""
    token = _addresses.set(loopback_addresses(url))
    try:
        yield
    finally:
        _addresses.reset(token)


def loopback_addresses(url: str) -> tuple[str, ...]:
    """Addresses to gather on for an endpoint on this machine's loopback; empty for any other."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1", "::1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    if not address.is_loopback:
        return ()
    return ("127.0.0.1",) if address.version == 4 else ("::1",)


def on_keyframe_request(sender: RTCRtpSender, callback: Callable[[], None]) -> None:
    """Call back for every PLI and FIR (RFC 4585 §6.3.1, RFC 5104 §4.3.1) that reaches a sender.

    aiortc turns them into a key frame of its own encoder only; ours must hear of them, too.
    """
    setattr(sender, "_send_keyframe", callback)  # noqa: B010 - a method is replaced on one object


def negotiated_codec(answer: str) -> str | None:
    """Name of the first video codec of an SDP answer in lower case, or None if video was refused (port 0)."""
    if not (media := re.search(r"^m=video (\d+) \S+ (\d+)", answer, re.MULTILINE)) or media[1] == "0":
        return None
    mapped = re.search(rf"^a=rtpmap:{media[2]} ([^/\s]+)/", answer[media.start() :], re.MULTILINE)
    return mapped[1].lower() if mapped else None


class Peer:
    """A peer connection and its HTTP resource. Add media to ``connection``, then :meth:`connect`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        check_private_names()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.codec: str | None = None
        """Codec that the answer chose, after :meth:`connect`."""
        self.connected = asyncio.Event()
        self.lost = asyncio.Event()
        """Set when the connection failed or the other side closed it."""
        self._http = http
        self._resource: str | None = None
        self.connection.on("connectionstatechange", self._state_changed)

    def _state_changed(self) -> None:
        state = self.connection.connectionState
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            self.lost.set()

    async def connect(self, url: str, timeout: float = 10.0) -> None:
        """Exchange offer and answer with the endpoint and wait until media can flow.

        Raises:
            NotFound: the endpoint does not exist (any more).
            NotAuthorized: it refuses this URL.
            EdgeBusy: it asks to try again later.
            EdgeUnreachable: no HTTP answer, or no media path within ``timeout`` seconds.
            VideoError: any other refusal, or an answer that cannot be used.
        """
        try:
            async with asyncio.timeout(timeout):
                with gathering_for(url):
                    await self.connection.setLocalDescription(await self.connection.createOffer())
                answer = await self._post(url, self.connection.localDescription.sdp)
                await self._accept(answer)
                await self._until_connected()
        except TimeoutError:
            raise EdgeUnreachable("edge:timeout", f"no connection within {timeout:g} s") from None

    async def _post(self, url: str, offer: str) -> str:
        try:
            # 307 and 308 keep method and body (RFC 9725 §4.5).
            response = await self._http.post(
                url, content=offer, headers={"Content-Type": SDP, "Accept": SDP}, follow_redirects=True
            )
        except (httpx.TransportError, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise EdgeUnreachable("edge:unreachable", _reason(error)) from None
        _raise_for_status(response)
        if location := response.headers.get("Location"):
            with suppress(httpx.InvalidURL, ValueError):  # the edge then finds out by itself that we left
                self._resource = str(response.url.join(location))
        return response.text

    async def _accept(self, answer: str) -> None:
        self.codec = negotiated_codec(answer)
        if self.codec is None:
            raise VideoError("edge:noVideo", "the media edge refused the video")
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except _SDP_ERRORS as error:
            raise VideoError("edge:answer", f"unusable SDP answer ({type(error).__name__})") from None

    async def _until_connected(self) -> None:
        waiters = [asyncio.create_task(event.wait()) for event in (self.connected, self.lost)]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        if not self.connected.is_set():
            raise EdgeUnreachable("edge:ice", "no media path to the media edge")

    async def close(self) -> None:
        """End the session: DELETE the resource (RFC 9725 §4.2), then close the connection. Idempotent."""
        resource, self._resource = self._resource, None
        if resource is not None:
            with suppress(httpx.HTTPError, httpx.InvalidURL):
                await self._http.delete(resource, timeout=2.0)
        await self.connection.close()


def http_client() -> httpx.AsyncClient:
    """A client for signalling, for who has none to share."""
    return httpx.AsyncClient(timeout=10.0, trust_env=False)


def _raise_for_status(response: httpx.Response) -> None:
    status = response.status_code
    if status in (404, 410):
        raise NotFound("edge:gone", "the media edge does not know this stream (any more)")
    if status in (401, 403):
        raise NotAuthorized("edge:refused", "the media edge refused this URL")
    if status in (409, 425, 429, 503):
        raise EdgeBusy(_retry_after(response))
    if status != 201 or not response.headers.get("Content-Type", "").startswith(SDP):
        raise VideoError("edge:status", f"the media edge answered HTTP {status} without an SDP answer")


def _retry_after(response: httpx.Response) -> float | None:
    """Retry-After in seconds (RFC 9110 §10.2.3); its date form is not worth a clock here."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else None


def _reason(error: Exception) -> str:
    # Not the message: some of httpx's contain the URL.
    return f"the media edge cannot be reached ({type(error).__name__})"
