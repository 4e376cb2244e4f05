"""Frames from packets, pictures from frames, and input that is neither."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
from edge_packets import CODECS
from edge_packets import encode as encode_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from luxxon_core.adapters.aiortc_edge.decoder import Decoded, Decoder, Picture, Unit
from luxxon_core.adapters.aiortc_edge.snapshot import (
    KEYFRAME_OVERDUE,
    MAX_HELD_PACKETS,
    MAX_JOB,
    PUNCTUAL,
    Assembler,
    Snapshot,
)
from luxxon_core.adapters.aiortc_edge.stream import Tap


def taps(sizes: list[int]) -> list[Tap]:
    """Frames of as many packets as ``sizes`` says; the first is a keyframe."""
    packets: list[Tap] = []
    for index, size in enumerate(sizes):
        for part in range(size):
            number = len(packets) + 1000
            last = part == size - 1
            packets.append(Tap(number, index * 3000, last, index == part == 0, b"%d" % number))
    return packets


def frames(units: list[Unit]) -> list[bytes]:
    return [b" ".join(unit.payloads) for unit in units]


def expected(sizes: list[int]) -> list[bytes]:
    groups: dict[int, list[bytes]] = {}
    for tap in taps(sizes):
        groups.setdefault(tap.timestamp, []).append(tap.payload)
    return [b" ".join(group) for group in groups.values()]


def test_packets_in_order_become_frames() -> None:
    assembler = Assembler()
    units = [unit for tap in taps([3, 1, 2]) for unit in assembler.push(tap, 0.0)]
    assert frames(units) == expected([3, 1, 2])
    assert [unit.keyframe for unit in units] == [True, False, False]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_repaired_packets_are_put_where_they_belong(sizes: list[int], rng: random.Random) -> None:
    first, *rest = taps(sizes)
    late = sorted(rest, key=lambda tap: tap.sequence + (rng.uniform(0, 25) if rng.random() < 0.2 else 0))
    assembler = Assembler()
    units = [unit for tap in [first, *late, *late[:5]] for unit in assembler.push(tap, 0.0)]
    assert frames(units) == expected(sizes)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=30), st.data())
def test_a_frame_with_a_hole_is_left_out_and_the_rest_goes_on(sizes: list[int], data: st.DataObject) -> None:
    packets = taps(sizes)
    hole = data.draw(st.integers(1, len(packets) - 1))
    broken = packets[hole].timestamp // 3000
    assembler = Assembler()
    units: list[Unit] = []
    for index, tap in enumerate([*packets[:hole], *packets[hole + 1 :]]):
        units += assembler.push(tap, index * 0.05)
    for more in (1, 2):
        later = Tap(packets[-1].sequence + more, (len(sizes) + more) * 3000, True, True, b"end")
        units += assembler.push(later, 1000.0 + more)
    got, whole = frames(units), expected(sizes)
    assert got[-2:] == [b"end", b"end"]
    assert set(got[:-2]) <= set(whole)
    assert whole[broken] not in got
    assert got[:broken] == whole[:broken]
    assert set(whole[broken + 2 :]) <= set(got)  # the frame after the hole may go: where it starts is unknown


def test_a_stream_without_markers_is_cut_by_timestamp() -> None:
    assembler = Assembler()
    packets = [tap._replace(marker=False) for tap in taps([2, 2, 1])]
    assert frames([u for tap in packets for u in assembler.push(tap, 0.0)]) == expected([2, 2, 1])[:2]


def encode(codec: str, colours: list[tuple[int, int, int]], keyframes: set[int]) -> list[Unit]:
    return encode_pictures(codec, [np.full((240, 320, 3), colour, np.uint8) for colour in colours], keyframes)


def colour_of(picture: Picture | None) -> np.ndarray:
    assert picture is not None
    image = Image.open(io.BytesIO(picture.jpeg))
    assert image.size == (picture.width, picture.height) == (320, 240)
    return np.asarray(image.convert("RGB")).mean(axis=(0, 1))


RED, GREEN = (200, 30, 30), (30, 170, 40)


@pytest.mark.parametrize("codec", CODECS)
def test_keyframes_alone_give_pictures(codec: str) -> None:
    units = encode(codec, [RED, RED, GREEN], {0, 2})
    decoder = Decoder(codec)
    for unit, colour in ((units[0], RED), (units[2], GREEN)):
        result = decoder.decode([unit], every_frame=False, due=0.0)
        assert not result.broken
        assert np.abs(colour_of(result.picture) - colour).max() < 15


@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_gives_a_picture_when_it_is_due(codec: str) -> None:
    units = encode(codec, [RED] * 20 + [GREEN] * 11, {0})
    decoder = Decoder(codec)
    early = decoder.decode(units[:20], every_frame=True, due=1.0)
    assert early.picture is None and not early.broken
    late = decoder.decode(units[20:], every_frame=True, due=1.0)
    assert late.picture is not None and late.picture.at == 1.0
    assert np.abs(colour_of(late.picture) - GREEN).max() < 15


@given(st.sampled_from(CODECS), st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
def test_rubbish_never_raises(codec: str, parts: list[bytes]) -> None:
    decoder = Decoder(codec)
    for every_frame in (False, True):
        decoder.decode([Unit(tuple(parts), True, 0.0)], every_frame=every_frame, due=0.0)


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_keyframe_does_not_spoil_the_next(codec: str) -> None:
    units = encode(codec, [RED, GREEN], {0, 1})
    decoder = Decoder(codec)
    damaged = Unit(tuple(part[: len(part) // 2] for part in units[0].payloads), True, 0.0)
    decoder.decode([damaged], every_frame=False, due=0.0)
    result = decoder.decode([units[1]], every_frame=False, due=0.0)
    assert np.abs(colour_of(result.picture) - GREEN).max() < 15


@pytest.mark.parametrize(("width", "height", "shown"), [(4096, 2304, True), (4112, 2320, False)])
def test_a_monstrous_picture_is_refused(width: int, height: int, shown: bool) -> None:
    result = Decoder("h264").decode([blank(width, height)], every_frame=False, due=0.0)
    assert (result.picture is not None) is shown


def blank(width: int, height: int) -> Unit:
    """A keyframe of this size."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.options = Fraction(1, 25), {"preset": "ultrafast", "tune": "zerolatency"}
    (packet,) = context.encode(av.VideoFrame(width, height, "yuv420p"))
    units = tuple(unit for unit in bytes(packet).split(b"\0\0\1") if len(unit.rstrip(b"\0")) > 1)
    return Unit(units, True, 0.0)


