"""A WHEP client: which streams it gets, and what it reports back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp, sdp_answer
from luxxon_core.adapters.aiortc_edge.mux import Mux
from luxxon_core.adapters.aiortc_edge.peer import Peer
from luxxon_core.adapters.aiortc_edge.stream import REPORT_RATE, Allowance, Stream, Subscription


class Viewer(Peer):
    role = "viewer"

    def __init__(
        self,
        mux: Mux,
        offer: sdp.Offer,
        certificate: private.Certificate,
        addresses: tuple[str, ...],
        *,
        streams: Mapping[str, Stream],
        published: Set[str],
        on_gone: Callable[[Viewer], None],
    ) -> None:
        """``streams``: by kind, also of what may come later; ``published``: the kinds that flow at present.
        Raises sdp.UnusableSdp when the offer has no codec of these."""
        self._streams, self._published = dict(streams), published
        self._subscriptions: dict[int, tuple[Stream, Subscription]] = {}
        self._on_gone = on_gone
        self._wanted: dict[str, sdp.Codec] = {}
        self._may_report = Allowance(REPORT_RATE).take
        super().__init__(mux, offer, certificate, addresses)
        for kind, codec in self._wanted.items():
            stream = self._streams[kind]
            self._subscriptions[stream.ssrc] = stream, Subscription(self.route, codec.payload_type, codec.rtx)

    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp_answer.Accepted]:
        """What is published, in the viewer's payload types, and sound that is not (yet) likewise: the answer
        is sendonly throughout. What could not be decoded is rejected."""
        agreed: dict[int, sdp_answer.Accepted] = {}
        for index, media in sdp.usable_media(offer):
            if media.direction not in ("sendrecv", "recvonly") or media.kind in self._wanted:
                continue
            stream = self._streams[media.kind]
            if (codec := sdp_answer.viewer_codec(media, stream.codec)) is not None:
                self._wanted[media.kind] = codec
                agreed[index] = sdp_answer.Accepted(codec, "sendonly", tuple(_source_lines(stream, codec)))
        if not self._published & self._wanted.keys():
            published = ", ".join(self._streams[kind].codec.name for kind in sorted(self._published))
            raise sdp.UnusableSdp(f"no codec in common with what is published: {published}")
        return agreed

    def watches(self, stream: Stream) -> bool:
        return stream.ssrc in self._subscriptions

    def connected(self) -> None:
        for stream, subscription in self._subscriptions.values():
            stream.subscribe(subscription)

    def tick(self, now: float) -> None:
        """Nothing is due: a viewer is served as packets come."""

    def rtp_received(self, packet: bytes, now: float) -> None:
        """A viewer has nothing to send."""

    def rtcp_received(self, packet: bytes, now: float) -> None:
        if not self._may_report(now):
            return
        for part in rtp.parse_rtcp(packet):
            if part.kind == rtp.TRANSPORT_FEEDBACK and part.subtype == rtp.GENERIC_NACK:
                media, lost = rtp.parse_nack(part)
                if (found := self._subscriptions.get(media)) is not None:
                    stream, subscription = found
                    stream.resend(subscription, lost, now)
            elif part.kind == rtp.PAYLOAD_FEEDBACK and part.subtype in (rtp.PICTURE_LOSS, rtp.FULL_INTRA):
                for stream, _ in self._subscriptions.values():
                    stream.request_keyframe()

    def gone(self) -> None:
        for stream, subscription in self._subscriptions.values():
            stream.unsubscribe(subscription)
        self._on_gone(self)


def _source_lines(stream: Stream, codec: sdp.Codec) -> Iterator[str]:
    """One MediaStream for sound and picture, which is what keeps them in time with each other; and the SSRCs
    (RFC 5576), so that a receiver knows them before the first packet or retransmission."""
    yield f"msid:{stream.cname} {stream.kind}"
    yield f"ssrc:{stream.ssrc} cname:{stream.cname}"
    if codec.rtx is not None:
        yield f"ssrc:{stream.rtx_ssrc} cname:{stream.cname}"
        yield f"ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}"
