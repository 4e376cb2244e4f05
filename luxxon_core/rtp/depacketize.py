"""RTP payloads to access units: H.264 (RFC 6184), H.265 (RFC 7798), AAC (RFC 3640)."""

from __future__ import annotations

from luxxon_core.rtp.nal import AccessUnit, Codec
from luxxon_core.rtp.receiver import RtpPacket

LARGEST_PICTURE = 8 << 20
_H264_STAP_A, _H264_FU_A = 24, 28
_H265_AP, _H265_FU = 48, 49


class Depacketizer:
    """Whole pictures only: after a loss nothing is handed on until a key frame has come whole."""

    def __init__(self, codec: Codec) -> None:
        self.gaps = 0
        """How often pictures were left out because something before them was lost."""
        self._codec = codec
        self._units: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._fragment: list[bytes] | None = None
        self._whole = False
        """The picture at hand has been seen from its start, without a loss."""
        self._wait_for_keyframe = True
        self._emitted: int | None = None
        self._trust_marker = True

    @property
    def waiting(self) -> bool:
        """Nothing can be handed on before the next key frame."""
        return self._wait_for_keyframe

    def push(self, packet: RtpPacket) -> list[AccessUnit]:
        """The pictures that this packet completes: none, one, or rarely two."""
        done: list[AccessUnit] = []
        if packet.lost:
            self._gap()
        fresh = packet.timestamp != self._timestamp
        if fresh:
            done += self._finish()
            self._timestamp, self._whole = packet.timestamp, True
        units, head = self._units_of(packet)
        begins = bool(head) and self._codec.begins_picture(head)
        if packet.lost and not (fresh and begins):
            # In sequence, a new timestamp is a new picture; after a loss its head may be missing.
            self._whole = False
        if fresh and packet.timestamp == self._emitted and head and self._codec.is_coded(head) and not begins:
            # The marker came before the picture's end: this camera sets it on every slice.
            self._trust_marker = False
            self._gap()
        self._keep(units)
        if packet.marker and self._trust_marker:
            done += self._finish()
        return done

    def _gap(self) -> None:
        if not self._wait_for_keyframe:
            self.gaps += 1
        self._wait_for_keyframe = True
        self._whole = False
        self._fragment = None

    def _keep(self, units: list[bytes]) -> None:
        self._units += units
        for unit in units:
            self._size += len(unit)
        if self._size > LARGEST_PICTURE:
            self._units, self._size = [], 0
            self._gap()

    def _finish(self) -> list[AccessUnit]:
        """The picture at hand, unless it is not one or may not be shown."""
        units = self._units
        coded = [unit for unit in units if self._codec.is_coded(unit)]
        if not coded and self._timestamp is not None and units and self._whole:
            return []  # parameter sets with a marker of their own; the slices follow
        whole, timestamp = self._whole and self._fragment is None, self._timestamp
        self._units, self._size, self._fragment, self._timestamp = [], 0, None, None
        if timestamp is None or not coded:
            return []
        self._emitted = timestamp
        if not whole:
            self._gap()
            return []
        keyframe = any(map(self._codec.is_keyframe, coded))
        if self._wait_for_keyframe and not keyframe:
            return []
        self._wait_for_keyframe = False
        return [AccessUnit(self._codec, timestamp, keyframe, units)]

    def _units_of(self, packet: RtpPacket) -> tuple[list[bytes], bytes]:
        """NAL units that are whole with this packet, and the head of the one that begins in it, if any."""
        payload, h264 = packet.payload, self._codec is Codec.H264
        header = 1 if h264 else 2
        if len(payload) <= header:
            return [], b""
        kind = self._codec.kind(payload)
        if kind == (_H264_STAP_A if h264 else _H265_AP):
            units = _aggregated(payload[header:])
            return units, units[0] if units else b""
        if kind == (_H264_FU_A if h264 else _H265_FU):
            return self._fragmented(payload, header)
        if kind > (23 if h264 else 47):
            return [], b""  # interleaved mode, PACI: not negotiated
        return [payload], payload

    def _fragmented(self, payload: bytes, header: int) -> tuple[list[bytes], bytes]:
        if len(payload) < header + 2:
            return [], b""
        flags = payload[header]
        head = b""
        if flags & 0x80:
            if self._codec is Codec.H264:
                head = bytes([payload[0] & 0xE0 | flags & 0x1F])
            else:
                head = bytes([payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]])
            self._fragment = [head, payload[header + 1 :]]
            head += payload[header + 1 : header + 2]
        elif self._fragment is None:
            self._whole = False
        else:
            self._fragment.append(payload[header + 1 :])
            self._size += len(payload)
        if flags & 0x40 and self._fragment is not None:
            unit, self._fragment = b"".join(self._fragment), None
            return [unit], head
        return [], head


def _aggregated(payload: bytes) -> list[bytes]:
    units, position = [], 0
    while position + 2 <= len(payload):
        size = int.from_bytes(payload[position : position + 2], "big")
        unit = payload[position + 2 : position + 2 + size]
        if not size or len(unit) < size:
            break
        units.append(unit)
        position += 2 + size
    return units


def aac_frames(payload: bytes, size_length: int, index_length: int) -> list[bytes]:
    """Access units of an mpeg4-generic payload in AAC-hbr or AAC-lbr mode (RFC 3640 §3.3)."""
    if len(payload) < 2:
        return []
    header_bits = int.from_bytes(payload[:2], "big")
    each = size_length + index_length
    start = 2 + (header_bits + 7) // 8
    if not each or start > len(payload):
        return []
    headers = int.from_bytes(payload[2:start], "big") >> (-header_bits % 8)
    frames = []
    for number in range(header_bits // each):
        header = headers >> header_bits - (number + 1) * each & (1 << each) - 1
        size = header >> index_length
        frame = payload[start : start + size]
        if len(frame) == size and size:
            frames.append(frame)
        start += size
    return frames
