"""Offers of WHIP and WHEP clients (RFC 8866, RFC 9429, RFC 9143, RFC 9725 §4.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

MAX_LINES = 2000
"""Browsers send some hundreds."""
MAX_MEDIA = 16
FINGERPRINTS = ("sha-256", "sha-384", "sha-512")
VIDEO_CODECS = ("h264", "vp8", "vp9", "av1")
AUDIO_CODECS = ("opus",)
"""Encoding names that can be forwarded."""
FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
"""RTCP feedback that is understood; whatever else is offered is left out of the answer."""
_NOTED_FEEDBACK = (*FEEDBACK, "transport-cc")
"""The last is never agreed to, but tells libwebrtc from others."""
PROTOCOLS = tuple(
    f"{transport}RTP/{profile}"
    for transport in ("UDP/TLS/", "TCP/DTLS/", "")
    for profile in ("SAVPF", "SAVP")
)
"""Names for RTP over DTLS-SRTP that an answerer must take and repeat, whatever the transport (RFC 9429
§5.1.2)."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

_MEDIA = re.compile(r"^(\w+) (\d{1,5})(?:/\d+)? ([A-Z/]+) (.+)$", re.ASCII)
_RTPMAP = re.compile(r"^(\d{1,3}) ([\w.-]+)/(\d{1,9})(?:/(\d{1,2}))?$", re.ASCII)
_EXTMAP = re.compile(r"^(\d{1,3})(?:/\w+)? (\S+)", re.ASCII)
_TOKEN = re.compile(r"^[\x21-\x7e]+$", re.ASCII)
_ICE = re.compile(r"[A-Za-z0-9+/=_-]{1,256}", re.ASCII)
"""Laxer than RFC 8839 §5.4, in which = _ and - are no ice-char: some stacks use them."""


class MalformedSdp(ValueError):
    """Not SDP, or SDP that breaks its grammar (answered 400)."""


class UnusableSdp(ValueError):
    """A well-formed offer that cannot be served, such as one without a codec in common (answered 422)."""


@dataclass(frozen=True, slots=True)
class IceCredentials:
    ufrag: str
    password: str = field(repr=False)


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
    rtcp_rsize: bool
    setup: str
    """Empty when not stated."""
    fingerprints: tuple[tuple[str, str], ...]
    """(hash function in lower case, value)."""
    ice: IceCredentials | None
    codecs: tuple[Codec, ...]
    """In order of preference, without RTX."""
    extensions: tuple[tuple[int, str], ...] = ()
    """RTP header extensions: (identifier, URI)."""

    def extension(self, uri: str) -> int | None:
        """Identifier of a header extension, None if it is not offered."""
        return next((number for number, name in self.extensions if name == uri), None)


@dataclass(frozen=True, slots=True)
class Offer:
    media: tuple[Media, ...]
    """Those of the bundle have the transport attributes of its first section (RFC 9143 §7.1.3)."""
    bundle: tuple[str, ...]
    """Media identifiers, of sections that exist."""


def lines_of(text: str) -> list[str]:
    """Lines that are not empty; LF alone ends one too (RFC 8866 §5)."""
    return [line for line in re.split(r"\r?\n", text) if line]


def attributes(lines: Iterable[str], name: str) -> Iterator[str]:
    """Values of ``a=name:value``; an empty value for the bare ``a=name``."""
    for line in lines:
        if line.startswith("a="):
            key, _, value = line[2:].partition(":")
            if key == name:
                yield value.strip()


