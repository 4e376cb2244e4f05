"""Checks of what a source can do besides showing pictures: move, say where it is, be heard."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

from luxxon_core.kernel.clock import utc_now
from luxxon_core.source import (
    AudioPacket,
    AudioSource,
    FixType,
    GeoPose,
    GimbalControl,
    GimbalFrame,
    PoseSource,
    PtzControl,
    PtzPreset,
    PtzStatus,
    PtzVector,
    Source,
    SourceConfigError,
    SourceError,
    ZoomControl,
    ZoomKind,
)
from luxxon_core.testing.running import Suite, does_not_apply, in_loop, take

C = TypeVar("C")
SETTLE_SECONDS = 3.0
"""How much later than commanded a camera may be seen to have stopped: it is asked over a network."""
ARRIVE_SECONDS = 15.0
LONGEST_SOUND = 0.12
"""Seconds of an Opus packet at most (RFC 6716 §3.2.5)."""


class CapabilityChecks(Suite):
    """A check does not apply to a source that lacks its Protocol of ``luxxon_core.source``."""

    @in_loop
    async def test_a_continuous_move_ends_by_itself(self) -> None:
        async with self._moving() as camera:
            begun = time.monotonic()
            await camera.continuous_move(PtzVector(pan=0.3), 1.0)
            assert await _within(1.0, lambda: self._stirs(camera)), "it does not move, or does not say so"
            assert await _within(1.0 + SETTLE_SECONDS, lambda: _rests(camera)), (
                "it still moves long after the timeout of the continuous move: a lost console must stop it"
            )
            assert time.monotonic() - begun > 0.5, "it stopped well before the timeout of the continuous move"

    @in_loop
    async def test_stop_ends_a_move_at_once(self) -> None:
        async with self._moving() as camera:
            await camera.continuous_move(PtzVector(pan=-0.3), 20.0)
            assert await _within(2.0, lambda: self._stirs(camera)), "it does not move, or does not say so"
            await camera.stop()
            assert await _within(SETTLE_SECONDS, lambda: _rests(camera)), "it moves on after stop"

    @in_loop
    async def test_a_later_move_replaces_the_one_before(self) -> None:
        async with self._moving() as camera:
            await camera.continuous_move(PtzVector(pan=0.3), 20.0)
            await camera.continuous_move(PtzVector(tilt=0.3), 0.5)
            assert await _within(0.5 + SETTLE_SECONDS, lambda: _rests(camera)), (
                "the timeout of the later move does not end what the earlier one began"
            )

    @in_loop
    async def test_it_goes_where_it_is_sent(self) -> None:
        async with self._moving() as camera:
            before = (await camera.get_status()).position
            if before is None:
                does_not_apply("it does not report its position")
            target = PtzVector(0.25 if before.pan < 0 else -0.25, 0.1, before.zoom)
            await _if_supported(camera.absolute_move(target))
            reached = await _within(ARRIVE_SECONDS, lambda: _is_at(camera, target))
            status = await camera.get_status()
            assert reached, f"it was sent to {target} and is at {status.position}"

    @in_loop
    async def test_presets_are_remembered(self) -> None:
        async with self._moving() as camera:
            presets = list(await _if_supported(camera.get_presets()))
            assert all(isinstance(one, PtzPreset) and one.token for one in presets), "a preset has no token"
            tokens = [one.token for one in presets]
            assert len(tokens) == len(set(tokens)), "two presets have the same token"
            if not tokens:
                tokens = [await _if_supported(camera.set_preset("luxxon"))]
                names = {one.token: one.name for one in await camera.get_presets()}
                assert names.get(tokens[0]) == "luxxon", "a preset that was set is not listed"
            await camera.goto_preset(tokens[0])
            try:
                await camera.goto_preset("luxxon-no-such-preset")
            except SourceError:
                return
            raise AssertionError("goto_preset accepts a preset that does not exist")

    @in_loop
    async def test_the_gimbal_takes_angles(self) -> None:
        if not self.may_move:
            does_not_apply("it shall keep still")
        async with self._capable(GimbalControl) as camera:  # type: ignore[type-abstract]
            for frame in GimbalFrame:
                await _if_supported(camera.set_pitch_yaw(-20.0, 10.0, frame))
            await _if_supported(camera.set_pitch_yaw(0.0, 0.0, GimbalFrame.VEHICLE))

    @in_loop
    async def test_the_zoom_takes_values(self) -> None:
        if not self.may_move:
            does_not_apply("it shall keep still")
        async with self._capable(ZoomControl) as camera:  # type: ignore[type-abstract]
            for percent in (20.0, 0.0):
                await _if_supported(camera.set_zoom(ZoomKind.RANGE, percent))

    @in_loop
    async def test_poses_are_complete_and_in_order(self) -> None:
        async with self._capable(PoseSource) as camera:  # type: ignore[type-abstract]
            try:
                poses = await asyncio.wait_for(take(camera.poses(), 3), self.pose_seconds)
            except TimeoutError:
                raise AssertionError(f"fewer than three poses in {self.pose_seconds:g} s") from None
            for pose in poses:
                _check_pose(pose)
            assert all(a.captured_at <= b.captured_at for a, b in pairwise(poses)), "poses go back in time"

    @in_loop
    async def test_sound_comes_in_order(self) -> None:
        async with self._capable(AudioSource) as camera:  # type: ignore[type-abstract]
            packets = await _if_supported(take(camera.audio_packets(), 20))
            if not packets:
                does_not_apply("this configuration has no sound")
            _check_sound(packets)

    @asynccontextmanager
    async def _moving(self) -> AsyncIterator[PtzControl]:
        if not self.may_move:
            does_not_apply("it shall keep still")
        async with self._capable(PtzControl) as camera:  # type: ignore[type-abstract]
            self._rest_at = (await _if_supported(camera.get_status())).position
            try:
                yield camera
            finally:
                await camera.stop()

    @asynccontextmanager
    async def _capable(self, capability: type[C]) -> AsyncIterator[C]:
        async with await self._open() as source:
            if not isinstance(source, capability):
                does_not_apply(f"it has no {capability.__name__}")
            assert isinstance(source, Source)
            yield source

    async def _stirs(self, camera: PtzControl) -> bool:
        """Whether it says that it moves, or has."""
        status = await camera.get_status()
        return status.moving or status.position != self._rest_at


async def _rests(camera: PtzControl) -> bool:
    return not (await camera.get_status()).moving and await _stays(camera)


async def _stays(camera: PtzControl) -> bool:
    """Whether the position is the same a moment later: a status that says so is not enough."""
    before: PtzStatus = await camera.get_status()
    await asyncio.sleep(0.2)
    after = await camera.get_status()
    if before.position is None or after.position is None:
        return not after.moving
    return not after.moving and _distance(before.position, after.position) < 0.01


async def _is_at(camera: PtzControl, target: PtzVector) -> bool:
    position = (await camera.get_status()).position
    return position is not None and _distance(position, target) < 0.05


def _distance(a: PtzVector, b: PtzVector) -> float:
    return max(abs(a.pan - b.pan), abs(a.tilt - b.tilt), abs(a.zoom - b.zoom))


async def _within(seconds: float, true: Callable[[], Awaitable[bool]]) -> bool:
    deadline = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def _if_supported(call: Awaitable[Any]) -> Any:
    """What a source refuses with SourceConfigError, its device cannot."""
    try:
        return await call
    except SourceConfigError as error:
        does_not_apply(error.message)


def _check_pose(pose: GeoPose) -> None:
    assert -90 <= pose.latitude <= 90, f"latitude {pose.latitude}"
    assert -180 <= pose.longitude <= 180, f"longitude {pose.longitude}"
    assert isinstance(pose.fix_type, FixType), f"fix_type is {pose.fix_type!r}, not a FixType"
    assert math.isfinite(pose.horizontal_accuracy), "horizontal_accuracy is no number of metres"
    assert pose.horizontal_accuracy >= 0, f"horizontal_accuracy {pose.horizontal_accuracy}"
    assert pose.altitude is None or math.isfinite(pose.altitude), f"altitude {pose.altitude}"
    assert pose.heading is None or 0 <= pose.heading < 360, f"heading {pose.heading} is not in 0..360"
    assert pose.captured_at.tzinfo is not None, "captured_at has no time zone"
    ahead = pose.captured_at - utc_now()
    assert ahead < timedelta(seconds=5), f"captured_at is {ahead} in the future"


def _check_sound(packets: list[AudioPacket]) -> None:
    assert len({packet.codec for packet in packets}) == 1, "the codec of the sound changes"
    assert all(packet.codec and packet.data for packet in packets), (
        "a packet of sound has no codec or no data"
    )
    assert all(packet.time_base > 0 for packet in packets), "a time base of the sound is not positive"
    times = [float(packet.pts * packet.time_base) for packet in packets]
    gaps = [b - a for a, b in pairwise(times)]
    assert all(gap > 0 for gap in gaps), "pts of the sound do not increase"
    if packets[0].codec == "opus":
        middle = sorted(gaps)[len(gaps) // 2]
        assert middle <= LONGEST_SOUND + 0.001, f"Opus packets {middle:.3f} s apart: is the time base right?"
