"""A camera's sound beside its picture: Opus as the source gives it, and silence where it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import structlog
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.operator.feed import Feed
from luxxon_core.source import AudioPacket, AudioSource, SourceConfigError

log = structlog.get_logger(__name__)

OPUS = "opus"


async def sound_of(source: AudioSource) -> AsyncGenerator[AudioPacket, None]:
    """The source's packets; a failure is heard as a pause. It ends where there will be no sound.

    Raises:
        SourceConfigError: it is not Opus.
    """

    def failed(error: Exception) -> None:
        reason = error.message if isinstance(error, LuxxonError) else type(error).__name__
        log.info("publish.sound_failed", reason=reason)

    async for packet in Feed(failed, lambda: None).packets(source.audio_packets):
        if packet.codec != OPUS:
            raise SourceConfigError("source:audio", f"the camera's sound is {packet.codec}, not Opus")
        yield packet


class SoundTrack(MediaStreamTrack):
    """Feeds aiortc's sender. When the sound ends the picture goes on."""

    kind = "audio"

    def __init__(self, packets: AsyncGenerator[AudioPacket, None]) -> None:
        super().__init__()
        self._packets = packets

    async def recv(self) -> Packet[Any]:
        try:
            packet = await anext(self._packets)
        except StopAsyncIteration:
            raise MediaStreamError("the sound has ended") from None
        except LuxxonError as error:
            log.warning("publish.no_sound", reason=error.message)
            raise MediaStreamError("the sound has failed") from error
        packed = Packet(packet.data)
        packed.pts, packed.time_base = packet.pts, packet.time_base
        return packed

    async def close(self) -> None:
        """Stop sending and release the microphone. Idempotent."""
        self.stop()
        await self._packets.aclose()
