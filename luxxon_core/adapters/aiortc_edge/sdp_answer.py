"""What we answer to an offer (RFC 9429 §5.3.1, RFC 9143, RFC 9725 §4.4, draft-ietf-wish-whep §4.7). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from luxxon_core.adapters.aiortc_edge.sdp import (
    AUDIO_CODECS,
    FEEDBACK,
    VIDEO_CODECS,
    Codec,
    Direction,
    IceCredentials,
    Media,
    Offer,
    UnusableSdp,
)

ICE_OPTIONS = ("ice-lite", "ice-options:trickle ice2")
"""At session level of answers and of fragments alike (RFC 9725 §4.3.3)."""

Setup = Literal["active", "passive"]

_LADDER = {"constrained baseline": 0, "baseline": 0, "main": 1, "constrained high": 2, "high": 3}
"""H.264 profiles: a decoder of one plays those below it (H.264 annex A). Streams that say baseline are
constrained baseline in practice, and nobody sends interlaced video by WebRTC."""
_CONSTRAINED = {0x42: 0x40, 0x4D: 0x80, 0x58: 0xC0}
"""By profile_idc: the constraint flags that make it constrained baseline."""


@dataclass(frozen=True, slots=True)
class Local:
    """What our side states in each accepted m= section."""

    ice: IceCredentials
    addresses: tuple[str, ...]
    """Where the socket can be reached, best first."""
    port: int
    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup
    session_id: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the answer says of one m= section."""

    codec: Codec
    direction: Direction
    extra: tuple[str, ...] = ()
    """Attribute lines without ``a=``."""


def codecs_for(kind: str) -> tuple[str, ...]:
    """Encoding names that can be forwarded, of ``audio`` or ``video``."""
    return VIDEO_CODECS if kind == "video" else AUDIO_CODECS


def publisher_codec(media: Media) -> Codec | None:
    """The codec in which we take a publisher's media: the first of those that every viewer has to play (RFC
    7742 §5), since nothing is transcoded for those who play no other; else the first that can be forwarded.
    That is a reason to leave the order of the offer (RFC 3264 §6.1)."""
    offered = [codec for codec in media.codecs if codec.kind in codecs_for(media.kind)]
    common = [codec for codec in offered if codec.kind in ("h264", "vp8")]
    return next(iter(common or offered), None)


def viewer_codec(media: Media, published: Codec) -> Codec | None:
    """The viewer's payload type for what is published.

    Of H.264 the same profile if it is offered, else one whose decoders play it, else any: decoders in the
    field handle more than their SDP owns up to. VP9 and AV1 in another profile (10 bits, 4:4:4) are not
    played by those who do not say so.
    """
    played = [codec for codec in media.codecs if interchangeable(codec, published)]
    if published.kind == "h264":
        return min(played, key=lambda codec: _strangeness(codec, published), default=None)
    return next(iter(played), None)


def interchangeable(one: Codec, other: Codec) -> bool:
    """Whether who was promised the one plays the other as well."""
    return one.kind == other.kind and (one.kind == "h264" or _profile(one) == _profile(other))


def _profile(codec: Codec) -> str:
    return codec.parameter("profile-id", codec.parameter("profile", "0"))


def _strangeness(offered: Codec, published: Codec) -> tuple[bool, int, bool, bool]:
    """How far an offered H.264 is from the published one: worst first, least is best (RFC 6184 §8.2.2)."""
    profile, wanted = h264_profile(offered), h264_profile(published)
    above = _LADDER.get(profile, -1) - _LADDER.get(wanted, len(_LADDER))
    distance = 0 if profile == wanted else 1 + above if above >= 0 else len(_LADDER)
    mode, wanted_mode = _packetization(offered), _packetization(published)
    return mode < wanted_mode, distance, mode != wanted_mode, h264_level(offered) < h264_level(published)


def _packetization(codec: Codec) -> str:
    return codec.parameter("packetization-mode", "0")


def h264_profile(codec: Codec) -> str:
    """Name of the profile, by RFC 6184 §8.1 table 5; of other ones profile_idc itself."""
    idc, constraints, _ = _profile_level_id(codec)
    limited = _CONSTRAINED.get(idc, 0)
    if limited and constraints & limited == limited:
        return "constrained baseline"
    if idc == 0x64:
        return "constrained high" if constraints & 0x0C == 0x0C else "high"
    return {0x42: "baseline", 0x4D: "main"}.get(idc, f"{idc:02x}")


