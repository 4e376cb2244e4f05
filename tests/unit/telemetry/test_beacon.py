"""What an operator's wallet signs of a telemetry sample."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from luxxon_core.kernel.geo import Point
from luxxon_core.telemetry.domain import Beacon

SESSION = UUID("0b2f8a3e-7c55-4a0e-9a42-1f6b0c9d8e77")


def beacon(point: Point, accuracy: float) -> Beacon:
    at = datetime(2026, 5, 13, 12, tzinfo=UTC)
    return Beacon(SESSION, "2026-05-13T12:00:00.000Z", at, point, accuracy, "gps", "0x00")


def test_the_signed_lines() -> None:
    assert beacon(Point(50.8467, -4.35), 4.25).text() == (
        "luxxon-telemetry-v1\n"
        "0b2f8a3e-7c55-4a0e-9a42-1f6b0c9d8e77\n"
        "2026-05-13T12:00:00.000Z\n"
        "50.8467000\n"
        "-4.3500000\n"
        "4.25\n"
        "gps"
    )


@pytest.mark.parametrize(
    ("accuracy", "written"),
    [(5.0, "5"), (0.0, "0"), (-0.0, "0"), (100, "100"), (1e9, "1000000000"), (0.1, "0.1"), (1e-5, "0.00001")],
)
def test_numbers_are_written_as_json_writes_them(accuracy: float, written: str) -> None:
    lines = beacon(Point(-0.0, 0), accuracy).text().split("\n")
    assert lines[3:6] == ["0.0000000", "0.0000000", written]
