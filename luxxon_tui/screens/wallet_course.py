"""The pool over time, as the wallet's graph has it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui.screens.wallet_figures import Line


class Span(StrEnum):
    MONTH = "30 d"
    WEEK = "7 d"
    DAY = "1 d"

    @property
    def length(self) -> timedelta:
        return timedelta(days=int(self.value.split(" ")[0]))

    @property
    def next(self) -> Span:
        every = list(Span)
        return every[(every.index(self) + 1) % len(every)]


def course(
    lines: Sequence[Line], pool: int, now: datetime, span: Span, samples: int, *, complete: bool
) -> list[float | None]:
    """The pool over time, in USDC; None before what is known. Without older events it was empty before."""
    moved = [line for line in lines if line.state == "final"]
    begun = now - span.length
    found: list[float | None] = []
    for number in range(samples):
        at = begun + span.length * ((number + 1) / samples)
        later = [line for line in moved if line.at > at]
        if not later:
            balance: int | None = pool
        elif len(later) == len(moved) and not complete:
            balance = None
        else:
            last = later[-1]
            known = last.balance is not None and last.change is not None
            balance = (last.balance or 0) - (last.change or 0) if known else None
        found.append(None if balance is None else max(0, balance) / MICRO_PER_USDC)
    return found


def tick(top: float) -> float:
    """The distance of four ticks that reach ``top``: round, and no more of them empty than must be."""
    unit = 0.01
    while True:
        for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            if 4 * unit * factor >= top:
                return unit * factor
        unit *= 10
