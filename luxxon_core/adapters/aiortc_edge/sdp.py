"""Offers of WHIP and WHEP clients, and our answers (RFC 8866, RFC 8829, RFC 8843, RFC 9725 §4.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

MAX_LINES = 2000
"""Browsers send some hundreds."""
MAX_MEDIA = 16
FINGERPRINTS = ("sha-256", "sha-384", "sha-512")
VIDEO_CODECS = ("h264", "vp8", "vp9", "av1")
AUDIO_CODECS = ("opus",)
FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
"""RTCP feedback that is understood; whatever else is offered is left out of the answer."""
_NOTED_FEEDBACK = (*FEEDBACK, "transport-cc")
"""The last is never agreed to, but tells libwebrtc from others."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Setup = Literal["active", "passive"]

_MEDIA = re.compile(r"^(\w+) (\d{1,5})(?:/\d+)? ([A-Z/]+) (.+)$", re.ASCII)
_RTPMAP = re.compile(r"^(\d{1,3}) ([\w.-]+)/(\d{1,9})(?:/(\d{1,2}))?$", re.ASCII)
_TOKEN = re.compile(r"^[\x21-\x7e]+$", re.ASCII)
_ICE = re.compile(r"^[A-Za-z0-9+/]+$", re.ASCII)


class MalformedSdp(ValueError):
    """Not SDP, or SDP that breaks its grammar (answered 400)."""


class UnusableSdp(ValueError):
    """A well-formed offer that cannot be served, such as one without a codec in common (answered 422)."""


