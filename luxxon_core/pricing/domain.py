"""The rate formula (api-contract §12): integer µUSDC per second, factors in basis points."""

from __future__ import annotations

from dataclasses import dataclass

from luxxon_core.kernel.money import BPS

DEFAULT_BASE_RATE = 1000
"""µUSDC per second: 0.06 USDC a minute."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Multipliers in basis points; 10 000 is 1.0. During early access all three are 1.0."""

    supply_bps: int = BPS
    demand_bps: int = BPS
    corridor_bps: int = BPS


def rate(base: int, factors: Factors) -> int:
    """µUSDC per second, rounded down, at least 1."""
    scaled = base * factors.supply_bps * factors.demand_bps * factors.corridor_bps
    return max(1, scaled // BPS**3)
