"""Figures as text: every number of the console is written here, and nowhere else.

Units stand after one space and are separate, so that panels can mute them and align digits.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from luxxon_core.kernel.money import format_usdc

NONE = "–"
"""Zero or nothing, where a figure would claim too much."""

MINUS = "\N{MINUS SIGN}"
NARROW_GAP = "\N{NO-BREAK SPACE}"

CHARGED = 6
"""Decimals of anything charged or on the ledger."""
RATE = 4
PREVIEW = 2


def usdc(micro: int, decimals: int) -> str:
    """µUSDC as decimal USDC, ``0.101000``: cut, never rounded up, but with no digit hidden that decides.

    An amount with more places than ``decimals`` shows them: a rate of 0.00015 does not become 0.0001.
    """
    places = next(n for n in (decimals, RATE, CHARGED) if n >= decimals and micro % 10 ** (6 - n) == 0)
    return format_usdc(micro, places).replace("-", MINUS)


def pool(micro: int) -> str:
    """A balance with two decimals, rounded down: ``12.40``."""
    whole, part = format_usdc(micro, PREVIEW).replace("-", MINUS).split(".")
    return f"{grouped(whole)}.{part}"


def grouped(digits: str) -> str:
    """Digits in groups of three, from the right: ``19 204 771``."""
    sign, digits = (digits[0], digits[1:]) if digits[:1] == MINUS else ("", digits)
    head = len(digits) % 3 or 3
    return sign + NARROW_GAP.join([digits[:head], *(digits[i : i + 3] for i in range(head, len(digits), 3))])


def hms(seconds: float) -> str:
    """``00:01:42``: forms and the main counter."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def listed(seconds: float) -> str:
    """``01:42``, or ``1:02:03`` from an hour on: lists."""
    whole = max(0, int(seconds))
    return f"{whole // 60:02d}:{whole % 60:02d}" if whole < 3600 else hms(whole).lstrip("0")


def moment(seconds: float) -> str:
    """``0:43``: a moment within a session, or a short wait."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}" if whole < 3600 else hms(whole).lstrip("0")


def delay(seconds: float) -> str:
    """``0.4 s`` up to ten seconds, then ``12 s``, from a minute on ``1:12``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else moment(seconds)


def time_of_day(instant: datetime, zone: tzinfo | None) -> str:
    """``14:02:11`` in ``zone``, the computer's own if None."""
    return f"{instant.astimezone(zone):%H:%M:%S}"


def distance(metres: float) -> tuple[str, str]:
    """``41 m``, from a kilometre on ``1.1 km``: figure and unit."""
    return (f"{metres:.0f}", "m") if metres < 999.5 else (f"{metres / 1000:.1f}", "km")


def age(milliseconds: float) -> tuple[str, str]:
    """``38 ms``, from a second on ``8.0 s``: figure and unit."""
    return (f"{milliseconds:.0f}", "ms") if milliseconds < 999.5 else (f"{milliseconds / 1000:.1f}", "s")


def megabits(bits_per_second: float) -> str:
    """``1.4`` of Mbit/s; two decimals below a tenth."""
    value = bits_per_second / 1e6
    return f"{value:.1f}" if value >= 0.095 or value == 0 else f"{value:.2f}"


def percent(ratio: float) -> str:
    """``0.2``, one decimal; 100.0 only when it is all."""
    return f"{ratio * 100 if ratio >= 1 else min(ratio * 100, 99.9):.1f}"


def degrees(value: float) -> str:
    """An angle of a place, signed and of fixed width: ``+050.8467°``."""
    return f"{value:+09.4f}°".replace("-", MINUS)


def codec(name: str) -> str:
    """A codec as people write it: ``vp8``, ``h264``."""
    return name.lower().removeprefix("video/")


def short_id(identifier: str) -> str:
    """The first eight digits of an identifier: ``1c9e7a40``."""
    return identifier.replace("-", "")[:8]


def short_hash(value: str) -> str:
    """A hash by its ends: ``0x83f1…09ac``."""
    return value if len(value) <= 13 else f"{value[:6]}…{value[-4:]}"


REASONS = {
    "NETWORK_ERROR": "no frames",
    "STALE_TELEMETRY": "no position",
    "OUTSIDE_GEOFENCE": "outside the area",
}


def reason(name: str, *, short: bool = False) -> str:
    """Why a stretch was not charged, in words."""
    words = REASONS.get(name, name.replace("_", " ").lower())
    return words.removesuffix(" the area") if short else words