def parse_offer(text: str) -> Offer:
    """Parse an offer.

    Raises:
        MalformedSdp: it breaks the grammar of RFC 8866 in a line that matters here.
        UnusableSdp: there is no media in it.
    """
    lines = lines_of(text)
    if not lines or lines[0] != "v=0":
        raise MalformedSdp("the first line is not v=0")
    if len(lines) > MAX_LINES:
        raise MalformedSdp("too many lines")
    if any(len(line) < 2 or line[1] != "=" for line in lines):
        raise MalformedSdp("a line is not of the form type=value")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_MEDIA:
        raise MalformedSdp("too many media descriptions")
    session = lines[: starts[0]] if starts else lines
    if not {"o=", "s=", "t="} <= {line[:2] for line in session}:
        raise MalformedSdp("a session has an origin, a name and a time")
    if not starts:
        raise UnusableSdp("no media description")
    sections = [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    media = [_parse_media(section, session, at) for at, section in enumerate(sections)]
    mids = {m.mid for m in media}
    if len(mids) < len(media):
        raise MalformedSdp("two media descriptions have the same identifier")
    groups = (value.split() for value in attributes(session, "group"))
    named = next((words[1:] for words in groups if words[:1] == ["BUNDLE"]), [])
    # FFmpeg names sound and picture whether or not it has both.
    bundle = tuple(dict.fromkeys(mid for mid in named if mid in mids))
    return Offer(tuple(_bundled(media, bundle)), bundle)


def _bundled(media: Sequence[Media], bundle: tuple[str, ...]) -> Iterator[Media]:
    """One transport for the whole bundle: sections marked bundle-only do not even repeat its attributes."""
    tagged = next((m for mid in bundle[:1] for m in media if m.mid == mid), None)
    for m in media:
        if tagged is None or m is tagged or m.mid not in bundle:
            yield m
        else:
            yield replace(
                m,
                rtcp_mux=tagged.rtcp_mux,
                setup=tagged.setup or m.setup,
                fingerprints=tagged.fingerprints or m.fingerprints,
                ice=tagged.ice or m.ice,
            )


def _parse_media(lines: Sequence[str], session: Sequence[str], index: int) -> Media:
    match = _MEDIA.match(lines[0][2:].strip())
    if match is None:
        raise MalformedSdp("malformed m= line")
    kind, port, protocol, formats = match.groups()
    mid = next(attributes(lines, "mid"), str(index))
    if not _TOKEN.match(mid):
        raise MalformedSdp("malformed media identifier")
    flags = {line[2:] for line in (*session, *lines) if line.startswith("a=")}
    direction: Direction = "sendrecv"
    for line in (*session, *lines):
        if line in ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"):
            direction = line[2:]  # type: ignore[assignment]
    return Media(
        kind=kind,
        protocol=protocol,
        formats=formats,
        rejected=int(port) == 0 and "bundle-only" not in flags,
        mid=mid,
        direction=direction,
        rtcp_mux="rtcp-mux" in flags,
        rtcp_rsize="rtcp-rsize" in flags,
        setup=next(attributes(lines, "setup"), next(attributes(session, "setup"), "")),
        fingerprints=_fingerprints(lines) or _fingerprints(session),
        ice=ice_credentials(lines) or ice_credentials(session),
        codecs=_parse_codecs(lines, formats) if kind in ("audio", "video") else (),
        extensions=tuple(_extensions((*session, *lines))),
    )


def _extensions(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """RFC 8285 §5; numbers from 4096 on are offers to choose from, of which nothing here makes use."""
    for value in attributes(lines, "extmap"):
        if match := _EXTMAP.match(value):
            yield int(match[1]), match[2]


def ice_credentials(lines: Iterable[str]) -> IceCredentials | None:
    """The first username fragment and password, None without any.

    Raises:
        MalformedSdp: one without the other, or not of their alphabet.
    """
    lines = list(lines)
    ufrag = next(attributes(lines, "ice-ufrag"), None)
    password = next(attributes(lines, "ice-pwd"), None)
    if ufrag is None and password is None:
        return None
    if not (ufrag and password and _ICE.fullmatch(ufrag) and _ICE.fullmatch(password)):
        raise MalformedSdp("malformed ICE credentials")
    return IceCredentials(ufrag, password)


def _fingerprints(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in attributes(lines, "fingerprint"):
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
    for value in attributes(lines, "rtpmap"):
        match = _RTPMAP.match(value)
        if match is None:
            raise MalformedSdp("malformed rtpmap")
        number, name, rate, channels = match.groups()
        if int(number) in order:
            known[int(number)] = Codec(int(number), name, int(rate), int(channels or 1))
    for value in attributes(lines, "fmtp"):
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
    offered = (value.partition(" ") for value in attributes(lines, "rtcp-fb"))
    pairs = ((number, feedback.strip()) for number, _, feedback in offered)
    return {pair for pair in pairs if pair[1] in _NOTED_FEEDBACK}


def usable_media(offer: Offer) -> Iterator[tuple[int, Media]]:
    """Index and m= section of sound and picture that can share our one transport: RTP over DTLS with
    rtcp-mux, in the bundle; without a bundle the first picture alone, or the first sound if there is none."""
    found = [(index, media) for index, media in enumerate(offer.media) if _usable(media)]
    if offer.bundle:
        yield from ((index, media) for index, media in found if media.mid in offer.bundle)
    else:
        yield from sorted(found, key=lambda one: one[1].kind != "video")[:1]


def _usable(media: Media) -> bool:
    known = media.kind in ("audio", "video") and media.protocol in PROTOCOLS
    return known and bool(media.codecs) and media.rtcp_mux and not media.rejected
