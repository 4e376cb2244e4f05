"""What every camera plugin must do, as a pytest class to derive from. Needs pytest, and no plugin of it."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from luxxon_core.plugins import hookimpl, load_plugins
from luxxon_core.plugins.secret_fields import SECRETS, holds_secrets
from luxxon_core.source import (
    EncodedPacket,
    HealthState,
    MediaProfile,
    Source,
    SourceConfigError,
    SourceError,
    SourceType,
)
from luxxon_core.testing.capabilities import CapabilityChecks
from luxxon_core.testing.running import does_not_apply, in_loop, take

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["SourceConformance", "in_loop", "take"]

FEW = 8
SECRET_NAME = re.compile(r"password|passphrase|passwd|secret|api_?key", re.IGNORECASE)


class SourceConformance(CapabilityChecks):
    """Derive and set ``source_type`` and ``config``; both may be properties.

    ``bad_configs`` are configurations that :meth:`SourceType.open` must refuse. A real camera moves, unless
    ``may_move`` is False, and is left where it was sent; a preset is set only where it has none. Its first
    three poses are waited for ``pose_seconds``.
    """

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
        assert not registry.failures, registry.failures[0].reason
        assert registry.sources[source_type.key] is source_type

    def test_config_makes_a_form_and_keeps_secrets(self) -> None:
        config = self.source_type.Config
        assert isinstance(self.config, config), f"config is no {config.__name__}"
        assert config.model_json_schema()["type"] == "object"
        for name, field in config.model_fields.items():
            hidden = holds_secrets(field.annotation)
            assert hidden or not (SECRET_NAME.search(name) and _mentions(field.annotation, str, bytes)), (
                f"the field {name} is not a SecretStr"
            )
        for secret in secrets_of(self.config):
            assert secret not in repr(self.config), "repr of the configuration shows a secret"
            assert secret not in self.config.model_dump_json(), "JSON of the configuration shows a secret"

    @in_loop
    async def test_an_open_source_keeps_secrets(self) -> None:
        secrets = [*secrets_of(self.config)]
        if not secrets:
            does_not_apply("this configuration has no secrets")
        async with await self._open() as source:
            await take(source.frames(source.media_profiles()[0], None, None), 1)
            shown = (
                f"{source!r} {source.health()!r} {source.device_information!r} {source.media_profiles()!r}"
            )
            assert not [one for one in secrets if one in shown], "repr of the source shows a secret"

    @in_loop
    async def test_discovery_ends_in_time(self) -> None:
        started = time.monotonic()
        devices = [device async for device in self.source_type.discover(1.0)]
        took = time.monotonic() - started
        assert took < 3.0, f"discover(1.0) took {took:.1f} s"
        keys = [device.key for device in devices]
        assert len(keys) == len(set(keys)), "two devices have the same key"
        for device in devices:
            assert isinstance(device.config, self.source_type.Config), f"{device.key}: not this type's Config"

    @in_loop
    async def test_discovery_that_nobody_waits_for_leaves_nothing(self) -> None:
        tasks, threads = asyncio.all_tasks(), _threads()
        async with aclosing(self.source_type.discover(1.0)) as devices:
            await asyncio.wait({asyncio.ensure_future(anext(devices, None))})
        deadline = time.monotonic() + 3.0
        while asyncio.all_tasks() - tasks or len(_threads()) > len(threads):
            assert time.monotonic() < deadline, "discover leaves a task or a thread behind"
            await asyncio.sleep(0.05)

    @in_loop
    async def test_opens_and_closes(self) -> None:
        async with await self._open() as source:
            assert isinstance(source, Source), "what open returns is no Source: a method is missing"
            assert source.health().state is not HealthState.CLOSED, "it is open and its health says CLOSED"
        assert source.health().state is HealthState.CLOSED, "it is closed and its health does not say CLOSED"

    @in_loop
    async def test_closing_lets_go_of_everything(self) -> None:
        """So that the next one can open the same device: three times, and nothing is left each time."""
        tasks = asyncio.all_tasks()
        left: list[tuple[int, int]] = []
        for _ in range(3):
            async with await self._open() as source:
                await take(source.frames(source.media_profiles()[0], None, None), 1)
            deadline = time.monotonic() + 3.0
            while asyncio.all_tasks() - tasks:
                assert time.monotonic() < deadline, f"tasks run on: {_names(asyncio.all_tasks() - tasks)}"
                await asyncio.sleep(0.05)
            left.append((len(_threads()), _descriptors()))
        assert left[2][0] <= left[0][0], "each opening leaves a thread behind"
        assert left[2][1] < left[0][1] + 2, "each opening leaves a file descriptor behind"

    @in_loop
    async def test_profiles_are_complete(self) -> None:
        async with await self._open() as source:
            profiles = source.media_profiles()
            assert profiles, "there is no media profile"
            assert len({one.token for one in profiles}) == len(profiles), "two profiles have the same token"
            for one in profiles:
                assert one.width > 0, f"{one.token}: width {one.width}"
                assert one.height > 0, f"{one.token}: height {one.height}"
                assert one.frame_rate > 0, f"{one.token}: frame rate {one.frame_rate}"

    @in_loop
    async def test_frames_come_in_order_and_in_size(self) -> None:
        async with await self._open() as source:
            for profile in source.media_profiles():
                frames = await take(source.frames(profile, None, None), FEW)
                assert len(frames) == FEW, f"{profile.token}: there are only {len(frames)} frames"
                assert _increasing([frame.pts for frame in frames]), "pts of the frames do not increase"
                for frame in frames:
                    assert frame.time_base is not None, "a frame has no time base"
                    # Encoders want even sizes: a source may cut one row or column.
                    size = f"{frame.width}x{frame.height}, not the profile's {profile.width}x{profile.height}"
                    assert 0 <= profile.width - frame.width <= 1, size
                    assert 0 <= profile.height - frame.height <= 1, size
            health = source.health()
            assert health.state is HealthState.OK, f"frames come and health says {health.state}"

    @in_loop
    async def test_frames_are_scaled_and_thinned(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            width, rate = max(2, profile.width // 2), max(1.0, profile.frame_rate / 3)
            frames = await take(source.frames(profile, max_width=width, max_fps=rate), FEW)
            assert all(frame.width <= width for frame in frames), f"frames are wider than max_width={width}"
            for frame in frames:
                distorted = abs(frame.width / frame.height - profile.width / profile.height) >= 0.1
                assert not distorted, f"scaled to {frame.width}x{frame.height}: another shape"
            came = (FEW - 1) / (_seconds(frames[-1]) - _seconds(frames[0]))
            assert came < rate * 1.2, f"{came:.1f} frames a second with max_fps={rate:g}"

    @in_loop
    async def test_packets_can_be_sent_as_they_are(self) -> None:
        async with await self._open() as source:
            for profile in source.media_profiles():
                if not profile.encoded:
                    await self._refuses(lambda p=profile: source.packets(p))  # type: ignore[misc]
                    continue
                packets = await take(source.packets(profile), FEW)
                assert packets[0].keyframe, "the first packet is no key frame"
                increasing = _increasing([packet.pts for packet in packets])
                assert increasing, "pts of the packets do not increase: are there B-frames?"
                assert {one.codec for one in packets} == {profile.codec}, (
                    "packets are not in the profile's codec"
                )
                if profile.codec == "h264":
                    _assert_webrtc_h264(packets, profile)

    @in_loop
    async def test_a_profile_of_another_source_is_refused(self) -> None:
        async with await self._open() as source:
            foreign = MediaProfile("no-such-token", "raw", 16, 16, 1.0)
            await self._refuses(lambda: source.frames(foreign, None, None))

    @in_loop
    async def test_a_slow_reader_misses_frames_instead_of_seeing_old_ones(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            async with aclosing(source.frames(profile, None, None)) as frames:
                before = _seconds(await anext(frames))
                pause = max(1.0, 6 / profile.frame_rate)
                await asyncio.sleep(pause)  # the slow reader
                await anext(frames)  # one that was ready may be handed over
                after = _seconds(await anext(frames))
            assert after - before > pause * 0.6, "a slow reader gets old frames: they are queued"

    @in_loop
    async def test_two_readers_side_by_side(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            preview, full = await asyncio.gather(
                take(source.frames(profile, max_width=64, max_fps=5), 3),
                take(source.frames(profile, None, None), FEW),
            )
            assert len(preview) == 3, "the preview ends when there is another reader"
            assert len(full) == FEW, "a reader ends when there is a preview"

    @in_loop
    async def test_a_closed_reader_leaves_no_thread(self) -> None:
        async with await self._open() as source:
            profile = source.media_profiles()[0]
            await take(source.frames(profile, None, None), 1)
            before = _threads()
            for _ in range(3):
                await asyncio.wait_for(take(source.frames(profile, None, None), 1), 10)
            assert len(_threads()) <= len(before), "a closed reader leaves a thread behind"

    @in_loop
    async def test_bad_configurations_are_refused_in_one_line(self) -> None:
        if not self.bad_configs:
            does_not_apply("the suite has no bad_configs")
        for config in self.bad_configs:
            try:
                await self.source_type.open(config)
            except SourceError as error:
                assert error.message, "a refusal says nothing"
                assert "\n" not in error.message, "a refusal has several lines"
                for secret in secrets_of(config):
                    assert secret not in f"{error!r} {error}", "a refusal shows a secret"
            else:
                raise AssertionError("a bad configuration was accepted")

    async def _refuses(self, read: Callable[[], AsyncGenerator[Any, None]]) -> None:
        try:
            await take(read(), 1)
        except SourceConfigError:
            return
        raise AssertionError("no SourceConfigError for a profile that cannot be read so")


def _increasing(times: Sequence[int | None]) -> bool:
    known = [time for time in times if time is not None]
    return len(known) == len(times) and all(a < b for a, b in pairwise(known))


def _seconds(frame: VideoFrame) -> float:
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base)


def _mentions(annotation: Any, *kinds: type) -> bool:
    """Whether a field's type is one of these, or has it in it, as ``SecretStr | None`` has."""
    inner = getattr(annotation, "__args__", ())
    return annotation in kinds or any(_mentions(one, *kinds) for one in inner)


def secrets_of(value: Any, secret: bool = False) -> Iterator[str]:
    """The plain text of every secret in a configuration."""
    if isinstance(value, SECRETS):
        yield from secrets_of(value.get_secret_value(), True)
    elif secret and isinstance(value, str | bytes):
        yield from filter(None, [value.decode(errors="replace") if isinstance(value, bytes) else str(value)])
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from secrets_of(inner, secret)
    elif isinstance(value, dict):
        yield from secrets_of(list(value.values()), secret)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_of(inner, secret)


def _descriptors() -> int:
    """Open files and sockets of this process; 0 where the system does not tell."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else 0


def _names(tasks: set[asyncio.Task[Any]]) -> str:
    return ", ".join(sorted(task.get_name() for task in tasks))


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
    size = frames[0].width, frames[0].height
    assert size == (profile.width, profile.height), f"pictures are {size}, not of the profile's size"
