"""Telemetry samples over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from api_wire import Place, Tenant, Wire, sign

from luxxon_core.kernel.clock import iso, utc_now
from luxxon_core.kernel.wire import convert
from luxxon_core.telemetry.schemas import TelemetryRequest

pytestmark = pytest.mark.asyncio(loop_scope="session")

SENSORS = {
    "accel": [0.01, -0.02, 9.81],
    "gyro": [0, 0, 0.001],
    "baro": 1013.25,
    "cellTowerId": "206-01-4711",
    "wifiBssidNeighbors": ["aa:bb:cc:dd:ee:ff"],
}


def sample(place: Place, when: datetime | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "capturedAt": iso(when or utc_now()),
        "point": place.json,
        "accuracyMeters": 4.5,
        "source": "gps",
        "signature": "0x00",
        **fields,
    }


async def test_the_operator_of_a_running_session_sends_signed_samples(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    session_id = started["session"]["id"]
    path = f"/sessions/{session_id}/telemetry"
    body = sample(place, sensors=SENSORS, source="gps/fused +wifi")
    text = convert(body, TelemetryRequest).beacon(UUID(session_id)).text()
    body["signature"] = sign(supplier.account, text)
    assert await wire.data("POST", path, auth=supplier, json=body) == {"accepted": True}
    (row,) = await wire.rows("select * from telemetry_sample where session_id = $1", UUID(session_id))
    assert (
        row["signed"]
        and row["source"] == "gps/fused +wifi"
        and '"cellTowerId": "206-01-4711"' in row["sensors"]
    )
    again = await wire.refused("POST", path, auth=supplier, json=body)
    assert again == (409, "CONFLICT", "telemetry:capturedAt")


async def test_others_cannot(wire: Wire, consumer: Tenant, stranger: Tenant, place: Place) -> None:
    supplier, started = await wire.started(consumer, place)
    path = f"/sessions/{started['session']['id']}/telemetry"
    for other in (consumer, stranger):
        found = await wire.refused("POST", path, auth=other, json=sample(place))
        assert found == (403, "NOT_AUTHORIZED", "session:notOperator")
    assert await wire.data("POST", path, auth=supplier, json=sample(place)) == {"accepted": True}
    await wire.data("POST", "/sessions/cancel-all-assignments", auth=supplier)
    found = await wire.refused("POST", path, auth=supplier, json=sample(place))
    assert found == (409, "INVALID_STATE", "session:telemetry:CANCELLED")


async def test_sessions_that_do_not_exist(wire: Wire, stranger: Tenant, place: Place, nowhere: str) -> None:
    for session_id in (nowhere, "no-id"):
        path = f"/sessions/{session_id}/telemetry"
        found = await wire.refused("POST", path, auth=stranger, json=sample(place))
        assert found[:2] == (404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"capturedAt": "yesterday"}, "capturedAt"),
        ({"capturedAt": "2026-05-13T12:00:00"}, "capturedAt"),
        ({"capturedAt": "2026-13-13T12:00:00Z"}, "capturedAt"),
        ({"capturedAt": "2026-05-13T12:00:00Z\n"}, "capturedAt"),
        ({"capturedAt": 1}, "capturedAt"),
        ({"point": {"lat": 91, "lng": 0}}, "point.lat"),
        ({"point": {"lat": 0}}, "lng"),
        ({"point": "here"}, "point"),
        ({"accuracyMeters": -1}, "accuracyMeters"),
        ({"accuracyMeters": "4"}, "accuracyMeters"),
        ({"source": ""}, "source"),
        ({"source": "gps\n"}, "source"),
        ({"source": "g\u0000ps"}, "source"),
        ({"source": "g" * 65}, "source"),
        ({"signature": "00"}, "signature"),
        ({"signature": "0x0"}, "signature"),
        ({"signature": "0xzz"}, "signature"),
        ({"signature": None}, "signature"),
        ({"sensors": {"accel": ["a"]}}, "sensors.accel"),
        ({"sensors": {"cellTowerId": "\u0000"}}, "sensors.cellTowerId"),
        ({"sensors": {"wifiBssidNeighbors": ["x"] * 65}}, "sensors.wifiBssidNeighbors"),
    ],
)
async def test_what_does_not_fit_is_named(
    wire: Wire, stranger: Tenant, place: Place, nowhere: str, fields: dict[str, Any], label: str
) -> None:
    path = f"/sessions/{nowhere}/telemetry"
    found = await wire.refused("POST", path, auth=stranger, json=sample(place, **fields))
    assert found == (400, "INVALID_INPUT", f"telemetry:{label}")


async def test_clocks_that_are_far_off_are_told(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, started = await wire.started(consumer, place)
    path = f"/sessions/{started['session']['id']}/telemetry"
    for seconds in (-40, 40):
        when = utc_now() + timedelta(seconds=seconds)
        found = await wire.refused("POST", path, auth=supplier, json=sample(place, when))
        assert found == (409, "CONFLICT", "telemetry:capturedAt")