@dataclass(frozen=True, slots=True)
class Codec:
    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    """Format parameters as offered: ``profile-level-id=42e01f;packetization-mode=1``."""
    feedback: tuple[str, ...] = ()
    """What is offered of ``FEEDBACK`` and transport-cc."""
    rtx: int | None = None
    """Payload type of the retransmissions of this codec."""

    @property
    def kind(self) -> str:
        """Encoding name in lower case: ``h264``."""
        return self.name.lower()

    def parameter(self, name: str, default: str = "") -> str:
        for item in self.parameters.split(";"):
            key, _, value = item.strip().partition("=")
            if key.lower() == name:
                return value.strip().lower()
        return default

    @property
    def profile(self) -> tuple[str, str]:
        """What should agree: the profile without its level and, for H.264, the packetization mode."""
        if self.kind == "h264":
            profile = self.parameter("profile-level-id", "42000a")[:4]
            return profile, self.parameter("packetization-mode", "0")
        return self.parameter("profile-id", self.parameter("profile", "0")), ""


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section of an offer."""

    kind: str
    protocol: str
    formats: str
    rejected: bool
    """Port 0 outside a bundle: the offerer has switched it off."""
    mid: str
    direction: Direction
    rtcp_mux: bool
    setup: str
    fingerprints: tuple[tuple[str, str], ...]
    """(hash function in lower case, value)."""
    codecs: tuple[Codec, ...]
    """In order of preference, without RTX."""


@dataclass(frozen=True, slots=True)
class Offer:
    media: tuple[Media, ...]
    bundle: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IceCredentials:
    ufrag: str
    password: str = field(repr=False)


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


def parse_offer(text: str) -> Offer:
    """Parse an offer.

    Raises:
        MalformedSdp: it breaks the grammar of RFC 8866 in a line that matters here.
    """
    lines = [line for line in re.split(r"\r?\n", text) if line]
    if not lines or lines[0] != "v=0":
        raise MalformedSdp("the first line is not v=0")
    if len(lines) > MAX_LINES:
        raise MalformedSdp("too many lines")
    if any(len(line) < 2 or line[1] != "=" for line in lines):
        raise MalformedSdp("a line is not of the form type=value")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        raise MalformedSdp("no media description")
    if len(starts) > MAX_MEDIA:
        raise MalformedSdp("too many media descriptions")
    session = lines[: starts[0]]
    bundle: tuple[str, ...] = ()
    for value in _attributes(session, "group"):
        words = value.split()
        if words[:1] == ["BUNDLE"]:
            bundle = tuple(words[1:])
    sections = [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    media = tuple(_parse_media(section, session, at) for at, section in enumerate(sections))
    mids = [m.mid for m in media]
    if len(set(mids)) < len(mids) or not set(bundle) <= set(mids):
        raise MalformedSdp("media identifiers do not agree")
    return Offer(media, bundle)


def _attributes(lines: Sequence[str], name: str) -> Iterator[str]:
    """Values of ``a=name:value``; an empty value for the bare ``a=name``."""
    for line in lines:
        if line.startswith("a="):
            key, _, value = line[2:].partition(":")
            if key == name:
                yield value.strip()


def _parse_media(lines: Sequence[str], session: Sequence[str], index: int) -> Media:
    match = _MEDIA.match(lines[0][2:].strip())
    if match is None:
        raise MalformedSdp("malformed m= line")
    kind, port, protocol, formats = match.groups()
    mid = next(_attributes(lines, "mid"), str(index))
    if not _TOKEN.match(mid):
        raise MalformedSdp("malformed media identifier")
    attributes = {line[2:] for line in (*session, *lines) if line.startswith("a=")}
    direction: Direction = "sendrecv"
    for line in (*session, *lines):
        if line in ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"):
            direction = line[2:]  # type: ignore[assignment]
    return Media(
        kind=kind,
        protocol=protocol,
        formats=formats,
        rejected=int(port) == 0 and "bundle-only" not in attributes,
        mid=mid,
        direction=direction,
        rtcp_mux="rtcp-mux" in attributes,
        setup=next(_attributes(lines, "setup"), next(_attributes(session, "setup"), "actpass")),
        fingerprints=_fingerprints(lines) or _fingerprints(session),
        codecs=_parse_codecs(lines, formats) if kind in ("audio", "video") else (),
    )


def _fingerprints(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in _attributes(lines, "fingerprint"):
        algorithm, _, digest = value.partition(" ")
        if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+", digest.strip()):
            raise MalformedSdp("malformed fingerprint")
        found.append((algorithm.lower(), digest.strip()))
    return tuple(found)


def _parse_codecs(lines: Sequence[str], formats: str) -> tuple[Codec, ...]:
    try:
        order = dict.fromkeys(int(item) for item in formats.split())
    except ValueError:
        raise MalformedSdp("malformed payload type") from None
    if any(not 0 <= number <= 127 for number in order):
        raise MalformedSdp("payload type out of range")
    known: dict[int, Codec] = {}
    for value in _attributes(lines, "rtpmap"):
        match = _RTPMAP.match(value)
        if match is None:
            raise MalformedSdp("malformed rtpmap")
        number, name, rate, channels = match.groups()
        if int(number) in order:
            known[int(number)] = Codec(int(number), name, int(rate), int(channels or 1))
    for value in _attributes(lines, "fmtp"):
        number, _, parameters = value.partition(" ")
        if re.fullmatch(r"[0-9]{1,3}", number) and (codec := known.get(int(number))):
            known[codec.payload_type] = replace(codec, parameters=parameters.strip())
    feedback = _parse_feedback(lines)
    repairs = {c.parameter("apt"): c.payload_type for c in known.values() if c.kind == "rtx"}
    return tuple(
        replace(
            known[number],
            rtx=repairs.get(str(number)),
            feedback=tuple(f for f in _NOTED_FEEDBACK if {("*", f), (str(number), f)} & feedback),
        )
        for number in order
        if number in known and known[number].kind != "rtx" and not 64 <= number <= 95  # RFC 5761 §4
    )


def _parse_feedback(lines: Sequence[str]) -> set[tuple[str, str]]:
    """(payload type or ``*``, RTCP feedback that matters here)."""
    offered = (value.partition(" ") for value in _attributes(lines, "rtcp-fb"))
    pairs = ((number, feedback.strip()) for number, _, feedback in offered)
    return {pair for pair in pairs if pair[1] in _NOTED_FEEDBACK}


def usable_media(offer: Offer) -> Iterator[tuple[int, Media]]:
    """Index and m= section of sound and picture that can share our one transport: RTP over DTLS with
    rtcp-mux, in the bundle; without a bundle the first picture alone."""
    for index, media in enumerate(offer.media):
        if (
            media.kind in ("audio", "video")
            and media.protocol in ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")
            and media.codecs
            and media.rtcp_mux
            and not media.rejected
            and (media.mid in offer.bundle or (not offer.bundle and media.kind == "video"))
        ):
            yield index, media
            if not offer.bundle:
                return


def publisher_codec(media: Media) -> Codec | None:
    """The codec in which we take a publisher's media: its first choice among those we can show pictures of,
    else the first that can be forwarded."""
    wanted = VIDEO_CODECS if media.kind == "video" else AUDIO_CODECS
    offered = [codec for codec in media.codecs if codec.kind in wanted]
    shown = [codec for codec in offered if codec.kind in ("h264", "vp8")]
    return next(iter(shown or offered), None)


def viewer_codec(media: Media, published: Codec) -> Codec | None:
    """The viewer's payload type for what is published. The same profile if it offers it; else the codec as
    such, because decoders in the field handle more than their SDP owns up to."""
    same = [codec for codec in media.codecs if codec.kind == published.kind]
    exact = [codec for codec in same if codec.profile == published.profile]
    return next(iter(exact or same), None)


def replace_ice(local: Local, ice: IceCredentials) -> Local:
    return replace(local, ice=ice)


def setup_for(offered: str) -> Setup:
    """Our DTLS role (RFC 5763 §5): passive when we may choose, so that our order of SRTP profiles wins."""
    if offered not in ("actpass", "active", "passive"):
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
    bundled = [offer.media[index].mid for index in sorted(accepted)]
    lines = ["v=0", f"o=- {local.session_id} 1 IN {family} {address}", "s=-", "t=0 0", "a=ice-lite"]
    if offer.bundle:
        lines.append("a=group:BUNDLE " + " ".join(bundled))
    for index, media in enumerate(offer.media):
        if (agreed := accepted.get(index)) is None:
            lines += [f"m={media.kind} 0 {media.protocol} {media.formats}", "c=IN IP4 0.0.0.0"]
            lines += ["a=inactive", f"a=mid:{media.mid}"]
            continue
        formats = [agreed.codec.payload_type] + ([agreed.codec.rtx] if agreed.codec.rtx is not None else [])
        lines.append(f"m={media.kind} {local.port} {media.protocol} {' '.join(map(str, formats))}")
        lines += [f"c=IN {family} {address}", f"a=mid:{media.mid}", f"a={agreed.direction}", "a=rtcp-mux"]
        lines += _transport_lines(local)
        lines += _codec_lines(agreed.codec)
        lines += [f"a={item}" for item in agreed.extra]
        lines += candidate_lines(local)
    return "\r\n".join([*lines, ""])


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


def restart_requested(fragment: str) -> bool:
    """Whether an ICE SDP fragment (RFC 8840 §9) brings credentials, as an ICE restart does.

    Raises:
        MalformedSdp: not an SDP fragment.
    """
    lines = [line for line in re.split(r"\r?\n", fragment) if line]
    if not lines or any(line[:2] not in ("a=", "m=") for line in lines):
        raise MalformedSdp("not an SDP fragment")
    credentials = [*_attributes(lines, "ice-ufrag"), *_attributes(lines, "ice-pwd")]
    if any(not _ICE.match(value) for value in credentials):
        raise MalformedSdp("malformed ICE credentials")
    return len(credentials) >= 2


def restart_fragment(offer: Offer, accepted: Mapping[int, Accepted], local: Local) -> str:
    """The answer to an ICE restart: new credentials, same candidates (RFC 9725 §4.3.3)."""
    first = min(accepted)
    media = offer.media[first]
    bundled = " ".join(offer.media[index].mid for index in sorted(accepted))
    lines = [f"a=group:BUNDLE {bundled}"] if offer.bundle else []
    lines += ["a=ice-lite", f"m={media.kind} 9 {media.protocol} 0", f"a=mid:{media.mid}"]
    lines += [f"a=ice-ufrag:{local.ice.ufrag}", f"a=ice-pwd:{local.ice.password}", *candidate_lines(local)]
    return "\r\n".join([*lines, ""])


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"
