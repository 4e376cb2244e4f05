"""Camera sources: what a plugin implements and what the core may ask of it.

A plugin registers source types (``luxxon_core.plugins``); a source type discovers and opens devices; an open
source offers media and has the capabilities whose Protocol it implements. Terms are ONVIF's for PTZ and media
profiles, MAVLink's for vehicles. What most sources need to bring frames from a thread to the
event loop is in ``luxxon_core.capture``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from luxxon_core.kernel.errors import LuxxonError

if TYPE_CHECKING:
    from av import VideoFrame

API_VERSION = 1
"""Version of this interface. A plugin of another version is left out and reported."""

VIDEO_CLOCK = Fraction(1, 90_000)
"""RTP clock of video (RFC 3551 §5): the default time base of an encoded packet."""

RAW = "raw"
"""Codec of a media profile that offers decoded frames only."""


def without_userinfo(text: str) -> str:
    """The text with the userinfo (RFC 3986 §3.2.1) of every URL in it masked: camera URLs carry passwords.

    Rather too much than too little is masked where an ``@`` stands further on, as many a password has one.
    """
    return re.sub(r"://\S*@", "://***@", text)


class SourceError(LuxxonError):
    """Root of what a source raises on purpose. Credentials in a URL are masked."""

    code, status, default_message = "SOURCE_ERROR", 502, "The camera source failed"

    def __init__(self, detail: str | None = None, message: str | None = None) -> None:
        super().__init__(detail and without_userinfo(detail), message and without_userinfo(message))


class SourceNotReady(SourceError):
    """The device exists but cannot deliver now (busy, booting, unplugged for a moment): try again later."""

    code, status, default_message = "SOURCE_NOT_READY", 503, "The camera is not ready"


class SourceAuthError(SourceError):
    """The device refused the credentials of the configuration."""

    code, default_message = "SOURCE_AUTH", "The camera refused the credentials"


class SourceConfigError(SourceError):
    """The configuration cannot work as it stands: wrong path, unknown device, invalid field."""

    code, status, default_message = "SOURCE_CONFIG", 400, "The camera is configured wrongly"


class SourceConfig(BaseModel):
    """Base of a configuration. Secrets are ``pydantic.SecretStr``; the console builds its form of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec_field: ClassVar[str | None] = None
    """Field that the part after the colon of ``key:value`` fills, as in ``file:clip.mp4``."""
    url_schemes: ClassVar[tuple[str, ...]] = ()
    """Of URLs that the field takes, in lower case: ``rtsp``. Who types such a URL means this type."""


@dataclass(frozen=True, slots=True)
class DeviceInformation:
    """ONVIF GetDeviceInformation; empty where unknown."""

    manufacturer: str = ""
    model: str = ""
    firmware_version: str = ""
    serial_number: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveredDevice:
    key: str
    """Stable over restarts where the platform allows, unique within its source type."""
    title: str
    config: BaseModel
    """Opens this device, perhaps after the user has filled in credentials."""
    device_information: DeviceInformation = DeviceInformation()
    media_profiles: tuple[MediaProfile, ...] = ()
    """What it says it can send, best first, where that is known before it is opened; codecs may be others
    than those of :meth:`Source.packets`, as ``mjpeg``."""


