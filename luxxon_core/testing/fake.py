"""A source without a camera whose every move a test can see: frames, pan-tilt-zoom, positions, failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pydantic import Field, SecretStr

from luxxon_core.capture import HealthMeter
from luxxon_core.source import (
    API_VERSION,
    RAW,
    VIDEO_CLOCK,
    DeviceInformation,
    DiscoveredDevice,
    EncodedPacket,
    GeoPose,
    Health,
    MediaProfile,
    PtzPreset,
    PtzStatus,
    PtzVector,
    SourceAuthError,
    SourceConfig,
    SourceConfigError,
    SourceError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from av import VideoFrame

INFORMATION = DeviceInformation(manufacturer="Luxxon", model="Fake", serial_number="0001")


class FakeConfig(SourceConfig):
    width: int = Field(default=320, ge=2, multiple_of=2)
    height: int = Field(default=180, ge=2, multiple_of=2)
    fps: int = Field(default=30, ge=1, le=120)
    password: SecretStr = SecretStr("")


@dataclass
class FakeSourceType:
    """Opens at once, unless ``open_error`` is set or the configuration's password is not ``password``."""

    key: str = "fake"
    title: str = "Fake camera"
    api_version: int = API_VERSION
    password: str = ""
    open_error: SourceError | None = None
    Config: type[FakeConfig] = FakeConfig
    opened: list[FakeSource] = field(default_factory=list)

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        yield DiscoveredDevice("fake-0001", self.title, FakeConfig(), INFORMATION)

    async def open(self, config: FakeConfig) -> FakeSource:
        if self.open_error is not None:
            raise self.open_error
        if config.password.get_secret_value() != self.password:
            raise SourceAuthError("fake:password")
        source = FakeSource(config)
        self.opened.append(source)
        return source


@dataclass
class FakeSource:
    """Grey frames whose luma counts up, PTZ with moves that end by themselves, positions from ``pose``."""

    config: FakeConfig = field(default_factory=FakeConfig)
    device_information: DeviceInformation = INFORMATION
    position: PtzVector = field(default_factory=PtzVector)
    velocity: PtzVector = field(default_factory=PtzVector)
    presets: dict[str, tuple[str, PtzVector]] = field(default_factory=dict)
    frame_error: SourceError | None = None
    """Raised by readers instead of the next frame while set."""
    pose: asyncio.Queue[GeoPose] = field(default_factory=asyncio.Queue)
    closed: bool = False
    _moving_until: float = 0.0
    _opened: float = field(default_factory=time.monotonic)
    _meter: HealthMeter = field(default_factory=HealthMeter)

    def media_profiles(self) -> list[MediaProfile]:
        return [MediaProfile("main", RAW, self.config.width, self.config.height, float(self.config.fps))]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        raise SourceConfigError("source:raw", "the fake camera offers raw frames only")
        yield

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        if profile not in self.media_profiles():
            raise SourceConfigError("source:profile", f"the fake camera has no profile {profile.token!r}")
        width, height, fps = self.config.width, self.config.height, self.config.fps
        if max_width is not None and max_width < width:
            width, height = max(2, max_width // 2 * 2), max(2, height * max_width // width // 2 * 2)
        step = max(1, -int(-fps // max_fps)) if max_fps else 1
        number = -step
        with self._meter.reading():
            while True:
                elapsed = time.monotonic() - self._opened
                number = max(number + step, int(elapsed * fps) // step * step)
                await asyncio.sleep(max(0.0, number / fps - elapsed))
                if self.frame_error is not None:
                    self._meter.failed, self._meter.last_error = True, self.frame_error.message
                    raise self.frame_error
                self._meter.tick()
                yield _grey(width, height, number, fps)

    def health(self) -> Health:
        return self._meter.health()

    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        while True:
            yield await self.pose.get()

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        self.velocity, self._moving_until = velocity, time.monotonic() + timeout

    async def relative_move(self, translation: PtzVector) -> None:
        here = self.position
        await self.absolute_move(
            PtzVector(here.pan + translation.pan, here.tilt + translation.tilt, here.zoom + translation.zoom)
        )

    async def absolute_move(self, position: PtzVector) -> None:
        self.position = PtzVector(
            min(1.0, max(-1.0, position.pan)),
            min(1.0, max(-1.0, position.tilt)),
            min(1.0, max(0.0, position.zoom)),
        )

    async def stop(self) -> None:
        self.velocity, self._moving_until = PtzVector(), 0.0

    async def get_status(self) -> PtzStatus:
        return PtzStatus(self.position, time.monotonic() < self._moving_until)

    async def get_presets(self) -> Sequence[PtzPreset]:
        return [PtzPreset(token, name) for token, (name, _) in self.presets.items()]

    async def set_preset(self, name: str, token: str | None = None) -> str:
        token = token or str(len(self.presets) + 1)
        self.presets[token] = name, self.position
        return token

    async def goto_preset(self, token: str) -> None:
        if token not in self.presets:
            raise SourceConfigError("ptz:preset", f"no preset {token!r}")
        self.position = self.presets[token][1]

    async def goto_home(self) -> None:
        self.position = PtzVector()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = self._meter.closed = True


def _grey(width: int, height: int, number: int, fps: int) -> VideoFrame:
    import numpy as np
    from av import VideoFrame

    picture = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    picture[:height] = 16 + number % 220
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts, frame.time_base = number * VIDEO_CLOCK.denominator // fps, VIDEO_CLOCK
    return frame
