"""NAL units of H.264 and H.265: what they are, and the parameter sets that a decoder must have had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

START = b"\0\0\0\1"
_MAX_SLICE_TYPE = 9


class Codec(Enum):
    """The NAL unit types (H.264 table 7-1, H.265 table 7-1) that matter here."""

    H264 = ("h264", (7, 8), 9, 5, (1, 5))
    H265 = ("h265", (32, 33, 34), 35, 19, (0, 31))

    def __init__(
        self, label: str, sets: tuple[int, ...], delimiter: int, idr: int, coded: tuple[int, int]
    ) -> None:
        self.label, self.sets, self.delimiter, self.idr, self._coded = label, sets, delimiter, idr, coded

    def kind(self, unit: bytes) -> int:
        return unit[0] & 31 if self is Codec.H264 else unit[0] >> 1 & 63

    def is_coded(self, unit: bytes) -> bool:
        """A slice of a picture."""
        return self._coded[0] <= self.kind(unit) <= self._coded[1]

    def is_keyframe(self, unit: bytes) -> bool:
        # Of H.265 all pictures of type IRAP: decoding can begin at each.
        kind = self.kind(unit)
        return kind == self.idr if self is Codec.H264 else 16 <= kind <= 21

    def begins_picture(self, unit: bytes) -> bool:
        """Nothing of the access unit can have come before: a delimiter, parameter sets, or a first slice."""
        if self.kind(unit) == self.delimiter or self.kind(unit) in self.sets:
            return True
        # first_mb_in_slice ue(v) is 0, or first_slice_segment_in_pic_flag u(1) is 1: both are a 1 bit.
        header = 1 if self is Codec.H264 else 2
        return self.is_coded(unit) and len(unit) > header and unit[header] & 0x80 != 0


def is_b_slice(unit: bytes) -> bool:
    """Whether an H.264 slice is a B slice (H.264 §7.3.3, table 7-6)."""
    if unit[0] & 31 != 1:
        return False
    bits = int.from_bytes(unit[1:12].ljust(11, b"\0"), "big")
    _, position = _exp_golomb(bits, 0)
    slice_type, _ = _exp_golomb(bits, position)
    return slice_type <= _MAX_SLICE_TYPE and slice_type % 5 == 1


def _exp_golomb(bits: int, position: int, size: int = 88) -> tuple[int, int]:
    """An unsigned Exp-Golomb code (H.264 §9.1) at a bit position of a number of ``size`` bits."""
    rest = bits & (1 << size - position) - 1
    zeros = size - position - rest.bit_length()
    end = position + 2 * zeros + 1
    if end > size:
        return 0, size
    return (rest >> size - end) - 1, end


def split_annex_b(data: bytes) -> list[bytes]:
    """NAL units of a byte stream, without start codes."""
    # A four-byte start code leaves its first zero behind, as trailing_zero_8bits do (H.264 §B.1.1).
    return [unit for part in data.split(b"\0\0\1")[1:] if (unit := part.rstrip(b"\0"))]


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """The NAL units of one picture, as they came."""

    codec: Codec
    timestamp: int
    """RTP, modulo 2**32."""
    keyframe: bool
    units: Sequence[bytes]


class ParameterSets:
    """The newest of each kind and id; put in front of every key frame."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._sets: dict[tuple[int, int], bytes] = {}

    def learn(self, units: Sequence[bytes]) -> None:
        for unit in units:
            kind = self._codec.kind(unit)
            if kind in self._codec.sets and len(unit) > 1:
                self._sets[kind, self._identity(unit)] = unit

    @property
    def complete(self) -> bool:
        return {kind for kind, _ in self._sets} == set(self._codec.sets)

    @property
    def version(self) -> tuple[bytes, ...]:
        """Changes when the stream does."""
        return tuple(self._sets[key] for key in sorted(self._sets))

    def byte_stream(self, unit: AccessUnit) -> bytes:
        """Annex B; a key frame with all sets, after an access unit delimiter (H.264 §7.4.1.2.3)."""
        units = unit.units
        if unit.keyframe:
            first = [one for one in units[:1] if self._codec.kind(one) == self._codec.delimiter]
            rest = [one for one in units[len(first) :] if self._codec.kind(one) not in self._codec.sets]
            units = [*first, *self.version, *rest]
        return b"".join(START + one for one in units)

    def _identity(self, unit: bytes) -> int:
        """Id of an H.264 set; those of H.265 lie behind profile and level, and cameras send one of each."""
        if self._codec is not Codec.H264:
            return 0
        start = 4 if unit[0] & 31 == 7 else 1
        return _exp_golomb(int.from_bytes(unit[start : start + 11].ljust(11, b"\0"), "big"), 0)[0]
