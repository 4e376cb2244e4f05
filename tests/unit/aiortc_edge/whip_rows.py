"""The table of test_whip_conformance: what RFC 9725 (WHIP) and draft-ietf-wish-whep-03 (WHEP) ask of servers.

A row names document and section, the word of RFC 2119 (``OWN`` where the texts leave it to us), what is sent
and what must come back. What they ask of clients, or of servers that do something else, is listed with its
reason in docs/media.md.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_peers import SDP

from luxxon_core.adapters.aiortc_edge.ice_servers import IceServer

OFFERS = Path(__file__).parent / "offers"
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
PREFLIGHT = {
    "Origin": "https://player.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
STUN = IceServer("stun:stun.example.net")
TURN = IceServer("turn:turn.example.net?transport=udp", "user", 'pass"word\\')
TRICKLE = (
    "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
    "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n"
    "a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
    "a=candidate:3 1 udp 2122260222 6f2c0e0a-3d53-4c5f-9b1e-57c9f0a7d1a4.local 5 typ host\r\n"
    "a=candidate:4 1 udp 2122260222 no.such.host.invalid 5 typ host\r\na=end-of-candidates\r\n"
)
OWN = "a=ice-ufrag:kT3x\r\na=ice-pwd:9nWfQz0rVb7YhLd2sPuXeGmA\r\n"
RESTART = "a=ice-options:trickle ice2\r\na=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n" + TRICKLE


def offered(name: str, *changes: tuple[str, str]) -> str:
    text = (OFFERS / f"{name}.sdp").read_bytes().decode()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


WHIP_OFFER, WHEP_OFFER = offered("chromium_publishes"), offered("chromium_views")
SIMULCAST = (
    "a=rtcp-rsize\r\na=rtpmap:96",
    "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\na=rtpmap:96",
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    links: tuple[str, ...]
    text: str


Check = Callable[[Answer], object]


@dataclass(frozen=True)
class Row:
    what: str
    word: str
    method: str
    place: str
    """``whip`` and ``whep`` are endpoints with a publisher; a word behind says which other URL."""
    status: int | range
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | None = None
    has: Mapping[str, str] = field(default_factory=dict)
    """Header: pattern that its value matches in full; empty where the header must be missing."""
    check: Check = lambda answer: True


BOTH = ("whip", "whep")
WHEP_SECTIONS = {"4.3": "4.5", "4.4": "4.6", "4.6": "4.8", "4.7": "4.9", "4.9": "4.10"}
"""Of draft-ietf-wish-whep-03, by those of RFC 9725; the same where not named."""
ANY_2XX = range(200, 300)
ANY_4XX = range(400, 500)
STRONG_ETAG = r'"[!#-~]+"'
PUBLISHED = {"whip": WHIP_OFFER, "whep": WHEP_OFFER}
ANSWERED = {"whip": "recvonly", "whep": "sendonly"}


def both(section: str, what: str, *rest: object, **more: object) -> list[Row]:
    """The same of WHIP and of WHEP,
    in sections ``one|other``. ``{side}`` in the place stands for either; a dict is asked for it."""
    own, _, other = section.partition("|")
    other = other or WHEP_SECTIONS.get(own[:3], own[:3]) + own[3:]
    numbers = {"whip": f"RFC 9725 §{own}", "whep": f"WHEP §{other}"}
    rows = []
    for side in BOTH:
        chosen = {
            key: value[side] if isinstance(value, dict) and set(value) == set(BOTH) else value
            for key, value in more.items()
        }
        word, method, place, status = rest
        assert isinstance(place, str)
        row = (f"{numbers[side]}: {what}", word, method, place.format(side=side), status)
        rows.append(Row(*row, **chosen))  # type: ignore[arg-type]
    return rows


def whip(section: str, what: str, *rest: object, **more: object) -> list[Row]:
    return [Row(f"RFC 9725 §{section}: {what}", *rest, **more)]  # type: ignore[arg-type]


def whep(section: str, what: str, *rest: object, **more: object) -> list[Row]:
    return [Row(f"WHEP §{section}: {what}", *rest, **more)]  # type: ignore[arg-type]


def sections(answer: Answer) -> list[list[str]]:
    found: list[list[str]] = []
    for line in answer.text.split("\r\n"):
        if line.startswith("m="):
            found.append([])
        if found:
            found[-1].append(line)
    return found


def directions(wanted: str) -> Check:
    def check(answer: Answer) -> bool:
        told = re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\r$", answer.text, re.M)
        return told == [wanted] * len(sections(answer))

    return check


def all_sections(*lines: str) -> Check:
    return lambda answer: sections(answer) and all(set(lines) <= set(one) for one in sections(answer))


def full_candidates(answer: Answer) -> bool:
    return all(
        any(line.startswith("a=candidate:") for line in one) and "a=end-of-candidates" in one
        for one in sections(answer)
    )


def one_stream(answer: Answer) -> bool:
    streams = re.findall(r"^a=msid:(\S+) \S+\r$", answer.text, re.M)
    names = re.findall(r"^a=ssrc:\d+ cname:(\S+)\r$", answer.text, re.M)
    return len(streams) == len(sections(answer)) and len({*streams, *names}) == 1


def session_lines(answer: Answer) -> list[str]:
    return answer.text.split("\r\nm=")[0].split("\r\n")


NO_ICE_LINKS: Check = lambda answer: not answer.links  # noqa: E731
ICE_LINKS: Check = lambda answer: set(answer.links) == {STUN.link, TURN.link}  # noqa: E731

ROWS = [
    # HTTP usage
    *both("4.1", "GET on an endpoint is 2xx without content", "MUST", "GET", "{side}", ANY_2XX,
          check=lambda a: a.text == ""),
    *both("4.1", "GET on a session is 2xx without content", "MUST", "GET", "{side} session", ANY_2XX,
          check=lambda a: a.text == ""),
    *both("4.1", "what is GET is HEAD (RFC 9110 §9.1)", "MUST", "HEAD", "{side} session", ANY_2XX),
    *whip("4.1", "also on an endpoint", "MUST", "HEAD", "whip", ANY_2XX),
    *whep("4.2", "HEAD tells a player that this is WHEP", "SHOULD", "HEAD", "whep", 200,
          has={"Content-Type": "application/sdp", "Content-Length": "0"}),
    *whep("4.2", "GET has the headers of HEAD", "MUST", "GET", "whep", 200,
          has={"Content-Type": "application/sdp"}),
    *both("4.1", "GET on what does not exist is 404", "OWN", "GET", "{side} unknown", 404),
    *both("4.1", "GET on a session that does not exist is 404", "OWN", "GET", "{side} no session", 404),
    *both("4.1", "another method on an endpoint is 405 with Allow (RFC 9110 §15.5.6)", "MUST", "PUT",
          "{side}",
          405, has={"Allow": r"GET, POST, HEAD, OPTIONS"}),
    *both("4.1", "PATCH on an endpoint is 405 with Allow", "MUST", "PATCH", "{side}", 405,
          has={"Allow": r"GET, POST, HEAD, OPTIONS"}),
    *both("4.1", "DELETE on an endpoint is 405 with Allow", "MUST", "DELETE", "{side}", 405,
          has={"Allow": r"GET, POST, HEAD, OPTIONS"}),
    *both("4.1", "POST on a session is 405 with Allow", "MUST", "POST", "{side} session", 405,
          has={"Allow": r"GET, PATCH, DELETE, HEAD, OPTIONS"}),
    *both("4.1", "PUT on a session is 405 with Allow", "MUST", "PUT", "{side} session", 405,
          has={"Allow": r"GET, PATCH, DELETE, HEAD, OPTIONS"}),
    # Set-up
    *both("4.2|4.3", "an offer is answered 201 with the answer and the session's URL", "MUST", "POST",
          "{side}", 201,
          headers=SDP, body=PUBLISHED,
          has={"Content-Type": "application/sdp", "Location": r"http://\S+/wh[ie]p/[\w-]+/[\w-]{22,}"},
          check=lambda a: a.text.startswith("v=0\r\n")),
    *both("4.2|4.3", "media type parameters do not matter", "OWN", "POST", "{side}", 201,
          headers={"Content-Type": "Application/SDP; charset=utf-8"}, body=PUBLISHED),
    *both("4.2|4.3", "a compressed offer is taken", "OWN", "POST", "{side}", 201,
          headers={**SDP, "Content-Encoding": "gzip"},
          body={side: gzip.compress(text.encode()) for side, text in PUBLISHED.items()}),
    *both("4.2|4.3", "an unknown content coding is 415", "OWN", "POST", "{side}", 415,
          headers={**SDP, "Content-Encoding": "compress"}, body=PUBLISHED,
          has={"Accept-Encoding": "gzip, deflate"}),
    *both("4.2|4.3", "what is not compressed as it says is 400", "OWN", "POST", "{side}", 400,
          headers={**SDP, "Content-Encoding": "gzip"}, body=PUBLISHED),
    *both("4.2|4.3", "compressed zeros do not get past the limit", "OWN", "POST", "{side}", 413,
          headers={**SDP, "Content-Encoding": "gzip"}, body=gzip.compress(bytes(1 << 20))),
    *both("4.2|4.3", "another media type is 4xx: 415", "MUST", "POST", "{side}", 415,
          headers={"Content-Type": "application/json"}, body=PUBLISHED,
          has={"Accept-Post": "application/sdp"}),
    *both("4.2|4.3", "no media type is 4xx: 415", "MUST", "POST", "{side}", 415, headers={"Content-Type": ""},
          body=PUBLISHED),
    *both("4.2|4.3", "malformed SDP is 4xx: 400", "MUST", "POST", "{side}", 400, headers=SDP,
          body="this is no SDP"),
    *both("4.2|4.3", "SDP cut short is 400", "MUST", "POST", "{side}", 400, headers=SDP,
          body=WHIP_OFFER[: WHIP_OFFER.index("a=rtpmap:96 VP8") + 12]),
    *both("4.2|4.3", "no SDP at all is 400: servers do not offer", "MUST", "POST", "{side}", 400, headers=SDP,
          body=""),
    *both("4.2|4.3", "bytes that are no text are 400", "MUST", "POST", "{side}", 400, headers=SDP,
          body=b"v=0\r\n\xff"),
    *both("4.2|4.3", "more than 64 KiB is 413", "OWN", "POST", "{side}", 413, headers=SDP,
          body="v=0\r\n" + "a" * 70_000),
    *both("4.2|4.3", "well-formed SDP without media is 422", "OWN", "POST", "{side}", 422, headers=SDP,
          body=WHIP_OFFER.partition("m=")[0]),
    *both("4.2|4.3", "no codec in common is 422", "OWN", "POST", "{side}", 422, headers=SDP,
          body={"whip": offered("gstreamer_publishes", ("H264/90000", "H265/90000")),
                "whep": offered("gstreamer_views", ("H264", "H265"), ("OPUS", "speex"))}),
    *both("4.2|4.3", "an unknown live input is 404", "OWN", "POST", "{side} unknown", 404, headers=SDP,
          body=PUBLISHED),
    *whip("4.2", "the answer is recvonly", "MUST", "POST", "whip", 201, headers=SDP, body=WHIP_OFFER,
          check=directions("recvonly")),
    *whip("4.2", "also to sendrecv", "MUST", "POST", "whip", 201, headers=SDP,
          body=offered("chromium_publishes", ("a=sendonly", "a=sendrecv")), check=directions("recvonly")),
    *whip("4.2", "recvonly must not be offered", "MUST", "POST", "whip", 422, headers=SDP, body=WHEP_OFFER),
    *whip("4.2", "inactive must not be offered", "MUST", "POST", "whip", 422, headers=SDP,
          body=offered("chromium_publishes", ("a=sendonly", "a=inactive"))),
    *whep("4.3.5", "the answer is sendonly", "MUST", "POST", "whep", 201, headers=SDP, body=WHEP_OFFER,
          check=directions("sendonly")),
    *whep("4.3.5", "also to sendrecv", "MUST", "POST", "whep", 201, headers=SDP,
          body=offered("chromium_views", ("a=recvonly", "a=sendrecv")), check=directions("sendonly")),
    *whep("4.3.5", "sendonly must not be offered", "MUST", "POST", "whep", 422, headers=SDP, body=WHIP_OFFER),
    *whep("4.3.8", "nobody publishes yet: 409 and when to come again", "SHALL", "POST", "whep idle", 409,
          headers=SDP,
          body=WHEP_OFFER, has={"Retry-After": r"[1-9]\d*"}),
    *both("4.2|4.4", "a DELETE ends the session: 200", "MUST", "DELETE", "{side} session", 200,
          check=lambda a: a.text == ""),
    *both("4.2|4.4", "a session that is none cannot be ended", "OWN", "DELETE", "{side} no session", 404),
    # CORS
    *both("4.2|4.4", "OPTIONS on an endpoint is 200 with Accept-Post", "MUST", "OPTIONS", "{side}", 200,
          has={"Accept-Post": "application/sdp", "Access-Control-Allow-Origin": r"\*", "Allow": ".*POST.*"}),
    *both("4.2|4.4", "OPTIONS on any URL has Accept-Post", "SHOULD", "OPTIONS", "{side} session", 200,
          has={"Accept-Post": "application/sdp", "Accept-Patch": "application/trickle-ice-sdpfrag"}),
    *both("4.2|4.4", "a preflight of an endpoint permits POST with a token", "MUST", "OPTIONS", "{side}", 200,
          headers=PREFLIGHT,
          has={"Access-Control-Allow-Origin": r"\*", "Access-Control-Allow-Methods": ".*POST.*",
               "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match.*"}),
    *both("4.2|4.4", "a preflight of a session permits PATCH and DELETE", "MUST", "OPTIONS",
          "{side} session", 200,
          headers={**PREFLIGHT, "Access-Control-Request-Method": "PATCH"},
          has={"Access-Control-Allow-Methods": ".*PATCH, DELETE.*",
               "Access-Control-Allow-Headers": ".*If-Match.*"}),
    *both("4.2|4.4", "a preflight without any token is permitted", "MUST", "OPTIONS", "{side} public", 200,
          headers=PREFLIGHT, has={"Access-Control-Allow-Origin": r"\*"}),
    *both("4.2|4.4", "other origins read Location, ETag and Link", "MUST", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED,
          has={"Access-Control-Allow-Origin": r"\*",
               "Access-Control-Expose-Headers": "Location, ETag, Link,.*"}),
    *both("4.2|4.4", "other origins read refusals", "OWN", "POST", "{side}", 415, body=PUBLISHED,
          headers={"Content-Type": "text/plain"}, has={"Access-Control-Allow-Origin": r"\*"}),
    # PATCH
    *both("4.3.1", "the 201 has a strong entity tag", "MUST", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED,
          has={"ETag": STRONG_ETAG}),
    *both("4.3.1", "another media type is 4xx: 415", "MUST", "PATCH", "{side} session", 415,
          headers={"Content-Type": "text/plain", "If-Match": "ETAG"}, body=TRICKLE,
          has={"Accept-Patch": "application/trickle-ice-sdpfrag"}),
    *both("4.3.1", "a malformed fragment is 4xx: 400", "MUST", "PATCH", "{side} session", 400,
          headers={**FRAGMENT, "If-Match": "ETAG"}, body="nonsense"),
    *both("4.3.1", "more than 64 KiB is 413", "OWN", "PATCH", "{side} session", 413,
          headers={**FRAGMENT, "If-Match": "ETAG"}, body="a=" + "a" * 70_000),
    *both("4.3.1", "no entity tag is 428", "MUST", "PATCH", "{side} session", 428, headers=FRAGMENT,
          body=TRICKLE),
    *both("4.3.1", "another entity tag is 412", "MUST", "PATCH", "{side} session", 412,
          headers={**FRAGMENT, "If-Match": '"stale"'}, body=TRICKLE),
    *both("4.3.1", "before the body is looked at (RFC 9110 §13.2.1)", "MUST", "PATCH", "{side} session", 412,
          headers={**FRAGMENT, "If-Match": '"stale"'}, body="nonsense"),
    *both("4.3.1", "a weak entity tag does not match (RFC 9110 §8.8.3.2)", "MUST", "PATCH",
          "{side} session", 412,
          headers={**FRAGMENT, "If-Match": "W/ETAG"}, body=TRICKLE),
    *both("4.3.1", "one of several entity tags matches", "MUST", "PATCH", "{side} session", 204,
          headers={**FRAGMENT, "If-Match": '"a,b", ETAG'}, body=TRICKLE),
    *both("4.3.1", "DELETE ignores entity tags", "MUST", "DELETE", "{side} session", 200,
          headers={"If-Match": '"stale"'}),
    *both("4.3.1", "a PATCH of no session is 404", "OWN", "PATCH", "{side} no session", 404,
          headers={**FRAGMENT, "If-Match": "*"}, body=TRICKLE),
    # Trickle ICE
    *both("4.3.2", "the answer has all candidates of the server", "SHALL", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED, check=full_candidates),
    *both("4.3.2", "candidates are taken with 204, no body, no ETag; those of no use are discarded", "MUST",
          "PATCH", "{side} session", 204, headers={**FRAGMENT, "If-Match": "ETAG"}, body=TRICKLE,
          has={"ETag": ""}, check=lambda a: a.text == ""),
    *both("4.3.2", "credentials that are the session's own are no restart", "MUST", "PATCH",
          "{side} session", 204, headers={**FRAGMENT, "If-Match": "ETAG"}, body=OWN + TRICKLE,
          has={"ETag": ""}),
    *both("4.3.2", "* matches any ICE session (RFC 9110 §13.1.1)", "MUST", "PATCH", "{side} session", 204,
          headers={**FRAGMENT, "If-Match": "*"}, body=TRICKLE, has={"ETag": ""}),
    *both("4.3.2", "nor are they under *, by which common players trickle", "MUST", "PATCH",
          "{side} session", 204, headers={**FRAGMENT, "If-Match": "*"}, body=OWN + TRICKLE,
          has={"ETag": ""}, check=lambda a: a.text == ""),
    *both("4.3.2", "an empty last candidate, as those players tell Firefox's", "OWN", "PATCH",
          "{side} session", 204, headers={**FRAGMENT, "If-Match": "*"}, body=OWN + "a=\r\n"),
    # ICE restarts
    *both("4.3.3", "new credentials restart ICE: 200, a fragment, a new entity tag", "SHALL", "PATCH",
          "{side} session", 200, headers={**FRAGMENT, "If-Match": "*"}, body=RESTART,
          has={"Content-Type": "application/trickle-ice-sdpfrag", "ETag": STRONG_ETAG},
          check=lambda a: full_candidates(a) and "a=ice-ufrag:" in a.text and "a=ice-pwd:" in a.text),
    *both("4.3.3", "the wildcard with quotes, as in the RFC's figure", "OWN", "PATCH", "{side} session", 200,
          headers={**FRAGMENT, "If-Match": '"*"'}, body=RESTART),
    *both("4.3.3", "new credentials restart ICE under an entity tag as well", "MUST", "PATCH",
          "{side} session",
          200, headers={**FRAGMENT, "If-Match": "ETAG"}, body=RESTART, has={"ETag": STRONG_ETAG}),
    *both("4.3.3", "ice-lite and ice-options are those of the answer", "MUST", "PATCH", "{side} session", 200,
          headers={**FRAGMENT, "If-Match": "*"}, body=RESTART,
          check=lambda a: {"a=ice-lite", "a=ice-options:trickle ice2"} <= set(session_lines(a))),
    *both("4.3.3", "the answer has the same (RFC 9429 §5.3.1)", "MUST", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED, check=lambda a: {"a=ice-lite",
          "a=ice-options:trickle ice2"} <= set(session_lines(a))),
    *both("4.3.3", "a username without a password is refused, and the session goes on", "MUST", "PATCH",
          "{side} session", 400, headers={**FRAGMENT, "If-Match": "*"}, body="a=ice-ufrag:ysXw\r\n"),
    # WebRTC constraints
    *both("4.4.1", "the answer bundles", "MUST", "POST", "{side}", 201, headers=SDP, body=PUBLISHED,
          check=lambda a: "a=group:BUNDLE 0 1" in session_lines(a)),
    *both("4.4.1", "bundle-only sections have their transport from the first", "MUST", "POST", "{side}",
          201, headers=SDP,
          body={side: offered(f"bundle_only_{verb}") for side, verb in zip(BOTH, ("publishes", "views"),
          strict=True)},
          check=lambda a: len(sections(a)) == 2 and "m=audio 0" not in a.text and "m=video 0" not in a.text),
    *both("4.4.1", "rtcp-mux, and rtcp-mux-only in each bundled section", "MUST", "POST", "{side}", 201,
          headers=SDP, body=PUBLISHED, check=all_sections("a=rtcp-mux", "a=rtcp-mux-only")),
    *whip("4.4.1", "no rtcp-mux is refused", "SHALL", "POST", "whip", 422, headers=SDP,
          body=offered("chromium_publishes", ("a=rtcp-mux\r\n", ""))),
    *whip("4.4.1", "media outside the bundle are refused", "SHALL", "POST", "whip", 422, headers=SDP,
          body=offered("chromium_publishes", ("BUNDLE 0 1", "BUNDLE 0"))),
    *whip("4.4.2", "two videos are refused", "MUST", "POST", "whip", 422, headers=SDP,
          body=offered("obs_publishes", ("BUNDLE 0 1", "BUNDLE 0 1 2"))
          + offered("obs_publishes").split("m=")[2].join(["m=", ""]).replace("a=mid:1", "a=mid:2")),
    *whep("4.6.2", "sound and picture are one MediaStream", "MUST", "POST", "whep", 201, headers=SDP,
          body=WHEP_OFFER, check=one_stream),
    *whip("4.4.3", "no part of an offer is rejected alone", "SHOULD", "POST", "whip", 422, headers=SDP,
          body=offered("obs_publishes", ("opus/48000/2", "G722/8000"))),
    *whip("4.4.3", "a data channel neither", "SHOULD", "POST", "whip", 422, headers=SDP,
          body=WHIP_OFFER + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"),
    *whip("4.4.4", "setup active is taken", "SHOULD", "POST", "whip", 201, headers=SDP,
          body=offered("chromium_publishes", ("a=setup:actpass", "a=setup:active")),
          check=all_sections("a=setup:passive")),
    *whip("4.4.4", "setup passive as well", "OWN", "POST", "whip", 201, headers=SDP,
          body=offered("ffmpeg_publishes"), check=all_sections("a=setup:active")),
    *whip("4.4.4", "an unknown setup is refused", "SHOULD", "POST", "whip", 422, headers=SDP,
          body=offered("chromium_publishes", ("a=setup:actpass", "a=setup:holdconn"))),
    # ICE servers
    *both("4.6", "the 201 has a Link for each ICE server", "MAY", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED, check=ICE_LINKS),
    *both("4.6", "OPTIONS has them for who needs them before", "MAY", "OPTIONS", "{side}", 200,
          check=ICE_LINKS),
    *both("4.6", "a preflight has none", "SHOULD", "OPTIONS", "{side}", 200, headers=PREFLIGHT,
          check=NO_ICE_LINKS),
    *both("4.6", "nobody else gets TURN credentials", "OWN", "OPTIONS", "{side} unknown", 200,
          check=NO_ICE_LINKS),
    *both("4.6", "nor without the token", "OWN", "OPTIONS", "{side} public", 200, check=NO_ICE_LINKS),
    *both("4.6", "but with it", "OWN", "OPTIONS", "{side} public", 200,
          headers={"Authorization": "Bearer TOKEN"},
          check=ICE_LINKS),
    # Authentication
    *both("4.7.1", "a bearer token is taken", "MUST", "POST", "{side} public", 201,
          headers={**SDP, "Authorization": "Bearer TOKEN"}, body=PUBLISHED,
          has={"Location": r"http://\S+/wh[ie]p/[0-9a-f]{32}/[\w-]{22,}"}),
    *both("4.7.1", "its scheme has no case (RFC 9110 §11.1)", "MUST", "POST", "{side} public", 201,
          headers={**SDP, "Authorization": "bearer TOKEN"}, body=PUBLISHED),
    *both("4.7.1", "no token is 401 with a challenge (RFC 9110 §11.6.1)", "MUST", "POST", "{side} public",
          401,
          headers=SDP, body=PUBLISHED, has={"WWW-Authenticate": r'Bearer realm="wh[ie]p"'}),
    *both("4.7.1", "a wrong token is 401 with a challenge", "MUST", "POST", "{side} public", 401,
          headers={**SDP, "Authorization": "Bearer wrong"}, body=PUBLISHED,
          has={"WWW-Authenticate": r'Bearer realm="wh[ie]p", error="invalid_token"'}),
    *both("4.7.1", "another side's token is wrong", "MUST", "POST", "{side} public", 401,
          headers={**SDP, "Authorization": "Bearer OTHER"}, body=PUBLISHED,
          has={"WWW-Authenticate": "Bearer.*"}),
    *both("4.7.1", "another live input's token is wrong", "MUST", "POST", "{side} public", 401,
          headers={**SDP, "Authorization": "Bearer IDLE"}, body=PUBLISHED),
    *both("4.7.1", "another scheme is 401", "MUST", "POST", "{side} public", 401,
          headers={**SDP, "Authorization": "Basic dXNlcjpwYXNz"}, body=PUBLISHED),
    *both("4.7.1", "garbage is 401", "MUST", "POST", "{side} public", 401,
          headers={**SDP, "Authorization": "Bearer ä ö"}, body=PUBLISHED),
    *both("4.7.1", "GET wants the token as well", "MUST", "GET", "{side} public", 401),
    *both("4.7.1", "a token in the URL is enough, whatever the header says", "OWN", "POST", "{side}", 201,
          headers={**SDP, "Authorization": "Bearer stream-key"}, body=PUBLISHED),
    # Simulcast
    *whip("4.8", "simulcast that is not supported is not in the answer (RFC 8853 §5.3.2)", "MUST", "POST",
          "whip",
          201, headers=SDP, body=offered("chromium_publishes", SIMULCAST),
          check=lambda a: "a=simulcast" not in a.text and "a=rid" not in a.text),
    # Extensions
    *both("4.9", "no extension is announced, none required", "MUST", "POST", "{side}", 201, headers=SDP,
          body=PUBLISHED, check=lambda a: all('rel="ice-server"' in link for link in a.links)),
]  # fmt: skip
