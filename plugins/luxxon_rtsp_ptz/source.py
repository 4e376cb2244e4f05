"""An open network camera, with the capabilities that it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import structlog

from luxxon_core.capture import FrameMailbox, HealthMeter, PacketMailbox, SharedSource
from luxxon_core.source import (
    AudioPacket,
    DeviceInformation,
    Health,
    MediaProfile,
    PtzPreset,
    PtzStatus,
    PtzVector,
    SourceError,
)

if TYPE_CHECKING:
    from av import VideoFrame

    from luxxon_core.rtp.receiver import RtpPacket
    from luxxon_rtsp_ptz.camera import Camera
    from luxxon_rtsp_ptz.onvif_device import OnvifDevice
    from luxxon_rtsp_ptz.ptz import OnvifPtz, PresetTour
    from luxxon_rtsp_ptz.sdp import Track

log = structlog.get_logger(__name__)

KEYFRAME_HOLD_OFF = 0.5
"""Seconds between requests for key frames that we make ourselves."""


class RtspSource(SharedSource):
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
        super().__init__(device_information, meter)
        self._camera, self._token = camera, token
        self._device, self._ptz, self._warnings = device, ptz, warnings
        self._closing = closing or AsyncExitStack()

    @property
    def encode_reason(self) -> str | None:
        return self._camera.info.encode_reason

    def media_profiles(self) -> list[MediaProfile]:
        return [self._camera.info.profile(self._token)]

    def health(self) -> Health:
        warnings = self._warnings + self._camera.warnings()
        if self._ptz is not None:
            warnings += self._ptz.warnings()
        return replace(super().health(), warnings=warnings)

    async def close(self) -> None:
        try:
            if self._ptz is not None:
                await self._ptz.close()
        finally:
            await self._camera.close()
            await self._closing.aclose()

    async def _add(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        if isinstance(mailbox, PacketMailbox):
            self._camera.add(mailbox)
        else:
            await self._camera.add_frames(mailbox)

    async def _remove(self, mailbox: PacketMailbox | FrameMailbox[VideoFrame]) -> None:
        if isinstance(mailbox, PacketMailbox):
            self._camera.remove(mailbox)
        else:
            await self._camera.decoder.remove(mailbox)


class _SynchronizationPoint(RtspSource):
    """An ONVIF camera makes a key frame when asked."""

    async def set_synchronization_point(self, profile: MediaProfile) -> None:
        self.check(profile)
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
