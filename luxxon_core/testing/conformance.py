"""What every camera plugin must do, as a pytest class to derive from. Needs pytest, and no plugin of it."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, SecretStr

from luxxon_core.plugins import hookimpl, load_plugins
from luxxon_core.source import (
    EncodedPacket,
    HealthState,
    MediaProfile,
    Source,
    SourceConfigError,
    SourceError,
    SourceType,
)

if TYPE_CHECKING:
    from av import VideoFrame

T = TypeVar("T")
TEST_SECONDS = 60.0
FEW = 8


def in_loop(test: Callable[[Any], Awaitable[None]]) -> Callable[[Any], None]:
    """Run an async test in a loop of its own, so that no plugin of pytest is needed."""

    @functools.wraps(test)
    def run(self: Any) -> None:
        asyncio.run(asyncio.wait_for(_awaited(test(self)), TEST_SECONDS))

    return run


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


async def take(items: AsyncGenerator[T, None], count: int) -> list[T]:
    """The first ``count`` items; the generator is closed afterwards."""
    taken: list[T] = []
    async with aclosing(items):
        async for item in items:
            taken.append(item)
            if len(taken) == count:
                break
    return taken


class SourceConformance:
    """Derive and set ``source_type`` and ``config``; both may be properties.

    ``bad_configs`` are configurations that :meth:`SourceType.open` must refuse.
    """

    source_type: ClassVar[SourceType[Any]]
    config: ClassVar[BaseModel]
    bad_configs: ClassVar[Sequence[BaseModel]] = ()

    def test_is_accepted_by_the_host(self) -> None:
        source_type = self.source_type

        class Plugin:
            @hookimpl
            def luxxon_register_sources(self, register: Callable[[SourceType[Any]], None]) -> None:
                register(source_type)

        class Entry:
            name = "plugin"

            def load(self) -> Plugin:
                return Plugin()

        registry = load_plugins([Entry()])
        assert not registry.failures
        assert registry.sources[source_type.key] is source_type

    def test_config_makes_a_form_and_keeps_secrets(self) -> None:
        assert isinstance(self.config, self.source_type.Config)
        assert self.source_type.Config.model_json_schema()["type"] == "object"
        for name, value in self.config:
            if isinstance(value, SecretStr) and value.get_secret_value():
                assert value.get_secret_value() not in repr(self.config), name

    @in_loop
    async def test_discovery_ends_in_time(self) -> None:
        started = time.monotonic()
        keys = [device.key async for device in self.source_type.discover(1.0)]
        assert time.monotonic() - started < 3.0
        assert len(keys) == len(set(keys))

    @in_loop
    async def test_opens_and_closes(self) -> None:
        async with await self._open() as source:
            assert isinstance(source, Source)
            assert source.health().state is not HealthState.CLOSED
        assert source.health().state is HealthState.CLOSED

    @in_loop
    async def test_profiles_are_complete(self) -> None:
        async with await self._open() as source:
            profiles = source.media_profiles()
            assert profiles
            assert len({profile.token for profile in profiles}) == len(profiles)
            for profile in profiles:
                assert profile.width > 0
                assert profile.height > 0
                assert profile.frame_rate > 0

    @in_loop
    async def test_frames_come_in_order_and_in_size(self) -> None:
        async with await self._open() as source:
            for profile in source.media_profiles():
                frames = await take(source.frames(profile), FEW)
                assert _increasing([frame.pts for frame in frames])
                for frame in frames:
                    assert frame.time_base is not None
                    # Encoders want even sizes: a source may cut one row or column.
                    assert 0 <= profile.width - frame.width <= 1
                    assert 0 <= profile.height - frame.height <= 1
            assert source.health().state is HealthState.OK

    @in_loop
    async def test_frames_are_scaled_and_thinned(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            width, rate = max(2, profile.width // 2), max(1.0, profile.frame_rate / 3)
            frames = await take(source.frames(profile, max_width=width, max_fps=rate), FEW)
            assert all(frame.width <= width for frame in frames)
            for frame in frames:
                assert abs(frame.width / frame.height - profile.width / profile.height) < 0.1
            assert (FEW - 1) / (_seconds(frames[-1]) - _seconds(frames[0])) < rate * 1.2

    @in_loop
    async def test_packets_can_be_sent_as_they_are(self) -> None:
        async with await self._open() as source:
            for profile in source.media_profiles():
                if not profile.encoded:
                    await self._refuses(lambda p=profile: source.packets(p))  # type: ignore[misc]
                    continue
                packets = await take(source.packets(profile), FEW)
                assert packets[0].keyframe
                assert _increasing([packet.pts for packet in packets])
                assert {packet.codec for packet in packets} == {profile.codec}
                if profile.codec == "h264":
                    _assert_webrtc_h264(packets, profile)

    @in_loop
    async def test_a_profile_of_another_source_is_refused(self) -> None:
        async with await self._open() as source:
            foreign = MediaProfile("no-such-token", "raw", 16, 16, 1.0)
            await self._refuses(lambda: source.frames(foreign))

    @in_loop
    async def test_a_slow_reader_misses_frames_instead_of_seeing_old_ones(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            async with aclosing(source.frames(profile)) as frames:
                before = _seconds(await anext(frames))
                pause = max(1.0, 6 / profile.frame_rate)
                await asyncio.sleep(pause)  # the slow reader
                await anext(frames)  # one that was ready may be handed over
                after = _seconds(await anext(frames))
            assert after - before > pause * 0.6

    @in_loop
    async def test_two_readers_side_by_side(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            preview, full = await asyncio.gather(
                take(source.frames(profile, max_width=64, max_fps=5), 3), take(source.frames(profile), FEW)
            )
            assert len(preview) == 3
            assert len(full) == FEW

    @in_loop
    async def test_a_closed_reader_leaves_no_thread(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            await take(source.frames(profile), 1)
            before = _threads()
            for _ in range(3):
                await asyncio.wait_for(take(source.frames(profile), 1), 10)
            assert len(_threads()) <= len(before)

    @in_loop
    async def test_bad_configurations_are_refused_in_one_line(self) -> None:
        for config in self.bad_configs:
            try:
                await self.source_type.open(config)
            except SourceError as error:
                assert error.message
                assert "\n" not in error.message
            else:
                raise AssertionError("a bad configuration was accepted")

    async def _open(self) -> Source:
        opened: Source = await self.source_type.open(self.config)
        return opened

    async def _refuses(self, read: Callable[[], AsyncGenerator[Any, None]]) -> None:
        try:
            await take(read(), 1)
        except SourceConfigError:
            return
        raise AssertionError("SourceConfigError was not raised")


def _increasing(times: Sequence[int | None]) -> bool:
    known = [time for time in times if time is not None]
    return len(known) == len(times) and all(a < b for a, b in pairwise(known))


def _seconds(frame: VideoFrame) -> float:
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base)


def _threads() -> list[threading.Thread]:
    # Those of asyncio.to_thread are kept by the loop's executor for the next call.
    return [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]


def _assert_webrtc_h264(packets: Sequence[EncodedPacket], profile: MediaProfile) -> None:
    import av

    for packet in packets:
        assert packet.data.startswith((b"\0\0\1", b"\0\0\0\1")), "not an Annex B byte stream"
        units = {part[0] & 31 for part in packet.data.split(b"\0\0\1")[1:] if part}
        if packet.keyframe:
            assert {5, 7, 8} <= units, "an IDR picture without SPS and PPS"
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    assert frames, "nothing decodes: are there B-frames?"
    assert (frames[0].width, frames[0].height) == (profile.width, profile.height)
