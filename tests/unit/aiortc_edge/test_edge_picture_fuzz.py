"""Damaged, crafted and random video: refused, never fatal, and pictures of other live inputs keep coming."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from edge_packets import CODECS, encode

from luxxon_core.adapters.aiortc_edge import payload
from luxxon_core.adapters.aiortc_edge.decoder import Decoded, Decoder, Picture, Unit
from luxxon_core.adapters.aiortc_edge.snapshot import Snapshot
from luxxon_core.adapters.aiortc_edge.stream import Tap

SECONDS = 3.0
"""For each codec; what a seed makes does not depend on it, only how much of that is tried."""
SMALL = np.random.default_rng(3).integers(0, 255, (96, 128, 3), np.uint8)

H264_ABUSE = [
    b"\x18" + b"\x00\x01\x67" * 400,  # an aggregate of hundreds of units
    b"\x18" + b"\xff\xff" + b"\x67" * 9,
    b"\x18\x00\x02\x18\x18",  # aggregates in aggregates
    b"\x7c\x85" + b"\xff" * 1000,  # fragments: begun twice, never ended
    b"\x7c\x85",
    b"\x7c\xc5\x00",  # begun and ended at once
    b"\x7c\x18\x00\x05\x67",  # an aggregate in a fragment
    b"\x7c\x80" + b"\x00\x00\x01" * 300,  # start codes inside
    b"\x67\x42\xe0\x1f" + b"\xff" * 60,  # parameter sets out of range
    b"\x67\x64\x00\xff" + b"\x00" * 60,
    b"\x68" + b"\xff" * 8,
    b"\x65" + b"\x00" * 1200,
    b"\x1f\xff\xff",
    b"\x00",
]


def damaged(rng: random.Random, parts: list[bytes]) -> list[bytes]:
    """Packets of one frame after something has happened to them."""
    made = list(parts)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made))
        match rng.randrange(8):
            case 0:
                made[at] = made[at][: rng.randint(0, len(made[at]))]
            case 1:
                made[at] += rng.randbytes(rng.randint(1, 40))
            case 2 | 3:
                changed = bytearray(made[at])
                for _ in range(rng.randint(1, 8)):
                    if changed:
                        changed[rng.randrange(min(len(changed), rng.choice((8, 60, 4096))))] = rng.randrange(
                            256
                        )
                made[at] = bytes(changed)
            case 4:
                made.insert(at, rng.choice(made))
            case 5 if len(made) > 1:
                del made[at]
            case 6:
                rng.shuffle(made)
            case _:
                made[at] = rng.randbytes(rng.choice((1, 2, 3, 20, 1200)))
    return made


def inputs(codec: str, seed: int) -> Iterator[list[bytes]]:
    rng = random.Random(seed)
    units = encode(codec, [np.roll(SMALL, shift, 1) for shift in range(4)], {0, 2})
    if codec == "h264":
        yield from ([part] for part in H264_ABUSE)
        yield H264_ABUSE
    while True:
        yield damaged(rng, list(rng.choice(units).payloads))
        yield [rng.randbytes(rng.randint(0, 300)) for _ in range(rng.randint(1, 5))]
        if codec == "h264":
            yield rng.choices(H264_ABUSE, k=rng.randint(1, 6)) + list(rng.choice(units).payloads)


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_that_comes_is_fatal_and_the_next_picture_is_whole(codec: str) -> None:
    good = encode(codec, [SMALL], {0})[0]
    decoder, until, tried, refused = Decoder(codec), time.monotonic() + SECONDS, 0, 0
    for parts in inputs(codec, seed=20_260_513):
        for part in parts:
            payload.starts_keyframe(codec, part)
        unit = Unit(tuple(parts), True, 0.0)
        # what stands alone, and what follows on something else
        for every_frame in (False, True):
            result = decoder.decode([unit], every_frame=every_frame, due=0.0)
            assert isinstance(result, Decoded)
            refused += result.broken
        tried += 1
        if tried % 50 == 0:
            picture = decoder.decode([good], every_frame=False, due=0.0).picture
            assert picture is not None and (picture.width, picture.height) == (128, 96), tried
        if time.monotonic() > until:
            break
    assert tried > 50 and refused > 20


async def test_the_pictures_of_others_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """One input floods the threads that all share; another's pictures are no older for it."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as threads:
        got: list[Picture] = []
        bad = {codec: Snapshot(codec, threads, lambda _: None) for codec in CODECS}
        good = Snapshot("h264", threads, got.append)
        frames = encode("h264", [np.roll(SMALL, shift, 1) for shift in range(6)], set(range(6)))
        floods = {codec: inputs(codec, seed=7) for codec in CODECS}
        sequence = dict.fromkeys(CODECS, 0)
        wanted: list[float] = []
        slowest, count = 0.0, 0
        for number, unit in enumerate(frames):
            now = number * 1.0
            for codec, snapshot in bad.items():
                for parts in (next(floods[codec]) for _ in range(60)):
                    for index, part in enumerate(parts):
                        last = index == len(parts) - 1
                        tap = Tap(sequence[codec], sequence[codec] // 5 * 3000, last, index == 0, part)
                        sequence[codec] += 1
                        snapshot.take(tap, now)
                snapshot.tick(now + 0.5)
            begun = loop.time()
            for index, part in enumerate(unit.payloads):
                last = index == len(unit.payloads) - 1
                good.take(Tap(count, number * 90_000, last, index == 0, part), now)
                count += 1
            wanted.append(now)
            async with asyncio.timeout(10):
                while [picture.at for picture in got] != wanted:
                    await asyncio.sleep(0.005)
            slowest = max(slowest, loop.time() - begun)
        assert slowest < 2.0, slowest
        for snapshot in (*bad.values(), good):
            snapshot.close()
