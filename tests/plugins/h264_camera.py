"""A camera that makes H.264 by itself, as far as a program can tell: a socket that its stream comes from.

Each connection is one opening of the device. The stream begins with an IDR picture and has its parameter sets
there only, as many a camera's has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from queue import Queue
from threading import Thread
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

Picture = np.ndarray[Any, np.dtype[np.uint8]]
LENGTH, GOP, RATE = 60, 15, 30


@cache
def clip(width: int = 320, height: int = 180) -> tuple[list[bytes], list[Picture]]:
    """Access units of two seconds, and the luma that a decoder makes of them."""
    graph = f"testsrc2=size={width}x{height}:rate={RATE}:duration={LENGTH / RATE}"
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, RATE), Fraction(RATE), GOP
    encoder.max_b_frames, encoder.thread_count = 0, 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0:annexb=1"}
    units = []
    with av.open(graph, format="lavfi") as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            picture.pict_type = PictureType.NONE  # it says that it is a key frame, and x264 would follow
            units += [bytes(packet) for packet in encoder.encode(picture)]
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit))]
    frames += decoder.decode(None)
    assert len(frames) == len(units) == LENGTH
    bare = [unit if number == 0 else without_sets(unit) for number, unit in enumerate(units)]
    return bare, [luma(frame) for frame in frames]


def without_sets(unit: bytes) -> bytes:
    parts = [part for part in unit.split(b"\0\0\1") if part.strip(b"\0")]
    return b"".join(b"\0\0\1" + part.rstrip(b"\0") for part in parts if part[0] & 31 not in (7, 8))


def luma(frame: av.VideoFrame) -> Picture:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width].copy()


def psnr(picture: Picture, references: list[Picture]) -> float:
    """Against the reference that is most like it, in dB."""
    wide = picture.astype(np.float32)
    error = min(float(np.mean((wide - reference) ** 2)) for reference in references)
    return 10 * np.log10(255**2 / error) if error else float("inf")


@dataclass
class H264Camera:
    """Unplugged it sends nothing and takes no connection."""

    url: str = ""
    opened: int = 0
    size: tuple[int, int] = (320, 180)
    plugged: bool = True
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    def unplug(self) -> None:
        self.plugged = False
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.unplug()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.plugged:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._send(writer))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._writers.add(writer)
        units, _pictures = clip(*self.size)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with suppress(ConnectionError):
            number = 0
            while not writer.is_closing():
                writer.write(units[number % LENGTH])
                await writer.drain()
                number += 1
                await asyncio.sleep(max(0.0, begun + number / RATE - loop.time()))
        self._writers.discard(writer)
        writer.close()


@asynccontextmanager
async def h264_camera() -> AsyncIterator[H264Camera]:
    clip()
    camera = H264Camera()
    server = await asyncio.start_server(camera.connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    camera.url = f"tcp://{host}:{port}"
    try:
        yield camera
    finally:
        await camera.close()
        server.close()
        await server.wait_closed()


@contextmanager
def running_apart() -> Iterator[str]:
    """The URL of a camera in a thread of its own, for tests that run a loop themselves."""
    urls: Queue[str] = Queue()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def run() -> None:
        async with h264_camera() as camera:
            urls.put(camera.url)
            await over.wait()

    thread = Thread(target=loop.run_until_complete, args=(run(),), name="asyncio_camera")
    thread.start()
    try:
        yield urls.get(timeout=20)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
