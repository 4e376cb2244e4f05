"""One live input as it is served: its publisher, its viewers, its picture, and whether media flows."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from luxxon_core.adapters.aiortc_edge import private, sdp, sdp_answer
from luxxon_core.adapters.aiortc_edge.decoder import Picture
from luxxon_core.adapters.aiortc_edge.faults import Change, FaultWatch
from luxxon_core.adapters.aiortc_edge.inbound import Inbound
from luxxon_core.adapters.aiortc_edge.mux import Mux
from luxxon_core.adapters.aiortc_edge.peer import Peer
from luxxon_core.adapters.aiortc_edge.publisher import Publisher
from luxxon_core.adapters.aiortc_edge.snapshot import Snapshot
from luxxon_core.adapters.aiortc_edge.stream import Stream
from luxxon_core.adapters.aiortc_edge.viewer import Viewer
from luxxon_core.kernel.clock import MILLISECOND, Clock
from luxxon_core.media.domain import Fault, Frame, MediaEvent, MediaEventKind

MEDIA_TIMEOUT = 2.0
"""Seconds without video in RTP after which a live input counts as disconnected, whatever sound there is."""
FRAME_LIFETIME = 5.0
SOUND = sdp.Codec(111, "opus", 48000, 2)
"""The one codec of sound: its stream is there before anybody publishes sound, so that viewers who agree to it
hear it once somebody does."""
MAX_REPLACED = 16
"""Remembered sessions of publishers who had to give way."""


class NoPublisher(Exception):
    """There is nothing to watch yet."""


class Source(Protocol):
    """Where media come from: a publisher, or another edge that is watched."""

    session: str
    inbounds: dict[str, Inbound]

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What all channels of an edge share."""

    mux: Mux
    certificate: private.Certificate
    addresses: tuple[str, ...]
    executor: Executor
    clock: Clock
    emit: Callable[[MediaEvent], None]
    max_bitrate: int


