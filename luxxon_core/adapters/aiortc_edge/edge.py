"""The embedded media edge: ``luxxon_core.media.ports.Edge`` within this process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog
from aiohttp import web

from luxxon_core.adapters.aiortc_edge import decoder, private, sdp
from luxxon_core.adapters.aiortc_edge.channel import Channel, Context
from luxxon_core.adapters.aiortc_edge.doors import Door, Side, digest, doors
from luxxon_core.adapters.aiortc_edge.elsewhere import ElsewhereFrames
from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer
from luxxon_core.adapters.aiortc_edge.mux import Mux, advertised_addresses
from luxxon_core.adapters.aiortc_edge.peer import Peer
from luxxon_core.adapters.aiortc_edge.publisher import Publisher
from luxxon_core.adapters.aiortc_edge.quotas import Limits
from luxxon_core.adapters.aiortc_edge.routes import TooManyPeers, edge_routes
from luxxon_core.kernel.clock import Clock, utc_now
from luxxon_core.kernel.errors import StartError, VideoError
from luxxon_core.media.domain import Frame, LiveInput, MediaEvent

KIND = "embedded"
SECRET_BYTES = 24
DECODER_THREADS = 2
MAX_PUBLISHERS = 4
"""Per live input: the present one, and successors on their way, the first of which goes for one more."""
MAX_PENDING_VIEWERS = 2048
"""Per live input: viewers who have an answer but no connection yet, of 24 KiB each. Counted apart from
publishers, so that a URL for watching keeps nobody from publishing."""
PATIENCE = 2.0
"""Seconds that a viewer who has sent no authentic connectivity check keeps its place when others need one."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EdgeStats:
    """Counters since the start, for metrics and ``luxxon doctor``."""

    live_inputs: int
    publishers: int
    viewers: int
    datagrams_received: int
    datagrams_sent: int
    datagrams_dropped: int
    """Not sent, because the kernel's buffer stayed full."""
    errors: int

    def __add__(self, other: EdgeStats) -> EdgeStats:
        """Figures of two edges together."""
        return EdgeStats(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class AiortcEdge:
    """WHIP in, WHEP out, on one UDP socket. Serves between ``start`` and ``close``, on one event loop."""

    def __init__(
        self,
        *,
        public_url: str | Callable[[], str],
        name: str = KIND,
        clock: Clock = utc_now,
        udp_host: str = "127.0.0.1",
        udp_port: int = 0,
        public_addresses: Sequence[str] = (),
        max_peers: int = 4000,
        max_bitrate: int = 4_000_000,
        batch: bool | None = None,
        ice_servers: Sequence[IceServer | Mapping[str, str | None]] = (),
        address_quota: int = 6_000,
        live_input_quota: int = 6_000,
        trusted_proxies: Sequence[str] = (),
        forwarded_header: str = "X-Forwarded-For",
    ) -> None:
        """Args:
        public_url: base of the URLs minted, without a trailing slash; a callable where it is known only
            when the HTTP server is bound.
        name: which edge this is among those of a deployment; the same after a restart.
        udp_host: address to bind: loopback, one of the host's, 0.0.0.0 for all of IPv4, ``::`` for all.
        udp_port: 0 takes a free one.
        public_addresses: further addresses to advertise, of both families, as behind 1:1 NAT.
        max_peers: with so many publishers and viewers together further viewers are answered 503, with so
            many live inputs' publishers alone those of others are.
        max_bitrate: bit/s that publishers are asked to stay below.
        batch: force or forbid ``sendmmsg``; None takes it where it works.
        ice_servers: STUN and TURN servers that clients are told of; as mappings where they come over a wire.
        address_quota: offers, trickles and deletions a minute of one address, 0 for as many as one likes.
        live_input_quota: the same of one side of a live input.
        trusted_proxies: networks (CIDR) whose ``forwarded_header`` tells the client's address.
        """
        self._public_url = public_url
        self._name = name
        self._elsewhere = ElsewhereFrames()
        self._clock = clock
        self._udp = udp_host, udp_port
        self._public_addresses = tuple(public_addresses)
        self._max_peers, self._max_bitrate, self._batch = max_peers, max_bitrate, batch
        self.ice_servers = tuple(
            one if isinstance(one, IceServer) else IceServer(**one)  # type: ignore[arg-type]
            for one in ice_servers
        )
        self.limits = Limits(address_quota, live_input_quota, trusted_proxies, forwarded_header)
        self._context: Context | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._channels: dict[str, Channel] = {}
        self._doors: dict[Door, Channel] = {}
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue()

    @property
    def name(self) -> str:
        return self._name

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._name})

    @property
    def running(self) -> bool:
        """Between ``start`` and ``close``."""
        return self._context is not None

    async def start(self) -> None:
        """Bind the UDP socket.

        Raises:
            StartError: the address is taken or not ours, or the media libraries lack what is needed.
        """
        private.check()
        host, port = self._udp
        try:
            mux = Mux(host, port, batch=self._batch)
        except OSError as error:
            reason = f"Cannot bind UDP {host}:{port}: {error.strerror or error}"
            raise StartError("media:udp", reason) from error
        try:
            addresses = advertised_addresses(mux.socket.address[0], self._public_addresses)
        except ValueError as error:
            mux.close()
            raise StartError("media:udp", f"Public addresses: {error}") from error
        executor = ThreadPoolExecutor(DECODER_THREADS, "edge-decoder")
        try:
            await asyncio.get_running_loop().run_in_executor(executor, decoder.warm_up)
        except BaseException:
            mux.close()
            executor.shutdown(wait=False)
            raise
        self._executor = executor
        self._context = Context(
            mux=mux,
            certificate=private.Certificate(),
            addresses=addresses,
            executor=executor,
            clock=self._clock,
            emit=self._events.put_nowait,
            max_bitrate=self._max_bitrate,
        )
        log.info("edge.started", udp=f"{host}:{mux.socket.address[1]}", candidates=self._context.addresses)

    async def close(self) -> None:
        """Disconnect everybody and end ``events``. Idempotent."""
        context, self._context = self._context, None
        self._doors.clear()
        channels, self._channels = list(self._channels.values()), {}
        await _end(channels)
        await self._elsewhere.close()
        if context is not None and self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
            context.mux.close()
        self._events.put_nowait(None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # The port.

    async def create(self) -> LiveInput:
        base = self._base()
        live_input = LiveInput(
            uid=uuid4().hex,
            edge=self._name,
            whip_url=f"{base}/whip/{secrets.token_urlsafe(SECRET_BYTES)}",
            whep_url=f"{base}/whep/{secrets.token_urlsafe(SECRET_BYTES)}",
        )
        await self.restore(live_input)
        return live_input

    async def restore(self, live_input: LiveInput) -> None:
        """Raises VideoError when the live input is not one of this edge's, or the edge is not running."""
        self.reopen(live_input.uid, doors(live_input, self._name))

    def reopen(self, uid: str, behind: Iterable[Door]) -> None:
        """``restore`` for one who knows no secrets. Raises VideoError when the edge is not running."""
        if self._context is None:
            raise VideoError("video:edge:stopped", "The media edge is not running")
        if uid not in self._channels:
            channel = self._channels[uid] = Channel(uid, self._context)
            self._doors.update(dict.fromkeys(behind, channel))

    async def delete(self, live_input: LiveInput) -> None:
        channel = self._channels.pop(live_input.uid, None)
        if channel is not None:
            self._doors = {door: other for door, other in self._doors.items() if other is not channel}
            await _end([channel])

    async def frame(self, live_input: LiveInput) -> Frame | None:
        if live_input.edge != self._name:
            return await self._elsewhere.frame(live_input)
        channel = self._channels.get(live_input.uid)
        return channel.frame() if channel is not None else None

    def serving(self, before: datetime) -> Mapping[str, str]:
        return {uid: self._name for uid, channel in self._channels.items() if channel.opened_at < before}

    def media(self) -> dict[str, datetime]:
        """When the last media of each live input came that has media now, by uid."""
        found = ((uid, channel.media_at) for uid, channel in self._channels.items())
        return {uid: at for uid, at in found if at is not None}

    def announce(self) -> None:
        for channel in self._channels.values():
            channel.announce()

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)  # a later reader ends as well

    # Signalling, for the routes.

    def routes(self) -> list[web.RouteDef]:
        """WHIP and WHEP, under ``/whip`` and ``/whep``. Paths are secrets: keep them out of access logs."""
        return edge_routes(self)

    def channel(self, side: Side, secret: str) -> Channel | None:
        """Found by digest: what a wrong secret has in common with a right one cannot be measured."""
        return self._doors.get((side, digest(secret)))

    def admit(self, side: Side, channel: Channel, offer: sdp.Offer) -> Peer:
        """Raises TooManyPeers, channel.NoPublisher or sdp.UnusableSdp."""
        if side == "whip":
            if self._taken(side, channel) >= self._max_peers:
                raise TooManyPeers("The edge is full")
            publishers = [peer for peer in channel.sessions.values() if isinstance(peer, Publisher)]
            publisher = channel.publish(offer)
            if len(publishers) >= MAX_PUBLISHERS:  # a client that crashes and comes again is not kept waiting
                next(peer for peer in publishers if peer is not channel.publisher).close()
            return publisher
        absent: Peer | None = None
        if self._taken(side, channel) >= self._max_peers:
            absent = _longest_absent(self._channels.values(), "The edge is full")
        elif sum(peer.pending for peer in channel.viewers) >= MAX_PENDING_VIEWERS:
            absent = _longest_absent([channel], "Too many are about to watch this live input")
        viewer = channel.view(offer)
        if absent is not None:
            absent.close()
        return viewer

    def _taken(self, side: Side, channel: Channel) -> int:
        """Viewers count for viewers alone, and a publisher who comes again takes nobody's place: who may
        watch keeps no camera out."""
        if side == "whep":
            return sum(len(each.sessions) for each in self._channels.values())
        others = (each for each in self._channels.values() if each is not channel)
        return sum(isinstance(peer, Publisher) for each in others for peer in each.sessions.values())

    def session_url(self, side: Side, endpoint: str, session: str) -> str:
        return f"{self._base()}/{side}/{endpoint}/{session}"

    def stats(self) -> EdgeStats:
        peers = [peer for channel in self._channels.values() for peer in channel.sessions.values()]
        publishers = sum(isinstance(peer, Publisher) for peer in peers)
        sent = self._context.mux.socket.counters if self._context is not None else None
        return EdgeStats(
            live_inputs=len(self._channels),
            publishers=publishers,
            viewers=len(peers) - publishers,
            datagrams_received=sent.received if sent else 0,
            datagrams_sent=sent.sent if sent else 0,
            datagrams_dropped=sent.dropped if sent else 0,
            errors=sent.errors if sent else 0,
        )

    def _base(self) -> str:
        url = self._public_url if isinstance(self._public_url, str) else self._public_url()
        return url.rstrip("/")


def _longest_absent(channels: Iterable[Channel], full: str) -> Peer:
    """The viewer who has been silent for longest since it got its answer: who never comes keeps nobody out.

    Raises TooManyPeers, saying ``full``: all have come or may still be on their way.
    """
    absent = [viewer for channel in channels for viewer in channel.viewers if viewer.absent_for >= PATIENCE]
    if not absent:
        raise TooManyPeers(full)
    return max(absent, key=lambda viewer: viewer.absent_for)


async def _end(channels: Sequence[Channel]) -> None:
    peers = [peer for channel in channels for peer in channel.close()]
    for peer in peers:
        await peer.wait_closed()
