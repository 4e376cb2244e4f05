"""A drone sold by the agent, with a real server and edge: its radio loses packets, then everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from luxxon_drone.drone import DroneType
from luxxon_testcard.counter import read_counter
from relays import LossyRadio
from rtp_camera import FPS, RtpCamera, psnr
from simulated_vehicle import SimulatedVehicle

from luxxon_core.client import Luxxon
from luxxon_core.client.whep import WhepViewer
from luxxon_core.demo.stage import SUPPLIER_SCOPES, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.geo import Point
from luxxon_core.operator.camera import Camera, CameraState
from luxxon_core.operator.config import operate_table
from luxxon_core.operator.fleet import Fleet
from luxxon_core.server import Server
from tests.journeys.operating import consumer_of, outside, server, watched, window

pytestmark = pytest.mark.alone

__all__ = ["outside", "server"]
OUTAGE_SECONDS = 6.0
LOSS = 0.03
LINK_TIMEOUT = 1.0


@asynccontextmanager
async def operated(server: Server, link: int) -> AsyncIterator[Camera]:
    """The drone on offer, wherever it says it is."""
    kind = DroneType()
    async with party(server.api_url, "drone", "SUPPLIER", SUPPLIER_SCOPES) as supplier:
        camera = Camera(
            name="drone",
            source_type=kind,
            config=kind.Config(link=f"udpin:127.0.0.1:{link}", link_timeout=LINK_TIMEOUT),
            table=operate_table("drone", {"follow": True, "device_kind": "DRONE"}),
            connect=lambda: Luxxon(server.api_url, api_key=supplier.api_key),
            wallet=supplier.wallet,
            heartbeat_seconds=1.0,
        )
        stop = asyncio.Event()
        fleet = asyncio.create_task(Fleet([camera]).run(stop))
        try:
            await asyncio.wait_for(camera.settled.wait(), 20)
            assert camera.state is CameraState.OFFERED, camera.reason
            yield camera
        finally:
            stop.set()
            await asyncio.wait_for(fleet, 20)


@pytest.mark.parametrize("all_of_it", [True, False], ids=["radio out", "only the vehicle is silent"])
async def test_what_the_radio_loses_is_not_charged_and_the_session_goes_on(
    server: Server, udp_port: Callable[[int], int], all_of_it: bool
) -> None:
    link, camera_port, drone_port = udp_port(1), udp_port(2), udp_port(2)
    with (
        RtpCamera(camera_port, gop=10),
        LossyRadio(camera_port, drone_port, LOSS) as radio,
        SimulatedVehicle.udp(link, video_uri=str(drone_port)) as vehicle,
    ):
        assert vehicle.place is not None
        place = Point(vehicle.place.latitude, vehicle.place.longitude)
        async with consumer_of(server) as consumer, operated(server, link):
            session_id, api = await watched(consumer, place), consumer.api
            viewer = WhepViewer()
            await viewer.open((await api.sessions.viewer_token(session_id)).whep_url)
            try:
                await _goes_on(viewer)
            finally:
                await viewer.close()
            assert radio.lost > 5
            assert (await api.sessions.receipt(session_id)).windows == [], "3 % cost nobody a second"

            began = utc_now()
            vehicle.silent.set()
            radio.loss = 1.0 if all_of_it else LOSS
            await window(consumer, session_id, closed=False)
            await asyncio.sleep(OUTAGE_SECONDS - (utc_now() - began).total_seconds())
            radio.loss = LOSS
            vehicle.silent.clear()
            over = utc_now()
            await window(consumer, session_id, closed=True)

            await asyncio.sleep(1.5)
            ended = await api.sessions.end(session_id)
            bill = await api.sessions.receipt(session_id)
            [lost] = bill.windows
            assert lost.reason == "NETWORK_ERROR"
            assert lost.closed_at is not None
            noticed = 0.0 if all_of_it else LINK_TIMEOUT  # until then the picture goes on
            assert abs((lost.opened_at - began).total_seconds() - noticed) < 1
            assert abs((lost.closed_at - over).total_seconds()) < 1
            assert ended.clean_seconds == (bill.elapsed_milliseconds - bill.lost_milliseconds) // 1000 > 0


async def _goes_on(viewer: WhepViewer) -> None:
    """For five seconds, and much of it is what was sent: a loss spoils no more than up to a key frame."""
    began, seen, good = time.monotonic(), 0, 0
    while time.monotonic() - began < 5:
        frame = await asyncio.wait_for(viewer.frame(), 5)
        seen += 1
        good += read_counter(frame) is not None and psnr(frame) > 30
    assert seen > 2 * FPS
    assert good > seen / 3
