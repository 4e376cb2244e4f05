"""The drone passes the suite of every camera plugin, against a vehicle simulated on the wire."""

from __future__ import annotations

import pytest
from luxxon_drone.config import DroneConfig
from luxxon_drone.drone import DroneType
from pydantic import SecretStr
from rtp_camera import RtpCamera
from simulated_vehicle import SimulatedVehicle

from luxxon_core.testing import SourceConformance


class TestDrone(SourceConformance):
    source_type = DroneType()

    @pytest.fixture(autouse=True)
    def _vehicle(self, vehicle: SimulatedVehicle, camera: RtpCamera, udp_port: object) -> None:
        port = vehicle.wire._peer[1]
        type(self).config = DroneConfig(link=f"udpin:127.0.0.1:{port}", video_password=SecretStr("hunter2"))
        silent = udp_port(1)  # type: ignore[operator]
        type(self).bad_configs = (DroneConfig(link=f"udpin:127.0.0.1:{silent}", link_timeout=1),)
