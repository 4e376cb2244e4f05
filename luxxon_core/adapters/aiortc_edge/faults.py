"""Whether a picture that comes is worth looking at: black, frozen, or none at all. Pure.

A fault is told once it has lasted for :data:`LASTS` seconds, from its beginning, and ends with the first
picture that is clearly good. Between "bad enough to begin" and "good enough to end" lies a gap, so that a
picture on the brink does not make a fault a second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luxxon_core.media.domain import Fault

LASTS = 5.0
BLACK_MEAN, LIT_MEAN = 10.0, 16.0
"""Of luma from 0 to 255: a covered lens stays below the first, a street by night lies above the second."""
BLACK_DEVIATION, LIT_DEVIATION = 5.0, 9.0
STILL, MOVED = 8.0, 12.0
"""Change of the part of the picture that has changed most. Coding the same picture anew, keyframe by
keyframe, stays below the first; what moves in front of a camera, be it small, exceeds the second."""


class Change(NamedTuple):
    """A fault began or ended."""

    fault: Fault
    began: bool
    at: float
    """Monotonic."""


class FaultWatch:
    """Takes the pictures of one live input, and the passing of time while its media flow."""

    def __init__(self) -> None:
        self.open: dict[Fault, float] = {}
        """What has been told and has not ended, and since when."""
        self._black_since: float | None = None
        self._still: NDArray[np.int16] | None = None
        """The picture since which nothing has changed."""
        self._still_since = 0.0
        self._picture_at: float | None = None

    def saw(self, light: NDArray[np.uint8], at: float) -> list[Change]:
        """A picture: luma from 0 to 255, averaged over its parts, and its monotonic arrival."""
        self._picture_at = at
        changes = self._end(Fault.UNDECODED, at)
        picture = light.astype(np.int16)
        black = self._is_black(picture)
        # what is black is still as well: one fault is enough
        still = self._is_still(picture, at) and not black
        changes += self._lasting(Fault.BLACK, self._black_since, at) if black else self._end(Fault.BLACK, at)
        if still:
            return changes + self._lasting(Fault.FROZEN, self._still_since, at)
        return changes + self._end(Fault.FROZEN, at)

    def passed(self, flowing_since: float, now: float) -> list[Change]:
        """Video has been coming since ``flowing_since``, and it is ``now``."""
        since = flowing_since if self._picture_at is None else max(flowing_since, self._picture_at)
        return self._lasting(Fault.UNDECODED, since, now)

    def reset(self) -> None:
        """Media stopped, and every fault with them; pictures that come later are compared anew."""
        self.open.clear()
        self._black_since = self._still = self._picture_at = None

    def _is_black(self, picture: NDArray[np.int16]) -> bool:
        mean, deviation = float(picture.mean()), float(picture.std())
        if mean > LIT_MEAN or deviation > LIT_DEVIATION:
            self._black_since = None
        elif self._black_since is None and mean < BLACK_MEAN and deviation < BLACK_DEVIATION:
            self._black_since = self._picture_at
        return self._black_since is not None

    def _is_still(self, picture: NDArray[np.int16], at: float) -> bool:
        """Compared with the first of the still pictures and not with the last, slow changes count as well."""
        limit = MOVED if Fault.FROZEN in self.open else STILL
        if self._still is not None and float(np.abs(picture - self._still).max()) <= limit:
            return True
        self._still, self._still_since = picture, at
        return False

    def _lasting(self, fault: Fault, since: float | None, now: float) -> list[Change]:
        if since is None or fault in self.open or now - since < LASTS:
            return []
        self.open[fault] = since
        return [Change(fault, True, since)]

    def _end(self, fault: Fault, at: float) -> list[Change]:
        return [] if self.open.pop(fault, None) is None else [Change(fault, False, at)]
