"""Damaged offers and fragments, by the thousand: refused or answered, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from edge_peers import SDP, Service, connect, peer, send_h264
from whip_rows import FRAGMENT, OFFERS, RESTART, TRICKLE
from yarl import URL

from luxxon_core.adapters.aiortc_edge import sdp, sdp_answer, sdp_fragment

MUTANTS = 10_000
REQUESTS = 600
ATTRIBUTES = (
    "a=", "a=mid:", "a=mid:0", "a=group:BUNDLE", "a=group:BUNDLE 1 1 9", "a=setup:holdconn", "a=inactive",
    "a=rtpmap:96", "a=rtpmap:999 H264/90000", "a=fmtp:96 " + "x" * 3000, "a=fmtp:96 apt=96", "a=rtcp-mux",
    "a=rtcp-fb:* nack", "a=fingerprint:sha-256 00", "a=fingerprint:sha-256 zz:zz", "a=ice-ufrag:",
    "a=ice-pwd:a b", "a=candidate:", "a=candidate:1 1 udp 1 [::1 9 typ host", "a=bundle-only", "m=video 9",
    "m=audio 0 X 0", "m=video 70000 UDP/TLS/RTP/SAVPF 96", "v=1", "b=AS:-1", "a=rtpmap:96 H264/0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sendrecv", "\x00", "ü=é",
    "a=fmtp:96 profile-level-id=zzzzzz;packetization-mode=99",
)  # fmt: skip


def damaged(chance: random.Random, text: str) -> str:
    """``text`` with one to six of its parts removed, doubled, swapped, replaced or torn."""
    for _ in range(chance.randint(1, 6)):
        lines = text.split("\r\n")
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(9):
            case 0:
                del lines[at]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines.insert(at, chance.choice(ATTRIBUTES))
            case 4:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case 5:
                words = lines[at].split(" ")
                words[chance.randrange(len(words))] = str(
                    chance.choice((-1, 0, 127, 128, 65536, 10**30, "x" * 300))
                )
                lines[at] = " ".join(words)
            case 6:
                lines = lines[:at]
            case 7:
                cut = chance.randrange(len(text) + 1)
                lines = (
                    text[:cut]
                    + chr(chance.choice((0, 9, 10, 13, 58, 127, 233, 0x2028, 0x1F4F7)))
                    + text[cut:]
                ).split("\r\n")
            case _:
                lines = lines[at:] + lines[:at]
        text = "\r\n".join(lines) or "\r\n"
    return text


def mutants(seed: int, number: int, originals: list[str]) -> Iterator[str]:
    chance = random.Random(seed)
    for index in range(number):
        yield damaged(chance, originals[index % len(originals)])


def field_offers() -> list[str]:
    return [path.read_bytes().decode() for path in sorted(OFFERS.glob("*.sdp"))]


LOCAL = sdp_answer.Local(
    sdp.IceCredentials("abcd", "p" * 24),
    ("192.0.2.1", "2001:db8::1"),
    5000,
    (("sha-256", "AB:CD"),),
    "passive",
    7,
)


def test_damaged_offers_are_answered_or_refused() -> None:
    seen: Counter[str] = Counter()
    published = [
        sdp.Codec(96, "H264", 90000, parameters="profile-level-id=42e01f"),
        sdp.Codec(97, "VP8", 90000),
    ]
    for text in mutants(1, MUTANTS, field_offers()):
        try:
            offer = sdp.parse_offer(text)
        except (sdp.MalformedSdp, sdp.UnusableSdp) as error:
            seen[type(error).__name__] += 1
            continue
        agreed = {}
        for index, media in sdp.usable_media(offer):
            forwarded = [sdp_answer.viewer_codec(media, codec) for codec in published]
            for codec in (*forwarded, sdp_answer.publisher_codec(media)):
                if codec is not None:
                    agreed[index] = sdp_answer.Accepted(codec, "sendonly")
        if agreed:
            answer = sdp_answer.build_answer(offer, agreed, LOCAL)
            assert sdp.parse_offer(answer).bundle == tuple(
                media.mid for index, media in enumerate(offer.media) if index in agreed and offer.bundle
            )
            sdp_fragment.parse_fragment(sdp_fragment.restart_fragment(offer, agreed, LOCAL))
        seen["answered" if agreed else "nothing usable"] += 1
    assert set(seen) == {"MalformedSdp", "UnusableSdp", "answered", "nothing usable"}, seen
    assert seen["answered"] > MUTANTS / 20, seen


def test_damaged_fragments_are_taken_or_refused() -> None:
    seen: Counter[bool] = Counter()
    for text in mutants(2, MUTANTS, [TRICKLE, RESTART]):
        try:
            sdp_fragment.parse_fragment(text)
            seen[True] += 1
        except sdp.MalformedSdp:
            seen[False] += 1
    assert min(seen[True], seen[False]) > MUTANTS / 20, seen


async def test_damaged_requests_disturb_nobody(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Over HTTP, while somebody watches: clean answers, nothing logged as an error, no frame lost."""
    caplog.set_level(logging.WARNING)
    live_input, target = await service.edge.create(), await service.edge.create()
    async with peer() as sender, peer() as receiver:
        send_h264(sender)
        await connect(service.http, sender, live_input.whip_url)
        await service.first_frame(live_input)
        receiver.addTransceiver("video", "recvonly")
        await connect(service.http, receiver, live_input.whep_url)
        track = receiver.getReceivers()[0].track
        await track.recv()
        watching = asyncio.create_task(_watch(track))
        statuses = await _bombard(service, target.whip_url, target.whep_url)
        assert set(statuses) <= {201, 204, 200, 400, 404, 409, 412, 413, 415, 422, 428}, statuses
        assert {200, 201, 204, 400, 422} <= set(statuses), statuses
        before = watching.done()
        watching.cancel()
        frames = (await asyncio.gather(watching, return_exceptions=True))[0]
        assert not before and isinstance(frames, asyncio.CancelledError), frames
        assert receiver.connectionState == "connected"
        assert (await track.recv()) is not None
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not errors, errors[0].getMessage()


