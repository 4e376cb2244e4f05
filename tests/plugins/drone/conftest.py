"""A simulated vehicle on the wire, its video, and a media edge."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from rtp_camera import RtpCamera
from simulated_vehicle import SimulatedVehicle

from tests.running_edge import edge, until

__all__ = ["edge", "until"]


def free_udp_port(count: int = 1) -> int:
    """The first of ``count`` neighbouring UDP ports on loopback that nobody uses; even, as RTP likes it."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1] // 2 * 2
        try:
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        else:
            return port
        finally:
            for one in sockets:
                one.close()


@pytest.fixture
def udp_port() -> Callable[[int], int]:
    return free_udp_port


@pytest.fixture
def camera() -> Iterator[RtpCamera]:
    """RTP over UDP to a free port: the test card, frame by frame."""
    with RtpCamera(free_udp_port(2)) as running:
        yield running


@pytest.fixture
def vehicle(camera: RtpCamera) -> Iterator[SimulatedVehicle]:
    """Speaks over UDP to a port that a ``udpin`` link listens at; has camera, zoom and gimbal."""
    with SimulatedVehicle.udp(free_udp_port(), video_uri=str(camera.port)) as running:
        yield running
