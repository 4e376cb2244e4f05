"""The suite that every camera plugin passes, on real servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from luxxon_rtsp_ptz.config import RtspConfig
from luxxon_rtsp_ptz.source_type import RtspType
from pydantic import SecretStr

from luxxon_core.testing import SourceConformance
from tests.plugins.rtsp_ptz.camera_clips import CameraClip
from tests.plugins.rtsp_ptz.conftest import PASSWORD, PYTHON, SERVER, USER
from tests.plugins.rtsp_ptz.onvif_camera import OnvifCamera
from tests.plugins.rtsp_ptz.test_rtsp_video import take

Clips = Callable[..., CameraClip]


def settings(**fields: object) -> RtspConfig:
    return RtspConfig.model_validate({"username": USER, "password": SecretStr(PASSWORD), **fields})


@pytest.fixture(scope="module")
def video(gstreamer: None, clips: Clips) -> Iterator[Callable[[CameraClip], str]]:
    """URL of a camera that sends a clip."""
    running: list[subprocess.Popen[str]] = []

    def start(clip: CameraClip, **more: str) -> str:
        config = {"clips": [str(clip.path)], "username": USER, "password": PASSWORD, **more}
        process = subprocess.Popen(
            [PYTHON, str(SERVER), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return f"rtsp://127.0.0.1:{int(process.stdout.readline())}/cam"

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def onvif(video: Callable[[CameraClip], str], clips: Clips) -> Iterator[OnvifCamera]:
    """Serves in a thread: the suite runs each test in a loop of its own."""
    camera = OnvifCamera(stream_uri=video(clips()))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with camera.running():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="asyncio_onvif")
    thread.start()
    assert ready.wait(10)
    yield camera
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


class TestByCopy(SourceConformance):
    source_type = RtspType(interfaces=())

    @pytest.fixture(autouse=True, scope="class")
    def _camera(
        self, request: pytest.FixtureRequest, video: Callable[[CameraClip], str], clips: Clips
    ) -> None:
        url = video(clips())
        request.cls.config = settings(url=url)
        wrong = settings(url=url, password=SecretStr("wrong"))
        request.cls.bad_configs = (wrong, settings(url=url + "/none"), settings(url="rtsp://127.0.0.1:9/"))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_on_the_loop_that_the_agent_runs_on(
    video: Callable[[CameraClip], str], clips: Clips, transport: str
) -> None:
    uvloop = pytest.importorskip("uvloop")
    url = video(clips())

    async def read() -> int:
        async with await RtspType().open(settings(url=url, transport=transport)) as source:
            return len(await take(source.packets(source.media_profiles()[0]), 10))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(read(), 20)) == 10


class TestEncodedAgain(SourceConformance):
    source_type = RtspType(interfaces=())

    @pytest.fixture(autouse=True, scope="class")
    def _camera(
        self, request: pytest.FixtureRequest, video: Callable[[CameraClip], str], clips: Clips
    ) -> None:
        request.cls.config = settings(url=video(clips(codec="libx265")))


class TestPtzWithSound(SourceConformance):
    source_type = RtspType(interfaces=("127.0.0.1",))

    @pytest.fixture(autouse=True, scope="class")
    def _camera(
        self,
        request: pytest.FixtureRequest,
        video: Callable[..., str],
        onvif: OnvifCamera,
        clips: Clips,
    ) -> None:
        url = video(clips(), audio="pcmu")
        request.cls.config = settings(url=url, onvif=onvif.address, audio=True)
        request.cls.bad_configs = (settings(onvif=onvif.address, password=SecretStr("wrong")),)
