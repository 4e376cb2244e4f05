"""Chromium as publisher and viewer of the embedded edge, over HTTP from another origin."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack

import pytest
from chromium import Browser, Page
from lossy import lossy
from viewing import BLUE, GREEN, RED, decodes, sees, udp_of

from tests.running_edge import RunningEdge

LOSS = 0.05
LOSSY_SECONDS = 10.0
STOPPED_SECONDS = 2.0
"""A picture that stands still for so long has stopped."""
DECODED_SHARE = 0.9
"""Of the frames that are encoded meanwhile: the rest is on its way or beyond repair."""


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_the_camera_is_seen_and_heard(
    browser: Browser, peer_page: str, edge: RunningEdge, codec: str
) -> None:
    await browser.grant(peer_page, "videoCapture", "audioCapture")
    live_input = await edge.create()
    publisher, viewer = await browser.page(peer_page), await browser.page(peer_page)
    await publisher.call("publish", live_input.whip_url, "camera", codec)
    await viewer.call("watch", live_input.whep_url)
    await viewer.until("firstFrame")

    picture = await decodes(viewer)
    assert picture["codec"] == f"video/{codec}"
    assert (picture["frameWidth"], picture["frameHeight"]) == (640, 360)
    await sees(viewer, GREEN)  # what the fake camera shows
    await viewer.until("stats('inbound-rtp', 'audio').then((sound) => sound?.totalAudioEnergy > 0)")


async def test_sound_that_comes_later_is_heard_without_asking_anew(
    browser: Browser, peer_page: str, edge: RunningEdge
) -> None:
    """A picture alone is published, and then another with its microphone on."""
    await browser.grant(peer_page, "videoCapture", "audioCapture")
    live_input = await edge.create()
    mute, loud, viewer = [await browser.page(peer_page) for _ in range(3)]
    await mute.call("publish", live_input.whip_url, RED, "VP8")
    await viewer.call("watch", live_input.whep_url)
    await sees(viewer, RED)
    await loud.call("publish", live_input.whip_url, "camera", "VP8")
    await sees(viewer, GREEN)
    await viewer.until("stats('inbound-rtp', 'audio').then((sound) => sound?.totalAudioEnergy > 0)")
    assert await viewer.evaluate("peer.connectionState") == "connected"


async def encoded(publisher: Page) -> int:
    frames: int = (await publisher.call("stats", "outbound-rtp", "video"))["framesEncoded"]
    return frames


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_loss_in_both_directions_never_stops_the_picture(
    browser: Browser, peer_page: str, edge: RunningEdge, codec: str
) -> None:
    live_input = await edge.create()
    publisher, viewer = await browser.page(peer_page), await browser.page(peer_page)
    async with (
        lossy(udp_of(edge), LOSS, seed=1) as ingest,
        lossy(udp_of(edge), LOSS, seed=3) as playback,
    ):
        await publisher.call("publish", live_input.whip_url, RED, codec, ingest.port)
        await publisher.until("peer.connectionState === 'connected'")
        await viewer.call("watch", live_input.whep_url, playback.port)
        first, before = await decodes(viewer), await encoded(publisher)

        loop = asyncio.get_running_loop()
        end, seen, grew = loop.time() + LOSSY_SECONDS, first["framesDecoded"], loop.time()
        while loop.time() < end:
            await asyncio.sleep(0.25)
            decoded = (await viewer.call("stats", "inbound-rtp", "video"))["framesDecoded"]
            if decoded > seen:
                seen, grew = decoded, loop.time()
            assert loop.time() - grew < STOPPED_SECONDS, f"stopped after {seen} frames"
        last, sent = await viewer.call("stats", "inbound-rtp", "video"), await encoded(publisher)
        for direction in (ingest.inwards, ingest.outwards, playback.inwards, playback.outwards):
            assert direction.lost > 0
    assert last["framesDecoded"] - first["framesDecoded"] > DECODED_SHARE * (sent - before)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_viewer_stays_while_publishers_change(
    browser: Browser, peer_page: str, edge: RunningEdge, codec: str
) -> None:
    """One takes over, closes its window, and another comes: the viewer keeps its connection throughout."""
    live_input = await edge.create()
    first, second, third, viewer = [await browser.page(peer_page) for _ in range(4)]
    await first.call("publish", live_input.whip_url, RED, codec)
    await viewer.call("watch", live_input.whep_url)
    await sees(viewer, RED)
    before = await viewer.call("stats", "inbound-rtp", "video")

    await second.call("publish", live_input.whip_url, GREEN, codec)
    await sees(viewer, GREEN)
    await first.until("peer.getSenders()[0].transport.state === 'closed'")
    await second.close()
    await third.call("publish", live_input.whip_url, BLUE, codec)
    await sees(viewer, BLUE)

    after = await viewer.call("stats", "inbound-rtp", "video")
    assert (after["ssrc"], after["id"]) == (before["ssrc"], before["id"])
    assert await viewer.evaluate("peer.connectionState") == "connected"


@pytest.mark.parametrize("side", ["publisher", "viewer"])
async def test_a_change_of_network_ends_no_session(
    browser: Browser, peer_page: str, edge: RunningEdge, side: str
) -> None:
    """The way to the edge is gone; after an ICE restart the same session goes on another way."""
    live_input = await edge.create()
    publisher, viewer = await browser.page(peer_page), await browser.page(peer_page)
    async with AsyncExitStack() as former, lossy(udp_of(edge), 0.0, seed=0) as new:
        old = await former.enter_async_context(lossy(udp_of(edge), 0.0, seed=0))
        await publisher.call("publish", live_input.whip_url, RED, "VP8", old.port * (side == "publisher"))
        await viewer.call("watch", live_input.whep_url, old.port * (side == "viewer"))
        await sees(viewer, RED)
        moving = publisher if side == "publisher" else viewer
        ufrag = (await moving.call("pair"))["iceLocalUsernameFragment"]
        await former.aclose()

        tag = await moving.call("restartIce", new.port)
        assert re.fullmatch(r'"[^"]+"', tag)
        await decodes(viewer, 25)
        pair = await moving.call("pair")
        assert pair["remote"]["port"] == new.port and pair["iceLocalUsernameFragment"] != ufrag
        assert pair["dtlsState"] == "connected"
    assert (edge.publishers, edge.viewers) == (1, 1)


async def test_peers_with_rsa_certificates_are_served(
    browser: Browser, peer_page: str, edge: RunningEdge
) -> None:
    live_input = await edge.create()
    publisher, viewer = await browser.page(peer_page), await browser.page(peer_page)
    await publisher.evaluate(f"rsa().then((rsa) => publish('{live_input.whip_url}', '{RED}', 'VP8', 0, rsa))")
    await viewer.evaluate(f"rsa().then((rsa) => watch('{live_input.whep_url}', 0, rsa))")
    await sees(viewer, RED)
    for page in (publisher, viewer):
        assert (await page.call("pair"))["srtpCipher"] == "SRTP_AEAD_AES_128_GCM"


async def test_a_page_that_hides_its_addresses_is_served(
    browser: Browser, peer_page: str, edge: RunningEdge
) -> None:
    """Without leave to use a camera, Chromium offers names of mDNS only."""
    live_input = await edge.create()
    publisher, viewer = await browser.page(peer_page), await browser.page(peer_page)
    await publisher.call("publish", live_input.whip_url, RED, "H264")
    await viewer.call("watch", live_input.whep_url)
    candidates = re.findall(r"a=candidate:.*", await viewer.evaluate("peer.localDescription.sdp"))
    assert candidates and all(".local " in candidate for candidate in candidates)
    await sees(viewer, RED)
