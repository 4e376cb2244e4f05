"""What Video4Linux2 devices are and can send, asked of the driver itself (linux/videodev2.h)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

VIDIOC_QUERYCAP = 0x80685600
VIDIOC_ENUM_FMT = 0xC0405602
VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
VIDIOC_ENUM_FRAMEINTERVALS = 0xC034564B
VIDIOC_S_CTRL = 0xC008561C
VIDEO_CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE, and the bit V4L2_CAP_VIDEO_CAPTURE of the capabilities."""
DEVICE_CAPS = 0x80000000
FORCE_KEY_FRAME = 0x009909E5
"""V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME."""
DISCRETE = 1
MOST = 64
"""Formats, sizes and rates at most: a driver that never says "no more" must not hold us up."""

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class Format:
    """One that a device can send: its codec as FourCC, pixels, and the most frames a second at that size."""

    fourcc: str
    width: int
    height: int
    frame_rate: float

    @property
    def codec(self) -> str:
        """``h264``, ``mjpeg`` or ``raw``."""
        return {"H264": "h264", "MJPG": "mjpeg", "JPEG": "mjpeg"}.get(self.fourcc, "raw")


@dataclass(frozen=True, slots=True)
class Device:
    path: str
    card: str
    formats: tuple[Format, ...]


def devices(ioctl: Ioctl | None = None, directory: Path = Path("/dev")) -> list[Device]:
    """The video capture devices of this computer, in the order of their numbers; those that cannot be asked
    are left out."""
    found = []
    for path in sorted(directory.glob("video*"), key=lambda one: (len(one.name), one.name)):
        with suppress(OSError):
            device = probe(str(path), ioctl)
            if device is not None:
                found.append(device)
    return found


def probe(path: str, ioctl: Ioctl | None = None) -> Device | None:
    """Ask a device; None where it is one that captures no video, such as a camera's second node for metadata.

    Raises:
        OSError: it cannot be opened or is no such device.
    """
    ioctl = ioctl or _ioctl()
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        told = bytearray(104)
        ioctl(descriptor, VIDIOC_QUERYCAP, told)
        capabilities, own = struct.unpack_from("=II", told, 84)
        if not (own if capabilities & DEVICE_CAPS else capabilities) & VIDEO_CAPTURE:
            return None
        formats = tuple(_formats(ioctl, descriptor))
        return Device(path, _text(told[16:48]), formats) if formats else None
    finally:
        os.close(descriptor)


def force_keyframe(path: str, ioctl: Ioctl | None = None) -> bool:
    """Ask the encoder of a camera for a key frame; False where it takes no such wish, as most do not."""
    ioctl = ioctl or _ioctl()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        ioctl(descriptor, VIDIOC_S_CTRL, bytearray(struct.pack("=Ii", FORCE_KEY_FRAME, 1)))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _formats(ioctl: Ioctl, descriptor: int) -> Iterator[Format]:
    for told in _enumerated(ioctl, descriptor, VIDIOC_ENUM_FMT, 64, struct.pack("=I", VIDEO_CAPTURE)):
        pixels = bytes(told[44:48])
        for size in _enumerated(ioctl, descriptor, VIDIOC_ENUM_FRAMESIZES, 44, pixels):
            kind, width, height = struct.unpack_from("=III", size, 8)
            if kind != DISCRETE:  # a range of sizes: its largest
                (width,), (height,) = struct.unpack_from("=I", size, 16), struct.unpack_from("=I", size, 28)
            rate = _rate(ioctl, descriptor, pixels + struct.pack("=II", width, height))
            yield Format(pixels.decode("ascii", "replace").rstrip(), width, height, rate)


def _rate(ioctl: Ioctl, descriptor: int, of: bytes) -> float:
    """The most frames a second; 0 where the driver does not tell."""
    best = Fraction(0)
    for told in _enumerated(ioctl, descriptor, VIDIOC_ENUM_FRAMEINTERVALS, 52, of):
        # of a range the first interval is the shortest
        numerator, denominator = struct.unpack_from("=II", told, 20)
        if numerator:
            best = max(best, Fraction(denominator, numerator))
    return float(best)


def _enumerated(ioctl: Ioctl, descriptor: int, request: int, size: int, of: bytes) -> Iterator[bytearray]:
    """What a driver answers to an enumeration: an index first, then what is enumerated."""
    for index in range(MOST):
        asked = bytearray(struct.pack("=I", index) + of).ljust(size, b"\0")
        try:
            ioctl(descriptor, request, asked)
        except OSError:  # EINVAL: no more; ENOTTY: a driver that does not tell
            return
        yield asked
        if request != VIDIOC_ENUM_FMT and _is_range(request, asked):
            return


def _is_range(request: int, told: bytearray) -> bool:
    """Sizes and intervals may be told as one range instead of each."""
    at = 8 if request == VIDIOC_ENUM_FRAMESIZES else 16
    return bool(struct.unpack_from("=I", told, at)[0] != DISCRETE)


def _text(field: bytearray) -> str:
    return bytes(field).partition(b"\0")[0].decode("utf-8", "replace").strip()


def _ioctl() -> Ioctl:
    """The system's own.

    Raises:
        OSError: this is not Linux.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError("Video4Linux2 is Linux's") from error

    def ioctl(descriptor: int, request: int, argument: bytearray) -> object:
        return fcntl.ioctl(descriptor, request, argument, True)

    return ioctl
