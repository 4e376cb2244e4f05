"""Source type ``rtsp``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import structlog

from luxxon_core.capture import HealthMeter
from luxxon_core.source import (
    API_VERSION,
    DeviceInformation,
    DiscoveredDevice,
    SourceAuthError,
    SourceConfigError,
    SourceError,
)
from luxxon_rtsp_ptz.config import RtspConfig, StreamUrl
from luxxon_rtsp_ptz.credentials import Credentials

if TYPE_CHECKING:
    from luxxon_rtsp_ptz.onvif_device import OnvifDevice, OnvifProfile
    from luxxon_rtsp_ptz.source import RtspSource

log = structlog.get_logger(__name__)

MAIN = "main"
"""Token of the media profile of a camera that is known by its URL alone."""


@dataclass(frozen=True)
class RtspType:
    """``discovery_group`` and ``interfaces`` are where and from where a WS-Discovery probe is sent."""

    key: ClassVar[str] = "rtsp"
    title: ClassVar[str] = "RTSP / ONVIF camera"
    api_version: ClassVar[int] = API_VERSION
    Config: ClassVar[type[RtspConfig]] = RtspConfig

    discovery_group: tuple[str, int] | None = None
    interfaces: tuple[str, ...] | None = None

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        from luxxon_rtsp_ptz.discovery import GROUP, probe

        interfaces = None if self.interfaces is None else list(self.interfaces)
        async with aclosing(probe(timeout, self.discovery_group or GROUP, interfaces)) as answers:
            async for found in answers:
                information = DeviceInformation(manufacturer=found.name, model=found.hardware)
                title = found.name or found.hardware or found.address
                yield DiscoveredDevice(found.key, title, RtspConfig(onvif=found.address), information)

    async def open(self, config: RtspConfig) -> RtspSource:
        from luxxon_rtsp_ptz.camera import Camera, Endpoint
        from luxxon_rtsp_ptz.ptz import OnvifPtz, open_ptz
        from luxxon_rtsp_ptz.source import KeyframeRequests, source_class

        credentials = Credentials(config.username, config.password.get_secret_value())
        meter, warnings = HealthMeter(), []
        ptz: OnvifPtz | None = None
        async with AsyncExitStack() as stack:
            device, why = await _device(config, credentials)
            warnings += [why] if why else []
            profile: OnvifProfile | None = None
            if device is not None:
                stack.push_async_callback(device.close)
                profile = device.choose(config.profile)
                ptz, why = await open_ptz(device, profile)
                warnings += [why] if why else []
            url = StreamUrl.parse(config.url or await _stream_uri(device, profile))
            tls = await asyncio.to_thread(_context, config.tls_verify) if url.tls else None
            camera = Camera(Endpoint(url, credentials, config.transport, tls, config.audio), meter)
            requests = KeyframeRequests(device) if device is not None else None
            if requests is not None:
                camera.wants_keyframe = requests.request
                stack.push_async_callback(requests.close)
            await camera.start()
            if config.audio and camera.audio_track is None:
                warnings.append("sound was asked for, and the camera sends none")
            information = device.information if device else DeviceInformation(model=camera.server or url.host)
            made = source_class(
                synchronization_point=device is not None,
                ptz=ptz is not None,
                audio=camera.audio_track is not None,
            )
            return made(
                camera,
                meter,
                information,
                profile.token if profile else MAIN,
                device=device,
                ptz=ptz,
                closing=stack.pop_all(),
                warnings=tuple(warnings),
            )


async def _device(config: RtspConfig, credentials: Credentials) -> tuple[OnvifDevice | None, str | None]:
    """The camera's ONVIF services; None and a warning where they fail but the stream's URL is known."""
    from luxxon_rtsp_ptz.onvif_device import OnvifDevice

    if not config.onvif:
        return None, None
    try:
        # ssl: True verifies, False does not.
        return await OnvifDevice.connect(config.onvif, credentials, config.tls_verify), None
    except SourceAuthError:
        raise
    except SourceError as error:
        if not config.url:
            raise
        log.warning("rtsp.no_onvif", reason=error.message)
        return None, f"without PTZ and ONVIF: {error.message}"


async def _stream_uri(device: OnvifDevice | None, profile: OnvifProfile | None) -> str:
    if device is None or profile is None:
        raise SourceConfigError("rtsp:url", "a stream URL or an ONVIF address is needed")
    return await device.stream_uri(profile.token)


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
