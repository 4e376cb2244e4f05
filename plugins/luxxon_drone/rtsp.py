"""The vehicle's video by RTSP, through FFmpeg and over TCP, which loses nothing. Blocks: one thread reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import av

from luxxon_core.rtp.nal import Codec
from luxxon_core.rtp.stream import B_FRAMES, StreamInfo
from luxxon_core.source import SourceConfigError, SourceNotReady

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream

    from luxxon_drone.config import VideoAddress

PROBED = 12
"""Pictures looked at for B-frames when the video is opened."""
CODECS = {"h264": Codec.H264, "hevc": Codec.H265}
"""By FFmpeg's names."""


@dataclass(frozen=True, slots=True)
class VideoLogin:
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "VideoLogin(***)" if self.username or self.password else "VideoLogin()"


class RtspStream:
    def __init__(
        self, address: VideoAddress, login: VideoLogin, *, open_seconds: float, read_seconds: float
    ) -> None:
        """Open and look at the first second or so.

        Raises:
            SourceConfigError: what comes is no video that we take.
            SourceNotReady: no picture comes.
            av.FFmpegError, OSError: it cannot be opened.
        """
        # "nobuffer" keeps what was looked at from being played late; the frame rate stands in the SPS.
        options = {
            "fflags": "nobuffer",
            "analyzeduration": "5000000",
            "fpsprobesize": "0",
            "max_delay": "100000",
            "protocol_whitelist": "rtsp,rtp,tcp,udp,tls,crypto",
            "rtsp_transport": "tcp",
        }
        url = _with_login(address.url, login)
        self._address = address
        self._container = av.open(url, "r", options=options, timeout=(open_seconds, read_seconds))
        stream = next(iter(self._container.streams.video), None)
        if stream is None or not stream.width or not stream.height:
            self.close()
            raise SourceNotReady("drone:noVideo", f"{address}: no video comes")
        if stream.codec_context.name not in CODECS:
            self.close()
            raise SourceConfigError("drone:codec", f"{address}: the video is neither H.264 nor H.265")
        stream.thread_type = "SLICE"  # frame threads would hold pictures back
        self._stream, self.context = stream, stream.codec_context

    lost_share = 0.0

    def look(self) -> StreamInfo:
        """Size and rate, and whether the packets can be sent on, by a look at the next pictures."""
        stream = self._stream
        times: list[int] = []
        for packet in self.packets():
            if packet.size and packet.pts is not None:
                times.append(packet.pts)
            if len(times) >= PROBED:
                break
        if not times:
            raise SourceNotReady("drone:noVideo", f"{self._address}: no video comes")
        reason, codec = None, CODECS[self.context.name]
        if codec is not Codec.H264:
            reason = "it is H.265, which WebRTC viewers cannot play"
        elif self.context.has_b_frames or times != sorted(set(times)):
            reason = B_FRAMES
        rate = float(stream.average_rate or stream.guessed_rate or 30)
        return StreamInfo(codec, stream.width, stream.height, rate if 1 <= rate <= 240 else 30.0, reason)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        return self._container.demux(self._stream)

    def close(self) -> None:
        self._container.close()


def _with_login(url: str, login: VideoLogin) -> str:
    if not login.username and not login.password.strip():
        return url
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}://{quote(login.username, safe='')}:{quote(login.password, safe='')}@{host}{slash}{path}"
