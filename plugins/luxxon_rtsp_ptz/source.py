"""An open network camera, with the capabilities that it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Self

import structlog

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox
from luxxon_core.source import (
    AudioPacket,
    DeviceInformation,
    EncodedPacket,
    Health,
    MediaProfile,
    PtzPreset,
    PtzStatus,
    PtzVector,
    SourceConfigError,
    SourceError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from av import VideoFrame

    from luxxon_rtsp_ptz.camera import Camera
    from luxxon_rtsp_ptz.onvif_device import OnvifDevice
    from luxxon_rtsp_ptz.ptz import OnvifPtz, PresetTour
    from luxxon_rtsp_ptz.rtp import RtpPacket
    from luxxon_rtsp_ptz.sdp import Track

log = structlog.get_logger(__name__)

KEYFRAME_HOLD_OFF = 0.5
"""Seconds between requests for key frames that we make ourselves."""


class RtspSource:
    """Video of any network camera. :func:`source_class` adds what a camera can do besides."""

    def __init__(
        self,
        camera: Camera,
        meter: HealthMeter,
        device_information: DeviceInformation,
        token: str,
        *,
        device: OnvifDevice | None = None,
        ptz: OnvifPtz | None = None,
        closing: AsyncExitStack | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self._camera, self._meter = camera, meter
        self._device_information, self._token = device_information, token
        self._device, self._ptz, self._warnings = device, ptz, warnings
        self._closing = closing or AsyncExitStack()

    @property
    def device_information(self) -> DeviceInformation:
        return self._device_information

    def media_profiles(self) -> list[MediaProfile]:
        return [self._camera.info.profile(self._token)]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        self._check(profile)
        reason = self._camera.info.encode_reason
        if reason or not profile.encoded:
            raise SourceConfigError("source:raw", f"the camera's video cannot be sent as it is: {reason}")
        mailbox = PacketMailbox()
        self._camera.add(mailbox)
        try:
            with self._meter.reading():
                async for packet in mailbox:
                    yield packet
        finally:
            self._camera.remove(mailbox)

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        self._check(profile)
        mailbox: FrameMailbox[VideoFrame] = FrameMailbox()
        rate = self._camera.info.frame_rate
        every = 90_000 / max_fps if max_fps and max_fps < rate else 0.0
        slack = 45_000 / rate  # half a frame: cameras' timestamps jitter
        due = float("-inf")
        await self._camera.add_frames(mailbox)
        try:
            with self._meter.reading():
                async for frame in mailbox:
                    assert frame.pts is not None
                    if frame.pts + slack < due:
                        continue
                    due = max(due + every, frame.pts)
                    yield await asyncio.to_thread(_scaled, frame, max_width)
        finally:
            await self._camera.decoder.remove(mailbox)

    def health(self) -> Health:
        warnings = self._warnings + self._camera.warnings()
        if self._ptz is not None:
            warnings += self._ptz.warnings()
        return replace(self._meter.health(), warnings=warnings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._ptz is not None:
                await self._ptz.close()
        finally:
            await self._camera.close()
            await self._closing.aclose()

    def _check(self, profile: MediaProfile) -> None:
        # By token: the size may have changed since the profile was asked for.
        if profile.token != self._token:
            raise SourceConfigError("source:profile", f"the camera has no profile {profile.token!r}")


class _SynchronizationPoint(RtspSource):
    """An ONVIF camera makes a key frame when asked."""

    async def set_synchronization_point(self, profile: MediaProfile) -> None:
        self._check(profile)
        assert self._device is not None
        await self._device.set_synchronization_point()


class _Ptz(RtspSource):
    """Delegates to :class:`luxxon_rtsp_ptz.ptz.OnvifPtz`, which says what is raised."""

    @property
    def _control(self) -> OnvifPtz:
        assert self._ptz is not None
        return self._ptz

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        await self._control.continuous_move(velocity, timeout)

    async def relative_move(self, translation: PtzVector) -> None:
        await self._control.relative_move(translation)

    async def absolute_move(self, position: PtzVector) -> None:
        await self._control.absolute_move(position)

    async def stop(self) -> None:
        await self._control.stop()

    async def get_status(self) -> PtzStatus:
        return await self._control.get_status()

    async def get_presets(self) -> Sequence[PtzPreset]:
        return await self._control.get_presets()

    async def set_preset(self, name: str, token: str | None = None) -> str:
        return await self._control.set_preset(name, token)

    async def goto_preset(self, token: str) -> None:
        await self._control.goto_preset(token)

    async def goto_home(self) -> None:
        await self._control.goto_home()

    async def get_preset_tours(self) -> Sequence[PresetTour]:
        return await self._control.get_preset_tours()

    async def start_preset_tour(self, token: str) -> None:
        await self._control.operate_preset_tour(token, "Start")

    async def stop_preset_tour(self, token: str) -> None:
        await self._control.operate_preset_tour(token, "Stop")


class _Audio(RtspSource):
    """A camera with a microphone."""

    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        """Opus, 48 kHz, 20 ms a packet, from the time of opening on the same clock as the video.

        Raises:
            SourceConfigError: the sound is of a codec that is not known here.
        """
        from luxxon_rtsp_ptz.audio import AudioMailbox, OpusTranscoder

        camera = self._camera
        assert camera.audio_track is not None
        transcoder = OpusTranscoder(camera.audio_track, camera.origin)
        mailbox = AudioMailbox()

        def arrived(track: Track, packet: RtpPacket, now: float) -> None:
            if packet.payload:
                mailbox.put((track, packet.payload, packet.timestamp, now))

        camera.add_audio(arrived, mailbox)
        try:
            with self._meter.reading():
                async for item in mailbox:
                    for packet in await asyncio.to_thread(transcoder.convert, *item):
                        yield packet
        finally:
            camera.remove_audio(arrived)


@cache
def source_class(*, synchronization_point: bool, ptz: bool, audio: bool) -> type[RtspSource]:
    """A source has exactly the capabilities whose methods its class has."""
    wanted = ((_SynchronizationPoint, synchronization_point), (_Ptz, ptz), (_Audio, audio))
    bases = tuple(base for base, has in wanted if has)
    return type("RtspSource", bases, {}) if bases else RtspSource


class KeyframeRequests:
    """Asks an ONVIF camera for key frames; requests within the hold-off become one."""

    def __init__(self, device: OnvifDevice) -> None:
        self._device = device
        self._wanted = False
        self._asking: asyncio.Task[None] | None = None

    def request(self) -> None:
        self._wanted = True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="rtsp-keyframe")

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._device.set_synchronization_point()
            except SourceError as error:
                # The camera's own key frames come without being asked.
                log.info("onvif.no_synchronization_point", reason=error.message)
                return
            await asyncio.sleep(KEYFRAME_HOLD_OFF)


def _scaled(frame: VideoFrame, max_width: int | None) -> VideoFrame:
    """The frame in YUV 4:2:0, of even size and no wider than asked."""
    width, height = frame.width, frame.height
    if max_width is not None and max_width < width:
        width, height = max_width, round(height * max_width / width)
    scaled = frame.reformat(max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p", threads=1)
    scaled.pts, scaled.time_base = frame.pts, frame.time_base
    return scaled
