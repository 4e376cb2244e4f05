"""The rate formula (api-contract §12)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.pricing.domain import DEFAULT_BASE_RATE, Factors, rate

bps = st.integers(0, 30_000)


@given(st.integers(1, 10**9), bps, bps, bps)
def test_the_rate_is_the_product_rounded_down_and_at_least_one(base: int, s: int, d: int, c: int) -> None:
    exact = Fraction(base) * s * d * c / 10**12
    found = rate(base, Factors(s, d, c))
    assert found == max(1, exact.numerator // exact.denominator)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        (Factors(), 1000),
        (Factors(supply_bps=7000), 700),
        (Factors(30_000, 30_000), 9000),
        (Factors(corridor_bps=12_345), 1234),
    ],
)
def test_rates_of_the_default_base(factors: Factors, expected: int) -> None:
    assert rate(DEFAULT_BASE_RATE, factors) == expected
