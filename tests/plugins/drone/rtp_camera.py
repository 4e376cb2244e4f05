"""A camera that sends RTP to a port: the test card as H.264, whose every picture can be drawn again."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import Self

import av
import numpy as np
from luxxon_testcard.counter import read_counter
from luxxon_testcard.render import Renderer

WIDTH, HEIGHT, FPS = 320, 180, 30


class RtpCamera:
    """Sends from a thread of its own for as long as the context is open.

    Only every ``headers_every``-th key frame has SPS and PPS.
    """

    def __init__(
        self,
        port: int,
        *,
        headers_every: int = 1,
        b_frames: int = 0,
        gop: int = 15,
        size: tuple[int, int] = (WIDTH, HEIGHT),
    ) -> None:
        self.port = port
        self.paused = threading.Event()
        self._b_frames, self._gop, self._size = b_frames, gop, size
        self._headers_every = headers_every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtp-camera", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        width, height = self._size
        renderer = Renderer(width, height, "drone")
        url = f"rtp://127.0.0.1:{self.port}?pkt_size=1200"
        with av.open(url, "w", format="rtp") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.bit_rate = 2_000_000
            context = stream.codec_context
            context.gop_size, context.max_b_frames = self._gop, self._b_frames
            context.options = {"preset": "ultrafast", "forced-idr": "1"} | (
                {} if self._b_frames else {"tune": "zerolatency"}
            )
            context.options |= {
                "x264-params": "repeat-headers=1:scenecut=0:sliced-threads=0"
                + (f":bframes={self._b_frames}:b-adapt=0" if self._b_frames else "")
            }
            started, number, keyframes = time.monotonic(), 0, 0
            while not self._stop.wait(max(0.0, started + number / FPS - time.monotonic())):
                frame = picture(renderer, number)
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                for packet in stream.encode(frame):
                    keyframes += packet.is_keyframe
                    bare = packet.is_keyframe and keyframes % self._headers_every
                    if not self.paused.is_set():
                        container.mux(_bare(packet) if bare else packet)
                number += 1


def _bare(packet: av.Packet) -> av.Packet:
    """The packet without its parameter sets."""
    units = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    kept = b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 31 not in (7, 8))
    bare = av.Packet(kept)
    bare.pts, bare.dts, bare.time_base = packet.pts, packet.dts, packet.time_base
    bare.is_keyframe, bare.stream = True, packet.stream
    return bare


def picture(renderer: Renderer, number: int) -> av.VideoFrame:
    return renderer.render(number, number / FPS)


def psnr(frame: av.VideoFrame) -> float:
    """Of the luma against the very picture that was sent, which the frame names itself; dB."""
    number = read_counter(frame)
    assert number is not None, "the picture's number cannot be read"
    sent = picture(Renderer(frame.width, frame.height, "drone"), number)
    error = float(np.mean((_luma(frame).astype(np.float32) - _luma(sent)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _luma(frame: av.VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
