"""One remote party: ICE-lite credentials, DTLS handshake, consent, and its end."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import structlog

from luxxon_core.adapters.aiortc_edge import private, sdp, sdp_answer, sdp_fragment, udp
from luxxon_core.adapters.aiortc_edge.mux import Mux

CONNECT_TIMEOUT = 10.0
"""Seconds from the answer to the end of the handshake; who needs longer gives its place back."""
CONSENT_TIMEOUT = 30.0
"""Seconds without an authentic datagram after which a peer is given up (RFC 7675 §5.1)."""
MAX_EARLY = 256
"""Media datagrams kept until the handshake is complete."""
INBOX = 64
"""DTLS datagrams that may wait; a flood beyond that is dropped."""

log = structlog.get_logger(__name__)


class Peer(ABC):
    """Lives from the SDP answer to ``close``. Subclasses say what is accepted and what happens to packets."""

    role: str
    tick_interval = 5.0

    def __init__(
        self, mux: Mux, offer: sdp.Offer, certificate: private.Certificate, addresses: tuple[str, ...]
    ):
        """Raises sdp.UnusableSdp when the offer cannot be served."""
        self.route = udp.Route()
        self.heard = time.monotonic()
        self.closed = False
        self.session = secrets.token_urlsafe(18)
        """Last part of the session URL."""
        self.etag = f'"{secrets.token_hex(8)}"'
        """Strong entity tag of the ICE session (RFC 9725 §4.3.1)."""
        self._mux, self._offer = mux, offer
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(INBOX)
        self._early: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._agreed: dict[int, sdp_answer.Accepted] = dict(self.accept(offer))
        if not self._agreed:
            raise sdp.UnusableSdp("no media in common")
        first = offer.media[min(self._agreed)]
        self._fingerprints = [f for f in first.fingerprints if f[0] in sdp.FINGERPRINTS]
        if not self._fingerprints:
            raise sdp.UnusableSdp("no certificate fingerprint by SHA-2")
        if first.ice is None:
            raise sdp.UnusableSdp("no ICE credentials")
        self._remote_ice = first.ice
        setup = sdp_answer.setup_for(first.setup)
        self._dtls = private.DtlsConnection(self, certificate, "client" if setup == "active" else "server")
        self._local = sdp_answer.Local(
            ice=_credentials(),
            addresses=addresses,
            port=mux.socket.address[1],
            fingerprints=certificate.fingerprints,
            setup=setup,
            session_id=secrets.randbits(62),
        )
        self._ufrags = [self._local.ice.ufrag]
        self.answer = sdp_answer.build_answer(offer, self._agreed, self._local)
        mux.register(self._local.ice.ufrag, self._local.ice.password, self)
        self._task: asyncio.Task[None] | None = None
        self._connect_by = self._loop.time() + CONNECT_TIMEOUT
        self._deadline = self._loop.call_at(self._connect_by, self._never_came)

    @property
    def pending(self) -> bool:
        """The handshake is not over yet."""
        return self.route.keys is None

    @property
    def absent_for(self) -> float:
        """Seconds since the answer without an authentic connectivity check; 0 once one has come."""
        return 0.0 if self.route.address else time.monotonic() - self.heard

    # What a subclass provides.

    @abstractmethod
    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp_answer.Accepted]:
        """Choose media and codecs; raise sdp.UnusableSdp to refuse."""

    @abstractmethod
    def connected(self) -> None:
        """SRTP is up."""

    @abstractmethod
    def rtp_received(self, packet: bytes, now: float) -> None: ...

    @abstractmethod
    def rtcp_received(self, packet: bytes, now: float) -> None: ...

    @abstractmethod
    def gone(self) -> None:
        """The peer is closed; called once."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Called every ``tick_interval`` seconds while connected."""

    async def _attend(self) -> None:
        """Tick until consent has expired."""
        while (now := time.monotonic()) - self.heard < CONSENT_TIMEOUT:
            self.tick(now)
            await asyncio.sleep(self.tick_interval)

    # ICE.

    def nominated(self, ufrag: bytes) -> None:
        if self.closed:
            return
        if len(self._ufrags) > 1 and ufrag == self._ufrags[-1].encode():
            for old in self._ufrags[:-1]:  # the restart has succeeded: old credentials end
                self._mux.forget_ufrag(old)
            del self._ufrags[:-1]
        if self._task is None:
            self._deadline.cancel()
            self._task = self._loop.create_task(self._run(), name=f"edge-{self.role}")
            self._task.add_done_callback(self._finished)

    def restarts(self, ice: sdp.IceCredentials) -> bool:
        """Whether a fragment with these credentials of the peer starts ICE anew (RFC 9725 §4.3.3)."""
        return ice != self._remote_ice

    @property
    def restart_pending(self) -> bool:
        """ICE was restarted, and the peer has not used our new credentials yet."""
        return len(self._ufrags) > 1

    def restart_ice(self, remote: sdp.IceCredentials) -> str:
        """New credentials (RFC 8445 §9), valid beside the old ones until the peer uses them.

        ``remote`` are the peer's new ones; those that it has already change nothing. Returns the SDP fragment
        that tells ours.
        """
        if self.restarts(remote):
            self._renew(remote)
        return sdp_fragment.restart_fragment(self._offer, self._agreed, self._local)

    def _renew(self, remote: sdp.IceCredentials) -> None:
        self._remote_ice = remote
        self._local = replace(self._local, ice=_credentials())
        self._ufrags.append(self._local.ice.ufrag)
        for old in self._ufrags[1:-1]:  # of restarts never taken up
            self._mux.forget_ufrag(old)
            self._ufrags.remove(old)
        self._mux.register(self._local.ice.ufrag, self._local.ice.password, self)
        self.etag = f'"{secrets.token_hex(8)}"'

    # DTLS: the pipe of private.DtlsConnection.

    def dtls_received(self, datagram: bytes) -> None:
        if not self._inbox.full():
            self._inbox.put_nowait(datagram)

    def early(self, datagram: bytes) -> None:
        """A DTLS server may send media in the same breath as its last handshake message: keep it."""
        if len(self._early) < MAX_EARLY:
            self._early.append(datagram)

    async def receive(self) -> bytes:
        return await self._inbox.get()

    def send(self, datagram: bytes) -> None:
        self._mux.send(datagram, self.route)

    def send_rtcp(self, packet: bytes) -> None:
        self._mux.fan((self.route,), (packet,), rtcp=True)

    # Life and end.

    async def _run(self) -> None:
        try:
            async with asyncio.timeout_at(self._connect_by):
                self.route.keys = await self._dtls.handshake(self._fingerprints)
            self.connected()
            for datagram in self._early:
                self._mux.deliver(self, datagram)
            self._early.clear()
            attend = self._loop.create_task(self._attend())
            goodbye = self._loop.create_task(self._dtls.wait_closed())
            try:
                done, _ = await asyncio.wait((attend, goodbye), return_when=asyncio.FIRST_COMPLETED)
                if attend in done:
                    log.info("edge.peer_failed", role=self.role, reason="no sign of life")
            finally:
                for task in (attend, goodbye):
                    task.cancel()
                results = await asyncio.gather(attend, goodbye, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result
        except (ConnectionError, TimeoutError) as error:
            log.info("edge.peer_failed", role=self.role, reason=str(error) or type(error).__name__)
        finally:
            self._end()
            await self._dtls.stop()
            self.route.keys = None

    def _never_came(self) -> None:
        log.info("edge.peer_failed", role=self.role, reason="no connectivity check arrived")
        self.close()

    def _end(self) -> None:
        if not self.closed:
            self.closed = True
            self._deadline.cancel()
            self._mux.unregister(self)
            self.gone()

    def close(self) -> None:
        """Disconnect; the peer is told by DTLS. Idempotent."""
        self._end()
        if self._task is not None:
            self._task.cancel()
        else:
            self._dtls.release()

    async def wait_closed(self) -> None:
        """Return when nothing of a closed peer runs any more."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait((self._task,))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None  # a task and its frames would keep each other, and us
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("edge.peer_crashed", exc_info=error)


def _credentials() -> sdp.IceCredentials:
    return sdp.IceCredentials(secrets.token_hex(4), secrets.token_hex(16))
