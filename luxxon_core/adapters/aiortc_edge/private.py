"""Every name that aiortc and pylibsrtp keep to themselves and that this adapter relies on.

Used, because neither package offers another way in: the DTLS handshake without an RTCPeerConnection, the
order of SRTP profiles, RSA cipher suites, and libsrtp's C functions, which encrypt in place without a copy.
``check`` verifies at start-up that each name exists; nothing outside this module touches one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, Protocol

import structlog
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from OpenSSL import SSL
from pylibsrtp import Session, _binding

from luxxon_core.kernel.errors import StartError

CHECKED = {"aiortc": "1.16.0", "pylibsrtp": "1.0.0"}
"""The versions against which the names below were checked."""

CIPHERS = b":".join(
    b"ECDHE-" + key + b"-" + cipher
    for key in (b"ECDSA", b"RSA")
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES128-SHA", b"AES256-SHA")
)
"""aiortc's list, and the same for RSA, because GStreamer's webrtcbin brings an RSA certificate."""

# AES-GCM costs half of what AES with SHA-1 does; the DTLS server's order decides.
PROFILES = [p for p in SRTP_PROFILES if p is SRTP_AEAD_AES_128_GCM] + [
    p for p in SRTP_PROFILES if p is not SRTP_AEAD_AES_128_GCM
]

srtp_ffi: Any = _binding.ffi
"""cffi instance whose pointers the four functions take: (context, ``void *`` packet, ``int *`` length)."""
protect: Callable[[Any, Any, Any], int] = _binding.lib.srtp_protect
unprotect: Callable[[Any, Any, Any], int] = _binding.lib.srtp_unprotect
protect_rtcp: Callable[[Any, Any, Any], int] = _binding.lib.srtp_protect_rtcp
unprotect_rtcp: Callable[[Any, Any, Any], int] = _binding.lib.srtp_unprotect_rtcp

MAX_TRAILER = 64
"""Room behind a packet for what libsrtp adds to it: index, tag, key identifier."""

log = structlog.get_logger(__name__)


class DatagramPipe(Protocol):
    """What DTLS needs of the network."""

    async def receive(self) -> bytes:
        """The next DTLS datagram."""
        ...

    def send(self, datagram: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The two SRTP contexts of a connected peer."""

    receive: Any
    send: Any
    tag: int
    """Bytes that protection adds to an RTP packet."""
    sessions: tuple[Session, Session] = field(repr=False)
    """Owners of the C contexts: they must outlive the pointers above."""


def unprotect_copy(keys: SrtpKeys, data: bytes, *, rtcp: bool) -> bytes | None:
    """Decrypt a copy of one datagram; None when it is not authentic."""
    cell, length = srtp_ffi.new("char[]", data), srtp_ffi.new("int *", len(data))
    if (unprotect_rtcp if rtcp else unprotect)(keys.receive, cell, length):
        return None
    return bytes(srtp_ffi.buffer(cell, length[0]))


def protect_rtcp_copy(keys: SrtpKeys, packet: bytes) -> bytes:
    """Encrypt a copy of one RTCP packet."""
    cell, length = srtp_ffi.new("char[]", packet + bytes(MAX_TRAILER)), srtp_ffi.new("int *", len(packet))
    if protect_rtcp(keys.send, cell, length):
        raise ConnectionError("SRTCP refuses to protect a packet")
    return bytes(srtp_ffi.buffer(cell, length[0]))


class Certificate:
    """Our DTLS identity: one self-signed certificate for all peers."""

    def __init__(self) -> None:
        self._certificate = _Certificate.generateCertificate()
        self.fingerprints: tuple[tuple[str, str], ...] = tuple(
            (print_.algorithm, print_.value)
            for print_ in self._certificate.getFingerprints()
            if print_.algorithm == "sha-256"
        )


