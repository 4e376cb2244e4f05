"""How soon Chromium sees a picture, and what it sees of one when the network loses packets.

First frame: from the POST of the WHEP offer to the callback of the first frame shown. The limit is two
connections in one page that hand the same painted picture to each other without a server: an offer set on the
one side to the first frame on the other.

Loss: publisher and viewer each reach the edge through a relay that drops 5 % of the datagrams each way;
frames decoded of those encoded meanwhile, and the longest time without a new one.

Run: ``python benchmarks/browser.py``. About two minutes. Budget: 500 ms.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tests"), str(ROOT)]

if TYPE_CHECKING:
    from chromium import Browser, Page

    from tests.running_edge import RunningEdge

CODECS = ("VP8", "H264")
RUNS = 15
BUDGET_MS = 500
LOSS, LOSS_SECONDS = 0.05, 15.0
STEP = 0.1

DIRECT = """async (codec) => {
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
  to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
  globalThis.track ??= painted("red").getTracks()[0];
  const sends = from.addTransceiver(track, { direction: "sendonly" });
  sends.setCodecPreferences(offered("video", codec));
  to.ontrack = ({ track }) => (video.srcObject = new MediaStream([track]));
  posted = Infinity;
  const seen = shown();
  await from.setLocalDescription();
  posted = performance.now();
  await to.setRemoteDescription(from.localDescription);
  await to.setLocalDescription();
  await from.setRemoteDescription(to.localDescription);
  const took = (await seen) - posted;
  from.close();
  to.close();
  video.srcObject = null;
  return took;
}"""


async def first_frame(page: Page, url: str) -> float:
    await page.call("watch", url)
    took: float = await page.until("firstFrame")
    await page.evaluate("fetch(session, { method: 'DELETE' }).then(() => peer.close())")
    return took


async def first_frames(browser: Browser, url: str, edge: RunningEdge) -> None:
    print("first frame, ms     median  worst   limit   ratio   budget")
    for codec in CODECS:
        live_input = await edge.create()
        publisher, page = await browser.page(url), await browser.page(url)
        limit = statistics.median([await page.call(f"({DIRECT})", codec) for _ in range(RUNS)])
        await publisher.call("publish", live_input.whip_url, "red", codec)
        await publisher.until("peer.connectionState === 'connected'")
        took = [await first_frame(page, live_input.whep_url) for _ in range(RUNS)]
        median = statistics.median(took)
        print(f"{codec:18} {median:7.0f} {max(took):6.0f} {limit:7.0f} {median / limit:6.2f}x {BUDGET_MS:8}")
        await page.close()
        await publisher.close()


async def frames(page: Page, type_: str, name: str) -> tuple[int, dict[str, Any]]:
    stats = await page.call("stats", type_, "video")
    return int(stats[name]), stats


async def loss(browser: Browser, url: str, edge: RunningEdge) -> None:
    from lossy import lossy
    from viewing import decodes, udp_of

    print(f"\n{LOSS:.0%} lost each way  decoded of encoded   longest stop   freezes   keyframes asked for")
    for codec in CODECS:
        live_input = await edge.create()
        publisher, viewer = await browser.page(url), await browser.page(url)
        async with AsyncExitStack() as stack:
            ways = [await stack.enter_async_context(lossy(udp_of(edge), LOSS, seed)) for seed in (1, 3)]
            await publisher.call("publish", live_input.whip_url, "red", codec, ways[0].port)
            await publisher.until("peer.connectionState === 'connected'")
            await viewer.call("watch", live_input.whep_url, ways[1].port)
            await decodes(viewer)
            sent, _ = await frames(publisher, "outbound-rtp", "framesEncoded")
            seen, before = await frames(viewer, "inbound-rtp", "framesDecoded")
            first, stop, loop = seen, 0.0, asyncio.get_running_loop()
            grew = began = loop.time()
            while loop.time() - began < LOSS_SECONDS:
                await asyncio.sleep(STEP)
                now, after = await frames(viewer, "inbound-rtp", "framesDecoded")
                stop = max(stop, loop.time() - grew)
                if now > seen:
                    seen, grew = now, loop.time()
            sent = (await frames(publisher, "outbound-rtp", "framesEncoded"))[0] - sent
        asked, froze = (after[name] - before[name] for name in ("pliCount", "freezeCount"))
        print(f"{codec:17} {seen - first:8} of {sent:<8} {stop:13.2f} s {froze:9} {asked:10}")
        await viewer.close()
        await publisher.close()


async def main() -> None:
    import structlog
    from chromium import INSTALL, connected, program, running
    from viewing import serving_peer_page

    from tests.running_edge import running_edge

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if (executable := program()) is None:
        raise SystemExit(f"Chromium is missing; install it with: {INSTALL}")
    with running(executable) as endpoint:
        async with (
            connected(endpoint) as browser,
            serving_peer_page() as url,
            running_edge() as edge,
        ):
            await first_frames(browser, url, edge)
            await loss(browser, url, edge)


if __name__ == "__main__":
    asyncio.run(main())