class Bench:
    """A snapshot fed by hand with a clock of its own."""

    def __init__(self, executor: ThreadPoolExecutor, codec: str = "h264") -> None:
        self.pictures: list[Picture] = []
        self.got = asyncio.Event()
        self.snapshot = Snapshot(codec, executor, self._take)
        self._sequence = 0

    def _take(self, picture: Picture) -> None:
        self.pictures.append(picture)
        self.got.set()

    def feed(self, unit: Unit, now: float) -> None:
        for index, part in enumerate(unit.payloads):
            last = index == len(unit.payloads) - 1
            tap = Tap(self._sequence, int(now * 90000), last, unit.keyframe and index == 0, part)
            self.snapshot.take(tap, now)
            self._sequence += 1

    async def picture(self) -> Picture:
        async with asyncio.timeout(5):
            await self.got.wait()
        self.got.clear()
        return self.pictures[-1]


@pytest.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_a_keyframe_is_asked_for_every_second_and_often_before_the_first(
    executor: ThreadPoolExecutor,
) -> None:
    bench = Bench(executor)
    asked = [now / 20 for now in range(20) if bench.snapshot.tick(now / 20)]
    assert len(asked) >= 8
    (key,) = encode("h264", [RED], {0})
    bench.feed(key, 1.0)
    await bench.picture()
    asked = [now / 20 for now in range(20, 60) if bench.snapshot.tick(now / 20)]
    assert 1 <= len(asked) <= 2 and asked[0] >= 1.9


