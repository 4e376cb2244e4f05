"""A WHEP client: which streams it gets, and what it reports back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp
from luxxon_core.adapters.aiortc_edge.mux import Mux
from luxxon_core.adapters.aiortc_edge.peer import Peer
from luxxon_core.adapters.aiortc_edge.stream import Stream, Subscription


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
        super().__init__(mux, offer, certificate, addresses)
        for kind, codec in self._wanted.items():
            stream = self._streams[kind]
            self._subscriptions[stream.ssrc] = stream, Subscription(self.route, codec.payload_type, codec.rtx)

    def accept(self, offer: sdp.Offer) -> Mapping[int, sdp.Accepted]:
        agreed: dict[int, sdp.Accepted] = {}
        for index, media in sdp.usable_media(offer):
            stream = self._streams.get(media.kind)
            receives = media.direction in ("sendrecv", "recvonly") and media.kind not in self._wanted
            codec = sdp.viewer_codec(media, stream.codec) if stream is not None and receives else None
            if stream is None or codec is None:
                agreed[index] = sdp.Accepted(media.codecs[0], "inactive")
                continue
            self._wanted[media.kind] = codec
            agreed[index] = sdp.Accepted(codec, "sendonly", _source_lines(stream, codec))
        if not self._wanted:
            published = ", ".join(stream.codec.name for stream in self._streams.values())
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
    lines = [f"msid:{stream.cname} {stream.kind}", f"ssrc:{stream.ssrc} cname:{stream.cname}"]
    if codec.rtx is not None:
        lines.append(f"ssrc:{stream.rtx_ssrc} cname:{stream.cname}")
        lines.append(f"ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}")
    return tuple(lines)
