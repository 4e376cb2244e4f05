"""RTP payload formats: where a keyframe begins, and a frame's bytes for the decoder. Pure.

H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628), AV1 (AOM RTP payload specification). VP9 and AV1 are
recognised so that they can be forwarded and replayed; only H.264 and VP8 are taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

START_CODE = b"\0\0\0\1"

IDR_SLICE = 5
SEQUENCE_PARAMETER_SET = 7
STAP_A = 24
FU_A = 28


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


def decodable(codec: str) -> bool:
    """Whether ``assemble`` knows the codec."""
    return codec in {"h264", "vp8"}


def assemble(codec: str, payloads: Iterable[bytes]) -> bytes:
    """One frame's bytes as the decoder takes them (H.264 in Annex B form).

    Raises:
        PayloadError: malformed, or a codec that is only passed through.
    """
    if codec == "h264":
        return b"".join(part for payload in payloads for part in _h264_units(payload))
    if codec == "vp8":
        return b"".join(payload[_vp8_descriptor(payload) :] for payload in payloads)
    raise PayloadError(f"{codec} is passed through, never decoded")


def _h264_starts_keyframe(payload: bytes) -> bool:
    kind = payload[0] & 31
    if kind == FU_A:
        return bool(payload[1] & 0x80) and payload[1] & 31 in (IDR_SLICE, SEQUENCE_PARAMETER_SET)
    if kind == STAP_A:  # may begin with an access unit delimiter or SEI: look at every unit
        return any(unit[0] & 31 in (IDR_SLICE, SEQUENCE_PARAMETER_SET) for unit in _aggregated(payload))
    return kind in (IDR_SLICE, SEQUENCE_PARAMETER_SET)


def _h264_units(payload: bytes) -> Iterator[bytes]:
    """NAL units of one payload with start codes; a fragment's continuation without."""
    if len(payload) < 2:
        raise PayloadError("NAL unit cut short")
    kind = payload[0] & 31
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


def _vp9_starts_keyframe(payload: bytes) -> bool:
    """P=0: not predicted from other frames; B=1: start of a frame."""
    return payload[0] & 0x48 == 0x08


def _av1_starts_keyframe(payload: bytes) -> bool:
    """N=1: first packet of a coded video sequence."""
    return bool(payload[0] & 0x08)


_KEYFRAME_TESTS: dict[str, Callable[[bytes], bool]] = {
    "h264": _h264_starts_keyframe,
    "vp8": _vp8_starts_keyframe,
    "vp9": _vp9_starts_keyframe,
    "av1": _av1_starts_keyframe,
}
