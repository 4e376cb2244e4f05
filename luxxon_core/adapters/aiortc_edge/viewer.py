"""A WHEP client: which streams it gets, and what it reports back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
        on_gone: Callable[[Viewer], None],
    ) -> None:
        """``streams``: what is published, by kind. Raises sdp.UnusableSdp without a codec in common."""
        self._streams = dict(streams)
        self._subscriptions: dict[int, tuple[Stream, Subscription]] = {}
        self._on_gone = on_gone
        self._wanted: dict[str, sdp.Codec] = {}
        self._may_report = Allowance(REPORT_RATE).take
        super().__init__(mux, offer, certificate, addresses)
        for kind, codec in self._wanted.items():
            stream = self._streams[kind]
            self._subscriptions[stream.ssrc] = stream, Subscription(self.route, codec.payload_type, codec.rtx)

    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp_answer.Accepted]:
        """What is published, in the viewer's payload types. What is not (yet) is agreed to all the same, as
        the answer is sendonly throughout; what could not be decoded is rejected."""
        agreed: dict[int, sdp_answer.Accepted] = {}
        kinds: set[str] = set()
        for index, media in sdp.usable_media(offer):
            if media.direction not in ("sendrecv", "recvonly") or media.kind in kinds:
                continue
            if (stream := self._streams.get(media.kind)) is None:
                silent = sdp_answer.publisher_codec(media)
                if silent is not None:
                    agreed[index] = sdp_answer.Accepted(silent, "sendonly", (self._msid(media.kind),))
                    kinds.add(media.kind)
            elif (codec := sdp_answer.viewer_codec(media, stream.codec)) is not None:
                self._wanted[media.kind] = codec
                sources = (self._msid(media.kind), *_source_lines(stream, codec))
                agreed[index] = sdp_answer.Accepted(codec, "sendonly", sources)
                kinds.add(media.kind)
        if not self._wanted:
            published = ", ".join(stream.codec.name for stream in self._streams.values())
            raise sdp.UnusableSdp(f"no codec in common with what is published: {published}")
        return agreed

    def _msid(self, kind: str) -> str:
        """One MediaStream for sound and picture, which is what keeps them in time with each other."""
        return f"msid:{next(iter(self._streams.values())).cname} {kind}"

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


def _source_lines(stream: Stream, codec: sdp.Codec) -> tuple[str, ...]:
    """RFC 5576: the SSRCs, so that a receiver knows the retransmissions before the first of them."""
    lines = [f"ssrc:{stream.ssrc} cname:{stream.cname}"]
    if codec.rtx is not None:
        lines.append(f"ssrc:{stream.rtx_ssrc} cname:{stream.cname}")
        lines.append(f"ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}")
    return tuple(lines)
