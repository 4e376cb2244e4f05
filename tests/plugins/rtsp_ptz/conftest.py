"""Cameras on this machine: GStreamer's RTSP server in its own process, an ONVIF service, a media edge."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from luxxon_rtsp_ptz.config import RtspConfig, Transport
from pydantic import SecretStr
from services import missing

from tests.plugins.rtsp_ptz.camera_clips import CameraClip, make_clip
from tests.plugins.rtsp_ptz.onvif_camera import OnvifCamera
from tests.running_edge import edge, until

__all__ = ["edge", "until"]

PYTHON = "/usr/bin/python3"
"""The system's, which has the bindings of the distribution."""
SERVER = Path(__file__).with_name("gst_camera.py")
USER, PASSWORD = "admin", "s3cret"


@dataclass
class GstCamera:
    """A camera that can be switched off and on again, at the same port."""

    config: dict[str, Any]
    port: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{'rtsps' if 'certificate' in self.config else 'rtsp'}://127.0.0.1:{self.port}/cam"

    def settings(self, transport: Transport = Transport.AUTO, **fields: Any) -> RtspConfig:
        known = {"username": USER, "password": SecretStr(PASSWORD)} if "password" in self.config else {}
        return RtspConfig(**({"url": self.url, "transport": transport} | known | fields))

    async def on(self) -> None:
        config = json.dumps({**self.config, "port": self.port})
        self._process = await asyncio.create_subprocess_exec(
            PYTHON, str(SERVER), config, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            self.port = int(await self._process.stdout.readline())

    async def off(self) -> None:
        """As when the power goes: SIGKILL."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await process.wait()

    async def command(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n".encode())
        async with asyncio.timeout(10):
            await self._process.stdout.readline()


Cameras = Callable[..., Any]


@pytest.fixture(scope="session")
def gstreamer() -> None:
    probe = 'import gi; gi.require_version("GstRtspServer", "1.0"); gi.require_version("GstApp", "1.0")'
    try:
        found = subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        found = False
    if not found:
        missing("GStreamer's RTSP server", ".ci/rtsp")


@pytest.fixture
def rtsp_camera(gstreamer: None) -> Cameras:
    """``async with rtsp_camera(clip, password=…) as camera``."""

    @asynccontextmanager
    async def running(*clips: CameraClip, **config: Any) -> AsyncIterator[GstCamera]:
        if "password" in config:
            config.setdefault("username", USER)
        camera = GstCamera({"clips": [str(one.path) for one in clips], **config})
        await camera.on()
        try:
            yield camera
        finally:
            await camera.off()

    return running


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CameraClip]:
    """A clip of those properties, made once."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, CameraClip] = {}

    def clip(**properties: Any) -> CameraClip:
        name = json.dumps(properties, sort_keys=True)
        if name not in made:
            made[name] = make_clip(folder / f"{len(made)}.clip", **properties)
        return made[name]

    return clip


@pytest.fixture
def onvif_camera() -> Cameras:
    """``async with onvif_camera(has_ptz=False) as camera``."""

    @asynccontextmanager
    async def running(**properties: Any) -> AsyncIterator[OnvifCamera]:
        async with OnvifCamera(**properties).running() as camera:
            yield camera

    return running