class DtlsConnection:
    """DTLS-SRTP (RFC 5764) with one peer over a datagram pipe."""

    def __init__(
        self, pipe: DatagramPipe, certificate: Certificate, role: Literal["client", "server"]
    ) -> None:
        self._ice = _Ice(pipe)
        self._transport = RTCDtlsTransport(self._ice, [certificate._certificate])  # type: ignore[arg-type]
        self._transport._srtp_profiles = PROFILES
        self._transport._set_role(role)
        self._closed = asyncio.Event()
        self._transport.on("statechange", self._state_changed)

    def _state_changed(self) -> None:
        if self._transport.state in ("closed", "failed"):
            self._closed.set()

    async def handshake(self, fingerprints: Sequence[tuple[str, str]]) -> SrtpKeys:
        """Complete the handshake and verify the peer's certificate against its SDP ``fingerprints``.

        Raises:
            ConnectionError: refused, broken off, or the certificate is not the one announced.
        """
        remote = RTCDtlsParameters([RTCDtlsFingerprint(a, v) for a, v in fingerprints])
        try:
            await self._transport.start(remote)
        except SSL.Error as error:
            raise ConnectionError("DTLS gave up") from error
        receive, send, ssl = self._transport._rx_srtp, self._transport._tx_srtp, self._transport._ssl
        if self._transport.state != "connected" or ssl is None:
            raise ConnectionError("DTLS handshake failed")
        tag = 16 if b"GCM" in ssl.get_selected_srtp_profile() else 10
        return SrtpKeys(receive._srtp[0], send._srtp[0], tag, (receive, send))

    async def wait_closed(self) -> None:
        """Return when the peer has said goodbye."""
        await self._closed.wait()

    async def stop(self) -> None:
        """Say goodbye and leave no task behind."""
        reader = self._transport._task
        await self._transport.stop()
        if reader is not None:
            await asyncio.wait((reader,))
            if not reader.cancelled() and (error := reader.exception()) is not None:
                log.debug("edge.dtls_ended", reason=str(error) or type(error).__name__)
        self.release()

    def release(self) -> None:
        """Let go of the pipe and of ourselves: OpenSSL's memory then goes at once, not with garbage."""
        self._ice.pipe = _NoPipe()
        self._transport.remove_all_listeners()


class _Ice:
    """The two methods that RTCDtlsTransport calls on its ICE transport."""

    role = "controlled"

    def __init__(self, pipe: DatagramPipe) -> None:
        self.pipe = pipe

    async def _recv(self) -> bytes:
        return await self.pipe.receive()

    async def _send(self, data: bytes) -> None:
        self.pipe.send(data)


class _Certificate(RTCCertificate):
    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


def check() -> None:
    """Verify that every private name exists. Warns when the versions are others than those checked.

    Raises:
        StartError: a name is missing; the message says which.
    """
    transport = RTCDtlsTransport(_Ice(_NoPipe()), [_Certificate.generateCertificate()])  # type: ignore[arg-type]
    wanted: dict[str, tuple[object, tuple[str, ...]]] = {
        "RTCDtlsTransport": (
            transport,
            ("_srtp_profiles", "_set_role", "_rx_srtp", "_tx_srtp", "_ssl", "_task"),
        ),
        "RTCCertificate": (RTCCertificate, ("_create_ssl_context",)),
        "pylibsrtp.Session": (Session(), ("_srtp",)),
        "pylibsrtp._binding": (_binding, ("ffi", "lib")),
    }
    missing = [f"{o}.{n}" for o, (owner, names) in wanted.items() for n in names if not hasattr(owner, n)]
    if missing:
        raise StartError("media:edge", f"The embedded media edge cannot run: {', '.join(missing)} is missing")
    for package, checked in CHECKED.items():
        if version(package) != checked:
            log.warning(
                "edge.unchecked_version", package=package, installed=version(package), checked=checked
            )


class _NoPipe:
    async def receive(self) -> bytes:
        raise ConnectionError

    def send(self, datagram: bytes) -> None:
        raise ConnectionError
