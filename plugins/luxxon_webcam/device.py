"""Finding, opening and reading a capture device. It blocks: call it from a thread."""

from __future__ import annotations

import errno
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from luxxon_core.capture import HealthMeter, Mailbox
from luxxon_core.source import VIDEO_CLOCK, SourceConfigError, SourceError, SourceNotReady

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

INPUT_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
OPEN_SECONDS, READ_SECONDS = 5.0, 3.0
BACKOFF = (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask a device for; a device that cannot gives what it has."""

    device: str
    width: int
    height: int
    fps: int


def platform_format() -> str:
    """Name of libavdevice's input for this platform."""
    return INPUT_FORMATS.get(sys.platform, "v4l2")


def list_devices(input_format: str) -> list[av.device.DeviceInfo]:
    """Video capture devices, the default one first; empty where there are none or the platform cannot say."""
    try:
        found = av.enumerate_input_devices(input_format)
    except (av.FFmpegError, OSError, ValueError):
        return []
    video = [device for device in found if not device.media_types or "video" in device.media_types]
    return sorted(video, key=lambda device: not device.is_default)


def open_device(input_format: str, wanted: Wanted) -> InputContainer:
    """Open a device, asking for less and less.

    Raises:
        SourceConfigError: no such device, or no permission to use it.
        SourceNotReady: busy, or it fails in another way.
    """
    name = f"video={wanted.device}" if input_format == "dshow" else wanted.device
    size = {"video_size": f"{wanted.width}x{wanted.height}", "framerate": str(wanted.fps)}
    attempts: list[dict[str, str]] = [size, {}]
    if input_format == "v4l2":
        # Over USB 2 most cameras give 720p30 as Motion JPEG only.
        attempts.insert(0, size | {"input_format": "mjpeg"})
    for last, options in enumerate(attempts, 1 - len(attempts)):
        try:
            container = av.open(
                name, format=input_format, options=options, timeout=(OPEN_SECONDS, READ_SECONDS)
            )
        except (av.FFmpegError, OSError) as error:
            if last == 0 or error.errno in (
                errno.ENOENT,
                errno.ENODEV,
                errno.EACCES,
                errno.EPERM,
                errno.EBUSY,
            ):
                raise _refusal(wanted.device, error) from None
            continue
        if container.streams.video:
            return container
        container.close()
        raise SourceConfigError("webcam:noVideo", f"{wanted.device}: not a camera")
    raise AssertionError("the last attempt returns or raises")


def _refusal(device: str, error: av.FFmpegError | OSError) -> SourceError:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EISDIR, errno.ENOTTY):
        return SourceConfigError("webcam:notFound", f"{device}: no such camera")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceConfigError("webcam:permission", f"{device}: no permission to use this camera")
    if error.errno == errno.EBUSY:
        return SourceNotReady("webcam:busy", f"{device}: the camera is in use by another program")
    return SourceNotReady("webcam:failed", f"{device}: {error.strerror or 'cannot be opened'}")


class Capture:
    """Reads a device in a thread until closed, hands every reader the newest frame, and reopens on loss.

    Nothing is decoded while nobody reads.
    """

    def __init__(
        self, container: InputContainer, input_format: str, wanted: Wanted, meter: HealthMeter
    ) -> None:
        self._input_format, self._wanted, self._meter = input_format, wanted, meter
        self._readers: list[Mailbox[VideoFrame]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = False
        self._started = time.monotonic()
        self._last_pts = -1
        self._thread = threading.Thread(target=self._run, args=(container,), name="webcam", daemon=True)
        self._thread.start()

    def add(self, reader: Mailbox[VideoFrame]) -> None:
        with self._lock:
            if not self._ended:
                self._readers.append(reader)
                return
        reader.close()

    def remove(self, reader: Mailbox[VideoFrame]) -> None:
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)

    def close(self) -> None:
        """Stop reading, end every reader, release the device. Blocks until a read in progress is over."""
        self._stop.set()
        self._thread.join(READ_SECONDS + 1)
        self._end_readers(None)

    def _end_readers(self, error: SourceError | None) -> None:
        with self._lock:
            self._ended = True
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close(error)

    def _run(self, container: InputContainer) -> None:
        failure: SourceError | None = None
        try:
            self._keep_reading(container)
        except BaseException as error:
            # A thread's SystemExit is its own; raised to the reader it would end the host.
            name = type(error).__name__
            failure = SourceError("webcam:ended", f"{self._wanted.device}: the camera failed ({name})")
            raise
        finally:
            self._end_readers(failure)

    def _keep_reading(self, container: InputContainer | None) -> None:
        delay = BACKOFF[0]
        while not self._stop.is_set():
            try:
                if container is None:
                    container = open_device(self._input_format, self._wanted)
                    self._meter.reconnects += 1
                    self._meter.failed = False  # nothing else says so while nobody reads
                with container:
                    delay = self._read(container) or delay
                if not self._stop.is_set():
                    self._meter.last_error = f"{self._wanted.device}: the camera stopped sending"
            except SourceError as error:
                self._meter.last_error = error.message
            except (av.FFmpegError, OSError) as error:
                self._meter.last_error = f"{self._wanted.device}: {error.strerror or 'the camera failed'}"
            except Exception as error:  # noqa: BLE001 - shown; a driver's odd answer must not end the thread
                self._meter.last_error = f"{self._wanted.device}: the camera failed ({type(error).__name__})"
            container = None
            self._meter.failed = True
            self._stop.wait(delay)
            delay = min(delay * 2, BACKOFF[1])

    def _read(self, container: InputContainer) -> float | None:
        """Until told to stop or the device ends; the back-off to begin anew with, if it gave anything."""
        delay: float | None = None
        for packet in container.demux(container.streams.video[0]):
            if self._stop.is_set():
                break
            with self._lock:
                readers = list(self._readers)
            if not readers:
                continue
            for frame in packet.decode():
                # Capture clocks differ by platform; the time of arrival does not.
                pts = round((time.monotonic() - self._started) / VIDEO_CLOCK)
                self._last_pts = max(self._last_pts + 1, pts)
                frame.pts, frame.time_base = self._last_pts, VIDEO_CLOCK
                self._meter.tick()
                delay = BACKOFF[0]
                for reader in readers:
                    reader.put(frame)
        return delay
