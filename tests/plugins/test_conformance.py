"""Every built-in source passes the suite that plugin authors run, and the suite finds what it should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxxon_testcard import testcard
from luxxon_testcard.file import FileConfig, FileType
from luxxon_webcam.webcam import WebcamConfig, WebcamType
from pydantic import SecretStr

from luxxon_core.source import EncodedPacket, MediaProfile
from luxxon_core.testing import FakeConfig, FakeSource, FakeSourceType, SourceConformance


class TestTestcard(SourceConformance):
    source_type = testcard.TestcardType()
    config = testcard.TestcardConfig(width=320, height=180, fps=30)


class TestFake(SourceConformance):
    source_type = FakeSourceType(password="hunter2")
    config = FakeConfig(password=SecretStr("hunter2"), latitude=50.8466, longitude=4.3528)
    bad_configs = (FakeConfig(password=SecretStr("wrong")),)


class TestFileByCopy(SourceConformance):
    source_type = FileType()
    bad_configs = (FileConfig(path=Path("/nonexistent/clip.mp4")), FileConfig(path=Path("/")))

    @pytest.fixture(autouse=True)
    def _clip(self, bunny: Path) -> None:
        type(self).config = FileConfig(path=bunny)


class TestFileEncodedAgain(SourceConformance):
    source_type = FileType()

    @pytest.fixture(autouse=True)
    def _clip(self, bikes: Path) -> None:
        type(self).config = FileConfig(path=bikes)


class TestWebcam(SourceConformance):
    """libavdevice's virtual input stands for a camera: the same code opens, reads and closes it."""

    source_type = WebcamType(input_format="lavfi")
    config = WebcamConfig(device="testsrc2=size=320x180:rate=30,realtime", width=320, height=180)
    bad_configs = (WebcamConfig(device="no_such_filter"),)


@dataclass
class Queueing(FakeSource):
    """Sins against the rule that a slow reader misses frames."""

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[object, None]:
        queue: asyncio.Queue[object] = asyncio.Queue()

        async def fill() -> None:
            async for frame in FakeSource.frames(self, profile, max_width, max_fps):
                queue.put_nowait(frame)

        task = asyncio.create_task(fill())
        try:
            while True:
                yield await queue.get()
        finally:
            task.cancel()


@dataclass
class NotStartingAtAKeyframe(FakeSource):
    def media_profiles(self) -> list[MediaProfile]:
        return [MediaProfile("main", "h264", 320, 180, 30.0)]

    async def packets(self, profile: MediaProfile) -> AsyncGenerator[EncodedPacket, None]:
        for number in range(100):
            yield EncodedPacket("h264", number * 3000, False, b"\0\0\0\1\x41")


@pytest.mark.parametrize(
    ("source", "test"),
    [
        (Queueing, "test_a_slow_reader_misses_frames_instead_of_seeing_old_ones"),
        (NotStartingAtAKeyframe, "test_packets_can_be_sent_as_they_are"),
    ],
)
def test_the_suite_finds(source: type[FakeSource], test: str) -> None:
    class Type(FakeSourceType):
        async def open(self, config: FakeConfig) -> FakeSource:
            return source(config)

    class Suite(SourceConformance):
        source_type = Type()
        config = FakeConfig()

    started = time.monotonic()
    with pytest.raises(AssertionError):
        getattr(Suite(), test)()
    assert time.monotonic() - started < 10
