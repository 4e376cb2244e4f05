"""Finding and opening a capture device. It blocks: call it from a thread."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from luxxon_core.source import RAW, MediaProfile, SourceConfigError, SourceError, SourceNotReady
from luxxon_webcam import v4l2

if TYPE_CHECKING:
    from av.container import InputContainer

INPUT_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
OPEN_SECONDS, READ_SECONDS = 5.0, 3.0
H264 = "h264"
PLAIN = H264
"""FFmpeg's reader of a bare H.264 stream: what a camera's encoder gives, from a pipe or a socket."""
NOT_THERE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EISDIR, errno.ENOTTY})
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})
FINAL = NOT_THERE - {errno.ENXIO, errno.EISDIR, errno.ENOTTY} | NOT_ALLOWED | {errno.EBUSY}
"""Asking for less will not help."""


@dataclass(frozen=True, slots=True)
class Found:
    """A device as it can be chosen; ``formats`` empty where the platform does not tell them."""

    name: str
    title: str
    formats: tuple[v4l2.Format, ...] = ()

    def profiles(self) -> tuple[MediaProfile, ...]:
        """What it can send: H.264 first, then the largest picture."""
        best: dict[tuple[str, int, int], float] = {}
        for one in self.formats:
            key = (one.codec, one.width, one.height)
            best[key] = max(one.frame_rate, best.get(key, 0.0))
        ordered = sorted(best, key=lambda key: (key[0] != H264, -key[1] * key[2], key[0]))
        return tuple(
            MediaProfile(f"{codec}:{width}x{height}", codec, width, height, best[codec, width, height])
            for codec, width, height in ordered
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask a device for; a device that cannot gives what it has.

    Attributes:
        encoded: H.264 as the camera makes it: True for nothing else, None where it has some, False for none.
    """

    device: str
    width: int
    height: int
    fps: int
    encoded: bool | None = None


def platform_format() -> str:
    """Name of libavdevice's input for this platform."""
    return INPUT_FORMATS.get(sys.platform, "v4l2")


def list_devices(input_format: str) -> list[Found]:
    """Video capture devices, the default one first; empty where there are none or the platform cannot say."""
    try:
        found = av.enumerate_input_devices(input_format)
    except (av.FFmpegError, OSError, ValueError):
        found = []
    video = [device for device in found if not device.media_types or "video" in device.media_types]
    named = [
        Found(device.name, device.description or device.name)
        for device in sorted(video, key=lambda device: not device.is_default)
    ]
    return _with_formats(named) if input_format == "v4l2" else named


def _with_formats(named: Sequence[Found]) -> list[Found]:
    """As the drivers say, which know of devices that libavdevice passes over and of formats; in the order of
    ``named`` where that has them."""
    order = {one.name: number for number, one in enumerate(named)}
    told = sorted(v4l2.devices(), key=lambda one: order.get(one.path, len(order)))
    return [Found(one.path, one.card or one.path, one.formats) for one in told] or list(named)


def has_h264(input_format: str, device: str) -> bool:
    """Whether the device itself makes H.264, as far as can be told before it is opened."""
    if input_format == PLAIN:
        return True
    if input_format != "v4l2":
        return False
    try:
        found = v4l2.probe(device)
    except OSError:
        return False
    return found is not None and any(one.codec == H264 for one in found.formats)


def open_device(input_format: str, wanted: Wanted) -> InputContainer:
    """Open a device, asking for less and less.

    Raises:
        SourceConfigError: no such device, no permission to use it, or no H.264 though nothing else is wanted.
        SourceNotReady: busy, or it fails in another way.
    """
    name = f"video={wanted.device}" if input_format == "dshow" else wanted.device
    attempts = [*_attempts(input_format, wanted)]
    for last, options in enumerate(attempts, 1 - len(attempts)):
        try:
            container = av.open(
                name,
                format=input_format,
                container_options=options,  # not of the streams: they would believe the wished for size
                timeout=(OPEN_SECONDS, READ_SECONDS),
            )
        except (av.FFmpegError, OSError) as error:
            if last == 0 or error.errno in FINAL:
                raise refusal(wanted.device, error) from None
            continue
        unsuitable = _unsuitable(container, wanted)
        if unsuitable is None:
            return container
        container.close()
        if last == 0:
            raise unsuitable
    raise SourceConfigError("webcam:noH264", f"{wanted.device}: no camera of this platform gives H.264")


def _attempts(input_format: str, wanted: Wanted) -> Iterator[dict[str, str]]:
    size = {"video_size": f"{wanted.width}x{wanted.height}", "framerate": str(wanted.fps)}
    if input_format == PLAIN:
        yield {"framerate": str(wanted.fps), "analyzeduration": "500000"}
        return
    if wanted.encoded or (wanted.encoded is None and has_h264(input_format, wanted.device)):
        key = {"v4l2": "input_format", "dshow": "vcodec"}.get(input_format)
        if key is not None:
            yield size | {key: H264}
            yield {key: H264}
    if wanted.encoded:
        return
    if input_format == "v4l2":
        # Over USB 2 most cameras give 720p30 as Motion JPEG only.
        yield size | {"input_format": "mjpeg"}
    yield size
    yield {}


def _unsuitable(container: InputContainer, wanted: Wanted) -> SourceError | None:
    """What is wrong with a device that could be opened, if anything is."""
    streams = container.streams.video
    if not streams:
        return SourceConfigError("webcam:noVideo", f"{wanted.device}: not a camera")
    if wanted.encoded and streams[0].codec_context.name != H264:
        return SourceConfigError("webcam:noH264", f"{wanted.device}: this camera makes no H.264")
    if not streams[0].codec_context.width:
        return SourceNotReady("webcam:noPicture", f"{wanted.device}: the camera shows nothing yet")
    return None


def refusal(device: str, error: av.FFmpegError | OSError) -> SourceError:
    """What a device that cannot be opened is to who configured it."""
    if error.errno in NOT_THERE:
        return SourceConfigError("webcam:notFound", f"{device}: no such camera")
    if error.errno in NOT_ALLOWED:
        return SourceConfigError("webcam:permission", f"{device}: no permission to use this camera")
    if error.errno == errno.EBUSY:
        return SourceNotReady("webcam:busy", f"{device}: the camera is in use by another program")
    return SourceNotReady("webcam:failed", f"{device}: {error.strerror or 'cannot be opened'}")


def profiles_of(container: InputContainer, fps: int) -> list[MediaProfile]:
    """What an open device offers: its H.264 as it is, where it makes any, and pictures in any case."""
    stream = container.streams.video[0]
    context = stream.codec_context
    rate = float(stream.average_rate or stream.guessed_rate or fps)
    raw = MediaProfile("main", RAW, context.width, context.height, rate)
    if context.name != H264:
        return [raw]
    return [MediaProfile(H264, H264, context.width, context.height, rate), raw]