async def _watch(track: object) -> None:
    """Until cancelled; fails when no frame comes for two seconds."""
    while True:
        async with asyncio.timeout(2):
            await track.recv()  # type: ignore[attr-defined]


async def _bombard(service: Service, whip: str, whep: str) -> Counter[int]:
    statuses: Counter[int] = Counter()
    chance = random.Random(3)
    offers, fragments = mutants(4, REQUESTS, field_offers()), mutants(5, REQUESTS, [TRICKLE, RESTART])
    good = next(path for path in OFFERS.glob("obs_*")).read_bytes()
    async with service.http.post(whip, data=good, headers=SDP) as answer:
        session = answer.headers["Location"]
    types = [SDP, SDP, SDP, SDP, {"Content-Type": "application/sdp;;=;charset"}, {"Content-Type": "x"}]
    matches = ["*", "*", '"', "", '"a" "b"', "W/*", "*, *", '"\xff"']
    for offer, fragment in zip(offers, fragments, strict=True):
        url = chance.choice((whip, whep))
        async with service.http.post(url, data=offer.encode(), headers=chance.choice(types)) as answer:
            statuses[answer.status] += 1
            made = answer.headers.get("Location")
        if made is not None:
            async with service.http.delete(made) as answer:
                statuses[answer.status] += 1
        headers = {**FRAGMENT, "If-Match": chance.choice(matches)}
        async with service.http.patch(session, data=fragment.encode(), headers=headers) as answer:
            statuses[answer.status] += 1
            if answer.status == 404:  # evicted or never connected: another
                async with service.http.post(whip, data=good, headers=SDP) as another:
                    session = another.headers["Location"]
    return statuses


ODD = ("%FF%FE", "%00", "%ED%A0%80", "a" * 4000, "%2e%2e", "%F0%9F%93%B7", "*", "0" * 32, "%zz", "a%2Fb")


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:12])
async def test_odd_paths_are_unknown(service: Service, odd: str) -> None:
    base = (await service.edge.create()).whip_url.partition("/whip/")[0]
    for path in (f"/whip/{odd}", f"/whep/{odd}", f"/whip/{odd}/{odd}", f"/whep/{odd}/frame"):
        for method in ("GET", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE"):
            headers = {**SDP, "Authorization": "Bearer \xff", "If-Match": "*"}
            target = URL(base + path, encoded=True)
            async with service.http.request(method, target, headers=headers, data=b"v=0") as answer:
                assert answer.status in (200, 401, 404, 405), (method, path)