def h264_level(codec: Codec) -> int:
    """Ten times the level: 31 is level 3.1."""
    return _profile_level_id(codec)[2]


def _profile_level_id(codec: Codec) -> tuple[int, int, int]:
    """profile_idc, constraint flags and level_idc; baseline 1 when not given or garbage."""
    text = codec.parameter("profile-level-id", "42000a")[:6]
    try:
        value = int(text, 16)
    except ValueError:
        value = 0x42000A
    return value >> 16 & 255, value >> 8 & 255, value & 255


def setup_for(offered: str) -> Setup:
    """Our DTLS role (RFC 5763 §5): passive when we may choose, so that our order of SRTP profiles wins."""
    if offered not in ("", "actpass", "active", "passive"):
        raise UnusableSdp("unknown DTLS setup")
    return "active" if offered == "passive" else "passive"


def start_bitrate_hint(codec: Codec, kilobits: int) -> Codec:
    """Add ``x-google-start-bitrate``: libwebrtc starts at 300 kbit/s otherwise and shows mush for seconds.

    Only for offers that carry libwebrtc's own feedback types, as other stacks might not skip the parameter.
    """
    if not {"goog-remb", "transport-cc"} & set(codec.feedback):
        return codec
    hint = f"x-google-start-bitrate={kilobits}"
    return replace(codec, parameters=f"{codec.parameters};{hint}" if codec.parameters else hint)


def build_answer(offer: Offer, accepted: Mapping[int, Accepted], local: Local) -> str:
    """The answer. ``accepted`` maps indexes of the offer's media to what is agreed; others are rejected."""
    address = local.addresses[0]
    family = _family(address)
    lines = ["v=0", f"o=- {local.session_id} 1 IN {family} {address}", "s=-", "t=0 0"]
    lines += [*bundle_lines(offer, accepted), *(f"a={option}" for option in ICE_OPTIONS)]
    for index, media in enumerate(offer.media):
        if (agreed := accepted.get(index)) is None:
            lines += [f"m={media.kind} 0 {media.protocol} {media.formats}", "c=IN IP4 0.0.0.0"]
            lines += ["a=inactive", f"a=mid:{media.mid}"]
            continue
        formats = [agreed.codec.payload_type] + ([agreed.codec.rtx] if agreed.codec.rtx is not None else [])
        lines.append(f"m={media.kind} {local.port} {media.protocol} {' '.join(map(str, formats))}")
        lines += [f"c=IN {family} {address}", f"a=mid:{media.mid}", f"a={agreed.direction}", "a=rtcp-mux"]
        lines += ["a=rtcp-mux-only"] if media.mid in offer.bundle else []
        lines += ["a=rtcp-rsize"] if media.rtcp_rsize else []
        lines += _transport_lines(local)
        lines += _codec_lines(agreed.codec)
        lines += [f"a={item}" for item in agreed.extra]
        lines += candidate_lines(local)
    return "\r\n".join([*lines, ""])


def bundle_lines(offer: Offer, accepted: Mapping[int, Accepted]) -> list[str]:
    bundled = [offer.media[index].mid for index in sorted(accepted)]
    return ["a=group:BUNDLE " + " ".join(bundled)] if offer.bundle else []


def _transport_lines(local: Local) -> list[str]:
    return [
        f"a=ice-ufrag:{local.ice.ufrag}",
        f"a=ice-pwd:{local.ice.password}",
        *(f"a=fingerprint:{algorithm} {value}" for algorithm, value in local.fingerprints),
        f"a=setup:{local.setup}",
    ]


def _codec_lines(codec: Codec) -> Iterator[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"
    if codec.parameters:
        yield f"a=fmtp:{codec.payload_type} {codec.parameters}"
    for feedback in codec.feedback:
        if feedback in FEEDBACK:
            yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
    if codec.rtx is not None:
        yield f"a=rtpmap:{codec.rtx} rtx/{codec.clock_rate}"
        yield f"a=fmtp:{codec.rtx} apt={codec.payload_type}"


def candidate_lines(local: Local) -> list[str]:
    """Our host candidates, best first (RFC 8445 §5.1.2): an ICE-lite agent has no others."""
    lines = []
    for index, address in enumerate(local.addresses):
        priority = 126 << 24 | (65535 - index) << 8 | 255
        lines.append(f"a=candidate:{index + 1} 1 udp {priority} {address} {local.port} typ host")
    return [*lines, "a=end-of-candidates"]


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"
