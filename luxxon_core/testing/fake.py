"""Sources without a camera whose every move a test can see: frames, motion, positions, sound, failures."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, SecretStr

from luxxon_core.capture import HealthMeter
from luxxon_core.kernel.clock import utc_now
from luxxon_core.source import (
    API_VERSION,
    RAW,
    VIDEO_CLOCK,
    AudioPacket,
    DeviceInformation,
    DiscoveredDevice,
    EncodedPacket,
    FixType,
    GeoPose,
    GimbalFrame,
    Health,
    MediaProfile,
    PtzPreset,
    PtzStatus,
    PtzVector,
    SourceAuthError,
    SourceConfig,
    SourceConfigError,
    SourceError,
    ZoomKind,
)

if TYPE_CHECKING:
    from types import TracebackType

    from av import VideoFrame

INFORMATION = DeviceInformation(manufacturer="Luxxon", model="Fake", serial_number="0001")
OPUS_CLOCK, OPUS_SAMPLES = 48_000, 960
"""RTP clock of Opus (RFC 7587 §4.1), and 20 ms of it."""


class FakeConfig(SourceConfig):
    width: int = Field(default=320, ge=2, multiple_of=2)
    height: int = Field(default=180, ge=2, multiple_of=2)
    fps: int = Field(default=30, ge=1, le=120)
    password: SecretStr = SecretStr("")
    latitude: float | None = Field(default=None, ge=-90, le=90)
    """With both, :meth:`FakeSource.poses` tells them five times a second beside what ``pose`` is given."""
    longitude: float | None = Field(default=None, ge=-180, le=180)


@dataclass
class FakeCamera:
    """Grey frames whose luma counts up, and nothing else: no motion, no position, no sound.

    Attributes:
        frame_error: raised by readers instead of the next frame while set.
        stalled: readers wait for frames that do not come while True.
    """

    config: FakeConfig = field(default_factory=FakeConfig)
    device_information: DeviceInformation = INFORMATION
    frame_error: SourceError | None = None
    stalled: bool = False
    closed: bool = False
    _size: tuple[int, int] = field(default=(0, 0), init=False)
    _opened: float = field(default_factory=time.monotonic, init=False)
    _meter: HealthMeter = field(default_factory=HealthMeter, init=False, repr=False)

    def __post_init__(self) -> None:
        self.resize(self.config.width, self.config.height)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the picture, for readers too, from the next frame on."""
        self._size = width, height

    def media_profiles(self) -> list[MediaProfile]:
        return [MediaProfile("main", RAW, *self._size, float(self.config.fps))]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        raise SourceConfigError("source:raw", "the fake camera offers raw frames only")
        yield

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        if profile.token not in {one.token for one in self.media_profiles()}:
            raise SourceConfigError("source:profile", f"the fake camera has no profile {profile.token!r}")
        fps = self.config.fps
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
                if self.stalled:
                    continue
                self._meter.tick()
                yield _grey(*_fitting(self._size, max_width), number, fps)

    def health(self) -> Health:
        return self._meter.health()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = self._meter.closed = True


@dataclass(frozen=True, slots=True)
class FakeCommand:
    """What a camera was told to do.

    Attributes:
        at: ``time.monotonic()`` when it came.
        name: of the method.
    """

    at: float
    name: str
    arguments: tuple[Any, ...] = ()


@dataclass
class FakeSource(FakeCamera):
    """A camera that turns, by one unit of its space a second at full velocity, and knows where it is.

    Attributes:
        presets: token to name and position.
        pose: what :meth:`poses` tells.
        commands: every command of motion, as it came.
    """

    presets: dict[str, tuple[str, PtzVector]] = field(default_factory=dict)
    pose: asyncio.Queue[GeoPose] = field(default_factory=asyncio.Queue)
    commands: list[FakeCommand] = field(default_factory=list)
    _position: PtzVector = field(default_factory=PtzVector, init=False)
    _velocity: PtzVector = field(default_factory=PtzVector, init=False)
    _moving_until: float = field(default=0.0, init=False)
    _moved_at: float = field(default=0.0, init=False)

    @property
    def position(self) -> PtzVector:
        self._go_on()
        return self._position

    @position.setter
    def position(self, position: PtzVector) -> None:
        self._position = _clamped(position)

    @property
    def velocity(self) -> PtzVector:
        """Zero once the timeout of the continuous move is over."""
        self._go_on()
        return self._velocity

    def _go_on(self) -> None:
        now = time.monotonic()
        seconds = max(0.0, min(now, self._moving_until) - self._moved_at)
        self._position = _clamped(_plus(self._position, self._velocity, seconds))
        self._moved_at = now
        if now >= self._moving_until:
            self._velocity = PtzVector()

    def _told(self, name: str, *arguments: Any) -> None:
        self._go_on()
        self.commands.append(FakeCommand(time.monotonic(), name, arguments))

    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        latitude, longitude = self.config.latitude, self.config.longitude
        while True:
            if latitude is None or longitude is None:
                yield await self.pose.get()
                continue
            try:
                yield await asyncio.wait_for(self.pose.get(), 0.2)
            except TimeoutError:
                yield GeoPose(latitude, longitude, 30.0, 90.0, 2.5, FixType.FIX_3D, utc_now())

    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        self._told("continuous_move", velocity, timeout)
        self._velocity, self._moving_until = velocity, time.monotonic() + timeout

    async def relative_move(self, translation: PtzVector) -> None:
        self._told("relative_move", translation)
        self._halt()
        self._position = _clamped(_plus(self._position, translation, 1.0))

    async def absolute_move(self, position: PtzVector) -> None:
        self._told("absolute_move", position)
        self._halt()
        self._position = _clamped(position)

    async def stop(self) -> None:
        self._told("stop")
        self._halt()

    async def get_status(self) -> PtzStatus:
        return PtzStatus(self.position, time.monotonic() < self._moving_until)

    async def get_presets(self) -> Sequence[PtzPreset]:
        return [PtzPreset(token, name) for token, (name, _) in self.presets.items()]

    async def set_preset(self, name: str, token: str | None = None) -> str:
        token = token or str(len(self.presets) + 1)
        self._told("set_preset", name, token)
        self.presets[token] = name, self._position
        return token

    async def goto_preset(self, token: str) -> None:
        self._told("goto_preset", token)
        if token not in self.presets:
            raise SourceConfigError("ptz:preset", f"no preset {token!r}")
        self._halt()
        self._position = self.presets[token][1]

    async def goto_home(self) -> None:
        self._told("goto_home")
        self._halt()
        self._position = PtzVector()

    def _halt(self) -> None:
        self._velocity, self._moving_until = PtzVector(), 0.0


