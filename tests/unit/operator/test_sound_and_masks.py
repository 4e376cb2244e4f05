"""Sound beside the picture, and pictures that are covered on their way: through a real edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamTrack

from luxxon_core.client.peer import Peer, http_client
from luxxon_core.client.whep import WhepViewer
from luxxon_core.operator.masks import Privacy
from luxxon_core.operator.publisher import Publisher
from luxxon_core.source import AudioPacket, EncodedPacket, MediaProfile, SourceNotReady
from luxxon_core.testing import FakeSource

Until = Callable[..., Awaitable[None]]
TWENTY_MS = 960


class Talking(FakeSource):
    """A tone of 440 Hz in Opus, which can fall silent."""

    codec = "opus"
    mute = False

    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        encoder = av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
        for number in range(10_000):
            if self.mute:
                raise SourceNotReady("fake:mute", "the microphone is out")
            at = np.arange(number * TWENTY_MS, (number + 1) * TWENTY_MS)
            tone = (np.sin(at * 2 * np.pi * 440 / 48_000) * 12_000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2).reshape(1, -1), "s16", "stereo")
            frame.sample_rate, frame.pts = 48_000, number * TWENTY_MS
            for packet in encoder.encode(frame):
                yield AudioPacket(self.codec, packet.pts or 0, bytes(packet))
            await asyncio.sleep(0.02)


async def heard(track: MediaStreamTrack, frames: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    async with asyncio.timeout(10):
        return np.concatenate([(await track.recv()).to_ndarray().reshape(-1) for _ in range(frames)])


class Listener:
    """A WHEP client that takes both, the sound first in its offer."""

    def __init__(self) -> None:
        self.http = http_client()
        self.peer = Peer(self.http)
        connection: RTCPeerConnection = self.peer.connection
        self.tracks: dict[str, MediaStreamTrack] = {}
        connection.on("track", lambda track: self.tracks.__setitem__(track.kind, track))
        connection.addTransceiver("audio", direction="recvonly")
        connection.addTransceiver("video", direction="recvonly")

    async def close(self) -> None:
        await self.peer.close()
        await self.http.aclose()


async def test_the_sound_arrives_beside_the_picture_and_its_failure_leaves_the_picture(
    edge: Any, until: Until
) -> None:
    live_input = await edge.create()
    async with Talking() as source:
        publisher = Publisher(source, microphone=True)
        task = asyncio.create_task(publisher.publish(live_input.whip_url))
        listener = Listener()
        try:
            await until(lambda: publisher.status.frames > 3)
            await listener.peer.connect(live_input.whep_url)
            sound = await heard(listener.tracks["audio"], 60)
            left = sound[-48_000::2].astype(np.float64)
            spectrum = np.abs(np.fft.rfft(left))
            assert abs(np.argmax(spectrum) * 48_000 / left.size - 440) < 5
            source.mute = True
            frames = publisher.status.frames
            await until(lambda: publisher.status.frames > frames + 30)
            source.mute = False
            await heard(listener.tracks["audio"], 100)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await listener.close()


@pytest.mark.parametrize("asked", [True, False])
async def test_what_is_not_asked_for_or_not_opus_is_not_published(
    edge: Any, until: Until, asked: bool
) -> None:
    live_input = await edge.create()
    async with Talking() as source:
        source.codec = "pcm_mulaw" if asked else "opus"
        publisher = Publisher(source, microphone=asked)
        task = asyncio.create_task(publisher.publish(live_input.whip_url))
        try:
            await until(lambda: publisher.status.frames > 30)
            channel = edge.edge.channel("whip", live_input.whip_url.rsplit("/", 1)[1])
            kinds = [set(peer.inbounds) for peer in channel.sessions.values() if peer.role == "publisher"]
            assert kinds == [{"video", "audio"} if asked else {"video"}]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Encoding(FakeSource):
    """A camera that sends H.264 itself."""

    copied = False

    def media_profiles(self) -> list[MediaProfile]:
        raw = super().media_profiles()[0]
        return [MediaProfile("main", "h264", raw.width, raw.height, raw.frame_rate), raw]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        self.copied = True
        raise AssertionError("a masked camera is never copied")
        yield


async def test_a_masked_camera_is_never_copied_and_the_viewer_sees_the_mask(edge: Any, until: Until) -> None:
    live_input = await edge.create()
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    async with Encoding() as source:
        publisher = Publisher(source, privacy=Privacy(masks=(half,)))
        task = asyncio.create_task(publisher.publish(live_input.whip_url))
        viewer = WhepViewer()
        try:
            await until(lambda: publisher.status.frames > 3)
            await viewer.open(live_input.whep_url)
            async with asyncio.timeout(10):
                frames = [await viewer.frame() for _ in range(15)]
            assert not source.copied
            assert not publisher.status.copied
            for frame in frames:
                luma = frame.to_ndarray(format="gray")
                assert luma[:, :150].max() < 30
            assert luma[:, 170:].mean() > luma[:, :150].mean() + 5
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await viewer.close()
