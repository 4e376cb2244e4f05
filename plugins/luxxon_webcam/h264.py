"""H.264 of a camera as WebRTC wants it: SPS and PPS in front of every IDR picture (RFC 6184, Annex B)."""

from __future__ import annotations

from dataclasses import dataclass, field

from luxxon_core.rtp.nal import split_annex_b

START = b"\0\0\0\1"
IDR, SPS, PPS, DELIMITER = 5, 7, 8, 9


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
        units = split_annex_b(data)
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
