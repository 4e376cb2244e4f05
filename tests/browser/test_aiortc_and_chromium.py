"""One end is Chromium, the other aiortc: two stacks that know nothing of each other meet at the edge."""

from __future__ import annotations

import aiohttp
import aioice.ice
import av
import pytest
from chromium import Browser
from viewing import RED, decodes, rgb

from tests.running_edge import RunningEdge
from tests.unit.aiortc_edge.edge_peers import connect, peer, send_h264

FRAMES = 250


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback addresses out."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def test_chromium_shows_a_camera_that_makes_no_keyframe_on_request(
    browser: Browser, peer_page: str, edge: RunningEdge
) -> None:
    """A keyframe in eight seconds: what came since the last one is replayed to who joins."""
    live_input, viewer = await edge.create(), await browser.page(peer_page)
    async with aiohttp.ClientSession() as http, peer() as publisher:
        send_h264(publisher)
        await connect(http, publisher, live_input.whip_url)
        await viewer.call("watch", live_input.whep_url)
        picture = await decodes(viewer, 25)
        assert picture["codec"] == "video/H264" and picture["framesDropped"] == 0


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_aiortc_decodes_what_chromium_publishes(
    browser: Browser, peer_page: str, edge: RunningEdge, codec: str
) -> None:
    live_input, publisher = await edge.create(), await browser.page(peer_page)
    await publisher.call("publish", live_input.whip_url, RED, codec)
    async with aiohttp.ClientSession() as http, peer() as viewer:
        transceiver = viewer.addTransceiver("video", "recvonly")
        await connect(http, viewer, live_input.whep_url)
        for _ in range(FRAMES):
            frame = await transceiver.receiver.track.recv()
            assert isinstance(frame, av.VideoFrame)
            middle = frame.to_ndarray(format="rgb24")[frame.height // 4 :].mean(axis=(0, 1))
            if abs(middle - rgb(RED)).max() < 45:
                break
        else:
            pytest.fail(f"no red frame among {FRAMES}; the last was {middle}")
