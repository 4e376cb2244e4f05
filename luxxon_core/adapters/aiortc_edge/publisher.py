"""A WHIP client: what of its offer is taken, and where its packets go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp, sdp_answer, transport_cc
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
        """Raises sdp.UnusableSdp when not all that is offered can be forwarded, or no video is."""
        self.inbounds: dict[str, Inbound] = {}
        """By kind of media: one of each at most."""
        self._by_payload_type: dict[int, tuple[Inbound, bool]] = {}
        self._arrivals: transport_cc.Arrivals | None = None
        """Once feedback on them is agreed."""
        self._arrival_extension = 0
        self._arrivals_at = 0.0
        self._max_bitrate = max_bitrate
        self._on_connected, self._on_media = on_connected, on_media
        self._on_tick, self._on_gone = on_tick, on_gone
        super().__init__(mux, offer, certificate, addresses)

    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp_answer.Accepted]:
        """All of the offer or nothing: who publishes in part would not know it (RFC 9725 §4.4.3)."""
        usable = dict(sdp.usable_media(offer))
        agreed: dict[int, sdp_answer.Accepted] = {}
        for index, media in enumerate(offer.media):
            if media.rejected:  # by the offerer itself
                continue
            if index not in usable:
                raise sdp.UnusableSdp(f"media {media.mid} is no RTP over DTLS in one bundle with rtcp-mux")
            agreed[index] = self._taken(media)
        if "video" not in self.inbounds:
            raise sdp.UnusableSdp("no video is offered")
        return agreed

    def _taken(self, media: sdp.Media) -> sdp_answer.Accepted:
        if media.direction not in ("sendrecv", "sendonly"):
            raise sdp.UnusableSdp(f"media {media.mid} is {media.direction}: nothing would be published")
        if media.kind in self.inbounds:
            raise sdp.UnusableSdp(f"more than one {media.kind} (RFC 9725 section 4.4.2)")
        if (codec := sdp_answer.publisher_codec(media)) is None:
            known = ", ".join(sdp_answer.codecs_for(media.kind)).upper()
            raise sdp.UnusableSdp(f"no {media.kind} in {known} is offered")
        self._expect(media, codec)
        if media.kind == "video":
            codec = sdp_answer.start_bitrate_hint(codec, min(START_KILOBITS, self._max_bitrate // 1000))
        return sdp_answer.Accepted(codec, "recvonly", self._congestion_feedback(media, codec))

    def _congestion_feedback(self, media: sdp.Media, codec: sdp.Codec) -> tuple[str, ...]:
        """Attributes that agree to transport-wide feedback where it is offered. REMB beside it is the cap."""
        identifier = media.extension(transport_cc.URI)
        if identifier is None or transport_cc.FEEDBACK not in codec.feedback:
            return ()
        if self._arrivals is None:
            self._arrivals, self._arrival_extension = transport_cc.Arrivals(), identifier
        agreed = f"rtcp-fb:{codec.payload_type} {transport_cc.FEEDBACK}"
        return f"extmap:{identifier} {transport_cc.URI}", agreed

    def _expect(self, media: sdp.Media, codec: sdp.Codec) -> None:
        inbound = self.inbounds[media.kind] = Inbound(
            media.kind, codec, self.send_rtcp, self._max_bitrate, reduced_size=media.rtcp_rsize
        )
        self._by_payload_type[codec.payload_type] = inbound, False
        if codec.rtx is not None:
            self._by_payload_type[codec.rtx] = inbound, True

    def connected(self) -> None:
        self._on_connected(self)

    def rtp_received(self, packet: bytes, now: float) -> None:
        parsed = rtp.parse_rtp(packet)
        if self._arrivals is not None:
            number = rtp.header_extension(packet, self._arrival_extension)
            if number is not None and len(number) >= 2:
                self._arrivals.record(int.from_bytes(number[:2], "big"), now)
        if (found := self._by_payload_type.get(parsed.payload_type)) is not None:
            inbound, rtx = found
            if inbound.receive(parsed, rtx=rtx, now=now) and inbound.kind == "video":
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
        if self._arrivals is not None and now - self._arrivals_at >= transport_cc.INTERVAL:
            self._arrivals_at = now
            video = self.inbounds["video"]
            for message in self._arrivals.feedback(*video.parties):
                video.send_feedback(message)
        self._on_tick(self, now)

    def gone(self) -> None:
        for inbound in self.inbounds.values():
            inbound.sink = None
        self._on_gone(self)
        self.inbounds.clear()
        self._by_payload_type.clear()
