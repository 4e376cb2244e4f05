"""Source type ``file``: a video file played in real time, as if a camera were showing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import structlog
from pydantic import Field

from luxxon_core.capture import FrameMailbox, HealthMeter, MeteredSource, PacketMailbox, pump
from luxxon_core.source import (
    API_VERSION,
    RAW,
    DeviceInformation,
    DiscoveredDevice,
    EncodedPacket,
    MediaProfile,
    SourceConfig,
    SourceConfigError,
)

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_testcard.clip import Clip

log = structlog.get_logger(__name__)


class FileConfig(SourceConfig):
    spec_field: ClassVar[str | None] = "path"

    path: Path = Field(title="File", description="Any video; H.264 without B-frames is sent as it is")
    loop: bool = Field(default=True, title="Start again at the end")


class FileType:
    key = "file"
    title = "Video file"
    api_version = API_VERSION
    Config = FileConfig

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        return
        yield

    async def open(self, config: FileConfig) -> FileSource:
        from luxxon_testcard.clip import probe

        clip = await asyncio.to_thread(probe, config.path.expanduser())
        warnings: tuple[str, ...] = ()
        if clip.encode_reason is not None:
            warnings = (f"{clip.path.name} is decoded and encoded again: {clip.encode_reason}",)
            log.warning("file.encoded_again", file=clip.path.name, reason=clip.encode_reason)
        return FileSource(clip, config.loop, HealthMeter(warnings))


class FileSource(MeteredSource):
    """Every reader plays the clip from its start, in a thread of its own."""

    def __init__(self, clip: Clip, loop: bool, meter: HealthMeter) -> None:
        super().__init__(DeviceInformation(manufacturer="Luxxon", model=clip.path.name), meter)
        self.clip, self.loop = clip, loop

    def media_profiles(self) -> list[MediaProfile]:
        codec = RAW if self.clip.encode_reason else "h264"
        return [MediaProfile("main", codec, self.clip.width, self.clip.height, self.clip.frame_rate)]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        from luxxon_testcard.clip import play_packets

        self.check(profile)
        if not profile.encoded:
            raise SourceConfigError("source:raw", f"{self.clip.path.name}: {self.clip.encode_reason}")
        mailbox = PacketMailbox(limit=round(2 * self.clip.frame_rate) + 1)
        with self._meter.reading():
            async with aclosing(pump(partial(play_packets, self.clip, self.loop), mailbox)) as packets:
                async for packet in packets:
                    self._meter.tick()
                    yield packet

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        from luxxon_testcard.clip import play_frames

        self.check(profile)
        mailbox: FrameMailbox[VideoFrame] = FrameMailbox()
        play = partial(play_frames, self.clip, self.loop, max_width, max_fps)
        with self._meter.reading():
            async with aclosing(pump(play, mailbox)) as frames:
                async for frame in frames:
                    self._meter.tick()
                    yield frame
