"""Pictures of a camera, decoded once for all who look."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from luxxon_core.capture import Mailbox
from luxxon_core.rtp.stream import opened
from luxxon_core.source import VIDEO_CLOCK, EncodedPacket

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame

log = structlog.get_logger(__name__)

BACKLOG = 60
"""Access units that may wait; beyond them decoding goes on at the next key frame."""


class Decoder:
    """Decodes in a thread of its own while there are readers, from a key frame on."""

    def __init__(self) -> None:
        self._readers: list[Mailbox[VideoFrame]] = []
        self._waiting: deque[EncodedPacket] = deque()
        self._wait_for_keyframe = True
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = asyncio.Lock()

    @property
    def busy(self) -> bool:
        return self._thread is not None

    async def add(self, reader: Mailbox[VideoFrame]) -> None:
        async with self._closing:
            with self._changed:
                self._readers.append(reader)
                if self._thread is None:
                    self._waiting.clear()
                    self._wait_for_keyframe = True
                    self._thread = threading.Thread(target=self._run, name="rtsp-decoder", daemon=True)
                    self._thread.start()

    async def remove(self, reader: Mailbox[VideoFrame]) -> None:
        """Ends the thread with the last reader."""
        async with self._closing:
            with self._changed:
                if reader in self._readers:
                    self._readers.remove(reader)
                thread = None if self._readers else self._thread
                self._changed.notify()
            if thread is not None:
                await asyncio.to_thread(thread.join, 5.0)
                self._thread = None

    def end(self, error: BaseException | None = None) -> None:
        """No more pictures: every reader gets the error or the end, and the thread ends."""
        with self._changed:
            readers, self._readers = self._readers, []
            self._changed.notify()
        for reader in readers:
            reader.close(error)

    def put(self, packet: EncodedPacket) -> None:
        """Never blocks."""
        if self._thread is None:
            return
        with self._changed:
            if len(self._waiting) >= BACKLOG:
                self._waiting.clear()
                self._wait_for_keyframe = True
            if self._wait_for_keyframe and not packet.keyframe:
                return
            self._wait_for_keyframe = False
            self._waiting.append(packet)
            self._changed.notify()

    def _run(self) -> None:
        import av

        context: VideoCodecContext | None = None
        codec, last = "", -1
        while True:
            with self._changed:
                while not self._waiting and self._readers:
                    self._changed.wait()
                if not self._readers:
                    return
                packet = self._waiting.popleft()
            if context is None or codec != packet.codec:
                context, codec = opened(packet.codec), packet.codec
            access_unit = av.Packet(packet.data)
            access_unit.pts, access_unit.time_base = packet.pts, packet.time_base
            try:
                frames = context.decode(access_unit)
            except av.FFmpegError as error:
                log.debug("rtsp.decode", error=type(error).__name__)
                context = None
                with self._changed:
                    self._waiting.clear()
                    self._wait_for_keyframe = True
                continue
            for frame in frames:
                if frame.is_corrupt or frame.pts is None or frame.pts <= last:
                    continue
                last, frame.time_base = frame.pts, VIDEO_CLOCK
                with self._changed:
                    readers = list(self._readers)
                for reader in readers:
                    reader.put(frame)
