"""Bodies of PATCH requests: trickled candidates and ICE restarts (RFC 8840 §9, RFC 9725 §4.3). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from luxxon_core.adapters.aiortc_edge.sdp import (
    MAX_LINES,
    IceCredentials,
    MalformedSdp,
    Offer,
    attributes,
    ice_credentials,
    lines_of,
)
from luxxon_core.adapters.aiortc_edge.sdp_answer import (
    ICE_OPTIONS,
    Accepted,
    Local,
    bundle_lines,
    candidate_lines,
)

_CANDIDATE = re.compile(r"\S{1,32} \d{1,5} \S+ \d{1,10} \S+ \d{1,5} typ \S+( .*)?", re.ASCII)
_MEDIA = re.compile(r"m=\w+ \d{1,5}(/\d+)? \S+ .+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a fragment says to an ICE-lite agent.

    Its candidates are not kept, the unresolvable and the unknown no less than the good ones: our side sends
    no checks, but learns the peer's addresses from those that it receives (RFC 8445 §6.1.2).
    """

    ice: IceCredentials | None
    """New for a restart, repeated or left out otherwise."""


def parse_fragment(text: str) -> Fragment:
    """Parse the body of a PATCH request.

    Raises:
        MalformedSdp: it breaks the grammar of RFC 8840 §9.2.
    """
    # Scripts that write "a=" before each candidate do so before Firefox's last one, which is empty.
    lines = [line for line in lines_of(text) if line.rstrip() != "a="]
    if not lines or len(lines) > MAX_LINES:
        raise MalformedSdp("no SDP fragment, or one of too many lines")
    for line in lines:
        if not (_MEDIA.fullmatch(line) if line.startswith("m=") else re.match(r"a=[!-~]", line)):
            raise MalformedSdp("a line is neither an attribute nor a media description")
    for value in attributes(lines, "candidate"):
        # libwebrtc has an empty candidate say that there are no more
        if value and not _CANDIDATE.fullmatch(value):
            raise MalformedSdp("malformed candidate")
    return Fragment(ice_credentials(lines))


def restart_fragment(offer: Offer, accepted: Mapping[int, Accepted], local: Local) -> str:
    """The answer to an ICE restart: new credentials, same candidates (RFC 9725 §4.3.3)."""
    media = offer.media[min(accepted)]
    lines = [*(f"a={option}" for option in ICE_OPTIONS), *bundle_lines(offer, accepted)]
    lines += [f"m={media.kind} 9 {media.protocol} {accepted[min(accepted)].codec.payload_type}"]
    lines += [f"a=mid:{media.mid}", f"a=ice-ufrag:{local.ice.ufrag}", f"a=ice-pwd:{local.ice.password}"]
    return "\r\n".join([*lines, *candidate_lines(local), ""])
