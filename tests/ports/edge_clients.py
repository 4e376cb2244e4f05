"""aiortc peers of any media edge: they publish flat colours and see which colour comes."""

from __future__ import annotations

import asyncio
import io
from fractions import Fraction

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from PIL import Image

from luxxon_core.media.domain import Frame
from tests.unit.aiortc_edge.edge_peers import SDP, WAIT, until

RED, GREEN, BLUE = (200, 30, 30), (30, 170, 40), (30, 40, 200)


def picture(colour: tuple[int, int, int], count: int) -> np.ndarray:
    image = np.full((240, 320, 3), colour, np.uint8)
    image[:16, count * 4 % 320 :][:, :16] = 255
    return image


class Pattern(MediaStreamTrack):
    """A flat colour with a moving bar, so that frames differ; or encoded packets, sent as they are."""

    kind = "video"

    def __init__(
        self, colour: tuple[int, int, int], packets: list[bytes] | None = None, fps: int = 25
    ) -> None:
        super().__init__()
        self.colour, self.packets, self.fps = colour, packets, fps
        self.count = 0
        self.start = asyncio.get_running_loop().time()

    async def recv(self) -> av.VideoFrame | av.Packet:
        due = self.start + self.count / self.fps
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        if self.packets is not None:
            media: av.VideoFrame | av.Packet = av.Packet(self.packets[self.count % len(self.packets)])
        else:
            media = av.VideoFrame.from_ndarray(picture(self.colour, self.count), format="rgb24")
        media.pts, media.time_base = self.count * 90000 // self.fps, Fraction(1, 90000)
        self.count += 1
        return media


class Client:
    """One aiortc peer of a WHIP or WHEP endpoint."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track: MediaStreamTrack | None = None
        self.session_url = self.etag = ""
        self.frames: list[av.VideoFrame] = []
        self.reader: asyncio.Task[None] | None = None

    async def publish(self, url: str, track: MediaStreamTrack, codec: str) -> None:
        transceiver = self.pc.addTransceiver(track, "sendonly")
        capabilities = RTCRtpSender.getCapabilities("video").codecs
        wanted = {f"video/{codec}", "video/rtx"}
        transceiver.setCodecPreferences([c for c in capabilities if c.mimeType in wanted])
        await self.negotiate(url)

    async def view(self, url: str, codec: str | None = None) -> None:
        transceiver = self.pc.addTransceiver("video", "recvonly")
        if codec is not None:
            capabilities = RTCRtpSender.getCapabilities("video").codecs
            wanted = {f"video/{codec}", "video/rtx"}
            transceiver.setCodecPreferences([c for c in capabilities if c.mimeType in wanted])
        await self.negotiate(url)
        self.reader = asyncio.create_task(self._read(transceiver.receiver.track))

    async def negotiate(self, url: str) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        async with self.http.post(url, data=self.pc.localDescription.sdp, headers=SDP) as answer:
            assert answer.status == 201, (answer.status, await answer.text())
            self.session_url, self.etag = answer.headers["Location"], answer.headers["ETag"]
            await self.pc.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                self.frames.append(frame)
        except MediaStreamError:
            return

    async def sees(self, colour: tuple[int, int, int], timeout: float = WAIT) -> None:
        """Wait for a new frame of this colour."""
        start = len(self.frames)
        await until(lambda: any(shows(frame, colour) for frame in self.frames[start:][-3:]), timeout)

    async def close(self) -> None:
        await self.pc.close()
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)


def shows(frame: av.VideoFrame, colour: tuple[int, int, int]) -> bool:
    return close_to(frame.to_ndarray(format="rgb24"), colour)


def close_to(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    centre = picture[picture.shape[0] // 3 :, :, :].mean(axis=(0, 1))
    return bool(np.abs(centre - colour).max() < 25)


def decoded(frame: Frame) -> np.ndarray:
    image = Image.open(io.BytesIO(frame.jpeg))
    assert image.format == "JPEG" and image.size == (frame.width, frame.height)
    return np.asarray(image.convert("RGB"))
