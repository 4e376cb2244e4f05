"""Sends encoded video at less cost than aiortc: what the packets of a picture share is made once for all.

aiortc makes an object of each packet, asks the clock twice and writes each header field by field; that is a
fifth of what publishing costs. ``RTCRtpSender`` offers no way in, so its private names are used here, as far
as :func:`check_private_names` has found them.
"""

from __future__ import annotations

import asyncio
from functools import cache
from random import getrandbits
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiortc import RTCRtpSender, clock
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import HeaderExtensions

from luxxon_core.kernel.errors import StartError

if TYPE_CHECKING:
    from aiortc.rtcrtpparameters import RTCRtpCodecParameters

log = structlog.get_logger(__name__)

HISTORY = 512
"""Packets that can be sent again: half a second of 8 Mbit/s."""
FIRST_BITS = 15
"""Of the first sequence number: one that wraps before the receiver has its keys is not counted there, and all
that comes after is unreadable (RFC 3711 §3.3.1)."""
_HEADER = Struct("!BBHLL")
_PAIR = Struct("!HH")
_OWN = "_RTCRtpSender__"
"""What Python puts before the names that a class keeps to itself."""


@cache
def check_private_names() -> None:
    """Raises StartError where the installed aiortc is not one this was written for."""
    for name in ("_run_rtp", "_retransmit", "_next_encoded_frame"):
        if not callable(getattr(RTCRtpSender, name, None)):
            raise StartError("webrtc:aiortc", f"this aiortc has no RTCRtpSender.{name}; 1.16 has")


class RtpWriter:
    """Takes the place of a sender's own loop and of its way to send packets again; all else is the sender's.

    RTP is RFC 3550 §5.1, header extensions RFC 8285 §4.2, retransmission RFC 4588 §4.
    """

    def __init__(self, sender: RTCRtpSender) -> None:
        check_private_names()
        self._sender = cast("Any", sender)
        self._sent: dict[int, tuple[int, int, int, bytes, bytes]] = {}
        """By place in the history: sequence number, second octet, timestamp, extensions and payload."""
        self._again = getrandbits(FIRST_BITS)
        """Sequence number of the next packet that is sent again."""
        self._sender._run_rtp, self._sender._retransmit = self._run, self._retransmit

    def _get(self, name: str) -> Any:
        return getattr(self._sender, _OWN + name)

    def _set(self, name: str, value: object) -> None:
        setattr(self._sender, _OWN + name, value)

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """Until the track ends, the connection breaks, or the sender is stopped."""
        self._get("rtp_started").set()
        try:
            await self._send_all(codec)
        except (asyncio.CancelledError, ConnectionError, MediaStreamError):
            pass  # as in aiortc: it is told by ``rtp_exited`` alone
        except Exception as error:  # whoever stops the sender waits for ``rtp_exited``
            log.error("publish.send_failed", error=type(error).__name__, exc_info=error)
        finally:
            if (track := self._sender.track) is not None:
                track.stop()
            self._set("track", None)
            self._set("encoder", None)
            self._get("rtp_exited").set()

    async def _send_all(self, codec: RTCRtpCodecParameters) -> None:
        sender, sent, ssrc = self._sender, self._sent, self._sender._ssrc
        number, origin, kind = getrandbits(FIRST_BITS), getrandbits(32), codec.payloadType or 0
        octets = packets = 0
        while True:
            frame = await sender._next_encoded_frame(codec)
            if frame is None:
                continue
            transmit, now = sender.transport._send_rtp, clock.current_ntp_time()
            timestamp = (origin + frame.timestamp) & 0xFFFFFFFF
            first, extensions = self._extensions(now)
            last = len(frame.payloads) - 1
            for index, payload in enumerate(frame.payloads):
                second = kind | 0x80 if index == last else kind
                sent[number % HISTORY] = number, second, timestamp, extensions, payload
                header = _HEADER.pack(first, second, number, timestamp, ssrc)
                await transmit(b"".join((header, extensions, payload)))
                number = (number + 1) & 0xFFFF
                octets += len(payload)
            packets += last + 1
            self._set("ntp_timestamp", now)
            self._set("rtp_timestamp", timestamp)
            self._set("octet_count", octets)
            self._set("packet_count", packets)

    def _extensions(self, now: int) -> tuple[int, bytes]:
        """The header's first octet and what follows its fixed part, for packets that leave together."""
        values = HeaderExtensions(abs_send_time=(now >> 14) & 0xFFFFFF, mid=self._get("mid"))
        profile, value = self._get("rtp_header_extensions_map").set(values)
        return (0x90, _PAIR.pack(profile, len(value) >> 2) + value) if value else (0x80, b"")

    async def _retransmit(self, sequence_number: int) -> None:
        """Send a packet again that was reported as lost, if it is still known."""
        number, found = sequence_number, self._sent.get(sequence_number % HISTORY)
        if found is None or found[0] != number:
            return
        _, second, timestamp, extensions, payload = found
        ssrc, kind = self._sender._ssrc, self._get("rtx_payload_type")
        if kind is not None:
            payload = number.to_bytes(2, "big") + payload
            number, self._again = self._again, (self._again + 1) & 0xFFFF
            ssrc, second = self._sender._rtx_ssrc, second & 0x80 | kind
        header = _HEADER.pack(0x90 if extensions else 0x80, second, number, timestamp, ssrc)
        await self._sender.transport._send_rtp(header + extensions + payload)
