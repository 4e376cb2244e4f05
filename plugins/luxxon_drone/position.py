"""Positions from GLOBAL_POSITION_INT and GPS_RAW_INT: which are new, how old they are, how good. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from luxxon_core.source import FixType

if TYPE_CHECKING:
    from pymavlink.dialects.v20 import common as mavlink

USER_RANGE_ERROR = 5.0
"""Metres, one standard deviation: times HDOP where a receiver tells no accuracy of its own."""
UNKNOWN_ACCURACY = 100.0
"""Metres, where it tells neither."""
GPS_SECONDS = 3.0
"""A GPS_RAW_INT older than this says nothing about a position."""
OLD_SECONDS = 3.0
"""A position that was this long under way is not given out."""
REBOOT_SLACK, STUCK_SECONDS = 2.0, 5.0
_LEAK = 0.01
_NO_HEADING = 36_000
_UNKNOWN_EPH, _UNKNOWN_SATELLITES = 0xFFFF, 0xFF


class Order(Enum):
    FRESH = "FRESH"
    LATE = "LATE"
    """A copy, out of order, or too long under way."""
    REBOOT = "REBOOT"
    """Fresh, and the vehicle has started anew since the last one."""


class BootClock:
    """Judges messages by ``time_boot_ms``, a counter of 32 bits that starts at zero with the vehicle.

    The quickest message of late tells how far its clock is from ours; the others were longer under way.
    """

    def __init__(self) -> None:
        self._boot: int | None = None
        self._at = 0.0
        self._offset = 0.0
        self._refused: tuple[float, float] | None = None
        """When the first and the last were refused since a fresh one."""

    def observe(self, boot_ms: int, now: float) -> tuple[Order, float]:
        """Order and age in seconds of a message that came at ``now`` (monotonic seconds)."""
        if self._boot is None:
            return self._restarted(boot_ms, now, Order.FRESH)
        step = (boot_ms - self._boot + 2**31) % 2**32 - 2**31
        if step <= 0:
            # A vehicle that has started anew cannot have been up for longer than we have heard nothing.
            if step < 0 and boot_ms / 1000 <= now - self._at + REBOOT_SLACK and -step > REBOOT_SLACK * 1000:
                return self._restarted(boot_ms, now, Order.REBOOT)
            return self._late(boot_ms, now, duplicate=step == 0)
        elapsed, lag = now - self._at, now - self._at - step / 1000
        offset = self._offset + lag
        # The offset of the quickest message is 0, and grows slowly, as clocks drift.
        quickest = min(_LEAK * elapsed, offset)
        age = offset - quickest
        if age > OLD_SECONDS:
            return self._late(boot_ms, now, duplicate=False)
        self._boot, self._at, self._offset, self._refused = boot_ms, now, age, None
        return Order.FRESH, age

    def _late(self, boot_ms: int, now: float, *, duplicate: bool) -> tuple[Order, float]:
        if duplicate:
            return Order.LATE, 0.0
        if self._refused is None or now - self._refused[1] > REBOOT_SLACK:
            self._refused = now, now
        self._refused = self._refused[0], now
        if now - self._refused[0] > STUCK_SECONDS:  # its clock was set, or a simulation runs slowly
            return self._restarted(boot_ms, now, Order.FRESH)
        return Order.LATE, 0.0

    def _restarted(self, boot_ms: int, now: float, order: Order) -> tuple[Order, float]:
        self._boot, self._at, self._offset, self._refused = boot_ms, now, 0.0, None
        return order, 0.0


@dataclass(frozen=True, slots=True)
class Position:
    """WGS84 degrees, metres above mean sea level, degrees from true north."""

    latitude: float
    longitude: float
    altitude: float
    heading: float | None
    horizontal_accuracy: float
    """Metres, one standard deviation."""
    fix_type: FixType
    satellites: int | None
    taken: float
    """Monotonic seconds of ours at which the vehicle was there."""


class Positions:
    """Puts the two messages together."""

    def __init__(self) -> None:
        self._clock = BootClock()
        self._gps: tuple[FixType, float, int | None] = FixType.NO_GPS, UNKNOWN_ACCURACY, None
        self._gps_at = float("-inf")
        self._last: Position | None = None

    def gps_raw_int(self, message: mavlink.MAVLink_gps_raw_int_message, now: float) -> Position | None:
        """Take the quality over. The last position again, as old as it is, where the fix has just gone."""
        fix_type = _fix_type(message.fix_type)
        satellites = None if message.satellites_visible == _UNKNOWN_SATELLITES else message.satellites_visible
        self._gps, self._gps_at = (fix_type, _accuracy(message), satellites), now
        last = self._last
        if last is None or fix_type >= FixType.FIX_2D or last.fix_type < FixType.FIX_2D:
            return None
        self._last = replace(last, fix_type=fix_type, satellites=satellites)
        return self._last

    def fix_known(self, now: float) -> bool:
        """Whether GPS_RAW_INT has lately told of the fix, be it of none."""
        return now - self._gps_at <= GPS_SECONDS

    def global_position_int(
        self, message: mavlink.MAVLink_global_position_int_message, now: float
    ) -> tuple[Position | None, bool]:
        """The position if it is new and one at all, and whether the vehicle has started anew."""
        order, age = self._clock.observe(message.time_boot_ms, now)
        if order is Order.LATE:
            return None, False
        rebooted = order is Order.REBOOT
        if rebooted:
            self._gps_at, self._last = float("-inf"), None
        if abs(message.lat) > 900_000_000 or abs(message.lon) > 1_800_000_000:
            return None, rebooted
        if message.lat == 0 and message.lon == 0:  # what autopilots say before the first fix
            return None, rebooted
        fix_type, accuracy, satellites = (
            self._gps if self.fix_known(now) else (FixType.NO_GPS, UNKNOWN_ACCURACY, None)
        )
        self._last = Position(
            message.lat / 1e7,
            message.lon / 1e7,
            message.alt / 1000,
            message.hdg / 100 if message.hdg < _NO_HEADING else None,
            accuracy,
            fix_type,
            satellites,
            now - age,
        )
        return self._last, rebooted


def _fix_type(value: int) -> FixType:
    # PPP (8) and what may come after it are at least as good as differential.
    return FixType(value) if value <= FixType.STATIC else FixType.DGPS


def _accuracy(message: mavlink.MAVLink_gps_raw_int_message) -> float:
    if message.h_acc > 0:
        return float(message.h_acc) / 1000
    if 0 < message.eph < _UNKNOWN_EPH:
        return float(message.eph) / 100 * USER_RANGE_ERROR
    return UNKNOWN_ACCURACY
