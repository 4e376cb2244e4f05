"""H.264 as it comes from a vehicle, made fit to send on: parameter sets in band, rising times. No I/O."""

from __future__ import annotations

from fractions import Fraction

from luxxon_core.rtp.nal import split_annex_b
from luxxon_core.source import VIDEO_CLOCK

_IDR, _SPS, _PPS, _AUD = 5, 7, 8, 9
_START = b"\0\0\0\1"

LARGEST_JUMP = 2.0
"""Seconds by which a camera's clock may run ahead of or behind the arrival before it counts as set anew."""


class Timeline:
    """Times on the clock of 90 kHz, strictly increasing, whatever the camera's clock does."""

    def __init__(self) -> None:
        self._last: tuple[float | None, float] | None = None
        """Time stamp and arrival of the one before, in seconds each."""
        self._pts = 0

    def stamp(self, pts: int | None, time_base: Fraction | None, arrival: float) -> int:
        """The time of a picture that says ``pts`` and came at ``arrival`` (monotonic seconds)."""
        said = float(pts * time_base) if pts is not None and time_base is not None else None
        if self._last is not None:
            said_before, came_before = self._last
            waited = max(0.0, arrival - came_before)
            step = said - said_before if said is not None and said_before is not None else waited
            if step <= 0 or abs(step - waited) > LARGEST_JUMP:
                step = waited
            self._pts += max(1, round(step / VIDEO_CLOCK))
        self._last = said, arrival
        return self._pts


class ParameterSets:
    """Puts SPS and PPS, as heard last, before every IDR picture that comes without. Begins with one."""

    def __init__(self, extradata: bytes | None = None) -> None:
        self._sps: dict[bytes, None] = {}
        self._pps: dict[bytes, None] = {}
        self._begun = False
        self._remember(split_annex_b(extradata or b""))

    def complete(self, data: bytes) -> tuple[bytes, bool] | None:
        """The access unit with its parameter sets, and whether it is a key frame.

        None where nobody could show it: no picture in it, a key frame whose parameter sets never came, or
        nothing before it that it could be told from.
        """
        units = split_annex_b(data)
        kinds = {unit[0] & 31 for unit in units}
        if {_SPS, _PPS} & kinds:
            self._remember(units)
        if not kinds & {1, 2, 3, 4, _IDR}:
            return None
        if _IDR not in kinds:
            return (data, False) if self._begun else None
        if not (self._sps and self._pps):
            return None
        self._begun = True
        if {_SPS, _PPS} <= kinds:
            return data, True
        # An access unit delimiter stays first (H.264 §7.4.1.2.3).
        delimiter = [unit for unit in units if unit[0] & 31 == _AUD][:1]
        rest = [unit for unit in units if unit[0] & 31 not in (_AUD, _SPS, _PPS)]
        return b"".join(_START + unit for unit in [*delimiter, *self._sps, *self._pps, *rest]), True

    def _remember(self, units: list[bytes]) -> None:
        sps = [unit for unit in units if unit[0] & 31 == _SPS]
        pps = [unit for unit in units if unit[0] & 31 == _PPS]
        if sps:
            self._sps = dict.fromkeys(sps)
        if pps:
            self._pps = dict.fromkeys(pps)