@dataclass
class FakeVehicle(FakeSource):
    """Has a gimbal, a zoom by MAVLink's kinds and a microphone as well.

    Attributes:
        gimbal: pitch, yaw and frame as they were last set.
        zoom: kind and value as they were last set.
    """

    gimbal: tuple[float, float, GimbalFrame] = (0.0, 0.0, GimbalFrame.VEHICLE)
    zoom: tuple[ZoomKind, float] | None = None

    async def set_pitch_yaw(self, pitch: float, yaw: float, frame: GimbalFrame) -> None:
        self._told("set_pitch_yaw", pitch, yaw, frame)
        self.gimbal = pitch, yaw, frame

    async def set_zoom(self, kind: ZoomKind, value: float) -> None:
        self._told("set_zoom", kind, value)
        self.zoom = kind, value

    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        """A tone of 440 Hz in Opus, 20 ms a packet."""
        tone = await asyncio.to_thread(_tone)
        begun, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, begun + number * 0.02 - time.monotonic()))
            yield AudioPacket(
                "opus", number * OPUS_SAMPLES, tone[number % len(tone)], Fraction(1, OPUS_CLOCK)
            )
            number += 1


@dataclass
class FakeSourceType:
    """Opens at once, unless ``open_error`` is set or the configuration's password is not ``password``."""

    key: str = "fake"
    title: str = "Fake camera"
    api_version: int = API_VERSION
    password: str = field(default="", repr=False)
    open_error: SourceError | None = None
    Config: type[FakeConfig] = FakeConfig
    opened: list[Any] = field(default_factory=list)
    camera: type[FakeCamera] = FakeSource
    """What is opened: :class:`FakeCamera`, :class:`FakeSource`, :class:`FakeVehicle` or a class of yours."""

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        yield DiscoveredDevice("fake-0001", self.title, FakeConfig(), INFORMATION)

    async def open(self, config: FakeConfig) -> Any:
        if self.open_error is not None:
            raise self.open_error
        if config.password.get_secret_value() != self.password:
            raise SourceAuthError("fake:password")
        source = self.camera(config)
        self.opened.append(source)
        return source


def _plus(a: PtzVector, b: PtzVector, times: float) -> PtzVector:
    return PtzVector(a.pan + b.pan * times, a.tilt + b.tilt * times, a.zoom + b.zoom * times)


def _clamped(position: PtzVector) -> PtzVector:
    return PtzVector(
        min(1.0, max(-1.0, position.pan)),
        min(1.0, max(-1.0, position.tilt)),
        min(1.0, max(0.0, position.zoom)),
    )


def _fitting(size: tuple[int, int], max_width: int | None) -> tuple[int, int]:
    width, height = size
    if max_width is None or max_width >= width:
        return size
    return max(2, max_width // 2 * 2), max(2, height * max_width // width // 2 * 2)


def _grey(width: int, height: int, number: int, fps: int) -> VideoFrame:
    import numpy as np
    from av import VideoFrame

    picture = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    picture[:height] = 16 + number % 220
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts, frame.time_base = number * VIDEO_CLOCK.denominator // fps, VIDEO_CLOCK
    return frame


@functools.cache
def _tone() -> tuple[bytes, ...]:
    """A second of it."""
    import av
    import numpy as np

    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = OPUS_CLOCK, "mono", "s16"
    wave = np.sin(np.arange(OPUS_CLOCK) * (2 * np.pi * 440 / OPUS_CLOCK)) * 8000
    found: list[bytes] = []
    for begin in range(0, OPUS_CLOCK, OPUS_SAMPLES):
        samples = wave[begin : begin + OPUS_SAMPLES].astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = OPUS_CLOCK, begin
        found += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(found)
