"""Source type ``webcam``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox, SharedSource
from luxxon_core.source import (
    API_VERSION,
    AudioPacket,
    DeviceInformation,
    DiscoveredDevice,
    MediaProfile,
    SourceConfig,
    SourceNotReady,
)

if TYPE_CHECKING:
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
            return WebcamSource(device, profiles, capture, meter, key_frames)
        from luxxon_webcam import microphone

        sound = microphone.Microphone(
            self.sound_format or microphone.platform_format(), config.microphone, meter
        )
        return WebcamWithSound(device, profiles, capture, meter, key_frames, sound)


def _discovered(device: Found) -> DiscoveredDevice:
    information = DeviceInformation(model=device.title)
    config = WebcamConfig(device=device.name)
    return DiscoveredDevice(device.name, device.title, config, information, device.profiles())


class WebcamSource(SharedSource):
    """All readers share one capture thread; each gets the newest frame when it asks.

    ``key_frames`` is the device to ask for key frames; None where none can be asked.
    """

    def __init__(
        self,
        device: str,
        profiles: tuple[MediaProfile, ...],
        capture: Capture,
        meter: HealthMeter,
        key_frames: str | None,
        microphone: Microphone | None = None,
    ) -> None:
        super().__init__(DeviceInformation(model=device), meter)
        self._profiles, self._capture, self._key_frames = profiles, capture, key_frames
        self._microphone = microphone

    def media_profiles(self) -> list[MediaProfile]:
        return list(self._profiles)

    async def set_synchronization_point(self, profile: MediaProfile) -> None:
        """Ask the camera's encoder for a key frame; most take no such wish, and viewers wait for the next."""
        from luxxon_webcam.v4l2 import force_keyframe

        if profile.encoded and self._key_frames is not None:
            await asyncio.to_thread(force_keyframe, self._key_frames)

    async def close(self) -> None:
        if self._microphone is not None:
            await asyncio.to_thread(self._microphone.close)
        await asyncio.to_thread(self._capture.close)

    async def _add(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        self._capture.add(mailbox)

    async def _remove(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        self._capture.remove(mailbox)


class WebcamWithSound(WebcamSource):
    """With a microphone beside it, which is open while somebody listens."""

    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        assert self._microphone is not None
        async with aclosing(self._microphone.packets()) as packets:
            async for packet in packets:
                yield packet
