"""The protocols by themselves: what no well-behaved server sends, and what cameras do send."""

from __future__ import annotations

import asyncio
import hashlib
import re
from itertools import pairwise
from struct import pack

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxxon_rtsp_ptz import sdp
from luxxon_rtsp_ptz.audio import OpusTranscoder
from luxxon_rtsp_ptz.config import RtspConfig, StreamUrl
from luxxon_rtsp_ptz.credentials import Authorization, Credentials, parse_challenge
from luxxon_rtsp_ptz.rtsp_wire import WireProtocol
from luxxon_rtsp_ptz.timeline import Timeline
from pydantic import ValidationError

from luxxon_core.rtp.depacketize import Depacketizer, aac_frames
from luxxon_core.rtp.nal import Codec, is_b_slice
from luxxon_core.rtp.receiver import Receiver, RtpPacket, parse
from luxxon_core.source import SourceConfigError
from tests.plugins.rtsp_ptz.test_rtsp_video import loudest_frequency

SPS, PPS = b"\x67\x42\x00\x1e\xab", b"\x68\xce\x3c\x80"
KEY, DELTA = b"\x65\x88" + bytes(range(200)), b"\x41\x9a" + bytes(range(100))


# -- authentication ------------------------------------------------------------------------------------------


def test_digest_is_computed_as_in_rfc_2617() -> None:
    challenge = parse_challenge('Digest realm="Cam, \\"A\\"", nonce="abc", opaque="xyz", stale=FALSE')
    assert challenge.parameters["realm"] == 'Cam, "A"'
    header = Authorization(challenge, Credentials("admin", "pass")).header("DESCRIBE", "rtsp://h/s")
    first = hashlib.md5(b'admin:Cam, "A":pass').hexdigest()
    second = hashlib.md5(b"DESCRIBE:rtsp://h/s").hexdigest()
    assert f'response="{hashlib.md5(f"{first}:abc:{second}".encode()).hexdigest()}"' in header
    assert 'opaque="xyz"' in header
    assert "qop" not in header


def test_digest_counts_requests_where_the_camera_asks_for_qop() -> None:
    headers = ['Basic realm="c"', 'Digest realm="c", nonce="n", qop="auth,auth-int", algorithm=SHA-256']
    chosen = Authorization.choose(headers, Credentials("u", "p"))
    assert chosen is not None
    counts = [re.search(r"nc=(\d+)", chosen.header("PLAY", "rtsp://h/s")) for _ in range(2)]
    assert [count[1] for count in counts if count] == ["00000001", "00000002"]
    assert Authorization.choose(["Negotiate", 'Digest nonce="n", algorithm=X'], Credentials("u", "p")) is None


@pytest.mark.parametrize(
    ("url", "user", "password", "rest"),
    [
        ("rtsp://u:hunter2@h/s", "u", "hunter2", "rtsp://h/s"),
        ("rtsp://u:a%40b@h:8554/s?x=1", "u", "a@b", "rtsp://h:8554/s?x=1"),
        ("rtsp://u:a@b@h/s", "u", "a@b", "rtsp://h/s"),
        ("rtsp://u:a/b@h/s", "u", "a/b", "rtsp://h/s"),
        ("rtsp://h/s@2", "", "", "rtsp://h/s@2"),
        ("rtsp://h:554/s@2", "", "", "rtsp://h:554/s@2"),
        ("rtsp://[::1]/s@2", "", "", "rtsp://[::1]/s@2"),
    ],
)
def test_a_password_in_the_url_is_kept_out_of_it(url: str, user: str, password: str, rest: str) -> None:
    config = RtspConfig(url=url)
    assert (config.username, config.password.get_secret_value(), config.url) == (user, password, rest)
    assert not password or password not in repr(config)


@pytest.mark.parametrize(
    "url", ["http://h/s", "rtsp:///s", "rtsp://h:99999/", "rtsp://h/\r\nX: y", "rtsp://[::1/s"]
)
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(SourceConfigError):
        StreamUrl.parse(url)
    with pytest.raises(ValidationError):
        RtspConfig(url=url)


def test_a_password_in_the_onvif_address_is_kept_out_of_it() -> None:
    for address in ("admin:hunter2@h:8000", "http://admin:hunter2@h:8000/onvif/device_service"):
        config = RtspConfig(onvif=address)
        assert (config.username, config.password.get_secret_value()) == ("admin", "hunter2")
        assert "hunter2" not in repr(config)
        assert "@" not in config.onvif


def test_a_camera_has_to_be_named() -> None:
    with pytest.raises(ValidationError, match="ONVIF address"):
        RtspConfig()


# -- SDP -----------------------------------------------------------------------------------------------------


