"""Loss repair towards the publisher, and what viewers get: numbering, history, replay, takeover."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from struct import pack, unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.aiortc_edge import private, rtp, sdp, udp
from luxxon_core.adapters.aiortc_edge import stream as stream_module
from luxxon_core.adapters.aiortc_edge.inbound import MAX_MISSING, NACK_DELAYS, Inbound
from luxxon_core.adapters.aiortc_edge.stream import HISTORY, Stream, Subscription, Tap

VP8 = sdp.Codec(96, "VP8", 90000, rtx=97)
KEY, DELTA = b"\x10\x00", b"\x10\x01"


class Recorder:
    """In place of the socket: what each route was sent, before protection."""

    def __init__(self) -> None:
        self.sent: list[tuple[udp.Route, bytes]] = []

    def fan(self, routes: Iterable[udp.Route], packets: Sequence[bytes], *, rtcp: bool = False) -> None:
        if not rtcp:
            self.sent += [(route, packet) for route in routes for packet in packets]

    def to(self, route: udp.Route) -> list[rtp.RtpPacket]:
        return [rtp.parse_rtp(packet) for each, packet in self.sent if each is route]


def connected_route() -> udp.Route:
    route = udp.Route()
    route.keys = private.SrtpKeys(None, None, 16, ())  # type: ignore[arg-type]
    return route


def packet(
    sequence: int, payload: bytes = DELTA, *, timestamp: int | None = None, ssrc: int = 1
) -> rtp.RtpPacket:
    """One packet that is a whole frame."""
    at = sequence * 3000 if timestamp is None else timestamp
    return rtp.RtpPacket(96, True, sequence & 0xFFFF, at & 0xFFFFFFFF, ssrc, payload + b"%d" % sequence)


class Feedback:
    """What a publisher is told."""

    def __init__(self) -> None:
        self.nacks: list[int] = []
        self.plis = 0
        self.reports: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        for part in rtp.parse_rtcp(data):
            if part.kind == rtp.TRANSPORT_FEEDBACK:
                self.nacks += rtp.parse_nack(part)[1]
            elif part.kind == rtp.PAYLOAD_FEEDBACK and part.subtype == rtp.PICTURE_LOSS:
                self.plis += 1
            elif part.kind == rtp.RECEIVER_REPORT and part.subtype:
                self.reports.append(part.body)


class Collected:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.given_up: list[int] = []
        self.breaks = 0

    def write(self, sequence: int, packet: rtp.RtpPacket, now: float) -> bool:
        self.sequences.append(sequence)
        return packet.payload.startswith(KEY)

    def discontinued(self) -> None:
        self.breaks += 1

    def lost(self, sequence: int) -> None:
        self.given_up.append(sequence)

    def reported(self, info: rtp.SenderInfo) -> None: ...


def inbound(sink: object | None = None) -> tuple[Inbound, Collected, Feedback]:
    feedback, collected = Feedback(), Collected()
    made = Inbound("video", VP8, feedback, 2_500_000)
    made.sink = sink or collected  # type: ignore[assignment]
    return made, collected, feedback


def test_a_gap_is_asked_for_at_once_and_filled_by_the_retransmission() -> None:
    source, sink, feedback = inbound()
    for sequence in (10, 11, 14):
        source.receive(packet(sequence), rtx=False, now=0.0)
    assert feedback.nacks == [12, 13]
    rtx = rtp.RtpPacket(97, True, 900, 12 * 3000, 2, (12).to_bytes(2, "big") + DELTA)
    source.receive(rtx, rtx=True, now=0.01)
    source.receive(rtx, rtx=True, now=0.01)
    source.receive(packet(13), rtx=False, now=0.01)
    source.receive(packet(13), rtx=False, now=0.01)
    assert sink.sequences == [10, 11, 14, 12, 13]


def test_a_packet_is_asked_for_again_then_given_up_with_a_keyframe_request() -> None:
    source, sink, feedback = inbound()
    source.receive(packet(1), rtx=False, now=0.0)
    source.receive(packet(3), rtx=False, now=0.0)
    now = 0.0
    while now < sum(NACK_DELAYS) + 0.2:
        now += 0.05
        source.tick(now)
    assert feedback.nacks == [2] * len(NACK_DELAYS)
    assert sink.given_up == [2]
    assert feedback.plis == 1


def test_gaps_without_end_are_bridged_by_a_keyframe() -> None:
    """Every gap is short enough to repair; all of them together are not."""
    source, sink, feedback = inbound()
    source.receive(packet(0), rtx=False, now=1.0)
    breaks, plis = sink.breaks, feedback.plis
    for sequence in range(199, 199 * 30, 199):
        source.receive(packet(sequence), rtx=False, now=1.0)
        assert len(source._missing) <= MAX_MISSING
    assert sink.breaks > breaks and feedback.plis > plis


def test_keyframe_requests_are_joined_never_dropped() -> None:
    source, _, feedback = inbound()
    source.request_keyframe(0.0)
    assert feedback.plis == 0  # nobody to ask yet
    source.receive(packet(1, KEY), rtx=False, now=1.0)
    source.tick(1.0)
    assert feedback.plis == 1
    for now in (1.1, 1.2, 1.3):
        source.request_keyframe(now)
    assert feedback.plis == 1
    source.tick(1.6)
    source.tick(1.7)
    assert feedback.plis == 2


def test_a_stray_packet_is_ignored_but_a_restarted_source_is_followed() -> None:
    source, sink, _ = inbound()
    source.receive(packet(40000), rtx=False, now=0.0)
    source.receive(packet(100), rtx=False, now=0.0)
    source.receive(packet(40001), rtx=False, now=0.0)
    assert sink.sequences == [40000, 40001] and sink.breaks == 1
    source.receive(packet(200), rtx=False, now=0.0)
    source.receive(packet(201), rtx=False, now=0.0)
    assert sink.sequences[2:] == [201] and sink.breaks == 2


def test_the_report_counts_loss() -> None:
    source, _, feedback = inbound()
    for sequence in range(65530, 65530 + 100):
        if sequence % 4:
            source.receive(packet(sequence), rtx=False, now=0.0)
    source.tick(1.0)
    ssrc, lost, highest = unpack_from("!LLL", feedback.reports[0], 4)
    assert ssrc == 1
    assert abs((lost >> 24) - 64) <= 3
    assert 23 <= lost & 0xFFFFFF <= 25
    assert highest == 65530 + 99


@given(st.integers(0, 2**32), st.floats(0, 0.3))
def test_whatever_the_network_does_nothing_goes_out_twice(seed: int, loss: float) -> None:
    rng = random.Random(seed)
    source, sink, _ = inbound()
    sequences = [s for s in range(65000, 65000 + 600) if rng.random() >= loss]
    late = [s for s in sequences if rng.random() < 0.1]
    for sequence in sorted([*sequences, *late], key=lambda s: s + rng.uniform(0, 6)):
        source.receive(packet(sequence), rtx=False, now=sequence / 100)
    assert len(set(sink.sequences)) == len(sink.sequences)
    assert set(sink.sequences) <= set(sequences)


def feed(stream: Stream, sequences: Iterable[int], *, key: int = 50, now: float = 1.0, ssrc: int = 1) -> None:
    """Packets of a source with a keyframe every ``key`` packets, at 30 frames a second."""
    for sequence in sequences:
        payload = KEY if sequence % key == 0 else DELTA
        stream.write(sequence, packet(sequence, payload, ssrc=ssrc), now + sequence / 30)


def subscribe(stream: Stream, *, rtx: int | None = None) -> tuple[udp.Route, Subscription]:
    route = connected_route()
    subscription = Subscription(route, 120, rtx)
    stream.subscribe(subscription)
    return route, subscription


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def stream(recorder: Recorder) -> Stream:
    return Stream("video", VP8, recorder)  # type: ignore[arg-type]


def numbers(packets: list[rtp.RtpPacket]) -> list[int]:
    return [int(each.payload[2:]) for each in packets]


def contiguous(packets: list[rtp.RtpPacket]) -> bool:
    steps = [(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)]
    return set(steps) <= {1} and len({each.ssrc for each in packets}) == 1


async def test_a_viewer_that_joins_gets_the_picture_from_the_last_keyframe(
    stream: Stream, recorder: Recorder
) -> None:
    feed(stream, range(0, 60))
    route, _ = subscribe(stream)
    feed(stream, range(60, 65))
    got = recorder.to(route)
    assert numbers(got) == list(range(50, 65))
    assert contiguous(got)
    assert {each.payload_type for each in got} == {120}


async def test_a_long_replay_is_paced_and_ends_in_the_present(stream: Stream, recorder: Recorder) -> None:
    feed(stream, range(0, 190), key=1000)
    asked = []
    stream.request_keyframe = lambda: asked.append(True)
    route, _ = subscribe(stream)
    assert 0 < len(recorder.to(route)) < 50
    assert asked
    live = 190
    async with asyncio.timeout(5):
        while len(numbers(recorder.to(route))) < live:
            feed(stream, [live], key=1000)
            live += 1
            await asyncio.sleep(0.002)
    feed(stream, [live], key=1000)
    assert numbers(recorder.to(route)) == list(range(live + 1))
    assert contiguous(recorder.to(route))


@pytest.mark.parametrize("reason", ["given up", "too long ago"])
async def test_without_all_packets_since_the_keyframe_nothing_is_replayed(
    stream: Stream, recorder: Recorder, reason: str
) -> None:
    end = HISTORY + 10 if reason == "too long ago" else 20
    feed(stream, (s for s in range(end) if s != 5), key=100_000)
    if reason == "given up":
        stream.lost(5)
    route, _ = subscribe(stream)
    feed(stream, range(end, end + 3), key=100_000)
    assert numbers(recorder.to(route)) == [end, end + 1, end + 2]


async def test_viewers_notice_nothing_of_a_new_publisher(stream: Stream, recorder: Recorder) -> None:
    route, _ = subscribe(stream)
    feed(stream, range(0, 5))
    stream.discontinued()
    feed(stream, range(30_049, 30_055), now=-997.0, ssrc=2)  # 30,049 is no keyframe: it cannot be decoded
    got = recorder.to(route)
    assert numbers(got) == [0, 1, 2, 3, 4, 30050, 30051, 30052, 30053, 30054]
    assert contiguous(got)
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(got)]
    assert steps[4] == pytest.approx((30_050 / 30 - 997 - 4 / 30 - 1) * 90000, abs=2)
    assert set(steps[:4] + steps[5:]) == {3000}


async def test_a_late_packet_from_before_the_takeover_never_reuses_a_number(
    stream: Stream, recorder: Recorder
) -> None:
    route, _ = subscribe(stream)
    feed(stream, range(50, 53))
    stream.discontinued()
    feed(stream, range(100, 102), ssrc=2)
    stream.write(99, packet(99), 5.0)
    assert numbers(recorder.to(route)) == [50, 51, 52, 100, 101]


async def test_a_source_without_recognisable_keyframes_is_let_through_in_the_end(
    stream: Stream, recorder: Recorder
) -> None:
    route, _ = subscribe(stream)
    feed(stream, range(1, 150), key=100_000)
    assert numbers(recorder.to(route))[0] == pytest.approx(1 + 3 * 30, abs=1)


async def test_a_repaired_packet_goes_out_under_its_own_number(stream: Stream, recorder: Recorder) -> None:
    route, _ = subscribe(stream)
    feed(stream, [0, 1, 3, 4])
    feed(stream, [2])
    got = recorder.to(route)
    assert numbers(got) == [0, 1, 3, 4, 2]
    assert contiguous(sorted(got, key=lambda each: (each.sequence - got[0].sequence) & 0xFFFF))


@pytest.mark.parametrize("rtx", [None, 121])
async def test_lost_packets_are_sent_again(stream: Stream, recorder: Recorder, rtx: int | None) -> None:
    route, subscription = subscribe(stream, rtx=rtx)
    feed(stream, range(0, 10))
    before = recorder.to(route)
    recorder.sent.clear()
    asked = [before[3].sequence, before[7].sequence, before[9].sequence + 1 & 0xFFFF]
    stream.resend(subscription, asked, now=1.0)
    again = recorder.to(route)
    if rtx is not None:
        assert [each.payload_type for each in again] == [rtx, rtx]
        assert {each.ssrc for each in again} == {stream.rtx_ssrc}
        restored = [rtp.restore_from_rtx(each) for each in again]
        assert [each.sequence for each in restored if each] == asked[:2]
        assert numbers([each for each in restored if each]) == [3, 7]
    else:
        assert again == [before[3], before[7]]


async def test_a_viewer_cannot_ask_for_retransmissions_without_end(
    stream: Stream, recorder: Recorder
) -> None:
    route, subscription = subscribe(stream)
    feed(stream, range(0, 10))
    sequence = recorder.to(route)[0].sequence
    recorder.sent.clear()
    for _ in range(5000):
        stream.resend(subscription, [sequence], now=1.0)
    assert len(recorder.sent) <= stream_module.RESEND_RATE


async def test_asking_for_what_is_not_there_is_bounded_as_well(stream: Stream, recorder: Recorder) -> None:
    """A NACK of one datagram names 6,000 packets: all of a viewer's together must not cost a core."""
    route, subscription = subscribe(stream)
    feed(stream, range(0, 10))
    beyond = recorder.to(route)[-1].sequence + 1000
    body = b"".join(pack("!HH", beyond + 17 * entry & 0xFFFF, 0xFFFF) for entry in range(360))
    (packet,) = rtp.parse_rtcp(
        rtp.rtcp_packet(rtp.TRANSPORT_FEEDBACK, rtp.GENERIC_NACK, pack("!LL", 9, 1) + body)
    )
    looked_at = 0
    for _ in range(50):
        asked = list(rtp.parse_nack(packet)[1])
        rest = iter(asked)
        stream.resend(subscription, rest, now=1.0)
        looked_at += len(asked) - len(list(rest))
    assert len(asked) == 6120
    assert looked_at <= stream_module.RESEND_RATE + 50


async def test_a_viewer_that_left_gets_nothing_more(stream: Stream, recorder: Recorder) -> None:
    feed(stream, range(0, 190), key=1000)
    _, subscription = subscribe(stream)
    stream.unsubscribe(subscription)
    recorder.sent.clear()
    feed(stream, range(190, 200), key=1000)
    await asyncio.sleep(0.05)  # a replay would go on by timer
    assert recorder.sent == []


async def test_the_tap_sees_viewers_numbers(stream: Stream) -> None:
    seen: list[Tap] = []
    stream.tap = lambda tap, now: seen.append(tap)
    feed(stream, range(0, 3))
    stream.discontinued()
    feed(stream, range(500, 503), ssrc=2)
    assert [b.sequence - a.sequence for a, b in pairwise(seen)] == [1] * 5
    assert [tap.keyframe for tap in seen] == [True, False, False, True, False, False]