async def test_a_source_without_keyframes_is_decoded_frame_by_frame_until_they_come(
    executor: ThreadPoolExecutor,
) -> None:
    bench = Bench(executor)
    units = encode("h264", [RED] * 30 + [GREEN] * 70, {0})
    for index, unit in enumerate(units[:60]):
        now = index / 30
        bench.feed(unit, now)
        if index == 0:
            await bench.picture()
        elif now < KEYFRAME_OVERDUE:
            assert len(bench.pictures) == 1  # only the keyframe so far
        bench.snapshot.tick(now)
    picture = await bench.picture()
    assert np.abs(colour_of(picture) - GREEN).max() < 15

    again = encode("h264", [RED] * PUNCTUAL * 2, set(range(PUNCTUAL * 2)))
    for index, unit in enumerate(again):
        bench.feed(unit, 2.0 + index)
        await bench.picture()
    assert bench.pictures[-1].at == 2.0 + len(again) - 1


async def test_a_flood_of_frames_does_not_queue_without_end(executor: ThreadPoolExecutor) -> None:
    bench = Bench(executor)
    units = encode("h264", [RED] + [GREEN] * 20, {0})
    bench.feed(units[0], 0.0)
    await bench.picture()
    bench.snapshot.tick(KEYFRAME_OVERDUE + 0.1)  # now every frame is decoded
    for index in range(5000):
        bench.feed(units[1 + index % 20], 2.0 + index / 1000)
    await asyncio.to_thread(lambda: None)
    bench.feed(encode("h264", [GREEN], {0})[0], 20.0)
    async with asyncio.timeout(10):
        while not bench.pictures or bench.pictures[-1].at != 20.0:
            await bench.picture()
    assert np.abs(colour_of(bench.pictures[-1]) - GREEN).max() < 15


async def test_huge_frames_are_not_kept_without_end(executor: ThreadPoolExecutor) -> None:
    snapshot = Snapshot("h264", executor, lambda _: None)
    for tap in taps([1] + [2000] * 20):
        snapshot.take(tap, 0.0)
        kept = sum(len(unit.payloads) for unit in (*snapshot._backlog, *snapshot._queue))
        assert kept < 2 * (MAX_HELD_PACKETS + 2000)
    assert len(snapshot._backlog) < 20
    snapshot.close()


async def test_a_backlog_leaves_the_decoder_threads_to_others_in_between(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long backlog is worked off in turns, and none of it is lost."""
    jobs: list[int] = []
    decode = Decoder.decode

    def counted(self: Decoder, units: Sequence[Unit], every_frame: bool, due: float) -> Decoded:
        jobs.append(len(units))
        return decode(self, units, every_frame, due)

    monkeypatch.setattr(Decoder, "decode", counted)
    bench = Bench(executor)
    units = encode("h264", [GREEN] * 200, {0})
    bench.feed(units[0], 0.0)
    await bench.picture()
    for index, unit in enumerate(units[1:-1], 1):
        bench.feed(unit, index / 200)
    bench.snapshot.tick(KEYFRAME_OVERDUE + 0.1)
    bench.feed(units[-1], 2.0)
    async with asyncio.timeout(10):
        while bench.pictures[-1].at != 2.0:
            await bench.picture()
    assert max(jobs) <= MAX_JOB
    assert sum(jobs) == len(units) + 1  # the keyframe was decoded alone before
    assert np.abs(colour_of(bench.pictures[-1]) - GREEN).max() < 15


@pytest.mark.parametrize(("height", "shown"), [(1440, True), (1456, False)])
def test_not_every_frame_of_a_large_picture_is_decoded(height: int, shown: bool) -> None:
    unit = blank(2560, height)
    decoder = Decoder("h264")
    assert decoder.decode([unit], every_frame=False, due=0.0).picture is not None
    assert (decoder.decode([unit], every_frame=True, due=0.0).picture is not None) is shown


async def test_a_large_picture_is_shown_keyframe_by_keyframe(executor: ThreadPoolExecutor) -> None:
    bench = Bench(executor)
    for at in (0.0, 10.0):
        bench.feed(blank(2560, 1456), at)
        assert (await bench.picture()).at == at
        bench.snapshot.tick(at + KEYFRAME_OVERDUE + 0.1)


async def test_after_close_no_picture_comes(executor: ThreadPoolExecutor) -> None:
    bench = Bench(executor)
    bench.feed(encode("h264", [RED], {0})[0], 0.0)
    bench.snapshot.close()
    await asyncio.get_running_loop().run_in_executor(executor, lambda: None)
    await asyncio.sleep(0)
    assert bench.pictures == []
