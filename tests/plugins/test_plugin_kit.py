"""The kit for authors: fakes that move and fail as told, and a suite that finds what sources do wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from typing import Any

import av
import pytest
from av import VideoFrame
from pydantic import SecretStr

from luxxon_core.client import Luxxon
from luxxon_core.kernel.clock import utc_now
from luxxon_core.operator.camera import Camera
from luxxon_core.operator.config import operate_table
from luxxon_core.operator.rehearsal import rehearse
from luxxon_core.source import (
    AudioPacket,
    AudioSource,
    DiscoveredDevice,
    FixType,
    GeoPose,
    GimbalControl,
    GimbalFrame,
    HealthState,
    MediaProfile,
    PoseSource,
    PtzControl,
    PtzStatus,
    PtzVector,
    SourceAuthError,
    SourceConfig,
    SourceConfigError,
    ZoomControl,
    ZoomKind,
)
from luxxon_core.testing import (
    FakeCamera,
    FakeConfig,
    FakeSource,
    FakeSourceType,
    FakeVehicle,
    SourceConformance,
)
from luxxon_core.testing.conformance import take

HERE = {"latitude": 50.8466, "longitude": 4.3528}


class TestVehicle(SourceConformance):
    """Everything that a source can do."""

    source_type = FakeSourceType(password="hunter2", camera=FakeVehicle)
    config = FakeConfig(password=SecretStr("hunter2"), **HERE)
    bad_configs = (FakeConfig(password=SecretStr("wrong")),)


class TestPlainCamera(SourceConformance):
    source_type = FakeSourceType(camera=FakeCamera)
    config = FakeConfig()


class ByTheLetter(FakeVehicle):
    """Written from camera-api.md alone: its limits have no defaults."""

    async def frames(  # type: ignore[override]
        self, profile: MediaProfile, max_width: int | None, max_fps: float | None
    ) -> AsyncGenerator[VideoFrame, None]:
        async with aclosing(super().frames(profile, max_width, max_fps)) as frames:
            async for frame in frames:
                yield frame

    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        while True:
            await asyncio.sleep(0.1)
            yield GeoPose(50.8466, 4.3528, 31.5, 271.0, 2.5, FixType.RTK_FIXED, utc_now())


class TestByTheLetter(SourceConformance):
    source_type = FakeSourceType(camera=ByTheLetter)
    config = FakeConfig()


async def test_a_rehearsal_shows_a_source_by_the_letter() -> None:
    kind, table = FakeSourceType(camera=ByTheLetter), operate_table("gate", {"lat": 50.8, "lng": 4.3})
    camera = Camera("gate", kind, FakeConfig(), table, lambda: Luxxon("http://127.0.0.1:1"))
    (told,) = await rehearse([camera], utc_now)
    assert "error" not in told
    assert told["picture"] == "320x180"


async def test_a_pose_is_made_in_the_order_of_the_interface() -> None:
    (pose,) = await take(ByTheLetter().poses(), 1)
    assert (pose.latitude, pose.longitude, pose.altitude, pose.heading) == (50.8466, 4.3528, 31.5, 271.0)
    assert (pose.horizontal_accuracy, pose.fix_type) == (2.5, FixType.RTK_FIXED)
    assert pose.captured_at <= utc_now()
    names = [one.name for one in fields(GeoPose)]
    assert names == [
        *("latitude", "longitude", "altitude", "heading", "horizontal_accuracy", "fix_type", "captured_at"),
        "satellites",
    ]


# -- the fakes --------------------------------------------------------------------------------------------


def test_each_fake_can_what_it_says() -> None:
    plain, turning, flying = FakeCamera(), FakeSource(), FakeVehicle()
    for capability, holders in {
        PtzControl: (turning, flying),
        PoseSource: (turning, flying),
        GimbalControl: (flying,),
        ZoomControl: (flying,),
        AudioSource: (flying,),
    }.items():
        assert [isinstance(one, capability) for one in (plain, turning, flying)] == [
            one in holders for one in (plain, turning, flying)
        ]


async def test_a_move_goes_as_far_as_its_timeout_lets_it() -> None:
    camera = FakeSource()
    begun = time.monotonic()
    await camera.continuous_move(PtzVector(pan=0.5), 0.2)
    assert (await camera.get_status()).moving
    while camera.velocity != PtzVector():
        await asyncio.sleep(0.01)
    assert 0.2 <= time.monotonic() - begun < 1.0
    assert camera.position.pan == pytest.approx(0.1, abs=0.001)  # 0.5 for 0.2 s, whenever one looks
    await camera.relative_move(PtzVector(pan=5.0))
    assert camera.position.pan == 1.0
    (first, second) = camera.commands
    assert (first.name, first.arguments) == ("continuous_move", (PtzVector(pan=0.5), 0.2))
    assert second.at > first.at >= begun


async def test_gimbal_and_zoom_keep_what_they_were_told() -> None:
    camera = FakeVehicle()
    await camera.set_pitch_yaw(-30.0, 90.0, GimbalFrame.EARTH)
    await camera.set_zoom(ZoomKind.RANGE, 40.0)
    assert camera.gimbal == (-30.0, 90.0, GimbalFrame.EARTH)
    assert camera.zoom == (ZoomKind.RANGE, 40.0)
    assert [one.name for one in camera.commands] == ["set_pitch_yaw", "set_zoom"]


async def test_the_sound_is_a_tone() -> None:
    packets = await take(FakeVehicle().audio_packets(), 10)
    decoder = av.CodecContext.create("libopus", "r")
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.data))]
    samples = frames[-1].to_ndarray()
    assert abs(samples).max() > 0.05 * (1 if samples.dtype.kind == "f" else 32768)


async def test_a_stall_an_error_and_another_size_come_when_told() -> None:
    async with FakeCamera() as camera:
        camera._meter._stall = 0.2  # sooner than after two seconds
        (profile,) = camera.media_profiles()
        async with aclosing(camera.frames(profile)) as frames:
            assert (await anext(frames)).width == 320
            camera.resize(160, 90)
            assert ((await anext(frames)).width, camera.media_profiles()[0].width) == (160, 160)
            camera.stalled = True
            waiting = asyncio.ensure_future(anext(frames))
            async with asyncio.timeout(5):
                while camera.health().state is not HealthState.STALLED:
                    await asyncio.sleep(0.02)
            assert not waiting.done()
            camera.stalled = False
            assert (await asyncio.wait_for(waiting, 5)).width == 160
            camera.frame_error = SourceAuthError("fake:password", "the password was changed")
            with pytest.raises(SourceAuthError):
                await anext(frames)
        assert camera.health().state is HealthState.FAILED


# -- what the suite finds ---------------------------------------------------------------------------------


class NeverStops(FakeSource):
    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        await super().continuous_move(velocity, 3600.0)


class SaysItStopped(NeverStops):
    """It moves on and says it does not."""

    async def get_status(self) -> PtzStatus:
        return replace(await super().get_status(), moving=False)


class DeafToStop(FakeSource):
    async def stop(self) -> None: ...


class LongestWins(FakeSource):
    async def continuous_move(self, velocity: PtzVector, timeout: float) -> None:
        left = self._moving_until - time.monotonic()
        await super().continuous_move(velocity, max(timeout, left))


class GoesElsewhere(FakeSource):
    async def absolute_move(self, position: PtzVector) -> None:
        await super().absolute_move(PtzVector(pan=0.9))


class TakesAnyPreset(FakeSource):
    async def goto_preset(self, token: str) -> None: ...


class NoTimeZone(FakeSource):
    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        async for pose in super().poses():
            yield replace(pose, captured_at=pose.captured_at.replace(tzinfo=None))


class OddHeading(FakeSource):
    async def poses(self) -> AsyncGenerator[GeoPose, None]:
        async for pose in super().poses():
            yield replace(pose, heading=-90.0)


class StandingSound(FakeVehicle):
    async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
        async for packet in super().audio_packets():
            yield replace(packet, pts=0)


@dataclass(repr=False)
class Talkative(FakeSource):
    def __repr__(self) -> str:
        return f"Talkative({self.config.password.get_secret_value()})"


@dataclass
class Untidy(FakeSource):
    left: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Any:
        self.left.append(asyncio.create_task(asyncio.sleep(60), name="keep-alive"))
        return await super().__aenter__()


class Hoarder(FakeSource):
    files: list[Any] = []  # noqa: RUF012

    async def __aenter__(self) -> Any:
        self.files.append(open("/dev/null"))  # noqa: ASYNC230, PTH123, SIM115
        return await super().__aenter__()


SINS: list[tuple[type[FakeSource], str, str]] = [
    (NeverStops, "a_continuous_move_ends_by_itself", "still moves"),
    (SaysItStopped, "a_continuous_move_ends_by_itself", "still moves"),
    (DeafToStop, "stop_ends_a_move_at_once", "moves on after stop"),
    (LongestWins, "a_later_move_replaces_the_one_before", "does not end what the earlier"),
    (GoesElsewhere, "it_goes_where_it_is_sent", "was sent to"),
    (TakesAnyPreset, "presets_are_remembered", "preset that does not exist"),
    (NoTimeZone, "poses_are_complete_and_in_order", "no time zone"),
    (OddHeading, "poses_are_complete_and_in_order", "heading -90"),
    (StandingSound, "sound_comes_in_order", "do not increase"),
    (Talkative, "an_open_source_keeps_secrets", "shows a secret"),
    (Untidy, "closing_lets_go_of_everything", "keep-alive"),
    (Hoarder, "closing_lets_go_of_everything", "file descriptor"),
]


@pytest.mark.parametrize(("camera", "check", "told"), SINS, ids=lambda one: getattr(one, "__name__", ""))
def test_the_suite_finds(
    camera: type[FakeSource], check: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luxxon_core.testing.capabilities.SETTLE_SECONDS", 0.6)
    monkeypatch.setattr("luxxon_core.testing.capabilities.ARRIVE_SECONDS", 0.6)

    class Suite(SourceConformance):
        source_type = FakeSourceType(password="hunter2", camera=camera)
        config = FakeConfig(password=SecretStr("hunter2"), **HERE)

    with pytest.raises(AssertionError, match=told) as found:
        getattr(Suite(), f"test_{check}")()
    assert "hunter2" not in str(found.value)
    for file in Hoarder.files:
        file.close()
    Hoarder.files.clear()


class OpenPassword(SourceConfig):
    wifi_password: str = ""


class Dawdling(FakeSourceType):
    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        await asyncio.sleep(timeout + 3)
        return
        yield


class Forgetful(FakeSourceType):
    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        self.left = asyncio.create_task(asyncio.sleep(60))
        async for device in super().discover(timeout):
            yield device


def test_the_suite_finds_wrong_types() -> None:
    class Suite(SourceConformance):
        source_type: Any = FakeSourceType(Config=OpenPassword)  # type: ignore[arg-type]
        config: Any = OpenPassword()

    with pytest.raises(AssertionError, match="wifi_password is not a SecretStr"):
        Suite().test_config_makes_a_form_and_keeps_secrets()
    Suite.source_type = Dawdling()
    with pytest.raises(AssertionError, match="took"):
        Suite().test_discovery_ends_in_time()
    Suite.source_type = Forgetful()
    with pytest.raises(AssertionError, match="leaves a task"):
        Suite().test_discovery_that_nobody_waits_for_leaves_nothing()


def test_what_a_source_has_not_is_skipped() -> None:
    class Mute(FakeVehicle):
        async def audio_packets(self) -> AsyncGenerator[AudioPacket, None]:
            raise SourceConfigError("fake:mute", "the microphone is off")
            yield

    class Suite(SourceConformance):
        source_type = FakeSourceType(camera=Mute)
        config = FakeConfig()
        may_move = False

    for check, reason in (
        ("sound_comes_in_order", "the microphone is off"),
        ("stop_ends_a_move_at_once", "it shall keep still"),
        ("bad_configurations_are_refused_in_one_line", "no bad_configs"),
    ):
        with pytest.raises(BaseException, match=reason) as skipped:
            getattr(Suite(), f"test_{check}")()
        assert skipped.type.__name__ == "DoesNotApply"
