"""Pan, tilt and zoom by real SOAP: what reaches the camera, what stops it, and cameras that lie."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from luxxon_rtsp_ptz.config import RtspConfig
from luxxon_rtsp_ptz.onvif_device import NotSupported, OnvifDevice, Refused
from luxxon_rtsp_ptz.ptz import OnvifPtz
from luxxon_rtsp_ptz.source import RtspSource
from luxxon_rtsp_ptz.source_type import RtspType
from pydantic import SecretStr

from luxxon_core.source import (
    PtzControl,
    PtzVector,
    SourceAuthError,
    SourceConfigError,
    SourceError,
    SourceNotReady,
    SynchronizationPoint,
)
from tests.plugins.rtsp_ptz.camera_clips import CameraClip
from tests.plugins.rtsp_ptz.conftest import PASSWORD, USER, Cameras
from tests.plugins.rtsp_ptz.onvif_camera import GENERIC, OnvifCamera

Until = Callable[..., Awaitable[None]]
Opened = Callable[..., Any]
NO_ZOOM = tuple(name for name in GENERIC if "Zoom" not in name)
ZOOM_ONLY = tuple(name for name in GENERIC if "Zoom" in name)
NO_ABSOLUTE = tuple(name for name in GENERIC if "Absolute" not in name)
BROKEN = "<s:Envelope><s:Body><tptz:Get Response <<<"


def settings(camera: OnvifCamera, **fields: Any) -> RtspConfig:
    return RtspConfig(
        **({"onvif": camera.address, "username": USER, "password": SecretStr(PASSWORD)} | fields)
    )


@pytest.fixture
def opened(rtsp_camera: Cameras, onvif_camera: Cameras, clips: Callable[..., CameraClip]) -> Opened:
    """``async with opened(has_ptz=False) as (source, camera)``: an ONVIF camera with its video."""

    @asynccontextmanager
    async def open_it(
        fields: dict[str, Any] | None = None, **properties: Any
    ) -> AsyncIterator[tuple[RtspSource, OnvifCamera]]:
        async with (
            rtsp_camera(clips(), password=PASSWORD) as video,
            onvif_camera(stream_uri=video.url, **properties) as camera,
            await RtspType().open(settings(camera, **(fields or {}))) as source,
        ):
            camera.commands.clear()
            yield source, camera

    return open_it


def ptz_of(source: RtspSource) -> OnvifPtz:
    assert isinstance(source, PtzControl)
    return source  # type: ignore[return-value]


async def test_the_camera_says_who_it_is_and_where_its_stream_is(opened: Opened) -> None:
    async with opened() as (source, _):
        information = source.device_information
        assert (information.manufacturer, information.model) == ("Luxxon Works", "Dome 3")
        assert (information.firmware_version, information.serial_number) == ("1.2.3", "0042")
        (profile,) = source.media_profiles()
        assert (profile.token, profile.codec) == ("live", "h264")
        assert isinstance(source, SynchronizationPoint)
        packets = source.packets(profile)
        assert (await anext(packets)).keyframe
        await packets.aclose()


async def test_every_command_reaches_the_camera(opened: Opened) -> None:
    async with opened() as (source, camera):
        ptz = ptz_of(source)
        await ptz.absolute_move(PtzVector(0.5, -0.25, 0.75))
        await ptz.relative_move(PtzVector(-0.1, 0.2, -0.3))
        await ptz.continuous_move(PtzVector(1.0, 0.0, -0.5), 3.0)
        await ptz.stop()
        await ptz.goto_home()
        assert [(one.token, one.name) for one in await ptz.get_presets()] == [("1", "Door"), ("2", "Gate")]
        token = await ptz.set_preset("Yard")
        assert camera.presets[token] == "Yard"
        assert await ptz.set_preset("Front door", "1") == "1"
        assert camera.presets["1"] == "Front door"
        await ptz.goto_preset(token)
        (tour,) = await source.get_preset_tours()  # type: ignore[attr-defined]
        assert (tour.token, tour.name, tour.state) == ("t1", "Round", "Idle")
        await source.start_preset_tour("t1")  # type: ignore[attr-defined]
        status = await ptz.get_status()
    position = status.position
    assert position is not None
    assert (position.pan, position.tilt, position.zoom) == (0, 0, 0)
    assert not status.moving
    absolute, relative = camera.of("AbsoluteMove")[0].values, camera.of("RelativeMove")[0].values
    assert [float(absolute[key]) for key in ("PanTilt.x", "PanTilt.y", "Zoom.x")] == [0.5, -0.25, 0.75]
    assert [float(relative[key]) for key in ("PanTilt.x", "PanTilt.y", "Zoom.x")] == [-0.1, 0.2, -0.3]
    move = camera.of("ContinuousMove")[0].values
    assert [float(move[key]) for key in ("PanTilt.x", "PanTilt.y", "Zoom.x")] == [1, 0, -0.5]
    assert move["Timeout"] == "PT3S"
    assert camera.of("GotoPreset")[0].values["PresetToken"] == token
    assert camera.of("OperatePresetTour")[0].values["Operation"] == "Start"
    assert {one.values["ProfileToken"] for one in camera.commands if "ProfileToken" in one.values} == {"live"}


async def test_positions_are_told_in_the_numbers_the_camera_counts_in(opened: Opened) -> None:
    async with opened(pan_range=(0, 360)) as (source, camera):
        ptz = ptz_of(source)
        await ptz.absolute_move(PtzVector(-0.5, 1.0, 0.0))
        status = await ptz.get_status()
    values = camera.of("AbsoluteMove")[0].values
    assert (float(values["PanTilt.x"]), float(values["PanTilt.y"])) == (90, 360)
    assert status.position is not None
    assert (status.position.pan, status.position.tilt) == (-0.5, 1.0)


async def test_a_move_that_is_not_renewed_stops(opened: Opened) -> None:
    """By a command of ours, also where the camera does not keep to the time-out it was told."""
    async with opened(ignores_timeouts=True) as (source, camera):
        await ptz_of(source).continuous_move(PtzVector(pan=1.0), 0.4)
        assert camera.moving
        stop = await camera.received("Stop")
        assert not camera.moving
        assert stop.at - camera.of("ContinuousMove")[0].at > 0.3


async def test_a_renewed_move_goes_on(opened: Opened) -> None:
    async with opened() as (source, camera):
        ptz = ptz_of(source)
        for _ in range(6):
            await ptz.continuous_move(PtzVector(pan=0.5), 0.6)
            assert not camera.of("Stop")
            await asyncio.sleep(0.2)
        await camera.received("Stop")
        assert len(camera.of("ContinuousMove")) == 6


async def test_closing_stops_what_moves(opened: Opened) -> None:
    async with opened() as (source, camera):
        await ptz_of(source).continuous_move(PtzVector(tilt=-1.0), 8.0)
    assert camera.of("Stop")
    assert not camera.moving


async def test_a_stop_that_fails_is_insisted_on(opened: Opened, until: Until) -> None:
    async with opened() as (source, camera):
        ptz = ptz_of(source)
        await ptz.continuous_move(PtzVector(pan=1.0), 8.0)
        camera.faults["Stop"] = "HardwareFailure"
        with pytest.raises(Refused):
            await ptz.stop()
        await until(lambda: any("moving" in one for one in source.health().warnings))
        del camera.faults["Stop"]
        await ptz.stop()
        assert not source.health().warnings


async def test_killing_the_process_stops_the_camera(onvif_camera: Cameras, until: Until) -> None:
    """Nobody is left to say stop: the time-out that went with the command does."""
    program = (
        "import asyncio, sys\n"
        "from luxxon_core.source import PtzVector\n"
        "from luxxon_rtsp_ptz.credentials import Credentials\n"
        "from luxxon_rtsp_ptz.onvif_device import OnvifDevice\n"
        "from luxxon_rtsp_ptz.ptz import open_ptz\n"
        "async def main():\n"
        f"    device = await OnvifDevice.connect(sys.argv[1], Credentials({USER!r}, {PASSWORD!r}), True)\n"
        "    ptz, _ = await open_ptz(device, device.choose(''))\n"
        "    while True:\n"
        "        await ptz.continuous_move(PtzVector(pan=1.0), 1.0)\n"
        "        await asyncio.sleep(0.3)\n"
        "asyncio.run(main())\n"
    )
    async with onvif_camera() as camera:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, camera.address, env=environment
        )
        try:
            await camera.received("ContinuousMove", 3, 30)
            assert camera.moving
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        assert camera.moving
        await until(lambda: not camera.moving, 3.0)
        assert not camera.of("Stop")


async def test_the_newest_move_overtakes_those_that_wait(opened: Opened) -> None:
    async with opened() as (source, camera):
        ptz = ptz_of(source)
        moves = [ptz.continuous_move(PtzVector(pan=number / 10), 2.0) for number in range(1, 10)]
        await asyncio.gather(*moves)
        sent = [float(one.values["PanTilt.x"]) for one in camera.of("ContinuousMove")]
    assert sent[-1] == 0.9
    assert len(sent) < 9


@pytest.mark.parametrize(
    "velocity", [PtzVector(float("nan")), PtzVector(zoom=float("inf")), PtzVector(tilt=float("-inf"))]
)
async def test_a_value_that_is_no_number_is_not_sent(opened: Opened, velocity: PtzVector) -> None:
    async with opened() as (source, camera):
        with pytest.raises(SourceConfigError):
            await ptz_of(source).continuous_move(velocity, 1.0)
        await ptz_of(source).continuous_move(PtzVector(7, -9, 3), 1e9)
        values = (await camera.received("ContinuousMove")).values
    assert [float(values[key]) for key in ("PanTilt.x", "PanTilt.y", "Zoom.x")] == [1, -1, 1]
    assert values["Timeout"] == "PT10S"


@pytest.mark.parametrize("skew", [timedelta(days=-400), timedelta(hours=3)])
async def test_a_camera_whose_clock_is_wrong_lets_us_in(opened: Opened, skew: timedelta) -> None:
    async with opened(skew=skew) as (source, camera):
        await ptz_of(source).goto_home()
        camera.skew += timedelta(minutes=10)  # somebody sets it
        await ptz_of(source).goto_home()
        assert len(camera.of("GotoHomePosition")) == 2


async def test_a_wrong_password_is_said(onvif_camera: Cameras) -> None:
    async with onvif_camera() as camera:
        with pytest.raises(SourceAuthError):
            await RtspType().open(settings(camera, password=SecretStr("wrong")))
        assert 0 < camera.refused <= 2


async def test_a_camera_that_lets_everybody_in_is_given_no_name(
    rtsp_camera: Cameras, onvif_camera: Cameras, clips: Callable[..., CameraClip]
) -> None:
    async with (
        rtsp_camera(clips()) as video,
        onvif_camera(stream_uri=video.url, username="") as camera,
        await RtspType().open(RtspConfig(onvif=camera.address)) as source,
    ):
        await ptz_of(source).goto_home()
        assert len(camera.of("GotoHomePosition")) == 1


async def test_a_camera_that_asks_for_a_name_says_so(onvif_camera: Cameras) -> None:
    async with onvif_camera() as camera:
        with pytest.raises(SourceAuthError):
            await RtspType().open(RtspConfig(onvif=camera.address))
        assert 0 < camera.refused <= 2


async def test_a_camera_without_ptz_has_no_ptz(opened: Opened) -> None:
    async with opened(has_ptz=False) as (source, _):
        assert not isinstance(source, PtzControl)
        assert not source.health().warnings


async def test_a_camera_that_only_says_it_has_ptz_has_none(opened: Opened) -> None:
    missing = dict.fromkeys(("GetNode", "GetNodes", "GetStatus"), "ActionNotSupported")
    async with opened(faults=missing) as (source, _):
        assert not isinstance(source, PtzControl)
        assert "PTZ is left out" in source.health().warnings[0]


async def test_a_command_that_turns_out_to_be_missing_is_asked_for_once(opened: Opened) -> None:
    async with opened() as (source, camera):
        camera.faults["GotoHomePosition"] = "ActionNotSupported"
        for _ in range(2):
            with pytest.raises(NotSupported) as raised:
                await ptz_of(source).goto_home()
            assert isinstance(raised.value, SourceError)
        assert "GotoHomePosition" in source.health().warnings[0]
        await ptz_of(source).continuous_move(PtzVector(pan=1), 1)
        assert camera.of("ContinuousMove")


async def test_a_camera_that_only_zooms(opened: Opened) -> None:
    async with opened(spaces=ZOOM_ONLY) as (source, camera):
        ptz = ptz_of(source)
        await ptz.continuous_move(PtzVector(zoom=1.0), 1.0)
        await ptz.stop()
        with pytest.raises(NotSupported, match="pan and tilt"):
            await ptz.continuous_move(PtzVector(pan=1.0), 1.0)
    values = camera.of("ContinuousMove")[0].values
    assert "Zoom.x" in values
    assert "PanTilt.x" not in values
    assert camera.of("Stop")[0].values["PanTilt"] == "false"


async def test_a_camera_without_absolute_moves(opened: Opened) -> None:
    async with opened(spaces=NO_ABSOLUTE) as (source, camera):
        with pytest.raises(NotSupported, match="absolute"):
            await ptz_of(source).absolute_move(PtzVector(0.1, 0.1, 0.1))
        await ptz_of(source).relative_move(PtzVector(0.1))
        assert camera.of("RelativeMove")


@pytest.mark.parametrize("answer", [BROKEN, "", "<html>busy</html>", "<a>" * 300])
async def test_answers_that_make_no_sense(opened: Opened, answer: str) -> None:
    """The position is unknown and says why; presets are refused; moving goes on."""
    async with opened() as (source, camera):
        camera.answers |= {"GetStatus": answer, "GetPresets": answer}
        ptz = ptz_of(source)
        status = await ptz.get_status()
        assert status.position is None
        assert status.error
        with pytest.raises(SourceError) as raised:
            await ptz.get_presets()
        assert "GetPresets" in raised.value.message
        await ptz.continuous_move(PtzVector(pan=0.1), 1.0)
        assert camera.of("ContinuousMove")


async def test_a_preset_that_is_not_there(opened: Opened) -> None:
    async with opened() as (source, _):
        with pytest.raises(Refused, match="GotoPreset"):
            await ptz_of(source).goto_preset("9")


async def test_a_camera_that_falls_silent_is_not_waited_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luxxon_rtsp_ptz.onvif_device.CALL_SECONDS", 0.5)
    async with opened() as (source, camera):
        camera.deaf.add("GotoHomePosition")
        with pytest.raises(SourceNotReady):
            await ptz_of(source).goto_home()


async def test_a_camera_that_calls_itself_by_an_address_we_cannot_reach(opened: Opened) -> None:
    async with opened(advertised_host="192.0.2.7:8080") as (source, camera):
        await ptz_of(source).goto_home()
        assert camera.of("GotoHomePosition")


async def test_an_unknown_profile_is_named_with_those_there_are(onvif_camera: Cameras) -> None:
    async with onvif_camera() as camera:
        with pytest.raises(SourceConfigError, match="snapshots, live"):
            await RtspType().open(settings(camera, profile="other"))


async def test_video_goes_on_without_onvif(rtsp_camera: Cameras, clips: Callable[..., CameraClip]) -> None:
    async with rtsp_camera(clips(), password=PASSWORD) as video:
        config = video.settings(onvif="127.0.0.1:9")
        async with await RtspType().open(config) as source:
            assert not isinstance(source, PtzControl)
            assert "without PTZ" in source.health().warnings[0]


async def test_using_the_library_leaves_logging_alone(onvif_camera: Cameras) -> None:
    from luxxon_rtsp_ptz.credentials import Credentials

    handlers = list(logging.getLogger().handlers)
    async with onvif_camera() as camera:
        device = await OnvifDevice.connect(camera.address, Credentials(USER, PASSWORD), True)
        await device.close()
    assert logging.getLogger().handlers == handlers
