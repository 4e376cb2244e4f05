"""MAVLink frames: bytes to messages and messages to bytes, MAVLink 2 signing. No I/O and no clock.

The framing is ours: after a wrong checksum the search goes on at the next byte, so that a false start never
takes a good frame with it. Checksums, payloads and packing are pymavlink's.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import deque

from pymavlink.dialects.v20 import common as mavlink

V1, V2 = 0xFE, 0xFD
_MARKERS = (V1, V2)
_SIGNED = 0x01
_SIGNATURE_LENGTH = 13
SIGNING_EPOCH = 1_420_070_400
"""2015-01-01T00:00Z: signatures count ten microseconds from there (mavlink.io, message signing)."""

WANTED = frozenset(
    {
        mavlink.MAVLINK_MSG_ID_HEARTBEAT,
        mavlink.MAVLINK_MSG_ID_GPS_RAW_INT,
        mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT,
        mavlink.MAVLINK_MSG_ID_COMMAND_ACK,
        mavlink.MAVLINK_MSG_ID_CAMERA_INFORMATION,
        mavlink.MAVLINK_MSG_ID_CAMERA_SETTINGS,
        mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION,
        mavlink.MAVLINK_MSG_ID_VIDEO_STREAM_STATUS,
        mavlink.MAVLINK_MSG_ID_GIMBAL_MANAGER_INFORMATION,
        mavlink.MAVLINK_MSG_ID_GIMBAL_MANAGER_STATUS,
    }
)
"""Messages that are decoded; every other frame is stepped over unread."""

INCOMPLETE_SECONDS = 0.5
"""A frame that has not come whole by then was none: 280 bytes take 0.3 s at 9600 baud."""


def signing_key(passphrase: str) -> bytes:
    """The 32 bytes that ground stations make of a passphrase: its SHA-256."""
    return hashlib.sha256(passphrase.encode()).digest()


class Codec:
    """One side of one link. With a ``key`` every frame out is signed and no unsigned one is taken."""

    def __init__(self, system_id: int, component_id: int, key: bytes | None = None) -> None:
        self.bad_frames = 0
        """Frames with a wrong checksum, length or flag."""
        self.bad_signatures = 0
        """Frames refused for want of a good signature."""
        self._key = key
        self._mavlink = mavlink.MAVLink(None, system_id, component_id)
        if key is not None:
            self._mavlink.signing.secret_key = key
            self._mavlink.signing.sign_outgoing = True
        self._buffer = bytearray()
        self._arrivals: deque[tuple[int, float]] = deque()
        """Length and time of the pieces that the buffer came in."""

    def encode(self, message: mavlink.MAVLink_message, unix_time: float) -> bytes:
        """Pack as MAVLink 2; the time of a signature never goes back."""
        signing = self._mavlink.signing
        signing.timestamp = max(signing.timestamp, round((unix_time - SIGNING_EPOCH) * 100_000))
        frame: bytes = message.pack(self._mavlink)
        self._mavlink.seq = (self._mavlink.seq + 1) % 256
        return frame

    def datagram(self, data: bytes) -> list[mavlink.MAVLink_message]:
        """Messages of one datagram; what is no whole frame in it is dropped with it."""
        messages: list[mavlink.MAVLink_message] = []
        position = 0
        while position < len(data):
            size, message = self._at(data, position, whole=True)
            if message is not None:
                messages.append(message)
            position += size or 1
        return messages

    def stream(self, data: bytes, now: float) -> list[mavlink.MAVLink_message]:
        """Messages of a byte stream, of which ``data`` came at ``now`` (monotonic seconds)."""
        self._buffer += data
        self._arrivals.append((len(data), now))
        messages: list[mavlink.MAVLink_message] = []
        position = 0
        while position < len(self._buffer):
            size, message = self._at(self._buffer, position, whole=False)
            if message is not None:
                messages.append(message)
            if size == 0 and now - self._arrived(position) <= INCOMPLETE_SECONDS:
                break
            position += size or 1
        self._forget(position)
        return messages

    def _arrived(self, position: int) -> float:
        """When the byte at this place of the buffer came."""
        for length, at in self._arrivals:
            position -= length
            if position < 0:
                return at
        raise AssertionError("every byte of the buffer came at some time")

    def _forget(self, count: int) -> None:
        del self._buffer[:count]
        while self._arrivals and (count := count - self._arrivals[0][0]) >= 0:
            self._arrivals.popleft()
        if self._arrivals:
            self._arrivals[0] = -count, self._arrivals[0][1]

    def reset(self) -> None:
        """Forget half a frame: the stream was opened anew."""
        self._buffer.clear()
        self._arrivals.clear()

    def _at(
        self, data: bytes | bytearray, at: int, *, whole: bool
    ) -> tuple[int, mavlink.MAVLink_message | None]:
        """Length of what stands at ``at``, with its message if it is wanted; 0 for a frame not yet whole.

        ``whole`` says that nothing comes after ``data`` that belongs to it.
        """
        left = len(data) - at
        if data[at] not in _MARKERS:
            return 1, None
        header = 10 if data[at] == V2 else 6
        size, signed = 0, False
        if left >= header:
            signed = data[at] == V2 and bool(data[at + 2] & _SIGNED)
            size = header + data[at + 1] + 2 + (_SIGNATURE_LENGTH if signed else 0)
            if data[at] == V2 and data[at + 2] & ~_SIGNED:
                self.bad_frames += 1
                return 1, None
        if left < header or left < size:
            return 0, None
        number = int.from_bytes(data[at + 7 : at + 10], "little") if header == 10 else data[at + 5]
        if number not in WANTED:
            # Its checksum is not looked at, so its length is believed only if another frame follows.
            if left == size and not whole:
                return 0, None
            return (size if left == size or data[at + size] in _MARKERS else 1), None
        return self._decoded(bytearray(data[at : at + size]), signed)

    def _decoded(self, frame: bytearray, signed: bool) -> tuple[int, mavlink.MAVLink_message | None]:
        # Checked here first: pymavlink takes the time stamp of a frame over before it looks at the signature,
        # and a forged one far in the future would shut the vehicle out.
        if self._key is not None and not (signed and _signed_with(self._key, frame)):
            self.bad_signatures += 1
            return (len(frame) if signed else 1), None
        try:
            return len(frame), self._mavlink.decode(frame)
        except (mavlink.MAVError, struct.error, ValueError, IndexError):
            self.bad_frames += 1
            return 1, None


def _signed_with(key: bytes, frame: bytearray) -> bool:
    return hmac.compare_digest(hashlib.sha256(key + frame[:-6]).digest()[:6], frame[-6:])


def text(value: bytes | str | list[int]) -> str:
    """A character field up to its first NUL; what is no UTF-8 or cannot be printed is replaced."""
    raw = value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)
    decoded = raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return "".join(character if character.isprintable() else "\ufffd" for character in decoded)
