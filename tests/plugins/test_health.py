"""What a source's health says: asked for media or not, silent or not, and never a password."""

from __future__ import annotations

import pytest

from luxxon_core import capture
from luxxon_core.capture import HealthMeter
from luxxon_core.source import HealthState, SourceNotReady


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(capture.time, "monotonic", lambda: now[0])
    return now


def test_only_who_is_read_can_stall(clock: list[float]) -> None:
    meter = HealthMeter(stall_seconds=2.0)
    clock[0] += 60
    assert meter.health().state is HealthState.STARTING
    with meter.reading():
        assert meter.health().state is HealthState.STARTING
        meter.tick()
        assert meter.health().state is HealthState.OK
        clock[0] += 3
        assert meter.health().state is HealthState.STALLED
        with meter.reading():
            assert meter.health().state is HealthState.STALLED
    assert meter.health().state is HealthState.OK
    clock[0] += 60
    with meter.reading():  # a new reader gives the camera its two seconds
        assert meter.health().state is HealthState.OK
        clock[0] += 3
        assert meter.health().state is HealthState.STALLED


def test_a_camera_that_never_answers_its_reader_is_stalled(clock: list[float]) -> None:
    meter = HealthMeter(stall_seconds=2.0)
    with meter.reading():
        clock[0] += 3
        assert meter.health().state is HealthState.STALLED


@pytest.mark.parametrize("userinfo", ["admin:hunter2", "hunter2", "admin:p@hunter2", "admin:a/hunter2"])
def test_credentials_in_a_url_are_masked(userinfo: str) -> None:
    text = f"cannot open rtsp://{userinfo}@192.0.2.1:554/stream now"
    meter = HealthMeter()
    meter.last_error = text
    error = SourceNotReady(f"camera:{text}", text)
    for shown in (meter.health().last_error, str(error), error.message, error.detail):
        assert shown is not None
        assert "hunter2" not in shown
        assert "192.0.2.1:554/stream now" in shown
