"""A WHIP client: what of its offer is taken, and where its packets go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp
from luxxon_core.adapters.aiortc_edge.inbound import Inbound
from luxxon_core.adapters.aiortc_edge.mux import Mux
from luxxon_core.adapters.aiortc_edge.peer import Peer

START_KILOBITS = 1500


class Publisher(Peer):
    role = "publisher"
    tick_interval = 0.05

    def __init__(
        self,
        mux: Mux,
        offer: sdp.Offer,
        certificate: private.Certificate,
        addresses: tuple[str, ...],
        *,
        max_bitrate: int,
        on_connected: Callable[[Publisher], None],
        on_media: Callable[[Publisher, float], None],
        on_tick: Callable[[Publisher, float], None],
        on_gone: Callable[[Publisher], None],
    ) -> None:
        """Raises sdp.UnusableSdp without video in a codec that can be forwarded."""
        self.inbounds: dict[str, Inbound] = {}
        """By kind of media: one of each at most."""
        self._by_payload_type: dict[int, tuple[Inbound, bool]] = {}
        self._max_bitrate = max_bitrate
        self._on_connected, self._on_media = on_connected, on_media
        self._on_tick, self._on_gone = on_tick, on_gone
        super().__init__(mux, offer, certificate, addresses)

    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp.Accepted]:
        agreed: dict[int, sdp.Accepted] = {}
        for index, media in sdp.usable_media(offer):
            sends = media.direction in ("sendrecv", "sendonly") and media.kind not in self.inbounds
            codec = sdp.publisher_codec(media) if sends else None
            if codec is None:
                agreed[index] = sdp.Accepted(media.codecs[0], "inactive")
                continue
            self._expect(media.kind, codec)
            hinted = sdp.start_bitrate_hint(codec, min(START_KILOBITS, self._max_bitrate // 1000))
            agreed[index] = sdp.Accepted(hinted if media.kind == "video" else codec, "recvonly")
        if "video" not in self.inbounds:
            raise sdp.UnusableSdp(f"no video in {', '.join(sdp.VIDEO_CODECS).upper()} is offered")
        return agreed

    def _expect(self, kind: str, codec: sdp.Codec) -> None:
        inbound = self.inbounds[kind] = Inbound(kind, codec, self.send_rtcp, self._max_bitrate)
        self._by_payload_type[codec.payload_type] = inbound, False
        if codec.rtx is not None:
            self._by_payload_type[codec.rtx] = inbound, True

    def connected(self) -> None:
        self._on_connected(self)

    def rtp_received(self, packet: bytes, now: float) -> None:
        parsed = rtp.parse_rtp(packet)
        if (found := self._by_payload_type.get(parsed.payload_type)) is not None:
            inbound, rtx = found
            if inbound.receive(parsed, rtx=rtx, now=now):
                self._on_media(self, now)

    def rtcp_received(self, packet: bytes, now: float) -> None:
        for part in rtp.parse_rtcp(packet):
            if part.kind == rtp.SENDER_REPORT:
                info = rtp.parse_sender_info(part)
                for inbound in self.inbounds.values():
                    inbound.sender_report(info, now)

    def tick(self, now: float) -> None:
        for inbound in self.inbounds.values():
            inbound.tick(now)
        self._on_tick(self, now)

    def gone(self) -> None:
        for inbound in self.inbounds.values():
            inbound.sink = None
        self._on_gone(self)
