"""Source type ``webcam``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from luxxon_core.capture import FrameMailbox, HealthMeter
from luxxon_core.source import (
    API_VERSION,
    RAW,
    DeviceInformation,
    DiscoveredDevice,
    EncodedPacket,
    Health,
    MediaProfile,
    SourceConfig,
    SourceConfigError,
    SourceNotReady,
)

if TYPE_CHECKING:
    from types import TracebackType

    from av import VideoFrame

    from luxxon_webcam.device import Capture


class WebcamConfig(SourceConfig):
    spec_field: ClassVar[str | None] = "device"

    device: str = Field(default="", title="Device", description="Empty for the first one")
    width: int = Field(default=1280, ge=16, le=7680, title="Width")
    height: int = Field(default=720, ge=16, le=4320, title="Height")
    fps: int = Field(default=30, ge=1, le=240, title="Frames per second")


@dataclass(frozen=True)
class WebcamType:
    """``input_format`` is a libavdevice input; by default the platform's."""

    key: ClassVar[str] = "webcam"
    title: ClassVar[str] = "Webcam"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[WebcamConfig]] = WebcamConfig

    input_format: str | None = None

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        from luxxon_webcam.device import list_devices, platform_format

        listing = asyncio.to_thread(list_devices, self.input_format or platform_format())
        try:
            devices = await asyncio.wait_for(listing, timeout)
        except TimeoutError:
            return
        for device in devices:
            title = device.description or device.name
            information = DeviceInformation(model=title)
            yield DiscoveredDevice(device.name, title, WebcamConfig(device=device.name), information)

    async def open(self, config: WebcamConfig) -> WebcamSource:
        from luxxon_webcam.device import Capture, Wanted, list_devices, open_device, platform_format

        input_format = self.input_format or platform_format()
        device = config.device
        if not device:
            devices = await asyncio.to_thread(list_devices, input_format)
            if not devices:
                raise SourceNotReady("webcam:none", "no camera is connected to this computer")
            device = devices[0].name
        wanted = Wanted(device, config.width, config.height, config.fps)
        container = await asyncio.to_thread(open_device, input_format, wanted)
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or config.fps)
        profile = MediaProfile("main", RAW, stream.width, stream.height, rate)
        meter = HealthMeter()
        return WebcamSource(profile, meter, Capture(container, input_format, wanted, meter), device)


@dataclass
class WebcamSource:
    """All readers share one capture thread; each gets the newest frame when it asks."""

    profile: MediaProfile
    _meter: HealthMeter
    _capture: Capture
    device: str
    device_information: DeviceInformation = field(init=False)

    def __post_init__(self) -> None:
        self.device_information = DeviceInformation(model=self.device)

    def media_profiles(self) -> list[MediaProfile]:
        return [self.profile]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        raise SourceConfigError("source:raw", "a webcam offers raw frames only")
        yield

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        if profile != self.profile:
            raise SourceConfigError("source:profile", f"the webcam has no profile {profile.token!r}")
        mailbox: FrameMailbox[VideoFrame] = FrameMailbox()
        every = 90_000 / max_fps if max_fps and max_fps < self.profile.frame_rate else 0.0
        slack = 45_000 / self.profile.frame_rate  # half a frame: arrival times jitter
        due = float("-inf")
        self._capture.add(mailbox)
        try:
            with self._meter.reading():
                async for frame in mailbox:
                    assert frame.pts is not None
                    if frame.pts + slack < due:
                        continue
                    due = max(due + every, frame.pts)
                    yield await asyncio.to_thread(_scaled, frame, max_width)
        finally:
            self._capture.remove(mailbox)

    def health(self) -> Health:
        return self._meter.health()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._capture.close)
        self._meter.closed = True


def _scaled(frame: VideoFrame, max_width: int | None) -> VideoFrame:
    """The frame in YUV 4:2:0, of even size and no wider than asked."""
    width, height = frame.width, frame.height
    if max_width is not None and max_width < width:
        width, height = max_width, round(height * max_width / width)
    scaled = frame.reformat(max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p", threads=1)
    scaled.pts, scaled.time_base = frame.pts, frame.time_base
    return scaled
