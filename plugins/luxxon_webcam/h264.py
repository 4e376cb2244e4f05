"""H.264 of a camera as WebRTC wants it: SPS and PPS in front of every IDR picture (RFC 6184, Annex B)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

START = b"\0\0\0\1"
IDR, SPS, PPS, DELIMITER = 5, 7, 8, 9
_START = re.compile(re.escape(b"\0\0\1"))


@dataclass(frozen=True, slots=True)
class AccessUnit:
    data: bytes = field(repr=False)
    keyframe: bool
    """An IDR picture, with its parameter sets in front."""


class ParameterSets:
    """Keeps the newest parameter sets and puts them in front of IDR pictures that come without."""

    def __init__(self) -> None:
        self._sets: dict[int, list[bytes]] = {}

    def access_unit(self, data: bytes) -> AccessUnit | None:
        """The access unit as it is sent; None where there is no picture in it that could be.

        Raises:
            ValueError: not an Annex B byte stream.
        """
        if not data.startswith((b"\0\0\1", START)):
            raise ValueError("not an Annex B byte stream")
        units = nal_units(data)
        kinds = {unit[0] & 31 for unit in units}
        for kind in kinds & {SPS, PPS}:
            self._sets[kind] = [unit for unit in units if unit[0] & 31 == kind]
        if not kinds & {1, IDR}:
            return None  # parameter sets alone: they are in front of the next IDR picture
        if IDR not in kinds:
            return AccessUnit(data, False)
        if {SPS, PPS} <= kinds:
            return AccessUnit(data, True)
        if not {SPS, PPS} <= self._sets.keys():
            return None  # nobody could decode it
        delimiters = [unit for unit in units if unit[0] & 31 == DELIMITER]
        picture = [unit for unit in units if unit[0] & 31 not in (SPS, PPS, DELIMITER)]
        whole = [*delimiters, *self._sets[SPS], *self._sets[PPS], *picture]
        return AccessUnit(b"".join(START + unit for unit in whole), True)


def nal_units(data: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes."""
    starts = [(found.start(), found.end()) for found in _START.finditer(data)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    # A zero before a start code is part of that (B.1.1); no NAL unit ends in one.
    units = [data[begin:end].rstrip(b"\0") for (_, begin), end in zip(starts, ends, strict=True)]
    return [unit for unit in units if unit]
