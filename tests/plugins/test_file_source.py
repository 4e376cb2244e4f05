"""What of a file is published as it is, what is encoded again and why, and how it plays."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from luxxon_testcard import clip
from luxxon_testcard.clip import probe
from luxxon_testcard.file import FileConfig, FileType
from structlog.testing import capture_logs

from luxxon_core.rtp.nal import split_annex_b
from luxxon_core.source import RAW, SourceConfigError, SourceError
from luxxon_core.testing.conformance import take

MakeClip = Callable[..., Path]


def test_a_clip_without_b_frames_is_copied(bunny: Path, make_clip: MakeClip) -> None:
    assert probe(bunny).encode_reason is None
    assert probe(make_clip("main.mp4")).encode_reason is None
    assert probe(make_clip("transport.ts")).encode_reason is None
    assert probe(make_clip("matroska.mkv")).encode_reason is None


@pytest.mark.parametrize(
    ("name", "encoding", "reason"),
    [
        ("reordered.mp4", {"options": {"bf": "2", "b_strategy": "0"}}, "B-frames"),
        ("mpeg4.mp4", {"codec": "mpeg4"}, "its codec is mpeg4"),
        ("vp8.webm", {"codec": "libvpx"}, "its codec is vp8"),
        ("high444.mp4", {"pix_fmt": "yuv444p"}, "High 4:4:4"),
        ("sparse.mp4", {"count": 300, "gop": 300}, "key frames are up to 12 s apart"),
        ("raw.h264", {}, "no timestamps"),
        ("interlaced.mp4", {"options": {"x264-params": "interlaced=1"}}, "interlaced"),
    ],
)
async def test_anything_else_is_encoded_again_and_says_why(
    make_clip: MakeClip, name: str, encoding: dict[str, object], reason: str
) -> None:
    path = make_clip(name, **encoding)
    with capture_logs() as logs:
        source = await FileType().open(FileConfig(path=path))
    assert reason in logs[0]["reason"]
    assert reason in source.health().warnings[0]
    (profile,) = source.media_profiles()
    assert profile.codec == RAW
    frames = await take(source.frames(profile), 5)
    assert [frame.pts for frame in frames] == pytest.approx([0, 3600, 7200, 10800, 14400], abs=60)


def test_a_b_frame_far_into_the_clip_is_found(make_clip: MakeClip, tmp_path: Path) -> None:
    """By the order of packets, not by what the header says: here the header says there are none."""
    plain = make_clip("plain.mp4", count=200)
    assert probe(plain).encode_reason is None
    reordered = tmp_path / "reordered.mkv"
    with av.open(str(plain)) as source, av.open(str(reordered), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        packets[150].pts, packets[151].pts = packets[151].pts, packets[150].pts
        for packet in packets:
            packet.stream = stream
            packet.pts += 2 * packet.duration
            target.mux(packet)
    with av.open(str(reordered)) as container:
        assert not container.streams.video[0].codec_context.has_b_frames
    assert "B-frames" in (probe(reordered).encode_reason or "")


def test_a_b_frame_after_what_is_looked_at_is_found_by_the_header(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "SCANNED_PACKETS", 1)
    path = make_clip("reordered.mp4", options={"bf": "2", "b_strategy": "0"})
    assert "B-frames" in (probe(path).encode_reason or "")


async def test_parameter_sets_that_come_once_are_put_before_every_key_frame(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    """As from a camera that sends them at the start only."""
    once = tmp_path / "once.nut"  # keeps packets as they are; others put them in
    with av.open(str(make_clip("often.ts", count=15, gop=5))) as source, av.open(str(once), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            kept = [
                unit for unit in split_annex_b(bytes(packet)) if number == 0 or unit[0] & 31 not in (7, 8)
            ]
            bare = av.Packet(b"".join(b"\0\0\0\1" + unit for unit in kept))
            bare.pts, bare.dts, bare.time_base = packet.pts, packet.dts, packet.time_base
            bare.is_keyframe, bare.stream = packet.is_keyframe, stream
            target.mux(bare)
    source = await FileType().open(FileConfig(path=once))
    packets = await take(source.packets(source.media_profiles()[0]), 15)
    keyframes = [packet for packet in packets if packet.keyframe]
    assert len(keyframes) == 3
    for packet in keyframes:
        assert {5, 7, 8} <= {unit[0] & 31 for unit in split_annex_b(packet.data)}


@pytest.mark.parametrize("content", [b"", b"not a video " * 500])
async def test_a_file_that_is_no_video_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    await refused(path, "clip.mp4")


async def test_what_is_no_video_file_is_refused_in_a_line(tmp_path: Path, make_clip: MakeClip) -> None:
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(make_clip("whole.mp4").read_bytes()[:600])
    for path, reason in (
        (tmp_path / "missing.mp4", "no such file"),
        (tmp_path, "not a file"),
        (sound, "no video"),
        (headless, "headless.mp4"),
    ):
        await refused(path, reason)


async def refused(path: Path, reason: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        await FileType().open(FileConfig(path=path))
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["short.mp4", "short.ts", "short.mkv"])
async def test_a_loop_goes_on_without_a_seam(make_clip: MakeClip, name: str) -> None:
    """Timestamps rise evenly over the seam, and every IDR picture has its parameter sets."""
    source = await FileType().open(FileConfig(path=make_clip(name, count=10, gop=5)))
    (profile,) = source.media_profiles()
    packets = await take(source.packets(profile), 24)
    steps = {later.pts - earlier.pts for earlier, later in pairwise(packets)}
    assert all(abs(step - 3600) <= 90 for step in steps)
    assert [number for number, packet in enumerate(packets) if packet.keyframe] == [0, 5, 10, 15, 20]
    for packet in packets:
        kinds = [unit[0] & 31 for unit in split_annex_b(packet.data)]
        assert (5 in kinds) == packet.keyframe
        assert not packet.keyframe or (kinds.index(7) < kinds.index(8) < kinds.index(5))
    frames = await take(source.frames(profile), 24)
    assert [frame.pts for frame in frames] == pytest.approx([number * 3600 for number in range(24)], abs=90)


async def test_playing_takes_as_long_as_the_clip_and_ends_without_loop(make_clip: MakeClip) -> None:
    source = await FileType().open(FileConfig(path=make_clip("once.mp4", count=20), loop=False))
    (profile,) = source.media_profiles()
    for items in (source.packets(profile), source.frames(profile)):
        started = time.monotonic()
        assert len([item async for item in items]) == 20
        assert 0.7 < time.monotonic() - started < 2.5


async def test_copied_packets_decode_to_the_very_pictures_of_the_file(bunny: Path) -> None:
    source = await FileType().open(FileConfig(path=bunny))
    packets = await take(source.packets(source.media_profiles()[0]), 10)
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    with av.open(str(bunny)) as container:
        for ours, theirs in zip(decoded, container.decode(video=0), strict=False):
            assert np.array_equal(ours.to_ndarray(), theirs.to_ndarray())
    assert len(decoded) == 10


async def test_a_file_that_goes_away_while_it_plays_is_reported(make_clip: MakeClip) -> None:
    path = make_clip("going.mp4", count=5)
    source = await FileType().open(FileConfig(path=path))
    async with aclosing(source.packets(source.media_profiles()[0])) as packets:
        await anext(packets)
        path.unlink()
        with pytest.raises(SourceError, match=r"going\.mp4"):
            async for _ in packets:
                pass
