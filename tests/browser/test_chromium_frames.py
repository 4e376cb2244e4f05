"""The picture that the edge keeps of what Chromium publishes, in every codec and with spatial layers."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from chromium import Browser
from PIL import Image

from luxxon_core.media.domain import Frame
from tests.running_edge import RunningEdge

SECONDS = 20.0
TOLERANCE = 50
"""Of 255: a canvas is of full range, which Chromium tells H.264 decoders only."""
PUBLISH = """async (url, codec, mode) => {
  peer = new RTCPeerConnection();
  const [track] = painted("rgb(40, 190, 20)").getTracks();
  const encoding = mode ? { scalabilityMode: mode } : {};
  const transceiver = peer.addTransceiver(track, { direction: "sendonly", sendEncodings: [encoding] });
  transceiver.setCodecPreferences(offered("video", codec));
  await negotiate(url, 0);
}"""


@pytest.mark.parametrize(
    ("codec", "mode"),
    [
        ("H264", None),
        ("VP8", "L1T3"),
        ("VP9", None),
        ("VP9", "L3T3_KEY"),
        ("VP9", "L2T2"),
        ("AV1", None),
        ("AV1", "L2T1"),
    ],
)
async def test_the_edge_has_a_fresh_picture(
    browser: Browser, peer_page: str, edge: RunningEdge, codec: str, mode: str | None
) -> None:
    live_input = await edge.create()
    page = await browser.page(peer_page)
    await page.call(f"({PUBLISH})", live_input.whip_url, codec, mode)
    frames: dict[str, Frame] = {}
    async with asyncio.timeout(SECONDS):
        while len(frames) < 3:
            await asyncio.sleep(0.05)
            if (frame := await edge.edge.frame(live_input)) is not None:
                frames[frame.digest] = frame
    newest = frames.popitem()[1]
    picture = np.asarray(Image.open(io.BytesIO(newest.jpeg)).convert("RGB"))[newest.height // 4 :]
    assert np.abs(picture.mean(axis=(0, 1)) - (40, 190, 20)).max() < TOLERANCE
    assert (newest.width, newest.height) == (640, 360), "the highest layer"
    sent = await page.call("stats", "outbound-rtp", "video")
    assert sent["codec"] == f"video/{codec}"
    if mode is not None:  # of three layers Chromium leaves one out of so small a picture
        assert int(sent["scalabilityMode"][1]) >= min(2, int(mode[1]))