@dataclass(frozen=True, slots=True)
class MediaProfile:
    token: str
    codec: str
    """``h264``, ``vp8`` or another codec of :meth:`Source.packets`; ``raw`` where there are only frames."""
    width: int
    height: int
    frame_rate: float

    @property
    def encoded(self) -> bool:
        return self.codec != RAW


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One access unit. H.264 as an Annex B byte stream, SPS and PPS in front of every IDR picture."""

    codec: str
    pts: int
    """Presentation time in ``time_base``, strictly increasing: no reordered (B) pictures."""
    keyframe: bool
    data: bytes = field(repr=False)
    time_base: Fraction = VIDEO_CLOCK


@dataclass(frozen=True, slots=True)
class AudioPacket:
    codec: str
    pts: int
    data: bytes = field(repr=False)
    time_base: Fraction = Fraction(1, 48_000)


class HealthState(StrEnum):
    STARTING, OK, FAILED, CLOSED = "STARTING", "OK", "FAILED", "CLOSED"
    STALLED = "STALLED"
    """Open and asked for media, but nothing has come for two seconds."""


@dataclass(frozen=True, slots=True)
class Health:
    state: HealthState
    fps: float = 0.0
    last_frame_age: float | None = None
    """Seconds; None before the first frame."""
    reconnects: int = 0
    last_error: str | None = None
    warnings: tuple[str, ...] = ()
    """What works, but not as well as it could, and why."""


@runtime_checkable
class Source(Protocol):
    """An open camera. Several iterators may be open at once (preview, publishing); each is closed alone.

    A consumer that is slower than the camera misses frames; nothing queues without bound.
    """

    @property
    def device_information(self) -> DeviceInformation: ...

    def media_profiles(self) -> Sequence[MediaProfile]:
        """At least one, best first."""
        ...

    def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        """Access units of an encoded profile from a key frame on, at the camera's pace.

        Raises:
            SourceConfigError: the profile is raw or not of this source.
            SourceNotReady: the camera went away and did not come back.
        """
        ...

    def frames(
        self, profile: MediaProfile, max_width: int | None, max_fps: float | None
    ) -> AsyncGenerator[VideoFrame, None]:
        """Decoded frames, ``pts`` increasing, at most ``max_width`` pixels wide and ``max_fps`` a second.

        The host always gives both: None sets no limit."""
        ...

    def health(self) -> Health: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


ConfigT = TypeVar("ConfigT", bound=BaseModel)


class SourceType(Protocol[ConfigT]):
    """A kind of camera. Registered as an instance by the hook ``luxxon_register_sources``."""

    @property
    def key(self) -> str:
        """Lower-case letters, digits and hyphens, unique among all plugins."""
        ...

    @property
    def title(self) -> str: ...
    @property
    def api_version(self) -> int:
        """The :data:`API_VERSION` that the plugin was written for."""
        ...

    @property
    def Config(self) -> type[ConfigT]: ...  # noqa: N802 - a model class

    def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        """Devices found within ``timeout`` seconds, as they are found."""
        ...

    async def open(self, config: ConfigT) -> Source:
        """Open a device; the caller closes it by ``async with``.

        Raises:
            SourceNotReady: try again later.
            SourceAuthError: the credentials are wrong.
            SourceConfigError: the configuration cannot work.
        """
        ...


@dataclass(frozen=True, slots=True)
class PtzVector:
    """ONVIF generic spaces: pan and tilt in -1..1; zoom in 0..1 as a position, in -1..1 as a velocity."""

    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, slots=True)
class PtzStatus:
    position: PtzVector | None
    moving: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PtzPreset:
    token: str
    name: str


@runtime_checkable
class PtzControl(Protocol):
    """ONVIF PTZ service. A continuous move always ends by itself: a lost console stops the camera."""

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None: ...
    async def relative_move(self, translation: PtzVector) -> None: ...
    async def absolute_move(self, position: PtzVector) -> None: ...
    async def stop(self) -> None: ...
    async def get_status(self) -> PtzStatus: ...
    async def get_presets(self) -> Sequence[PtzPreset]: ...
    async def set_preset(self, name: str, token: str | None = None) -> str: ...
    async def goto_preset(self, token: str) -> None: ...
    async def goto_home(self) -> None: ...


class GimbalFrame(StrEnum):
    """Frame of the yaw angle (MAVLink GIMBAL_MANAGER_FLAGS)."""

    VEHICLE, EARTH = "VEHICLE", "EARTH"


@runtime_checkable
class GimbalControl(Protocol):
    async def set_pitch_yaw(self, pitch: float, yaw: float, frame: GimbalFrame) -> None:
        """Angles in degrees; negative pitch looks down."""
        ...


class ZoomKind(StrEnum):
    """MAVLink CAMERA_ZOOM_TYPE."""

    STEP, CONTINUOUS, RANGE, FOCAL_LENGTH = "STEP", "CONTINUOUS", "RANGE", "FOCAL_LENGTH"


@runtime_checkable
class ZoomControl(Protocol):
    async def set_zoom(self, kind: ZoomKind, value: float) -> None: ...


class FixType(IntEnum):
    """MAVLink GPS_FIX_TYPE."""

    NO_GPS, NO_FIX, FIX_2D, FIX_3D, DGPS, RTK_FLOAT, RTK_FIXED, STATIC = range(8)


@dataclass(frozen=True, slots=True)
class GeoPose:
    """Where the camera is: WGS84 degrees, metres above mean sea level, degrees clockwise from true north."""

    latitude: float
    longitude: float
    altitude: float | None
    """None where it is not known, as the heading."""
    heading: float | None
    horizontal_accuracy: float
    """Metres, one standard deviation."""
    fix_type: FixType
    captured_at: datetime
    satellites: int | None = None
    """In use by the receiver; None where it does not say."""


@runtime_checkable
class PoseSource(Protocol):
    def poses(self) -> AsyncGenerator[GeoPose, None]: ...


@runtime_checkable
class AudioSource(Protocol):
    def audio_packets(self) -> AsyncGenerator[AudioPacket, None]: ...


@runtime_checkable
class SynchronizationPoint(Protocol):
    """ONVIF Media SetSynchronizationPoint: the encoder can be asked for a key frame."""

    async def set_synchronization_point(self, profile: MediaProfile) -> None: ...
