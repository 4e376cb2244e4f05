"""The session description a camera answers DESCRIBE with (RFC 4566, RFC 2326 appendix C)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

STATIC = {0: ("pcmu", 8000, 1), 8: ("pcma", 8000, 1), 26: ("jpeg", 90_000, 1)}
"""Payload types that need no rtpmap (RFC 3551 §6)."""


@dataclass(frozen=True, slots=True)
class Track:
    kind: str
    """``video`` or ``audio``."""
    codec: str
    """Encoding name of the rtpmap in lower case: ``h264``, ``h265``, ``mpeg4-generic``, ``pcmu`` …"""
    payload_type: int
    clock_rate: int
    channels: int
    control: str
    """Absolute URL for SETUP."""
    fmtp: Mapping[str, str] = field(default_factory=dict)

    def parameter_sets(self) -> list[bytes]:
        """NAL units of sprop-parameter-sets (RFC 6184 §8.1) or sprop-vps, -sps, -pps (RFC 7798 §7.1)."""
        names = ("sprop-vps", "sprop-sps", "sprop-pps") if self.codec == "h265" else ("sprop-parameter-sets",)
        texts = [text for name in names for text in self.fmtp.get(name, "").split(",") if text]
        sets = []
        for text in texts:
            try:
                sets.append(base64.b64decode(text + "=" * (-len(text) % 4)))
            except (binascii.Error, ValueError):
                continue  # they come in band, too
        return [one for one in sets if one]


@dataclass(frozen=True, slots=True)
class Description:
    control: str
    """URL for PLAY and TEARDOWN of the whole."""
    tracks: tuple[Track, ...]


def parse(text: str, base: str) -> Description:
    """Tracks whose codec is named. What is odd in a line is skipped: cameras write all sorts of SDP."""
    sections: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line.strip())
    session = _attributes(sections[0]).get("control", "*")
    tracks = [track for section in sections[1:] if (track := _track(section, base))]
    return Description(_joined(base, session), tuple(tracks))


def number_in(text: str, otherwise: int) -> int:
    """The number that a camera writes, in at most nine digits of ASCII; ``otherwise`` where it writes another
    thing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def _track(lines: list[str], base: str) -> Track | None:
    kind, _, rest = lines[0].removeprefix("m=").partition(" ")
    formats = rest.split()[2:]
    payload_type = number_in(formats[0], -1) if formats else -1
    if kind not in ("video", "audio") or not 0 <= payload_type < 128:
        return None
    codec, clock_rate, channels = STATIC.get(payload_type, ("", 0, 1))
    fmtp: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.removeprefix("a=").partition(":")
        number, _, value = value.strip().partition(" ")
        if number != str(payload_type):
            continue
        if name == "rtpmap":
            parts = value.strip().split("/")
            codec = parts[0].lower()
            clock_rate = number_in(parts[1], clock_rate) if len(parts) > 1 else clock_rate
            channels = number_in(parts[2], 1) if len(parts) > 2 else 1
        elif name == "fmtp":
            fmtp |= _parameters(value)
    if not codec or not 0 < clock_rate <= 1_000_000:
        return None
    control = _joined(base, _attributes(lines).get("control", "*"))
    return Track(kind, codec, payload_type, clock_rate, max(1, min(channels, 8)), control, fmtp)


def _attributes(lines: list[str]) -> dict[str, str]:
    pairs = (line[2:].partition(":") for line in lines if line.startswith("a="))
    return {name: value.strip() for name, _, value in pairs}


def _parameters(value: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in value.split(";"))
    return {name.strip().lower(): text.strip() for name, _, text in pairs if name.strip()}


def _joined(base: str, control: str) -> str:
    if "://" in control:
        return control
    if control in ("*", ""):
        return base
    # Appended, not resolved as RFC 3986 has it: that is what cameras expect.
    return f"{base.rstrip('/')}/{control.lstrip('/')}"
