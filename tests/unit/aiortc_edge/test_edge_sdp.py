"""Offers as clients in the field send them, our answers, and text that is no SDP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.aiortc_edge import sdp, sdp_answer, sdp_fragment

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
BROWSER = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=fingerprint:{FINGERPRINT}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 98 96 97 102 103
c=IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=fingerprint:{FINGERPRINT}
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:98 VP9/90000
a=fmtp:98 profile-id=0
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
""".replace("\n", "\r\n")

LOCAL = sdp_answer.Local(
    ice=sdp.IceCredentials("abcd", "p" * 32),
    addresses=("192.0.2.1", "10.0.0.1"),
    port=5000,
    fingerprints=(("sha-256", FINGERPRINT[8:]),),
    setup="passive",
    session_id=7,
)


def edited(*changes: tuple[str, str]) -> str:
    text = BROWSER
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


def test_a_browsers_offer_is_understood() -> None:
    offer = sdp.parse_offer(BROWSER)
    audio, video = offer.media
    assert offer.bundle == ("0", "1")
    assert (audio.kind, audio.direction, audio.rtcp_mux, audio.setup) == (
        "audio",
        "sendonly",
        True,
        "actpass",
    )
    assert [codec.name for codec in video.codecs] == ["VP9", "VP8", "H264"]
    assert video.codecs[1].rtx == 97
    assert video.fingerprints == (("sha-256", FINGERPRINT[8:]),)


def test_a_publisher_is_taken_in_a_codec_that_every_viewer_plays() -> None:
    audio, video = sdp.parse_offer(BROWSER).media
    chosen = sdp_answer.publisher_codec(video)
    assert chosen is not None and chosen.name == "VP8"
    sound = sdp_answer.publisher_codec(audio)
    assert sound is not None and sound.name == "opus"


def test_a_codec_that_some_viewers_lack_is_taken_if_there_is_no_other() -> None:
    text = edited(("VP8/90000", "AV1/90000"), ("H264/90000", "H265/90000"))
    chosen = sdp_answer.publisher_codec(sdp.parse_offer(text).media[1])
    assert chosen is not None and chosen.name == "VP9"


def test_a_viewer_gets_the_published_profile_if_it_offers_it() -> None:
    more = edited(
        ("a=rtpmap:103 rtx", "a=rtpmap:104 H264/90000\r\na=rtpmap:103 rtx"),
        ("a=fmtp:103", "a=fmtp:104 packetization-mode=1;profile-level-id=64001F\r\na=fmtp:103"),
        ("96 97 102 103", "96 97 102 103 104"),
    )
    video = sdp.parse_offer(more).media[1]
    high = sdp.Codec(120, "H264", 90000, parameters="packetization-mode=1;profile-level-id=640028")
    base = sdp.Codec(120, "H264", 90000, parameters="packetization-mode=1;profile-level-id=420028")
    exact, other = sdp_answer.viewer_codec(video, high), sdp_answer.viewer_codec(video, base)
    assert exact is not None and exact.payload_type == 104
    assert other is not None and other.payload_type == 102
    assert sdp_answer.viewer_codec(video, sdp.Codec(1, "AV1", 90000)) is None


def test_the_answer_is_ice_lite_bundled_and_readable_by_another_implementation() -> None:
    offer = sdp.parse_offer(BROWSER)
    video = sdp_answer.publisher_codec(offer.media[1])
    assert video is not None
    accepted = {
        0: sdp_answer.Accepted(offer.media[0].codecs[0], "inactive"),
        1: sdp_answer.Accepted(sdp_answer.start_bitrate_hint(video, 1500), "recvonly", ("ssrc:1 cname:x",)),
    }
    text = sdp_answer.build_answer(offer, accepted, LOCAL)
    answer = SessionDescription.parse(text)
    assert answer.group[0].items == ["0", "1"]
    media = answer.media[1]
    assert media.ice.iceLite and media.ice.usernameFragment == "abcd"
    assert [(c.ip, c.port) for c in media.ice_candidates] == [("192.0.2.1", 5000), ("10.0.0.1", 5000)]
    assert media.ice_candidates[0].priority > media.ice_candidates[1].priority
    assert media.ice_candidates_complete
    assert media.dtls is not None and media.dtls.role == "server"
    assert [codec.payloadType for codec in media.rtp.codecs] == [96, 97]
    assert "x-google-start-bitrate=1500" in text
    assert "transport-cc" not in text  # what we do not do, we do not answer


