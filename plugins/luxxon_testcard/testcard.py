"""Source type ``testcard``: colour bars, a clock, a frame counter and something that moves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from pydantic import Field

from luxxon_core.capture import HealthMeter, MeteredSource
from luxxon_core.source import (
    API_VERSION,
    RAW,
    VIDEO_CLOCK,
    DeviceInformation,
    DiscoveredDevice,
    EncodedPacket,
    MediaProfile,
    SourceConfig,
    SourceConfigError,
)

if TYPE_CHECKING:
    from av import VideoFrame

INFORMATION = DeviceInformation(manufacturer="Luxxon", model="Test card")


class TestcardConfig(SourceConfig):
    """Size in pixels (even) and frames per second."""

    width: int = Field(default=1280, ge=64, le=3840, multiple_of=2, title="Width")
    height: int = Field(default=720, ge=36, le=2160, multiple_of=2, title="Height")
    fps: int = Field(default=30, ge=1, le=60, title="Frames per second")


class TestcardType:
    key = "testcard"
    title = "Test card"
    api_version = API_VERSION
    Config = TestcardConfig

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        yield DiscoveredDevice("testcard", "Test card", TestcardConfig(), INFORMATION)

    async def open(self, config: TestcardConfig) -> TestcardSource:
        return TestcardSource(config)


class TestcardSource(MeteredSource):
    """All readers see one timeline: frame n is due n / fps seconds after opening."""

    def __init__(self, config: TestcardConfig) -> None:
        super().__init__(INFORMATION, HealthMeter())
        self.config = config
        self._opened = time.monotonic()

    def media_profiles(self) -> list[MediaProfile]:
        return [MediaProfile("main", RAW, self.config.width, self.config.height, float(self.config.fps))]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        raise SourceConfigError("source:raw", "the test card offers raw frames only")
        yield

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        from luxxon_testcard.render import Renderer

        self.check(profile)
        width, height, fps = self.config.width, self.config.height, self.config.fps
        if max_width is not None and max_width < width:
            height = max(2, round(height * max_width / width / 2) * 2)
            width = max(2, max_width // 2 * 2)
        renderer = await asyncio.to_thread(Renderer, width, height, f"{self.config.height}p{fps}")
        step = max(1, math.ceil(fps / max_fps)) if max_fps else 1
        number = -step
        with self._meter.reading():
            while True:
                elapsed = time.monotonic() - self._opened
                # The next frame of this reader, or the newest one if the reader was too slow for it.
                number = max(number + step, math.floor(elapsed * fps) // step * step)
                await asyncio.sleep(max(0.0, number / fps - elapsed))
                frame = await asyncio.to_thread(renderer.render, number, time.time())
                frame.pts, frame.time_base = number * VIDEO_CLOCK.denominator // fps, VIDEO_CLOCK
                self._meter.tick()
                yield frame
