"""What the tests of the running edge share: aiortc peers and an edge behind a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from typing import TypeVar

import aiohttp
import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from loopback import served

from luxxon_core.adapters.aiortc_edge.edge import AiortcEdge
from luxxon_core.media.domain import LiveInput, MediaEventKind

SDP = {"Content-Type": "application/sdp"}
WAIT = 15.0
T = TypeVar("T")


def encoded(pictures: Sequence[np.ndarray]) -> list[bytes]:
    """H.264 of RGB pictures 320x240 with one keyframe, as a file or a camera delivers it."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    keyframes = f"keyint={len(pictures)}:scenecut=0"
    context.options = {"tune": "zerolatency", "preset": "ultrafast", "x264-params": keyframes}
    packets: list[bytes] = []
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = index
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


class Camera(MediaStreamTrack):
    """H.264 with a single keyframe in eight seconds, sent as it is: keyframe requests are ignored."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
        self.packets = encoded([np.roll(noise, index, 1) for index in range(200)])
        self.count, self.start = 0, asyncio.get_running_loop().time()

    async def recv(self) -> av.Packet:
        await asyncio.sleep(max(0.0, self.start + self.count / 25 - asyncio.get_running_loop().time()))
        packet = av.Packet(self.packets[self.count % len(self.packets)])
        packet.pts, packet.time_base = self.count * 3600, Fraction(1, 90000)
        self.count += 1
        return packet


@asynccontextmanager
async def peer() -> AsyncIterator[RTCPeerConnection]:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        yield pc
    finally:
        await pc.close()


async def offer(pc: RTCPeerConnection) -> str:
    await pc.setLocalDescription(await pc.createOffer())
    return pc.localDescription.sdp


async def connect(http: aiohttp.ClientSession, pc: RTCPeerConnection, url: str) -> tuple[str, str]:
    """Session URL and entity tag."""
    async with http.post(url, data=await offer(pc), headers=SDP) as answer:
        assert answer.status == 201, await answer.text()
        await pc.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        return answer.headers["Location"], answer.headers["ETag"]


def send_h264(pc: RTCPeerConnection) -> None:
    transceiver = pc.addTransceiver(Camera(), "sendonly")
    codecs = [
        c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType in ("video/H264", "video/rtx")
    ]
    transceiver.setCodecPreferences(codecs)


async def until(condition: Callable[[], object], timeout: float = WAIT) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def serve(stack: AsyncExitStack, edge: AiortcEdge) -> str:
    """The edge's routes on a free port; the base URL."""
    app = web.Application()
    app.add_routes(edge.routes())
    return await stack.enter_async_context(served(app))


async def eventually(probe: Callable[[], Awaitable[T | None]], timeout: float = WAIT) -> T:
    async with asyncio.timeout(timeout):
        while (result := await probe()) is None:
            await asyncio.sleep(0.01)
        return result


class Service:
    def __init__(self, edge: AiortcEdge, http: aiohttp.ClientSession) -> None:
        self.edge, self.http = edge, http

    async def first_frame(self, live_input: LiveInput) -> None:
        async with asyncio.timeout(WAIT):
            async for event in self.edge.events():
                if event.kind is MediaEventKind.FIRST_FRAME and event.uid == live_input.uid:
                    return


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        url = ""
        edge = AiortcEdge(public_url=lambda: url, **options)  # type: ignore[arg-type]
        await stack.enter_async_context(edge)
        url = await serve(stack, edge)
        yield Service(edge, await stack.enter_async_context(aiohttp.ClientSession()))