def test_other_stacks_get_no_browser_hint() -> None:
    codec = sdp.Codec(96, "H264", 90000, parameters="packetization-mode=1", feedback=("nack", "nack pli"))
    assert sdp_answer.start_bitrate_hint(codec, 1500) == codec


def test_a_data_channel_is_rejected_in_the_answer() -> None:
    offer = sdp.parse_offer(BROWSER + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n")
    agreed = {1: sdp_answer.Accepted(offer.media[1].codecs[1], "recvonly")}
    text = sdp_answer.build_answer(offer, agreed, LOCAL)
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in text
    assert "m=audio 0 " in text
    assert "a=group:BUNDLE 1\r\n" in text


@pytest.mark.parametrize(
    ("changes", "usable"),
    [
        ((), [0, 1]),
        ((("a=rtcp-mux\r\n", ""),), []),
        ((("a=group:BUNDLE 0 1", "a=group:BUNDLE 1"),), [1]),
        ((("a=group:BUNDLE 0 1\r\n", ""),), [1]),
        ((("a=group:BUNDLE 0 1\r\n", ""), ("m=video", "m=text")), [0]),
        ((("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 2"),), [0, 1]),
        ((("UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"),), [0, 1]),
        ((("UDP/TLS/RTP/SAVPF", "RTP/AVP"),), []),
    ],
)
def test_what_shares_our_transport(changes: tuple[tuple[str, str], ...], usable: list[int]) -> None:
    assert [index for index, _ in sdp.usable_media(sdp.parse_offer(edited(*changes)))] == usable


def test_no_media_is_no_mistake_of_grammar() -> None:
    with pytest.raises(sdp.UnusableSdp):
        sdp.parse_offer(BROWSER.partition("m=")[0])


@pytest.mark.parametrize(
    ("offered", "ours"),
    [("", "passive"), ("actpass", "passive"), ("active", "passive"), ("passive", "active")],
)
def test_dtls_role(offered: str, ours: str) -> None:
    assert sdp_answer.setup_for(offered) == ours


def h264(profile_level_id: str, mode: int = 1, payload_type: int = 96) -> sdp.Codec:
    parameters = f"level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile_level_id}"
    return sdp.Codec(payload_type, "H264", 90000, parameters=parameters)


def video_of(*codecs: sdp.Codec) -> sdp.Media:
    return replace(sdp.parse_offer(BROWSER).media[1], codecs=codecs)


@pytest.mark.parametrize(
    ("published", "offered", "chosen"),
    [
        # the same profile, whatever its level; its flags say it in two ways
        ("42e01f", ["42001f", "42e01f", "64001f"], 1),
        ("42c028", ["64001f", "42e01f"], 1),
        ("4d801f", ["64001f", "42e01f"], 1),
        ("640c1f", ["42e01f", "64001f", "640c1f"], 2),
        # else the nearest that plays it
        ("42e01f", ["4d001f", "64001f"], 0),
        ("42e01f", ["64001f", "4d001f"], 1),
        ("42001f", ["58001f", "64001f"], 1),
        ("4d001f", ["42e01f", "64001f"], 1),
        ("640c1f", ["4d001f", "64001f"], 1),
        # else the first: most decoders play more than they say
        ("64001f", ["42e01f", "42001f"], 0),
        ("7a001f", ["42e01f", "64001f"], 0),
        # of equals the one whose level suffices
        ("42e02a", ["42e01f", "42e034"], 1),
        ("nonsense", ["42e01f", "64001f"], 0),
    ],
)
def test_which_h264_a_viewer_gets(published: str, offered: list[str], chosen: int) -> None:
    codecs = [h264(one, payload_type=96 + at) for at, one in enumerate(offered)]
    assert sdp_answer.viewer_codec(video_of(*codecs), h264(published)) is codecs[chosen]


def test_a_viewer_who_takes_single_packets_alone_is_the_last_resort() -> None:
    single, fragments = h264("42e01f", mode=0), h264("64001f", mode=1)
    assert sdp_answer.viewer_codec(video_of(single, fragments), h264("42e01f", mode=1)) is fragments
    assert sdp_answer.viewer_codec(video_of(single), h264("42e01f", mode=1)) is single
    assert sdp_answer.viewer_codec(video_of(fragments, single), h264("42e01f", mode=0)) is single


@pytest.mark.parametrize(("name", "key"), [("VP9", "profile-id"), ("AV1", "profile")])
def test_vp9_and_av1_go_out_in_their_profile_alone(name: str, key: str) -> None:
    plain, deep = sdp.Codec(98, name, 90000), sdp.Codec(100, name, 90000, parameters=f"{key}=2")
    said = sdp.Codec(99, name, 90000, parameters=f"level-idx=5;{key}=0")
    assert sdp_answer.viewer_codec(video_of(deep, plain), said) is plain
    assert sdp_answer.viewer_codec(video_of(plain, deep), deep) is deep
    assert sdp_answer.viewer_codec(video_of(plain), deep) is None


def test_an_unknown_dtls_role_is_unusable() -> None:
    with pytest.raises(sdp.UnusableSdp):
        sdp_answer.setup_for("holdconn")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=0\r\n",
        edited(("t=0 0\r\n", "")),
        edited(("m=video 9", "m=video nine")),
        edited(("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP8")),
        edited(("98 96 97 102 103", "98 96 x")),
        edited(("98 96 97 102 103", "98 960")),
        edited(("a=mid:1", "a=mid:0")),
        edited((FINGERPRINT, "sha-256 nothex")),
        edited(("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "")),
        edited(("a=ice-ufrag:EsAw", "a=ice-ufrag:Es Aw")),
        "v=0\r\n" + "m=audio 9 X 0\r\n" * 17,
    ],
)
def test_malformed_sdp_is_called_so(text: str) -> None:
    with pytest.raises(sdp.MalformedSdp):
        sdp.parse_offer(text)


@given(st.text(max_size=300))
def test_any_text_is_an_offer_or_malformed(text: str) -> None:
    for candidate in (text, "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + text):
        with suppress(sdp.MalformedSdp, sdp.UnusableSdp):
            list(sdp.usable_media(sdp.parse_offer(candidate)))
        with suppress(sdp.MalformedSdp):
            sdp_fragment.parse_fragment(candidate)


@given(st.data())
def test_a_damaged_offer_never_crashes_the_answer(data: st.DataObject) -> None:
    lines = BROWSER.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(
            st.sampled_from(["", lines[at][:7], lines[at][::-1], "a=mid:9", lines[at] + " 1"])
        )
    try:
        offer = sdp.parse_offer("\r\n".join(lines))
    except (sdp.MalformedSdp, sdp.UnusableSdp):
        return
    agreed = {
        index: sdp_answer.Accepted(media.codecs[0], "recvonly") for index, media in sdp.usable_media(offer)
    }
    sdp_answer.build_answer(offer, agreed, LOCAL)


def test_an_ice_restart_is_told_from_trickled_candidates() -> None:
    trickle = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"
    assert sdp_fragment.parse_fragment(trickle).ice is None
    restart = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"
    assert sdp_fragment.parse_fragment(restart).ice == sdp.IceCredentials("ysXw", "vw5LmwG4y/e6dPP/zAP9Gp5k")
    offer = sdp.parse_offer(BROWSER)
    agreed = {1: sdp_answer.Accepted(offer.media[1].codecs[1], "recvonly")}
    fragment = sdp_fragment.restart_fragment(offer, agreed, LOCAL)
    assert "a=ice-ufrag:abcd\r\n" in fragment and "a=candidate:1 1 udp " in fragment
    told = [line for line in fragment.split("\r\n") if line.startswith(("a=ice-lite", "a=ice-options"))]
    assert told == [
        line for line in sdp_answer.build_answer(offer, agreed, LOCAL).split("\r\n") if line in told
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "v=0\r\n",
        "a=\r\n",
        "m=audio\r\n",
        "a=ice-ufrag:bad ufrag\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n",
        "a=ice-ufrag:ysXw\r\n",
        "a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n",
        "a=candidate:nonsense\r\n",
        "a=candidate:1 1 udp 1 192.0.2.9 port typ host\r\n",
    ],
)
def test_a_malformed_fragment_is_called_so(text: str) -> None:
    with pytest.raises(sdp.MalformedSdp):
        sdp_fragment.parse_fragment(text)


@pytest.mark.parametrize(
    "candidate",
    [
        "candidate:1 1 udp 2113937151 6f2c0e0a-3d53-4c5f-9b1e-57c9f0a7d1a4.local 51234 typ host",
        "candidate:1 1 udp 1 no.such.host.invalid 9 typ host",
        "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw",
        "candidate:1 1 quic 1 192.0.2.1 9 typ tomorrow",
        "candidate:1 1 udp 1 2001:db8::1 9 typ srflx raddr 192.0.2.1 rport 9",
        "candidate:1 9 udp 1 192.0.2.1 99999 typ host",
        "candidate:",
        "end-of-candidates",
    ],
)
def test_a_candidate_of_no_use_does_not_spoil_the_fragment(candidate: str) -> None:
    text = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\nm=audio 9 RTP/AVP 0\r\na=mid:7\r\n"
    text += f"a={candidate}\r\n"
    assert sdp_fragment.parse_fragment(text).ice is not None


@pytest.mark.parametrize("end", ["a=", "a= ", "a=\t", "a=candidate:", "a=end-of-candidates"])
def test_the_end_of_candidates_is_said_in_many_ways(end: str) -> None:
    """Firefox's last candidate is "": scripts that write ``a=`` before each send a line without a name."""
    text = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\nm=audio 9 RTP/AVP 0\r\na=mid:7\r\n"
    assert sdp_fragment.parse_fragment(f"{text}{end}\r\n").ice is not None
    with pytest.raises(sdp.MalformedSdp):
        sdp_fragment.parse_fragment(f"{text}{end}\r\na= x\r\n")


async def test_aiortcs_own_offer_is_understood() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video", "recvonly")
    pc.addTransceiver("audio", "recvonly")
    offer = sdp.parse_offer((await pc.createOffer()).sdp)
    await asyncio.wait_for(pc.close(), 5)
    assert [media.kind for _, media in sdp.usable_media(offer)] == ["video", "audio"]
    assert all(media.direction == "recvonly" for media in offer.media)


def test_the_password_stays_out_of_repr() -> None:
    assert "p" * 32 not in repr(LOCAL)


def test_a_hostile_offer_does_bounded_work() -> None:
    """What is kept of an offer does not grow with its lines of feedback, nor with formats nobody offers."""
    maps = "".join(f"a=rtpmap:{number} x/90000\r\n" for number in range(200, 328))
    noise = "".join(f"a=rtcp-fb:* {number:x}\r\na=rtcp-fb:* nack\r\n" for number in range(800))
    (_, video) = sdp.parse_offer(BROWSER + maps + noise).media
    assert {codec.payload_type for codec in video.codecs} == {98, 96, 102}
    assert [codec.feedback for codec in video.codecs if codec.payload_type != 96] == [("nack",)] * 2
    assert {len(codec.feedback) for codec in video.codecs} == {1, 4}
    with pytest.raises(sdp.MalformedSdp, match="too many lines"):
        sdp.parse_offer(BROWSER + noise + noise)


def test_a_payload_type_of_endless_digits_is_no_number() -> None:
    sdp.parse_offer(BROWSER + f"a=fmtp:{'9' * 5000} apt=96\r\n")