def test_tracks_of_a_description() -> None:
    text = (
        "v=0\r\ns=x\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        "a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0IAHqs=,aM48gA==\r\na=control:trackID=1\r\n"
        "m=audio 0 RTP/AVP 0\r\na=control:rtsp://other/audio\r\nm=application 0 RTP/AVP 107\r\n"
    )
    description = sdp.parse(text, "rtsp://h/s/")
    video, audio = description.tracks
    assert description.control == "rtsp://h/s/"
    assert (video.codec, video.clock_rate, video.control) == ("h264", 90_000, "rtsp://h/s/trackID=1")
    assert video.parameter_sets() == [SPS, PPS]
    assert (audio.codec, audio.clock_rate, audio.control) == ("pcmu", 8000, "rtsp://other/audio")


@given(st.text(alphabet=st.sampled_from("vma=:;/ 0963H264rtpmapfmtpcontrol\r\n"), max_size=400))
def test_any_description_is_read_without_harm(text: str) -> None:
    for track in sdp.parse("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n" + text, "rtsp://h/").tracks:
        assert track.codec
        track.parameter_sets()


# -- RTSP and interleaved data -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["²", "٣", "9" * 5000, "-1", "128", ""])
def test_numbers_that_are_none_are_not_taken_for_some(number: str) -> None:
    """``str.isdigit`` is true of a superscript, which ``int`` refuses, as it does 5000 digits."""
    assert sdp.parse(f"m=video 0 RTP/AVP {number}\na=rtpmap:{number} H264/90000", "rtsp://h/").tracks == ()
    (track,) = sdp.parse(f"m=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/{number}/{number}", "rtsp://h/").tracks
    assert track.clock_rate in (128, 8000)


async def test_messages_and_media_may_be_cut_anywhere() -> None:
    response = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 4\r\n\r\nbody"
    stream = (
        b"\r\n$\x00\x00\x03abc" + response + b"\x01\xff junk $\x05 $\x01\x00\x02hi$\x00\x00\x00$\x00\x00\x01z"
    )
    got: list[tuple[int, bytes]] = []
    for step in (1, 2, 7, len(stream)):
        got.clear()
        wire = WireProtocol(lambda *part: got.append(part), lambda: None)
        wire.channels.update((0, 1))
        answer = asyncio.create_task(wire.answer(3))
        await asyncio.sleep(0)
        for start in range(0, len(stream), step):
            wire.data_received(stream[start : start + step])
        assert got == [(0, b"abc"), (1, b"hi"), (0, b""), (0, b"z")]
        assert (await answer).body == b"body"


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_leave_nothing_behind(parts: list[bytes]) -> None:
    wire = WireProtocol(lambda *_: None, lambda: None)
    wire.channels.update((0, 1))
    for part in parts:
        wire.data_received(part)


# -- RTP -----------------------------------------------------------------------------------------------------