class Channel:
    def __init__(self, uid: str, context: Context) -> None:
        self.uid = uid
        self.publisher: Source | None = None
        self.sessions: dict[str, Peer] = {}
        """Every peer that is not closed, by the last part of its session URL."""
        self.replaced: deque[str] = deque(maxlen=MAX_REPLACED)
        """Sessions of publishers that another one has taken over from."""
        self._context = context
        self._cname = secrets.token_hex(8)
        """One for sound and picture, by which receivers synchronise them (RFC 3550 §6.5.1)."""
        self._streams = {"audio": self._make_stream("audio", SOUND)}
        self._snapshot: Snapshot | None = None
        self._picture: tuple[Frame, float] | None = None
        """With its monotonic arrival."""
        self._faults = FaultWatch()
        self._first_frame_sent = False
        self._media_at = 0.0
        self.opened_at = context.clock()
        self._flowing_since: float | None = None
        self._flow_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._closed = False

    # Signalling.

    def publish(self, offer: sdp.Offer) -> Publisher:
        """Admit a publisher. It takes over once it is connected, or at once if nobody publishes.

        Raises:
            sdp.UnusableSdp: no video that can be forwarded.
        """
        context = self._context
        publisher = Publisher(
            context.mux,
            offer,
            context.certificate,
            context.addresses,
            max_bitrate=context.max_bitrate,
            on_connected=self._adopt,
            on_media=self._media,
            on_tick=self._tick,
            on_gone=self._publisher_gone,
        )
        self.sessions[publisher.session] = publisher
        if self.publisher is None:
            self._adopt(publisher)
        return publisher

    def view(self, offer: sdp.Offer) -> Viewer:
        """Admit a viewer.

        Raises:
            NoPublisher: nobody publishes.
            sdp.UnusableSdp: no codec in common.
        """
        if self.publisher is None:
            raise NoPublisher
        context = self._context
        viewer = Viewer(
            context.mux,
            offer,
            context.certificate,
            context.addresses,
            streams=self._streams,
            published=set(self.publisher.inbounds),
            on_gone=self._viewer_gone,
        )
        self.sessions[viewer.session] = viewer
        return viewer

    @property
    def viewers(self) -> Iterator[Viewer]:
        """Also those who are not connected yet, as they came."""
        return (peer for peer in self.sessions.values() if isinstance(peer, Viewer))

    def _viewer_gone(self, viewer: Viewer) -> None:
        self.sessions.pop(viewer.session, None)

    def _publisher_gone(self, publisher: Source) -> None:
        self.sessions.pop(publisher.session, None)
        if self.publisher is publisher:
            self.publisher = None
            self._interrupt()

    # Takeover.

    def _adopt(self, publisher: Source) -> None:
        """Make ``publisher`` the one whose media goes out."""
        before = self.publisher
        if before is publisher or self._closed:
            return
        self.publisher = publisher
        if before is not None:
            if isinstance(before, Publisher):
                self.replaced.append(before.session)
            before.close()
            self._interrupt()
        for kind, inbound in publisher.inbounds.items():
            stream = self._streams.get(kind)
            if stream is None or not sdp_answer.interchangeable(stream.codec, inbound.codec):
                stream = self._open_stream(kind, inbound, stream)
            stream.codec = inbound.codec  # by its profile who comes now is answered
            stream.request_keyframe = _request(inbound)
            inbound.sink = stream

    def _interrupt(self) -> None:
        """Let go of the source, also in streams of which the next one has none."""
        for stream in self._streams.values():
            stream.discontinued()
            stream.request_keyframe = _nobody

    def _open_stream(self, kind: str, inbound: Inbound, former: Stream | None) -> Stream:
        """A stream in a new codec. Viewers of the former one could not decode it: they must ask again."""
        stream = self._streams[kind] = self._make_stream(kind, inbound.codec)
        if former is not None:
            former.close()
            for viewer in list(self.viewers):
                if viewer.watches(former):
                    viewer.close()
        if kind == "video":
            if self._snapshot is not None:
                self._snapshot.close()
            self._snapshot = Snapshot(inbound.codec.kind, self._context.executor, self._pictured)
            stream.tap = self._snapshot.take
        return stream

    def _make_stream(self, kind: str, codec: sdp.Codec) -> Stream:
        stream = Stream(kind, codec, self._context.mux)
        stream.cname = self._cname
        return stream

    # Media.

    def _media(self, publisher: Source, now: float) -> None:
        if publisher is not self.publisher:
            return
        self._media_at = now
        if self._flowing_since is None:
            self._flowing_since = now
            self._emit(MediaEventKind.CONNECTED, now)
            self._flow_timer = self._loop.call_later(MEDIA_TIMEOUT, self._check_flow)

    @property
    def media_at(self) -> datetime | None:
        """When the last media came; None while none flows."""
        return None if self._flowing_since is None else self._moment(self._media_at)

    def announce(self) -> None:
        """Say again that media flows, if it does, and what is wrong with the picture."""
        if self._flowing_since is not None:
            self._emit(MediaEventKind.CONNECTED, self._media_at)
            self._tell([Change(fault, True, since) for fault, since in self._faults.open.items()])

    def _check_flow(self) -> None:
        silent = time.monotonic() - self._media_at
        if silent < MEDIA_TIMEOUT:
            self._flow_timer = self._loop.call_later(MEDIA_TIMEOUT - silent, self._check_flow)
        else:
            self._flowing_since = self._flow_timer = None
            self._faults.reset()
            self._emit(MediaEventKind.DISCONNECTED, self._media_at)

    def _tick(self, publisher: Source, now: float) -> None:
        if publisher is not self.publisher:
            return
        if self._snapshot is not None and self._snapshot.tick(now):
            publisher.inbounds["video"].request_keyframe(now)
        if self._flowing_since is not None:
            self._tell(self._faults.passed(self._flowing_since, now))

    def _pictured(self, picture: Picture) -> None:
        if self._closed:
            return
        captured_at = self._moment(picture.at)
        frame = Frame(picture.jpeg, picture.width, picture.height, captured_at, picture.digest)
        self._picture = frame, picture.at
        if self._flowing_since is None:
            return  # decoded late: what is over must not make a session LIVE, nobody would be told again
        if not self._first_frame_sent:
            self._first_frame_sent = True
            self._emit(MediaEventKind.FIRST_FRAME, time.monotonic())
        self._tell(self._faults.saw(picture.light, picture.at))

    def frame(self) -> Frame | None:
        if self._picture is None or time.monotonic() - self._picture[1] > FRAME_LIFETIME:
            return None
        return self._picture[0]

    def _tell(self, changes: list[Change]) -> None:
        for fault, began, at in changes:
            kind = MediaEventKind.FAULT_BEGAN if began else MediaEventKind.FAULT_ENDED
            self._emit(kind, at, fault)

    def _emit(self, kind: MediaEventKind, monotonic: float, fault: Fault | None = None) -> None:
        self._context.emit(MediaEvent(kind, self.uid, self._moment(monotonic), fault))

    def _moment(self, monotonic: float) -> datetime:
        """A point of the monotonic clock as the injected clock would have shown it, to the millisecond."""
        ago = timedelta(seconds=max(0.0, time.monotonic() - monotonic))
        return self._context.clock() - ago // MILLISECOND * MILLISECOND

    # End.

    def close(self) -> list[Peer]:
        """Disconnect everybody, send no more events; the peers are still to be waited for."""
        self._closed = True
        if self._flow_timer is not None:
            self._flow_timer.cancel()
        peers = list(self.sessions.values())
        for peer in peers:
            peer.close()
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        if self._snapshot is not None:
            self._snapshot.close()
        self._snapshot = self._picture = None
        return peers


def _request(inbound: Inbound) -> Callable[[], None]:
    return lambda: inbound.request_keyframe(time.monotonic())


def _nobody() -> None:
    """Nobody publishes: nobody to ask for a keyframe."""
