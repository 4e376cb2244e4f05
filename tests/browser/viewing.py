"""The page with ``peer.js``, and what a page sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from chromium import Page
from loopback import served

from tests.running_edge import RunningEdge

RED, GREEN, BLUE = "rgb(200, 30, 30)", "rgb(40, 190, 20)", "rgb(30, 40, 200)"
SECONDS = 15.0
TOLERANCE = 45
"""Of 255: encoders and canvases disagree on the matrix of colours."""


def udp_of(edge: RunningEdge) -> tuple[str, int]:
    """Where the edge takes its packets."""
    context = edge.edge._context
    assert context is not None
    return context.mux.socket.address


def rgb(colour: str) -> tuple[int, ...]:
    """Red, green and blue of a colour as CSS writes it."""
    return tuple(int(part) for part in colour[4:-1].split(","))


async def decodes(page: Page, frames: int = 10) -> dict[str, Any]:
    """Wait for so many more frames to be decoded; the statistics then."""
    before = await page.call("stats", "inbound-rtp", "video")
    wanted = (before or {}).get("framesDecoded", 0) + frames
    async with asyncio.timeout(SECONDS):
        while True:
            now: dict[str, Any] | None = await page.call("stats", "inbound-rtp", "video")
            if now is not None and now.get("framesDecoded", 0) >= wanted:
                return now
            await asyncio.sleep(0.05)


COLOUR = """(() => {
  const canvas = new OffscreenCanvas(16, 16), context = canvas.getContext("2d");
  context.drawImage(document.querySelector("video"), 0, 0, 16, 16);
  const { data } = context.getImageData(4, 4, 8, 8);
  return [0, 1, 2].map((part) => data.filter((_, at) => at % 4 === part).reduce((a, b) => a + b) / 64);
})()"""


PEER_PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<video autoplay></video>
<script src="peer.js"></script>
"""


@asynccontextmanager
async def serving_peer_page() -> AsyncIterator[str]:
    """URL of the page, on a port and thus an origin of its own."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PEER_PAGE, content_type="text/html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__).parent / "peer.js")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/peer.js", script)])
    async with served(app) as url:
        yield f"{url}/"


async def colour_of(page: Page) -> list[float]:
    """Average of the middle of what the page's video shows."""
    seen: list[float] = await page.evaluate(COLOUR)
    return seen


async def sees(page: Page, colour: str) -> None:
    """Wait for the picture to be of one colour."""
    wanted = rgb(colour)
    seen: list[float] = []
    try:
        async with asyncio.timeout(SECONDS):
            while not seen or max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) > TOLERANCE:
                await asyncio.sleep(0.05)
                seen = await colour_of(page)
    except TimeoutError:
        raise AssertionError(f"{colour} never came; last seen: {seen}") from None
