"""What a sample says about the place, and what it is too inaccurate to say."""

from __future__ import annotations

from uuid import UUID

import pytest
from marketplace import GEOFENCE_M, GRAND_PLACE, NOON, at
from oracle import destination

from luxxon_core.telemetry.domain import LiveSession, Reason, Sample, Window, lost_ms, outside_geofence

SESSION = LiveSession(UUID(int=1), GRAND_PLACE, GEOFENCE_M)


@pytest.mark.parametrize(
    ("distance", "accuracy", "outside"),
    [
        (0, 5, False),
        (499.99, 100, False),
        (500.01, 100, True),
        (500.01, 100.01, None),
        (0, 1e9, None),
        (9_000_000, 0, True),
    ],
)
def test_a_sample_is_inside_outside_or_no_witness(
    distance: float, accuracy: float, outside: bool | None
) -> None:
    sample = Sample(destination(GRAND_PLACE, 123, distance), accuracy, 1, NOON)
    assert outside_geofence(sample, SESSION) is outside


def test_a_window_after_the_end_takes_nothing_and_gives_nothing() -> None:
    """It may open between the maximum duration and the sweep that finds the session."""
    inside, after = (
        Window(Reason.NETWORK_ERROR, at(10), at(20)),
        Window(Reason.STALE_TELEMETRY, at(61), at(70)),
    )
    assert lost_ms([after], NOON, at(60)) == 0
    assert lost_ms([inside, after], NOON, at(60)) == 10_000
