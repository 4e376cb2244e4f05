"""Source type ``webcam``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox
from luxxon_core.source import (
    API_VERSION,
    AudioPacket,
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

    from luxxon_webcam.capture import Capture
    from luxxon_webcam.device import Found
    from luxxon_webcam.microphone import Microphone


class WebcamConfig(SourceConfig):
    spec_field: ClassVar[str | None] = "device"

    device: str = Field(default="", title="Device", description="Empty for the first one")
    width: int = Field(default=1280, ge=16, le=7680, title="Width")
    height: int = Field(default=720, ge=16, le=4320, title="Height")
    fps: int = Field(default=30, ge=1, le=240, title="Frames per second")
    encoding: Literal["auto", "h264", "raw"] = Field(
        default="auto",
        title="Encoding",
        description="auto: H.264 as the camera makes it, if it makes any; raw: always encoded here",
    )
    microphone: str = Field(
        default="", title="Microphone", description="A device, or default; empty for none"
    )

    @property
    def encoded(self) -> bool | None:
        """As :class:`~luxxon_webcam.device.Wanted` has it."""
        return {"auto": None, "h264": True, "raw": False}[self.encoding]


@dataclass(frozen=True)
class WebcamType:
    """``input_format`` and ``sound_format`` are libavdevice inputs; by default the platform's."""

    key: ClassVar[str] = "webcam"
    title: ClassVar[str] = "Webcam"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[WebcamConfig]] = WebcamConfig

    input_format: str | None = None
    sound_format: str | None = None

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        from luxxon_webcam.device import list_devices, platform_format

        listing = asyncio.to_thread(list_devices, self.input_format or platform_format())
        try:
            devices = await asyncio.wait_for(listing, timeout)
        except TimeoutError:
            return
        for device in devices:
            yield _discovered(device)

    async def open(self, config: WebcamConfig) -> WebcamSource:
        from luxxon_webcam.capture import Capture
        from luxxon_webcam.device import Wanted, list_devices, open_device, platform_format, profiles_of

        input_format = self.input_format or platform_format()
        device = config.device
        if not device:
            devices = await asyncio.to_thread(list_devices, input_format)
            if not devices:
                raise SourceNotReady("webcam:none", "no camera is connected to this computer")
            device = devices[0].name
        wanted = Wanted(device, config.width, config.height, config.fps, config.encoded)
        container = await asyncio.to_thread(open_device, input_format, wanted)
        profiles = tuple(profiles_of(container, config.fps))
        # Opened anew it must be what it was: readers of packets cannot be given anything else.
        again = Wanted(device, config.width, config.height, config.fps, profiles[0].encoded)
        meter = HealthMeter()
        capture = Capture(container, input_format, again, meter)
        key_frames = device if input_format == "v4l2" else None
        if not config.microphone:
            return WebcamSource(profiles, meter, capture, device, key_frames)
        from luxxon_webcam import microphone

        sound = microphone.Microphone(
            self.sound_format or microphone.platform_format(), config.microphone, meter
        )
        return WebcamWithSound(profiles, meter, capture, device, key_frames, microphone=sound)


def _discovered(device: Found) -> DiscoveredDevice:
    information = DeviceInformation(model=device.title)
    config = WebcamConfig(device=device.name)
    return DiscoveredDevice(device.name, device.title, config, information, device.profiles())


@dataclass
class WebcamSource:
    """All readers share one capture thread; each gets the newest frame when it asks.

    Attributes:
        key_frames: the device to ask for key frames; None where none can be asked.
    """

    profiles: tuple[MediaProfile, ...]
    _meter: HealthMeter
    _capture: Capture
    device: str
    key_frames: str | None = None
    device_information: DeviceInformation = field(init=False)

    def __post_init__(self) -> None:
        self.device_information = DeviceInformation(model=self.device)

    def media_profiles(self) -> list[MediaProfile]:
        return list(self.profiles)

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        self._check(profile)
        if not profile.encoded:
            raise SourceConfigError("source:raw", "this profile of the webcam offers raw frames only")
        mailbox = PacketMailbox(limit=round(2 * profile.frame_rate) + 1)
        self._capture.add(mailbox)
        try:
            with self._meter.reading():
                async for packet in mailbox:
                    yield packet
        finally:
            self._capture.remove(mailbox)

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        self._check(profile)
        mailbox: FrameMailbox[VideoFrame] = FrameMailbox()
        every = 90_000 / max_fps if max_fps and max_fps < profile.frame_rate else 0.0
        slack = 45_000 / profile.frame_rate  # half a frame: arrival times jitter
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

    async def set_synchronization_point(self, profile: MediaProfile) -> None:
        """Ask the camera's encoder for a key frame; most take no such wish, and viewers wait for the next."""
        from luxxon_webcam.v4l2 import force_keyframe

        if profile.encoded and self.key_frames is not None:
            await asyncio.to_thread(force_keyframe, self.key_frames)

    def _check(self, profile: MediaProfile) -> None:
        if profile not in self.profiles:
            raise SourceConfigError("source:profile", f"the webcam has no profile {profile.token!r}")

    def health(self) -> Health:
        return self._meter.health()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._capture.close)
        self._meter.closed = True


@dataclass
class WebcamWithSound(WebcamSource):
    """With a microphone beside it, which is open while somebody listens."""

    microphone: Microphone = field(kw_only=True)

    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        async with aclosing(self.microphone.packets()) as packets:
            async for packet in packets:
                yield packet

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.microphone.close)
        await super().__aexit__(kind, error, trace)


def _scaled(frame: VideoFrame, max_width: int | None) -> VideoFrame:
    """The frame in YUV 4:2:0, of even size and no wider than asked."""
    width, height = frame.width, frame.height
    if max_width is not None and max_width < width:
        width, height = max_width, round(height * max_width / width)
    scaled = frame.reformat(max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p", threads=1)
    scaled.pts, scaled.time_base = frame.pts, frame.time_base
    return scaled