def packet(
    sequence: int, payload: bytes = b"x", timestamp: int = 0, marker: bool = False, ssrc: int = 7
) -> bytes:
    return pack("!BBHII", 0x80, 96 | marker << 7, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def sequences(receiver: Receiver, *numbers: int) -> list[tuple[int, bool]]:
    return [(one.sequence, one.lost) for number in numbers for one in receiver.put(packet(number), 1.0)]


def test_padding_extension_and_contributors_are_no_payload() -> None:
    head = pack("!BBHII", 0xB2, 96, 1, 2, 3) + bytes(8) + b"\xbe\xde\0\1abcd"
    assert parse(head + b"data" + b"\0\0\3") == RtpPacket(96, False, 1, 2, 3, b"data")
    assert parse(b"\x80") is None
    assert parse(pack("!BBHII", 0xA0, 96, 1, 2, 3) + b"\xff") is None


def test_packets_are_put_in_order_and_a_gap_is_told() -> None:
    receiver = Receiver(96, 90_000, reorder=True)
    assert sequences(receiver, 65534, 0, 65535, 65535, 2, 1) == [(n, False) for n in (65534, 65535, 0, 1, 2)]
    assert sequences(receiver, 4) == []
    late = [(one.sequence, one.lost) for one in receiver.put(packet(5), 1.5)]
    assert late == [(4, True), (5, False)]
    assert (receiver.lost, sequences(receiver, 3)) == (1, [])


def test_over_tcp_nothing_waits() -> None:
    receiver = Receiver(96, 90_000, reorder=False)
    assert sequences(receiver, 1, 2, 5) == [(1, False), (2, False), (5, True)]
    assert receiver.lost == 2


def test_an_encoder_that_starts_again_is_a_gap() -> None:
    receiver = Receiver(96, 90_000, reorder=True)
    assert sequences(receiver, 1, 30_000) == [(1, False), (30_000, True)]
    (again,) = receiver.put(packet(5, ssrc=8), 1.0)
    assert again.lost


def test_a_receiver_report_tells_of_the_loss() -> None:
    receiver = Receiver(96, 90_000, reorder=False)
    assert receiver.report(1, 1.0) is None
    sequences(receiver, 10, 11, 13, 14)
    report = receiver.report(1, 1.0)
    assert report is not None
    assert len(report) % 4 == 0
    assert report[:2] == b"\x81\xc9"
    assert (report[12], int.from_bytes(report[13:16], "big")) == (256 // 5, 1)
    assert int.from_bytes(report[16:20], "big") == 14


# -- access units --------------------------------------------------------------------------------------------


def fu_a(unit: bytes, size: int = 40) -> list[bytes]:
    parts = [unit[1:][start : start + size] for start in range(0, len(unit) - 1, size)]
    indicator = unit[0] & 0xE0 | 28
    return [
        bytes([indicator, (number == 0) << 7 | (number == len(parts) - 1) << 6 | unit[0] & 31]) + part
        for number, part in enumerate(parts)
    ]


def stap_a(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def stream(pictures: int, gop: int = 4) -> list[list[RtpPacket]]:
    """RTP packets of each picture."""
    made, sequence = [], 0
    for number in range(pictures):
        key = number % gop == 0
        payloads = [stap_a(SPS, PPS), *fu_a(KEY)] if key else fu_a(DELTA)
        packets = []
        for at, payload in enumerate(payloads):
            last = at == len(payloads) - 1
            packets.append(RtpPacket(96, last, sequence, number * 3000, 7, payload))
            sequence += 1
        made.append(packets)
    return made


def pushed(packets: list[RtpPacket]) -> list[tuple[int, bool]]:
    depacketizer = Depacketizer(Codec.H264)
    return [(one.timestamp // 3000, one.keyframe) for each in packets for one in depacketizer.push(each)]


def test_pictures_are_put_together() -> None:
    depacketizer = Depacketizer(Codec.H264)
    units = [one for picture in stream(6) for each in picture for one in depacketizer.push(each)]
    assert [one.timestamp for one in units] == [number * 3000 for number in range(6)]
    assert list(units[0].units) == [SPS, PPS, KEY]
    assert list(units[1].units) == [DELTA]


@given(st.sets(st.integers(0, 60), max_size=8))
def test_after_any_loss_only_whole_pictures_from_a_key_frame_on(missing: set[int]) -> None:
    """Against what an onlooker knows: a picture may be shown if all of it and of those before, back to the
    key frame, has come, parameter sets apart: those of before are put in their place."""
    pictures = stream(14)
    received = [one for picture in pictures for one in picture if one.sequence not in missing]
    for before, one in pairwise([None, *received]):
        assert one is not None
        one.lost = before is not None and one.sequence != before.sequence + 1
    whole = [
        all(one.sequence not in missing or one.payload[0] & 31 == 24 for one in picture)
        for picture in pictures
    ]
    showable = {number for number in range(14) if all(whole[number - number % 4 : number + 1])}
    shown = pushed(received)
    assert {number for number, _ in shown} <= showable
    # Nothing is kept back either, but for a key frame whose head may have been in the gap before it.
    kept = {number for number in showable if number - number % 4 == 0 or whole[number - number % 4 - 1]}
    assert kept <= {number for number, _ in shown}


def test_a_camera_that_marks_every_slice_is_understood() -> None:
    halves = (b"\x65\x88" + b"\1" * 20, b"\x65\x40" + b"\2" * 20)  # first_mb_in_slice 0, and not 0
    deltas = (b"\x41\x9a" + b"\1" * 20, b"\x41\x40" + b"\2" * 20)
    packets, sequence = [], 0
    for number in range(9):
        units = [SPS, PPS, *halves] if number % 4 == 0 else deltas
        for unit in units:
            packets.append(RtpPacket(96, True, sequence, number * 3000, 7, unit))
            sequence += 1
    depacketizer = Depacketizer(Codec.H264)
    units_of = [one for each in packets for one in depacketizer.push(each)]
    assert [one.timestamp // 3000 for one in units_of if len(one.units) >= 2][-4:] == [4, 5, 6, 7]
    assert all(len(one.units) in (2, 4) for one in units_of[1:])


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.integers(0, 3)), max_size=30))
def test_any_payload_is_taken_without_harm(parts: list[tuple[bytes, bool, int]]) -> None:
    for codec in Codec:
        depacketizer = Depacketizer(codec)
        for number, (payload, marker, timestamp) in enumerate(parts):
            for one in depacketizer.push(RtpPacket(96, marker, number, timestamp, 7, payload)):
                assert one.units


def test_slices_tell_whether_they_are_b() -> None:
    # first_mb_in_slice ue 0 = 1; slice_type ue: P 0 = 1, B 1 = 010, I 7 = 0001000, B 6 = 00111
    assert not is_b_slice(b"\x41\xc0")
    assert is_b_slice(b"\x01\xa0")
    assert not is_b_slice(b"\x41\x88")
    assert is_b_slice(b"\x01\x9c")
    assert not is_b_slice(b"\x01")


def test_aac_frames_of_a_payload() -> None:
    headers = pack("!HHH", 32, 3 << 3, 2 << 3)
    assert aac_frames(headers + b"abcde", 13, 3) == [b"abc", b"de"]
    assert aac_frames(headers + b"abc", 13, 3) == [b"abc"]
    assert aac_frames(b"\xff\xff", 13, 3) == []
    assert aac_frames(b"", 13, 3) == []


def test_aac_becomes_opus() -> None:
    """As a camera sends it: two frames a payload, the configuration in the description."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "fltp"
    tone = np.sin(2 * np.pi * 1000 * np.arange(1024 * 40) / 16_000).astype(np.float32)
    coded = []
    for number in range(40):
        frame = av.AudioFrame.from_ndarray(tone[None, 1024 * number :][:, :1024], "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, 1024 * number
        coded += [bytes(one) for one in encoder.encode(frame)]
    assert encoder.extradata is not None
    config = {"config": encoder.extradata.hex(), "sizelength": "13", "indexlength": "3"}
    track = sdp.Track("audio", "mpeg4-generic", 97, 16_000, 1, "rtsp://h/a", config)
    transcoder = OpusTranscoder(track, 0.0)
    packets = []
    for number in range(0, len(coded) - 1, 2):
        pair = coded[number : number + 2]
        payload = pack("!HHH", 32, *(len(one) << 3 for one in pair)) + b"".join(pair)
        arrival = 1.0 + number * 1024 / 16_000
        packets += transcoder.convert(track, payload, 5000 + 1024 * number, arrival)
    assert {packet.codec for packet in packets} == {"opus"}
    assert {later.pts - earlier.pts for earlier, later in pairwise(packets)} == {960}
    assert len(packets) == pytest.approx(len(coded) * 1024 / 16_000 * 50, abs=5)
    assert loudest_frequency([packet.data for packet in packets[5:]]) == pytest.approx(1000, abs=30)


@given(st.binary(max_size=300))
def test_any_sound_is_taken_without_harm(payload: bytes) -> None:
    for codec in ("pcmu", "pcma"):
        transcoder = OpusTranscoder(sdp.Track("audio", codec, 0, 8000, 1, "rtsp://h/a"), 0.0)
        transcoder.convert(transcoder.track, payload, 1, 1.0)


# -- time ----------------------------------------------------------------------------------------------------


def times(timeline: Timeline, *steps: tuple[float, int]) -> list[int]:
    """Times for timestamps that arrive so many seconds later."""
    now, out = 100.0, []
    for waited, timestamp in steps:
        now += waited
        out.append(timeline.time(timestamp & 0xFFFFFFFF, now))
    return out


def test_the_time_goes_on_over_the_wrap_of_timestamps() -> None:
    start = (1 << 32) - 3000
    assert times(Timeline(90_000, 100.0), *[(0.033, start + number * 3000) for number in range(4)]) == [
        2970,
        5970,
        8970,
        11_970,
    ]


@pytest.mark.parametrize("jump", [9_000_000, -300_000, -1, 0, 1 << 31])
def test_a_clock_that_jumps_is_measured_by_arrival(jump: int) -> None:
    steps = [(0.0, 5000), (0.04, 8600), (0.04, 12_200 + jump), (0.04, 15_800 + jump)]
    at = times(Timeline(90_000, 100.0), *steps)
    assert all(earlier < later for earlier, later in pairwise(at))
    assert at[-1] - at[0] == pytest.approx(3 * 3600, abs=4000)


def test_a_reconnect_goes_on_by_the_clock_on_the_wall() -> None:
    timeline = Timeline(90_000, 100.0)
    before = times(timeline, (0.0, 0), (0.04, 3600))
    timeline.restart()
    assert timeline.time(77, 120.0) == 20 * 90_000
    assert timeline.time(77 + 3600, 120.0) == 20 * 90_000 + 3600
    assert before == [0, 3600]


def test_a_camera_that_was_held_up_and_catches_up_keeps_its_own_time() -> None:
    at = times(
        Timeline(90_000, 100.0), (0, 0), (3.0, 3600), *[(0.0, number * 3600) for number in range(2, 75)]
    )
    assert at == [number * 3600 for number in range(75)]
