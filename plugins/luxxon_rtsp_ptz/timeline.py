"""RTP timestamps of one camera over all its connections, as one clock that only goes forward."""

from __future__ import annotations

JUMP_SECONDS = 2.0
"""A camera's clock that goes this much further than the time of arrival has been set anew."""


class Timeline:
    """Maps timestamps modulo 2**32 to ``rate`` ticks since ``origin`` (monotonic seconds)."""

    def __init__(self, rate: int, origin: float, *, reordered: bool = False) -> None:
        self._rate, self._origin, self.reordered = rate, origin, reordered
        self._timestamp: int | None = None
        self._arrival = 0.0
        self._last = -1
        """The newest time handed out."""
        self._at = 0
        """The time of ``_timestamp``."""

    def restart(self) -> None:
        """The next timestamp is of another clock: of a new connection."""
        self._timestamp = None

    def time(self, timestamp: int, now: float) -> int:
        """Strictly increasing, unless pictures are ``reordered``; then as the camera has them."""
        if self._timestamp is None:
            at = max(round((now - self._origin) * self._rate), self._last + 1)
        else:
            step = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            waited = (now - self._arrival) * self._rate
            # A camera that was held up and catches up sends small steps after a long wait: no jump.
            backwards = step < -JUMP_SECONDS * self._rate if self.reordered else step <= 0
            if backwards or step > waited + JUMP_SECONDS * self._rate:
                step = max(1, round(waited))
            at = self._at + step
            if not self.reordered:
                at = max(at, self._last + 1)
        self._timestamp, self._arrival, self._at = timestamp, now, at
        self._last = max(self._last, at)
        return at
