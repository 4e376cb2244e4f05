"""A camera's sound to Opus: 48 kHz, 20 ms a packet (RFC 7587). It blocks: call it from a thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from luxxon_core.capture import Mailbox
from luxxon_core.rtp.depacketize import aac_frames
from luxxon_core.source import AudioPacket, SourceConfigError
from luxxon_rtsp_ptz.sdp import Track, number_in
from luxxon_rtsp_ptz.timeline import Timeline

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFifo, AudioFrame, AudioResampler

OPUS_RATE, OPUS_SAMPLES = 48_000, 960
BIT_RATE = 32_000
DECODERS = {"pcmu": "pcm_mulaw", "pcma": "pcm_alaw", "mpeg4-generic": "aac", "opus": "libopus"}
GAP_SECONDS = 0.2
"""Sound that is missing for longer moves the time of what follows."""


class AudioMailbox(Mailbox[tuple[Track, bytes, int, float]]):
    """RTP payload, timestamp and time of arrival; the oldest of more than two seconds are dropped."""

    def _admit(self, item: tuple[Track, bytes, int, float]) -> None:
        if len(self._items) >= 100:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)


class OpusTranscoder:
    """Decodes a track and encodes it again; Opus of 48 kHz goes through as it comes."""

    def __init__(self, track: Track, origin: float) -> None:
        """Raises SourceConfigError: a codec that is not known here."""
        if track.codec not in DECODERS:
            raise SourceConfigError("rtsp:audioCodec", f"the camera's sound is {track.codec.upper()[:20]}")
        self.track = track
        self._timeline = Timeline(track.clock_rate, origin)
        self._decoder: AudioCodecContext | None = None
        self._encoder: AudioCodecContext | None = None
        self._next: int | None = None
        """Time of the next sample to go in, in 48 kHz since ``origin``."""
        self._out = 0
        """And of the next to come out."""
        self._resampler: AudioResampler | None = None
        self._fifo: AudioFifo | None = None

    def convert(self, track: Track, payload: bytes, timestamp: int, arrival: float) -> list[AudioPacket]:
        """What of one RTP payload is ready. Raises SourceConfigError: the camera changed the codec."""
        if (track.codec, track.clock_rate) != (self.track.codec, self.track.clock_rate):
            raise SourceConfigError(
                "rtsp:changed", "the camera has changed its sound; it has to be opened anew"
            )
        at = self._timeline.time(timestamp, arrival) * OPUS_RATE // self.track.clock_rate
        if self.track.codec == "opus":
            return [AudioPacket("opus", at, payload)]
        converted: list[AudioPacket] = []
        for frame in self._decoded(payload):
            converted += self._encoded(frame, at)
            at += frame.samples * OPUS_RATE // (frame.sample_rate or self.track.clock_rate)
        return converted

    def _decoded(self, payload: bytes) -> Iterator[AudioFrame]:
        import av

        if self._decoder is None:
            self._decoder = self._opened()
        frames = [payload]
        if self.track.codec == "mpeg4-generic":
            fmtp = self.track.fmtp
            frames = aac_frames(payload, _int(fmtp.get("sizelength"), 13), _int(fmtp.get("indexlength"), 3))
        for data in frames:
            try:
                yield from self._decoder.decode(av.Packet(data))
            except av.FFmpegError:
                self._decoder = self._opened()
                return

    def _opened(self) -> AudioCodecContext:
        import av

        decoder = av.CodecContext.create(DECODERS[self.track.codec], "r")
        assert isinstance(decoder, av.AudioCodecContext)
        if self.track.codec == "mpeg4-generic":
            try:
                decoder.extradata = bytes.fromhex(self.track.fmtp.get("config", ""))
            except ValueError:
                raise SourceConfigError("rtsp:audioConfig", "the camera describes its AAC wrongly") from None
        else:
            decoder.sample_rate = self.track.clock_rate
            decoder.layout = "stereo" if self.track.channels == 2 else "mono"
        return decoder

    def _encoded(self, frame: AudioFrame, at: int) -> list[AudioPacket]:
        import av

        if self._encoder is None or self._resampler is None or self._fifo is None:
            layout = frame.layout.name if frame.layout.nb_channels <= 2 else "stereo"
            self._encoder = _encoder(layout)
            self._resampler = av.AudioResampler("s16", layout, OPUS_RATE)
            self._fifo = av.AudioFifo()
        if self._next is None or abs(at - self._next) > GAP_SECONDS * OPUS_RATE:
            self._fifo = av.AudioFifo()
            # Never back: time goes forward across reconnects.
            self._next = max(at, self._next or 0)
            self._out = self._next
        frame.pts = None
        for resampled in self._resampler.resample(frame):
            self._next += resampled.samples
            resampled.pts = None
            self._fifo.write(resampled)
        packets = []
        while (chunk := self._fifo.read(OPUS_SAMPLES)) is not None:
            chunk.pts, chunk.sample_rate = None, OPUS_RATE
            for packet in self._encoder.encode(chunk):
                packets.append(AudioPacket("opus", self._out, bytes(packet)))
                self._out += OPUS_SAMPLES
        return packets


def _encoder(layout: str) -> AudioCodecContext:
    import av

    encoder: AudioCodecContext = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = OPUS_RATE, "s16", layout
    encoder.bit_rate = BIT_RATE
    encoder.options = {"application": "lowdelay", "frame_duration": "20"}
    return encoder


def _int(text: str | None, otherwise: int) -> int:
    return number_in(text or "", otherwise)
