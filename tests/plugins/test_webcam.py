"""A webcam that is missing, lost or comes back. libavdevice's virtual input stands for the hardware."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing
from typing import Any

import av
import pytest
from luxxon_webcam.capture import Capture
from luxxon_webcam.webcam import WebcamConfig, WebcamType

from luxxon_core import capture
from luxxon_core.source import HealthState, SourceConfigError, SourceError, SourceNotReady
from luxxon_core.testing.conformance import take


async def test_no_camera_at_all_is_not_ready_yet() -> None:
    with pytest.raises(SourceNotReady, match="no camera is connected"):
        await WebcamType(input_format="lavfi").open(WebcamConfig())


async def test_a_missing_device_is_named_in_a_line() -> None:
    with pytest.raises(SourceError) as caught:
        await WebcamType().open(WebcamConfig(device="/dev/video-none"))
    assert "/dev/video-none" in caught.value.message
    assert "\n" not in caught.value.message


async def test_a_missing_v4l2_device_is_a_configuration_error() -> None:
    pytest.importorskip("fcntl", reason="Video4Linux2 is Linux's")
    with pytest.raises(SourceConfigError, match="no such camera"):
        await WebcamType(input_format="v4l2").open(WebcamConfig(device="/dev/video-none"))


async def test_discovery_without_cameras_finds_none() -> None:
    assert [device async for device in WebcamType(input_format="lavfi").discover(2.0)] == []


async def test_a_camera_that_stops_is_opened_again() -> None:
    """The device ends after a second, as one whose cable is pulled does, and the reader goes on."""
    config = WebcamConfig(device="testsrc2=size=160x90:rate=30:duration=1,realtime")
    async with await WebcamType(input_format="lavfi").open(config) as source:
        (profile,) = source.media_profiles()
        assert profile.codec == "raw"
        frames = await asyncio.wait_for(take(source.frames(profile), 45), 15)
        times = [frame.pts for frame in frames]
        assert times == sorted(set(times))
        assert source.health().reconnects >= 1
        assert "stopped sending" in (source.health().last_error or "")


async def test_closing_ends_its_readers() -> None:
    config = WebcamConfig(device="testsrc2=size=160x90:rate=30,realtime")
    source = await WebcamType(input_format="lavfi").open(config)
    async with aclosing(source.frames(source.media_profiles()[0])) as frames:
        async with source:
            await anext(frames)

        async def drain() -> None:
            async for _ in frames:
                pass

        await asyncio.wait_for(drain(), 5)
    assert source.health().state is HealthState.CLOSED


@pytest.mark.parametrize("error", [ValueError("pts"), IndexError("tuple index out of range")])
async def test_a_driver_that_answers_oddly_does_not_end_the_camera(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, failures = Capture._read, [error]

    def read(self: Capture, container: Any) -> float | None:
        if failures:
            raise failures.pop()
        return real(self, container)

    monkeypatch.setattr(Capture, "_read", read)
    config = WebcamConfig(device="testsrc2=size=160x90:rate=30,realtime")
    async with await WebcamType(input_format="lavfi").open(config) as source:
        assert await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), 10)
        assert type(error).__name__ in (source.health().last_error or "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ends_ends_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def read(self: Capture, container: Any) -> float | None:
        go.wait(10)
        raise SystemExit("the interpreter is going down")

    monkeypatch.setattr(Capture, "_read", read)
    config = WebcamConfig(device="testsrc2=size=160x90:rate=30,realtime")
    async with await WebcamType(input_format="lavfi").open(config) as source:
        reading = asyncio.create_task(take(source.frames(source.media_profiles()[0]), 1))
        await asyncio.sleep(0)
        go.set()
        done, _ = await asyncio.wait((reading,), timeout=5)
        assert done
        assert isinstance(reading.exception(), SourceError)


async def test_an_idle_camera_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    config = WebcamConfig(device="testsrc2=size=160x90:rate=30,realtime")
    async with await WebcamType(input_format="lavfi").open(config) as source:
        await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), 10)
        later = time.monotonic() + 60
        monkeypatch.setattr(capture.time, "monotonic", lambda: later)
        assert source.health().state is HealthState.OK


async def test_a_camera_of_another_size_than_wished_for_is_offered_as_it_is() -> None:
    config = WebcamConfig(device="testsrc2=size=160x90:rate=15,realtime", width=1280, height=720)
    async with await WebcamType(input_format="lavfi").open(config) as source:
        (profile,) = source.media_profiles()
        (frame,) = await asyncio.wait_for(take(source.frames(profile), 1), 10)
    assert (
        (profile.width, profile.height, profile.frame_rate)
        == (frame.width, frame.height, 15)
        == (160, 90, 15)
    )


@pytest.mark.parametrize(("spoilt", "reconnects"), [(5, 0), (40, 1)])
async def test_a_spoilt_picture_is_left_out_and_many_of_them_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, spoilt: int, reconnects: int
) -> None:
    real, left = Capture._decoded, [spoilt]

    class Spoilt:
        def decode(self) -> list[Any]:
            raise av.error.InvalidDataError(0x41444E49, "Invalid data found")

    def decoded(self: Capture, packet: Any, readers: Any) -> bool:
        left[0] -= 1
        return real(self, Spoilt() if left[0] >= 0 else packet, readers)  # type: ignore[arg-type]

    monkeypatch.setattr(Capture, "_decoded", decoded)
    config = WebcamConfig(device="testsrc2=size=160x90:rate=60,realtime")
    async with await WebcamType(input_format="lavfi").open(config) as source:
        await asyncio.wait_for(take(source.frames(source.media_profiles()[0]), 3), 10)
        assert source.health().reconnects == reconnects
