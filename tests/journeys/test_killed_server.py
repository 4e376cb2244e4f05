"""SIGKILL within open windows: after the restart they are open as they were, and close where they should."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from killable_server import server

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import utc_now
from luxxon_core.settlement.schemas import Window

PLACE = {"lat": 50.8466, "lng": 4.3528}
AWAY = {"lat": 50.8666, "lng": 4.3528}


async def windows(api: Luxxon, session_id: str) -> dict[str, Window]:
    return {window.reason: window for window in (await api.sessions.receipt(session_id)).windows}


async def test_windows_that_were_open_when_the_server_was_killed() -> None:
    """The operator has left the place; the server dies; the operator is still away, and comes back."""
    with tempfile.TemporaryDirectory(prefix="luxxon-killed-") as folder:
        data_dir, sequence = Path(folder) / "data", 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])

        async def heartbeat(api: Luxxon, workspace: str, place: dict[str, float]) -> None:
            nonlocal sequence
            sequence += 1
            await api.workspaces.heartbeat(workspace, **place, accuracy_meters=5, sequence=sequence)

        async with server(data_dir, port, "new") as first:
            told = first.told
            async with (
                Luxxon(told["url"], api_key=told["consumer"]) as consumer,
                Luxxon(told["url"], api_key=told["supplier"]) as supplier,
            ):
                await supplier.workspaces.update(
                    told["workspace"],
                    coverage_lat=PLACE["lat"],
                    coverage_lng=PLACE["lng"],
                    coverage_radius_meters=1000,
                )
                session = await consumer.sessions.create(**PLACE, max_duration_seconds=300)
                await supplier.sessions.accept(session.id)
                started = await supplier.sessions.start(session.id)
                first.first_frame(started.video_backend_ref)
                await consumer.sessions.wait_for(session.id, "LIVE")
                await heartbeat(supplier, told["workspace"], AWAY)
                before = await windows(consumer, session.id)
                assert before.keys() == {"OUTSIDE_GEOFENCE"}
                await first.kill()
        killed_at = utc_now()

        async with server(data_dir, port) as second:
            url = second.told["url"]
            async with (
                Luxxon(url, api_key=told["consumer"]) as consumer,
                Luxxon(url, api_key=told["supplier"]) as supplier,
            ):
                after = await windows(consumer, session.id)
                assert after["OUTSIDE_GEOFENCE"] == before["OUTSIDE_GEOFENCE"]
                assert after["OUTSIDE_GEOFENCE"].closed_at is None
                lost = after["NETWORK_ERROR"]  # from the last sign of life on: nobody has published since
                assert lost.closed_at is None
                assert abs((killed_at - lost.opened_at).total_seconds()) < 3
                await heartbeat(supplier, told["workspace"], AWAY)
                assert (await windows(consumer, session.id))["OUTSIDE_GEOFENCE"].closed_at is None
                await heartbeat(supplier, told["workspace"], PLACE)
                closed = (await windows(consumer, session.id))["OUTSIDE_GEOFENCE"]
                assert (
                    closed.closed_at is not None and closed.opened_at == before["OUTSIDE_GEOFENCE"].opened_at
                )
                ended = await consumer.sessions.end(session.id)
                assert ended.clean_seconds <= 1, "away or without media all the time"
                assert all(window.closed_at for window in (await windows(consumer, session.id)).values())
