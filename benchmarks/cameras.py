"""What publishing a network camera costs, by packet copy and encoded again, and how soon it obeys.

Each camera is GStreamer's RTSP server with H.264 at 720p30 and 1.5 Mbit/s, the edge is the embedded one, all
processes of their own. Another process reads the cameras and publishes them by WHIP, as ``luxxon operate``
does; its CPU time, threads and the kernel's share included, is what counts. The limit is FFmpeg, which reads
the same cameras in C in a process of its own and throws the packets away.

The delay of a PTZ command is that from the call to the camera's SOAP service, in another process.

Run: ``python benchmarks/cameras.py``. About a minute. Needs ``.ci/rtsp``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from processes import ANSWER, answer  # noqa: E402

CAMERAS = 4
WARM_UP, WINDOWS, SECONDS = 4.0, 4, 3.0
"""CPU is read over so many windows of so many seconds; their median counts."""
COMMANDS = 60
TARGET_COPY, TARGET_PTZ_MS = 2.0, 150.0
SERVER = ROOT / "tests" / "plugins" / "rtsp_ptz" / "gst_camera.py"
PYTHON = "/usr/bin/python3"


async def told_to_end() -> None:
    """Until the measuring process closes our standard input."""
    await asyncio.to_thread(sys.stdin.read)


# -- processes -----------------------------------------------------------------------------------------------


async def run_edge(count: int) -> None:
    from served_edge import served_edge

    async with AsyncExitStack() as stack:
        edge = await served_edge(stack)
        answer([(await edge.create()).whip_url for _ in range(count)])
        await told_to_end()


async def run_publisher(copied: bool, transport: str, streams: list[str], doors: list[str]) -> None:
    from luxxon_rtsp_ptz.config import RtspConfig
    from luxxon_rtsp_ptz.source_type import RtspType

    from luxxon_core.operator.publisher import Publisher
    from luxxon_core.source import MediaProfile

    async with AsyncExitStack() as stack:
        publishers, tasks = [], []
        for stream, door in zip(streams, doors, strict=True):
            config = RtspConfig.model_validate({"url": stream, "transport": transport})
            source = await stack.enter_async_context(await RtspType().open(config))
            (profile,) = source.media_profiles()
            if not copied:  # as of a camera whose codec viewers cannot play
                info = source._camera._info
                source._camera._info = type(info)(
                    *(getattr(info, one) for one in info.__slots__[:4]), "measured"
                )
                profile = MediaProfile(
                    profile.token, "raw", profile.width, profile.height, profile.frame_rate
                )
            publishers.append(Publisher(source, profile=profile, bit_rate=1_500_000))
            tasks.append(asyncio.create_task(publishers[-1].publish(door)))
        answer({"copied": [one.status.copied for one in publishers]})
        await told_to_end()
        answer(
            {
                "fps": [one.status.fps for one in publishers],
                "bits": [one.status.bits_per_second for one in publishers],
            }
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_reader(streams: list[str]) -> None:
    """FFmpeg alone, a thread for each camera."""
    import threading

    import av

    def read(stream: str) -> None:
        with av.open(stream, options={"rtsp_transport": "tcp"}, timeout=10) as container:
            for _ in container.demux(container.streams.video[0]):
                pass

    for stream in streams:
        threading.Thread(target=read, args=(stream,), daemon=True).start()
    answer({})
    sys.stdin.read()
    os._exit(0)


async def run_onvif() -> None:
    from tests.plugins.rtsp_ptz.onvif_camera import OnvifCamera

    async with OnvifCamera().running() as camera:
        answer(camera.address)
        await told_to_end()
        answer([one.at for one in camera.of("ContinuousMove")])


class Child:
    """A process that says a line when it is ready, and one at its end."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path()},
        )

    def line(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(ANSWER) or line.strip().isdigit():  # a camera says its port
                return json.loads(line.removeprefix(ANSWER))
        raise SystemExit(f"{self.process.args} failed")

    def end(self) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.line()

    def cpu(self) -> float:
        """Per cent of a core, the median of the windows."""
        import psutil

        process, shares = psutil.Process(self.process.pid), []
        for _ in range(WINDOWS):
            before, began = process.cpu_times(), time.monotonic()
            time.sleep(SECONDS)
            after = process.cpu_times()
            used = after.user + after.system - before.user - before.system
            shares.append(100 * used / (time.monotonic() - began))
        return statistics.median(shares)


def path() -> str:
    return os.pathsep.join([str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")])


def own(*arguments: str) -> Child:
    return Child(sys.executable, __file__, *arguments)


# -- the measurement -----------------------------------------------------------------------------------------


def publishing(copied: bool, transport: str, streams: list[str]) -> tuple[float, dict[str, list[float]]]:
    """CPU per camera in per cent of a core, and what went out."""
    edge = own("--edge", str(len(streams)))
    publisher: Child | None = None
    try:
        doors = edge.line()
        publisher = own("--publish", json.dumps([copied, transport, streams, doors]))
        if publisher.line()["copied"] != [copied] * len(streams):
            raise SystemExit("what was to be measured did not happen")
        time.sleep(WARM_UP)
        cpu = publisher.cpu() / len(streams)
        return cpu, publisher.end()
    finally:
        for child in (publisher, edge):
            if child is not None:
                child.process.kill()
                child.process.wait()


def reading(streams: list[str]) -> float:
    reader = own("--read", json.dumps(streams))
    try:
        reader.line()
        time.sleep(WARM_UP)
        return reader.cpu() / len(streams)
    finally:
        reader.process.kill()
        reader.process.wait()


async def ptz_delays() -> list[float]:
    """Milliseconds from the call to the camera; CLOCK_MONOTONIC is one for all processes of a machine."""
    from luxxon_rtsp_ptz.credentials import Credentials
    from luxxon_rtsp_ptz.onvif_device import OnvifDevice
    from luxxon_rtsp_ptz.ptz import open_ptz

    from luxxon_core.source import PtzVector

    camera = own("--onvif")
    try:
        device = await OnvifDevice.connect(camera.line(), Credentials("admin", "s3cret"), True)
        ptz, _ = await open_ptz(device, device.choose(""))
        assert ptz is not None
        called = []
        for number in range(COMMANDS):
            called.append(time.monotonic())
            await ptz.continuous_move(PtzVector(pan=(number + 1) / COMMANDS), 5.0)
            await asyncio.sleep(0.02)
        await ptz.close()
        await device.close()
        return [1000 * (at - call) for call, at in zip(called, camera.end(), strict=True)]
    finally:
        camera.process.kill()
        camera.process.wait()


def main() -> None:
    from tests.plugins.rtsp_ptz.camera_clips import make_clip

    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(
            Path(folder) / "720p30.clip",
            width=1280,
            height=720,
            rate=30,
            count=90,
            gop=30,
            bit_rate=1_500_000,
            noise=12,
        )
        cameras = [
            Child(PYTHON, str(SERVER), json.dumps({"clips": [str(clip.path)]})) for _ in range(CAMERAS)
        ]
        try:
            streams = [f"rtsp://127.0.0.1:{camera.line()}/cam" for camera in cameras]
            limit = reading(streams)
            copy, sent = publishing(True, "tcp", streams)
            udp, _ = publishing(True, "udp", streams)
            encoded, again = publishing(False, "tcp", streams[:1])
        finally:
            for camera in cameras:
                camera.process.kill()
                camera.process.wait()
    import uvloop

    delays = uvloop.run(ptz_delays())
    fps, bits = statistics.mean(sent["fps"]), statistics.mean(sent["bits"])
    print(f"{CAMERAS} cameras of 720p at {fps:.1f} fps, {bits / 1e6:.2f} Mbit/s each; ", end="")
    print(f"encoded again: {again['fps'][0]:.1f} fps\n")
    print(f"{'CPU of the publisher, per camera':<44} {'measured':>12} {'target':>12}   ratio")
    row("by packet copy, RTSP over TCP", copy, "%", TARGET_COPY)
    row("by packet copy, RTP over UDP", udp, "%", TARGET_COPY)
    row("decoded and encoded again", encoded, "%")
    row("  times that of packet copy", encoded / copy, "x")
    row("reading alone, FFmpeg in C", limit, "%")
    row("  reading and publishing, times the limit", copy / limit, "x")
    row("a PTZ command to the camera, median", statistics.median(delays), "ms", TARGET_PTZ_MS)
    row(f"  the slowest of {len(delays)}", max(delays), "ms", TARGET_PTZ_MS)


def row(name: str, value: float, unit: str, target: float | None = None) -> None:
    bound = f"<= {target:g} {unit}" if target else ""
    ratio = f"{value / target:7.2f}" if target else ""
    print(f"{name:<44} {f'{value:.2f} {unit}':>12} {bound:>12} {ratio}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--edge", type=int)
    parser.add_argument("--publish")
    parser.add_argument("--read")
    parser.add_argument("--onvif", action="store_true")
    chosen = parser.parse_args()
    if chosen.edge or chosen.publish:
        import uvloop

        uvloop.run(run_edge(chosen.edge) if chosen.edge else run_publisher(*json.loads(chosen.publish)))
    elif chosen.read:
        run_reader(json.loads(chosen.read))
    elif chosen.onvif:
        asyncio.run(run_onvif())
    else:
        main()
