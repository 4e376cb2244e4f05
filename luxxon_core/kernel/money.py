"""Money is integer µUSDC (1 USDC = 1 000 000 µUSDC); no float ever touches an amount."""

from __future__ import annotations

import re
from typing import NamedTuple

MICRO_PER_USDC = 1_000_000
BPS = 10_000


class Split(NamedTuple):
    """A charge divided between operator and platform; ``to_amount + fee_amount`` is the charge."""

    to_amount: int
    fee_amount: int


def split(charged: int, fee_bps: int) -> Split:
    """Divide ``charged`` µUSDC: the operator's share is rounded down, the platform takes the rest.

    Raises:
        ValueError: a negative charge, or a fee outside 0…10 000 basis points.
    """
    if charged < 0 or not 0 <= fee_bps <= BPS:
        raise ValueError(f"cannot split {charged} µUSDC at {fee_bps} bps")
    to_amount = charged * (BPS - fee_bps) // BPS
    return Split(to_amount, charged - to_amount)


def parse_usdc(text: str) -> int:
    """``5``, ``0.25`` or ``0,25`` USDC as µUSDC.

    Raises:
        ValueError: no such amount, or with more than six decimals.
    """
    found = re.fullmatch(r"([0-9]{1,12})(?:[.,]([0-9]{1,6}))?", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no amount of USDC, such as 5 or 0.25")
    return int(found[1]) * MICRO_PER_USDC + int((found[2] or "").ljust(6, "0"))


def short_usdc(micro: int) -> str:
    """All of an amount without the zeros behind it: ``5``, ``0.25``."""
    text = format_usdc(micro)
    return text.rstrip("0").rstrip(".")


def format_usdc(micro: int, decimals: int = 6) -> str:
    """``micro`` µUSDC as decimal USDC, cut (never rounded up) to ``decimals`` places: ``0.101000``."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, part = divmod(micro, MICRO_PER_USDC)
    return (
        f"{sign}{whole}.{part:06d}"[: len(sign) + len(str(whole)) + 1 + decimals]
        if decimals
        else f"{sign}{whole}"
    )
