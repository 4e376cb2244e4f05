"""The sound of a microphone as Opus packets of 20 ms. The device is open only while somebody listens."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from luxxon_core.capture import HealthMeter, Mailbox
from luxxon_core.source import AudioPacket, SourceConfigError, SourceError
from luxxon_webcam.capture import BACKOFF
from luxxon_webcam.device import OPEN_SECONDS, READ_SECONDS, refusal

if TYPE_CHECKING:
    from av import AudioCodecContext
    from av.container import InputContainer

INPUT_FORMATS = {"linux": ("pulse", "alsa"), "darwin": ("avfoundation",), "win32": ("dshow",)}
"""The first that this FFmpeg has."""
CLOCK, SAMPLES = 48_000, 960
"""RTP clock of Opus (RFC 7587 §4.1), and 20 ms of it."""
BIT_RATE = 48_000
MOST_WAITING = 50


def platform_format() -> str:
    """Name of libavdevice's input for sound on this platform."""
    wanted = INPUT_FORMATS.get(sys.platform, ("alsa",))
    return next((name for name in wanted if name in av.formats_available), wanted[-1])


def open_microphone(input_format: str, device: str) -> InputContainer:
    """Open a microphone.

    Raises:
        SourceConfigError: no such device, or no permission to use it.
        SourceNotReady: busy, or it fails in another way.
    """
    prefix = {"avfoundation": ":", "dshow": "audio="}.get(input_format, "")
    try:
        container = av.open(prefix + device, format=input_format, timeout=(OPEN_SECONDS, READ_SECONDS))
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, ValueError) and not isinstance(error, av.FFmpegError):
            raise SourceConfigError("webcam:noSound", f"this FFmpeg has no input {input_format}") from None
        raise _as_microphone(refusal(device, error)) from None
    if container.streams.audio:
        return container
    container.close()
    raise SourceConfigError("webcam:noSound", f"{device}: not a microphone")


def _as_microphone(error: SourceError) -> SourceError:
    return type(error)(error.detail, error.message.replace("camera", "microphone"))


class SoundMailbox(Mailbox[AudioPacket]):
    """A reader who is a second behind goes on with what is newest: sound that is late is of no use."""

    def _admit(self, item: AudioPacket) -> None:
        if len(self._items) >= MOST_WAITING:
            self.dropped += len(self._items)
            self._items.clear()
        self._items.append(item)


class Microphone:
    """One open device for all readers, opened with the first and closed with the last of them."""

    def __init__(self, input_format: str, device: str, meter: HealthMeter) -> None:
        self._input_format, self._device, self._meter = input_format, device, meter
        self._readers: list[SoundMailbox] = []
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._last_pts = -SAMPLES
        self._thread: threading.Thread | None = None
        """The one that reads; another one may still be letting go of the device."""
        self._left = False
        """It has seen that nobody listens, and ends."""
        self._stop = threading.Event()

    async def packets(self) -> AsyncGenerator[AudioPacket, None]:
        """Packets as they come.

        Raises:
            SourceConfigError, SourceNotReady: the microphone cannot be opened. One that was lost is opened
                again.
        """
        mailbox = SoundMailbox()
        self._add(mailbox)
        try:
            async for packet in mailbox:
                yield packet
        finally:
            with self._lock, suppress(ValueError):
                self._readers.remove(mailbox)

    def close(self) -> None:
        """End every reader and release the device. Blocks until a read in progress is over."""
        with self._lock:
            self._stop.set()
            thread, readers, self._readers = self._thread, self._readers, []
        for reader in readers:
            reader.close()
        if thread is not None:
            thread.join(READ_SECONDS + 1)

    def _add(self, mailbox: SoundMailbox) -> None:
        with self._lock:
            if self._stop.is_set():
                mailbox.close()
                return
            self._readers.append(mailbox)
            if self._thread is None or not self._thread.is_alive() or self._left:
                self._left, before = False, self._thread
                self._thread = threading.Thread(
                    target=self._run, args=(before,), name="microphone", daemon=True
                )
                self._thread.start()

    def _wanted(self) -> bool:
        """Whether anybody listens; where nobody does, the thread lets go of the device and ends."""
        with self._lock:
            mine = threading.current_thread() is self._thread and not self._left
            if mine and not self._readers:
                self._left = True
            return mine and bool(self._readers)

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        failure = SourceError("webcam:ended", f"{self._device}: the microphone failed")
        try:
            self._keep_reading()
        except SourceError as error:
            failure = error
        finally:
            with self._lock:
                mine, readers = threading.current_thread() is self._thread and not self._left, self._readers
                if mine:
                    self._left, self._readers = True, []
            if mine:
                for reader in readers:
                    reader.close(failure)

    def _keep_reading(self) -> None:
        delay, opened = BACKOFF[0], False
        while self._wanted():
            try:
                with open_microphone(self._input_format, self._device) as container:
                    opened = True
                    if self._read(container):
                        delay = BACKOFF[0]
                reason = f"{self._device}: the microphone stopped sending"
            except SourceError as error:
                if not opened:
                    raise
                reason = error.message
            except (av.FFmpegError, OSError) as error:
                reason = f"{self._device}: {error.strerror or 'the microphone failed'}"
            except Exception as error:  # noqa: BLE001 - shown; a driver's odd answer must not end the thread
                reason = f"{self._device}: the microphone failed ({type(error).__name__})"
            if self._wanted():
                self._meter.last_error = reason
                self._stop.wait(delay)
                delay = min(delay * 2, BACKOFF[1])

    def _read(self, container: InputContainer) -> bool:
        """Until nobody listens or the device ends; whether it gave anything."""
        encoder = _encoder()
        resampler = av.AudioResampler(format="s16", layout=encoder.layout, rate=CLOCK, frame_size=SAMPLES)
        # Where a device was opened anew the gap is heard as one; from there on samples are the clock.
        elapsed = round((time.monotonic() - self._started) * CLOCK)
        self._last_pts = max(self._last_pts, elapsed - SAMPLES)
        given = False
        for packet in container.demux(container.streams.audio[0]):
            if not self._wanted():
                break
            frames: list[Any] = packet.decode()
            for frame in frames:
                frame.pts = None
                for piece in resampler.resample(frame):
                    piece.pts = None
                    for encoded in encoder.encode(piece):
                        self._put(bytes(encoded))
                        given = True
        return given

    def _put(self, data: bytes) -> None:
        self._last_pts += SAMPLES
        packet = AudioPacket("opus", self._last_pts, data, Fraction(1, CLOCK))
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.put(packet)


def _encoder() -> AudioCodecContext:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = CLOCK, "s16", "mono"
    encoder.bit_rate = BIT_RATE
    encoder.options = {"frame_duration": "20", "application": "lowdelay"}
    made: AudioCodecContext = encoder
    return made
