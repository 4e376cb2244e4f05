"""MediaMTX itself as an edge, where its program is on the PATH: real publishers and viewers over loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import aioice.ice
import pytest

from luxxon_core.adapters.aiortc_edge.watching import WhepPictures
from luxxon_core.adapters.mediamtx.edge import MediaMtx
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.media.usecases import Watched
from tests.unit.aiortc_edge.edge_peers import SDP, connect, eventually, peer, send_h264, until

PROGRAM = shutil.which("mediamtx")
CONFIGURATION = """
api: yes
apiAddress: 127.0.0.1:{api}
rtspTransports: [tcp]
rtspAddress: 127.0.0.1:{rtsp}
webrtcAddress: 127.0.0.1:{webrtc}
webrtcLocalUDPAddress: 127.0.0.1:{udp}
webrtcIPsFromInterfaces: no
webrtcAdditionalHosts: [127.0.0.1]
rtmp: no
hls: no
srt: no
paths: {{}}
"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="mediamtx is not on the PATH")


@dataclass
class Running:
    directory: Path
    ports: dict[str, int] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert PROGRAM is not None
        file = self.directory / "mediamtx.yml"
        file.write_text(CONFIGURATION.format(**self.ports))
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, str(file), stdout=asyncio.subprocess.DEVNULL, cwd=self.directory
        )
        async with aiohttp.ClientSession() as http:

            async def up() -> bool | None:
                try:
                    async with http.get(f"{self.url('api')}/v3/paths/list") as answer:
                        return answer.status == 200 or None
                except aiohttp.ClientError:
                    return None

            await eventually(up)

    async def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        await self.process.wait()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"


@dataclass
class Stage:
    server: Running
    edge: Watched
    http: aiohttp.ClientSession
    events: list[MediaEvent] = field(default_factory=list)

    def told(self, kind: MediaEventKind) -> list[MediaEvent]:
        return [event for event in self.events if event.kind is kind]


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in ("api", "rtsp", "webrtc", "udp")}
    server = Running(tmp_path, {name: one.getsockname()[1] for name, one in sockets.items()})
    for one in sockets.values():
        one.close()
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.stop)
        mediamtx = MediaMtx(
            api_url=server.url("api"),
            public_url=server.url("webrtc"),
            rtsp_url=f"rtsp://127.0.0.1:{server.ports['rtsp']}",
            name="mediamtx-1",
        )
        await mediamtx.start()
        stack.push_async_callback(mediamtx.close)
        pictures = await stack.enter_async_context(WhepPictures())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        stage = Stage(server, Watched(mediamtx, pictures, mediamtx.seen_from), http)

        async def listen() -> None:
            async for event in stage.edge.events():
                stage.events.append(event)

        listening = asyncio.create_task(listen())
        yield stage
    await asyncio.wait_for(listening, 5)


async def test_what_is_published_is_seen_by_viewers_and_by_us(stage: Stage) -> None:
    live_input = await stage.edge.create()
    async with peer() as camera, peer() as viewer:
        send_h264(camera)
        await connect(stage.http, camera, live_input.whip_url)
        frame = await eventually(lambda: stage.edge.frame(live_input))
        assert (frame.width, frame.height) == (320, 240)
        await until(lambda: stage.told(MediaEventKind.FIRST_FRAME))
        assert stage.events[0].kind is MediaEventKind.CONNECTED

        viewer.addTransceiver("video", "recvonly")
        await connect(stage.http, viewer, live_input.whep_url)
        seen = await asyncio.wait_for(viewer.getReceivers()[0].track.recv(), 15)
        assert (seen.width, seen.height) == (320, 240)

        await stage.edge.delete(live_input)
        await until(lambda: {camera.connectionState, viewer.connectionState} == {"closed"})
    assert await stage.edge.frame(live_input) is None
    for url in (live_input.whip_url, live_input.whep_url):
        async with peer() as late:
            late.addTransceiver("video", "sendrecv")
            await late.setLocalDescription(await late.createOffer())
            async with stage.http.post(url, data=late.localDescription.sdp, headers=SDP) as answer:
                assert answer.status in (400, 404)


async def test_who_may_watch_cannot_publish(stage: Stage) -> None:
    live_input = await stage.edge.create()
    wrong = live_input.whep_url.replace("/whep", "/whip")
    async with peer() as intruder:
        send_h264(intruder)
        await intruder.setLocalDescription(await intruder.createOffer())
        async with stage.http.post(wrong, data=intruder.localDescription.sdp, headers=SDP) as answer:
            if answer.status == 201:  # refused once it is connected
                await answer.text()
        await asyncio.sleep(1)
    assert await stage.edge.frame(live_input) is None
    assert stage.events == []


async def test_a_publisher_that_leaves_is_missed_and_one_that_returns_is_seen(stage: Stage) -> None:
    live_input = await stage.edge.create()
    for count in (1, 2):
        async with peer() as camera:
            send_h264(camera)
            await connect(stage.http, camera, live_input.whip_url)
            await eventually(lambda: stage.edge.frame(live_input))
            await until(lambda count=count: len(stage.told(MediaEventKind.CONNECTED)) == count)
        await until(lambda count=count: len(stage.told(MediaEventKind.DISCONNECTED)) == count, timeout=5)
    assert len(stage.told(MediaEventKind.FIRST_FRAME)) == 1


async def test_a_restart_of_mediamtx_is_survived(stage: Stage) -> None:
    live_input = await stage.edge.create()
    await stage.server.stop()
    await stage.server.start()

    async def published() -> bool | None:
        async with peer() as camera:
            send_h264(camera)
            await camera.setLocalDescription(await camera.createOffer())
            offer = camera.localDescription.sdp
            async with stage.http.post(live_input.whip_url, data=offer, headers=SDP) as answer:
                return answer.status == 201 or None

    await eventually(published)
