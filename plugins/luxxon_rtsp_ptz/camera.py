"""Keeps a camera connected and hands what it sends to every reader."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from luxxon_core.capture import HealthMeter, Mailbox
from luxxon_core.rtp.depacketize import Depacketizer
from luxxon_core.rtp.nal import AccessUnit, Codec, ParameterSets
from luxxon_core.rtp.receiver import RtpPacket
from luxxon_core.rtp.stream import B_FRAMES, LOOKED_AT, StreamInfo, frame_rate, has_b_frames, inspect
from luxxon_core.source import EncodedPacket, SourceAuthError, SourceConfigError, SourceError, SourceNotReady
from luxxon_rtsp_ptz.config import StreamUrl, Transport
from luxxon_rtsp_ptz.credentials import Credentials
from luxxon_rtsp_ptz.decoding import Decoder
from luxxon_rtsp_ptz.rtsp import RtspClient, TransportRefused
from luxxon_rtsp_ptz.sdp import Track
from luxxon_rtsp_ptz.timeline import Timeline

log = structlog.get_logger(__name__)

OPEN_SECONDS = 12.0
"""For the first key frame, and the pictures after it that are looked at."""
LOOK_SECONDS = 1.0
READ_SECONDS = 4.0
"""Without a packet of video for this long a connection is given up."""
DARK_SECONDS = 20.0
"""The same where packets come and make no picture. Longer than key frames are apart."""
BACKOFF = (0.25, 0.75)
"""Seconds between attempts: an attempt is cheap, and a second without video is not paid."""
STEADY_SECONDS = 4.0
"""A connection that gave pictures this long starts the back-off anew."""
AUTH_ATTEMPTS = 2
"""Refusals in a row until it is final: cameras that boot refuse rightly meant passwords, too, but most lock
an account after a few wrong ones."""
LOST_SHARE = 0.002
"""More RTP packets lost than this are worth a warning."""
LONG_GOP_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: StreamUrl
    credentials: Credentials
    transport: Transport
    tls: ssl.SSLContext | None
    audio: bool

    def transports(self) -> tuple[bool, ...]:
        """Whether over UDP, in the order to try. TLS carries the media within."""
        if self.url.tls or self.transport is Transport.TCP:
            return (False,)
        return (True,) if self.transport is Transport.UDP else (False, True)


AudioReader = Callable[[Track, RtpPacket, float], None]


class Camera:
    """``start``, then readers come and go, then ``close``. All on one event loop."""

    def __init__(self, endpoint: Endpoint, meter: HealthMeter) -> None:
        self.decoder = Decoder()
        self.audio_track: Track | None = None
        self.server = ""
        self.wants_keyframe: Callable[[], None] = lambda: None
        """Called when nothing can be shown before the next key frame."""
        self._endpoint, self._meter = endpoint, meter
        self._origin = time.monotonic()
        self._timeline = Timeline(90_000, self._origin)
        self._packet_readers: list[Mailbox[EncodedPacket]] = []
        self._audio_readers: dict[AudioReader, Mailbox[Any]] = {}
        self._client: RtspClient | None = None
        self._video: Track | None = None
        self._depacketizer = Depacketizer(Codec.H264)
        self._sets = ParameterSets(Codec.H264)
        self._info: StreamInfo | None = None
        self._seen: list[AccessUnit] = []
        self._ready = asyncio.Event()
        self._inspected: tuple[bytes, ...] = ()
        self._inspecting: asyncio.Task[None] | None = None
        self._run: asyncio.Task[None] | None = None
        self._last_packet = self._last_picture = 0.0
        self._last_keyframe: int | None = None
        self._longest_gop = 0.0
        self._failure: SourceError | None = None
        self._closed = False

    @property
    def info(self) -> StreamInfo:
        assert self._info is not None
        return self._info

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self._info and self._info.encode_reason:
            found.append(f"decoded and encoded again: {self._info.encode_reason}")
        lost, received = self._client.lost() if self._client else (0, 0)
        if lost > LOST_SHARE * (lost + received):
            share = 100 * lost / (lost + received)
            found.append(f"{share:.1f} % of the video's packets were lost; transport tcp loses none")
        if self._longest_gop > LONG_GOP_SECONDS:
            found.append(
                f"key frames are up to {self._longest_gop:.0f} s apart, and a viewer who joins waits for one"
            )
        return tuple(found)

    async def start(self) -> None:
        """Connect, and find out what the camera sends.

        Raises:
            SourceNotReady, SourceAuthError, SourceConfigError
        """
        try:
            self._client = await self._connected()
            await self._until_known()
        except BaseException:
            await self.close()
            raise
        self._run = asyncio.create_task(self._keep(), name="rtsp-camera")

    async def close(self) -> None:
        self._closed = True
        tasks = [task for task in (self._run, self._inspecting) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.close()
        self._end_readers(None)
        self._meter.closed = True

    # -- readers -----------------------------------------------------------------------------------------

    def add(self, reader: Mailbox[EncodedPacket]) -> None:
        if self._failure or self._closed:
            reader.close(self._failure)
            return
        self._packet_readers.append(reader)
        self.wants_keyframe()

    def remove(self, reader: Mailbox[EncodedPacket]) -> None:
        if reader in self._packet_readers:
            self._packet_readers.remove(reader)

    async def add_frames(self, reader: Mailbox[Any]) -> None:
        if self._failure or self._closed:
            reader.close(self._failure)
            return
        idle = not self.decoder.busy
        await self.decoder.add(reader)
        if idle:
            self.wants_keyframe()

    def add_audio(self, reader: AudioReader, mailbox: Mailbox[Any]) -> None:
        """``mailbox`` is closed when the camera is."""
        if self._failure or self._closed:
            mailbox.close(self._failure)
            return
        self._audio_readers[reader] = mailbox

    def remove_audio(self, reader: AudioReader) -> None:
        self._audio_readers.pop(reader, None)

    @property
    def origin(self) -> float:
        """Monotonic time of pts 0, of video as of audio."""
        return self._origin

    def _end_readers(self, error: SourceError | None) -> None:
        self._failure = error
        readers, self._packet_readers = self._packet_readers, []
        audio, self._audio_readers = self._audio_readers, {}
        for reader in [*readers, *audio.values()]:
            reader.close(error)
        self.decoder.end(error)

    # -- the connection ----------------------------------------------------------------------------------

    async def _connected(self) -> RtspClient:
        endpoint = self._endpoint
        udp, *others = endpoint.transports()
        client = RtspClient(endpoint.url, endpoint.credentials, udp, endpoint.tls, self._arrived)
        try:
            await client.connect()
            description = await client.describe()
            video = next((one for one in description.tracks if one.kind == "video"), None)
            if video is None:
                raise SourceConfigError("rtsp:noVideo", "the stream contains no video")
            codec = next((one for one in Codec if one.label == video.codec), None)
            if codec is None:
                name = video.codec.upper()[:20]
                raise SourceConfigError(
                    "rtsp:codec", f"the camera sends {name}; set it to H.264 (H.265 works, too, at more cost)"
                )
            audio = next((one for one in description.tracks if one.kind == "audio"), None)
            self._begin(video, codec, client)
            try:
                await client.setup(video)
            except TransportRefused:
                if not others:
                    raise
                log.info("rtsp.transport_refused", host=endpoint.url.host, udp=udp)
                client.udp = others[0]
                await client.setup(video)
            if endpoint.audio and audio is not None:
                await client.setup(audio)
                self.audio_track = audio
            self._last_packet = self._last_picture = time.monotonic()
            await client.play()
        except BaseException:
            await client.close()
            raise
        return client

    def _begin(self, video: Track, codec: Codec, client: RtspClient) -> None:
        if self._info and codec is not self._info.codec:
            self._changed(f"the camera now sends {codec.label.upper()}; it has to be opened anew")
            self._info = replace(self._info, codec=codec)
        self._video, self.server = video, client.server
        self._depacketizer = Depacketizer(codec)
        self._sets = ParameterSets(codec)
        self._sets.learn(video.parameter_sets())
        self._timeline.restart()
        self._last_keyframe = None

    async def _until_known(self) -> None:
        """Until enough pictures have come to say what the stream is."""
        client = self._client
        assert client is not None
        closed = asyncio.create_task(client.closed.wait())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait((closed, ready), timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            ready.cancel()
        if not self._ready.is_set():
            if client.closed.is_set():
                raise SourceNotReady("rtsp:closed", f"{self._endpoint.url.host} closed the connection")
            what = "no key frame" if self._depacketizer.waiting else "too little video"
            raise SourceNotReady(
                "rtsp:silent", f"{self._endpoint.url.host} sent {what} in {OPEN_SECONDS:.0f} s"
            )
        seen, self._seen = self._seen, []
        assert self._video is not None
        rate = frame_rate([unit.timestamp for unit in seen], self._video.clock_rate)
        b_frames = any(map(has_b_frames, seen))
        keyframe = self._sets.byte_stream(seen[0])
        self._inspected = self._sets.version
        self._info = await asyncio.to_thread(inspect, seen[0].codec, keyframe, rate, b_frames)
        self._timeline = Timeline(90_000, self._origin, reordered=b_frames or seen[0].codec is Codec.H265)
        if self._info.encode_reason:
            log.warning("rtsp.encoded_again", reason=self._info.encode_reason)

    async def _keep(self) -> None:
        """Watch the connection; when it breaks, come back."""
        delay, refused = BACKOFF[0], 0
        try:
            while True:
                try:
                    if self._client is None:
                        self._client = await self._connected()
                        self._meter.reconnects += 1
                    began = time.monotonic()
                    await self._watch(self._client)
                except SourceAuthError as error:
                    self._failed(error)
                    refused += 1
                    if refused >= AUTH_ATTEMPTS:
                        self._end_readers(error)
                        return
                except SourceError as error:
                    self._failed(error)
                if self._client is not None:
                    refused = 0
                    if self._last_picture - began > STEADY_SECONDS:
                        delay = BACKOFF[0]
                    await self._client.close()
                    self._client = None
                await asyncio.sleep(delay)
                delay = min(2 * delay, BACKOFF[1])
        except Exception as error:
            self._failed(SourceError("rtsp:ended", f"reading the camera failed ({type(error).__name__})"))
            self._end_readers(SourceNotReady("rtsp:ended", self._meter.last_error))
            log.exception("rtsp.ended")

    async def _watch(self, client: RtspClient) -> None:
        host = self._endpoint.url.host
        while not client.closed.is_set():
            now = time.monotonic()
            silent, dark = now - self._last_packet, now - self._last_picture
            if silent > READ_SECONDS:
                raise SourceNotReady("rtsp:stalled", f"{host} has sent no video for {silent:.0f} s")
            if dark > DARK_SECONDS:
                raise SourceNotReady("rtsp:dark", f"{host} has sent no whole key frame for {dark:.0f} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_SECONDS + 0.05 - silent):
                    await client.closed.wait()
        raise SourceNotReady("rtsp:closed", f"{host} closed the connection")

    def _failed(self, error: SourceError) -> None:
        if not self._meter.failed or self._meter.last_error != error.message:
            log.info("rtsp.failed", reason=error.message)
        self._meter.failed, self._meter.last_error = True, error.message

    # -- what arrives ------------------------------------------------------------------------------------

    def _arrived(self, track: Track, packet: RtpPacket) -> None:
        if track is not self._video:
            for reader in list(self._audio_readers):
                reader(track, packet, time.monotonic())
            return
        self._last_packet = time.monotonic()
        waited = self._depacketizer.waiting
        for unit in self._depacketizer.push(packet):
            self._picture(unit)
        if self._depacketizer.waiting and not waited:
            self.wants_keyframe()

    def _picture(self, unit: AccessUnit) -> None:
        now = self._last_picture = time.monotonic()
        self._sets.learn(unit.units)
        if not self._sets.complete:
            return
        if self._info is None:
            self._look(unit, now)
            return
        if not self._info.encode_reason and has_b_frames(unit):
            self._changed(f"the camera has changed its video: {B_FRAMES}; it has to be opened anew")
        pts = self._timeline.time(unit.timestamp, now)
        if unit.keyframe:
            self._keyframe(unit, pts)
        packet = EncodedPacket(unit.codec.label, pts, unit.keyframe, self._sets.byte_stream(unit))
        self._meter.tick()
        for reader in self._packet_readers:
            reader.put(packet)
        self.decoder.put(packet)

    def _look(self, unit: AccessUnit, now: float) -> None:
        if self._ready.is_set() or not (self._seen or unit.keyframe):
            return
        self._seen.append(unit)
        if len(self._seen) == 1:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._ready.set)
        elif len(self._seen) >= LOOKED_AT:
            self._ready.set()

    def _keyframe(self, unit: AccessUnit, pts: int) -> None:
        if self._last_keyframe is not None:
            self._longest_gop = max(self._longest_gop, (pts - self._last_keyframe) / 90_000)
        self._last_keyframe = pts
        if self._sets.version != self._inspected and (self._inspecting is None or self._inspecting.done()):
            self._inspected = self._sets.version
            data = self._sets.byte_stream(unit)
            self._inspecting = asyncio.create_task(self._inspect_again(data), name="rtsp-inspect")

    async def _inspect_again(self, keyframe: bytes) -> None:
        """The camera sends with other parameter sets: perhaps another size."""
        before = self.info
        try:
            info = await asyncio.to_thread(
                inspect, before.codec, keyframe, before.frame_rate, before.encode_reason == B_FRAMES
            )
        except SourceNotReady as error:
            self._meter.last_error = error.message
            return
        if info.encode_reason and not before.encode_reason:
            self._changed(f"the camera has changed its video: {info.encode_reason}; it has to be opened anew")
        self._info = info
        if (info.width, info.height) != (before.width, before.height):
            log.info("rtsp.resized", width=info.width, height=info.height)

    def _changed(self, message: str) -> None:
        """What was copied cannot be any more: readers of packets end, those of frames go on."""
        log.warning("rtsp.changed", reason=message)
        self._meter.last_error = message
        readers, self._packet_readers = self._packet_readers, []
        for reader in readers:
            reader.close(SourceConfigError("rtsp:changed", message))
        self._info = replace(self.info, encode_reason="it has changed since it was opened")
        self._timeline.reordered = True
