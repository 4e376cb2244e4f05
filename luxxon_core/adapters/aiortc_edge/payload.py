"""RTP payload formats: where a keyframe begins, and a frame's bytes for the decoder. Pure.

H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628), AV1 (AOM RTP payload specification 1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

START_CODE = b"\0\0\0\1"

IDR_SLICE = 5
SEQUENCE_PARAMETER_SET = 7
STAP_A = 24
FU_A = 28

MAX_LAYERS = 8
"""Frames that a VP9 superframe can hold (VP9 bitstream specification, annex B)."""
TEMPORAL_DELIMITER = b"\x12\0"
"""The OBU that begins a temporal unit of AV1; RTP leaves it out."""
LEFT_OUT = frozenset({2, 8, 15})
"""Types of OBU that no decoder needs: temporal delimiter, tile list, padding."""


class PayloadError(ValueError):
    """A payload that its format does not allow."""


def starts_keyframe(codec: str, payload: bytes) -> bool:
    """Whether a decoder can start at the frame to which this payload belongs.

    ``codec`` is the SDP encoding name in lower case. False for malformed payloads and unknown codecs; for
    H.264 true also for a parameter set, which comes first in the access unit.
    """
    test = _KEYFRAME_TESTS.get(codec)
    try:
        return test is not None and len(payload) > 1 and test(payload)
    except PayloadError:
        return False


def keyframes_known(codec: str) -> bool:
    """Whether ``starts_keyframe`` can tell for this codec."""
    return codec in _KEYFRAME_TESTS


def assemble(codec: str, payloads: Iterable[bytes]) -> bytes:
    """The bytes of the packets of one timestamp as the decoder takes them: H.264 in Annex B form, the spatial
    layers of VP9 as a superframe, AV1 in the low-overhead format.

    Raises:
        PayloadError: malformed, or a codec that is not known.
    """
    join = _JOINS.get(codec)
    if join is None:
        raise PayloadError(f"{codec} is not decoded")
    return join(payloads)


def _h264_unit_stream(payloads: Iterable[bytes]) -> bytes:
    return b"".join(part for payload in payloads for part in _h264_units(payload))


def _vp8_frame(payloads: Iterable[bytes]) -> bytes:
    return b"".join(payload[_vp8_descriptor(payload) :] for payload in payloads)


def _h264_starts_keyframe(payload: bytes) -> bool:
    kind = payload[0] & 31
    if kind == FU_A:
        return bool(payload[1] & 0x80) and payload[1] & 31 in (IDR_SLICE, SEQUENCE_PARAMETER_SET)
    if kind == STAP_A:  # may begin with an access unit delimiter or SEI: look at every unit
        return any(unit[0] & 31 in (IDR_SLICE, SEQUENCE_PARAMETER_SET) for unit in _aggregated(payload))
    return kind in (IDR_SLICE, SEQUENCE_PARAMETER_SET)


def _h264_units(payload: bytes) -> Iterator[bytes]:
    """NAL units of one payload with start codes; a fragment's continuation without. The end of a sequence or
    stream is a unit of one byte (H.264 §7.3.1)."""
    kind = payload[0] & 31 if payload else 0
    if len(payload) < 2 and kind in (STAP_A, FU_A):
        raise PayloadError("NAL unit cut short")
    if 1 <= kind <= 23:
        yield START_CODE
        yield payload
    elif kind == STAP_A:
        for unit in _aggregated(payload):
            yield START_CODE
            yield unit
    elif kind == FU_A:
        if payload[1] & 0x80:
            yield START_CODE
            yield bytes((payload[0] & 0xE0 | payload[1] & 31,))
        yield payload[2:]
    else:
        raise PayloadError(f"NAL unit type {kind} is not supported")


def _aggregated(payload: bytes) -> Iterator[bytes]:
    at = 1
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        unit = payload[at + 2 : at + 2 + size]
        if not size or len(unit) < size:
            raise PayloadError("aggregation packet cut short")
        yield unit
        at += 2 + size


def _vp8_descriptor(payload: bytes) -> int:
    """Length of the VP8 payload descriptor (RFC 7741 §4.2)."""
    size = 1
    if payload[:1] and payload[0] & 0x80:
        extension = payload[1] if len(payload) > 1 else 0
        size = 2
        if extension & 0x80:  # PictureID, 7 or 15 bits
            size += 2 if len(payload) > 2 and payload[2] & 0x80 else 1
        if extension & 0x40:  # TL0PICIDX
            size += 1
        if extension & 0x30:  # TID or KEYIDX
            size += 1
    if len(payload) <= size:
        raise PayloadError("VP8 payload cut short")
    return size


def _vp8_starts_keyframe(payload: bytes) -> bool:
    """S=1 and PID=0: start of the first partition; then P=0 in the frame tag."""
    at = _vp8_descriptor(payload)
    return bool(payload[0] & 0x10) and not payload[0] & 7 and not payload[at] & 1


class _Vp9Descriptor(NamedTuple):
    size: int
    layer: int
    """Spatial layer, 0 where there are none."""


def _vp9_descriptor(payload: bytes) -> _Vp9Descriptor:
    """The VP9 payload descriptor (RFC 9628 §4.2)."""
    try:
        flags, at, layer = payload[0], 1, 0
        if flags & 0x80:  # I: picture ID, 7 or 15 bits
            at += 2 if payload[at] & 0x80 else 1
        if flags & 0x20:  # L: layer indices, and TL0PICIDX where references are not given by picture
            layer = payload[at] >> 1 & 7
            at += 1 if flags & 0x10 else 2
        if flags & 0x50 == 0x50:  # F and P: up to three references
            at += _vp9_references(payload[at : at + 3])
        if flags & 0x02:
            at = _vp9_scalability(payload, at)
    except IndexError:
        raise PayloadError("VP9 descriptor cut short") from None
    if at > len(payload):
        raise PayloadError("VP9 descriptor cut short")
    return _Vp9Descriptor(at, layer)


def _vp9_references(octets: bytes) -> int:
    """How many there are: the last bit of each tells whether another follows."""
    for count, octet in enumerate(octets, 1):
        if not octet & 1:
            return count
    raise PayloadError("VP9 references without end")


def _vp9_scalability(payload: bytes, at: int) -> int:
    """Where the scalability structure ends that begins at ``at``."""
    flags, at = payload[at], at + 1
    if flags & 0x10:  # Y: a resolution for each spatial layer
        at += 4 * ((flags >> 5) + 1)
    if flags & 0x08:  # G: a group of pictures, each with up to three references
        pictures, at = payload[at], at + 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 3)
    return at


def _vp9_starts_keyframe(payload: bytes) -> bool:
    """P=0: not predicted from other pictures; B=1: start of a frame. Of the lowest spatial layer, for a
    higher one may begin so in any picture."""
    return payload[0] & 0x48 == 0x08 and _vp9_descriptor(payload).layer == 0


def _vp9_superframe(payloads: Iterable[bytes]) -> bytes:
    """The frames of a picture's spatial layers, lowest first; several with an index behind them (VP9
    bitstream specification, annex B), of which a decoder shows the last."""
    frames: list[bytearray] = []
    for payload in payloads:
        descriptor = _vp9_descriptor(payload)
        if payload[0] & 0x08:
            frames.append(bytearray())
        if not frames:
            raise PayloadError("VP9 frame without its start")
        frames[-1] += payload[descriptor.size :]
    if not all(frames) or not 0 < len(frames) <= MAX_LAYERS:
        raise PayloadError("VP9 picture without frames, or with too many")
    if len(frames) == 1:
        return bytes(frames[0])
    width = (max(map(len, frames)).bit_length() + 7) // 8
    marker = bytes((0xC0 | width - 1 << 3 | len(frames) - 1,))
    sizes = b"".join(len(frame).to_bytes(width, "little") for frame in frames)
    return b"".join((*frames, marker, sizes, marker))


def _av1_starts_keyframe(payload: bytes) -> bool:
    """N=1: first packet of a coded video sequence, which continues nothing."""
    return payload[0] & 0x88 == 0x08


def _av1_temporal_unit(payloads: Iterable[bytes]) -> bytes:
    return TEMPORAL_DELIMITER + b"".join(_with_size(unit) for unit in _av1_units(payloads))


def _av1_units(payloads: Iterable[bytes]) -> Iterator[bytes]:
    """The OBUs of a temporal unit (AV1 RTP §4.4): one may go on in the next packet (Y), which says so (Z)."""
    begun: bytearray | None = None
    for payload in payloads:
        if len(payload) < 2:
            raise PayloadError("AV1 payload cut short")
        elements = list(_av1_elements(payload))
        if bool(payload[0] & 0x80) is not (begun is not None):
            raise PayloadError("AV1 fragment without its rest")
        if begun is not None:
            begun += elements.pop(0)
            if elements or not payload[0] & 0x40:
                yield bytes(begun)
                begun = None
        if payload[0] & 0x40 and begun is None:
            begun = bytearray(elements.pop())
        yield from elements
    if begun is not None:
        raise PayloadError("AV1 fragment without its rest")


def _av1_elements(payload: bytes) -> Iterator[bytes]:
    """W of the header counts the elements, the last of them without a length; 0: each has one."""
    at, count, wanted = 1, 0, payload[0] >> 4 & 3
    while at < len(payload):
        count += 1
        size = len(payload) - at
        if count != wanted:
            size, at = _leb128(payload, at)
        if size > len(payload) - at:
            raise PayloadError("AV1 element cut short")
        yield payload[at : at + size]
        at += size
    if wanted not in (0, count):
        raise PayloadError("AV1 payload with other elements than it says")


def _with_size(unit: bytes) -> bytes:
    """An OBU with its size in it, which RTP leaves out; nothing of one that is not needed."""
    if not unit or unit[0] & 0x80:
        raise PayloadError("not an OBU")
    if unit[0] >> 3 & 15 in LEFT_OUT:
        return b""
    at = 2 if unit[0] & 4 else 1
    head, body = bytes((unit[0] | 2,)) + unit[1:at], unit[at:]
    if unit[0] & 2:
        size, at = _leb128(unit, at)
        body = unit[at : at + size]
        if len(body) < size:
            raise PayloadError("OBU cut short")
    return head + _to_leb128(len(body)) + body


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 32 bits, and where it ends (AV1 specification §4.10.5)."""
    number = 0
    for index, byte in enumerate(data[at : at + 5]):
        number |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return number, at + index + 1
    raise PayloadError("length cut short")


def _to_leb128(number: int) -> bytes:
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    coded.append(number)
    return bytes(coded)


_KEYFRAME_TESTS: dict[str, Callable[[bytes], bool]] = {
    "h264": _h264_starts_keyframe,
    "vp8": _vp8_starts_keyframe,
    "vp9": _vp9_starts_keyframe,
    "av1": _av1_starts_keyframe,
}

_JOINS: dict[str, Callable[[Iterable[bytes]], bytes]] = {
    "h264": _h264_unit_stream,
    "vp8": _vp8_frame,
    "vp9": _vp9_superframe,
    "av1": _av1_temporal_unit,
}
