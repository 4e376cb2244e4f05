"""Each camera in a process of its own: what crashes or hangs in one camera's native code ends that one.

The children are the same command for one camera. They are told to stop by the end of their standard input,
which also comes when this process dies, and they show that they live as a service shows it to systemd.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from luxxon_core.operator.systemd import Notifier

log = structlog.get_logger(__name__)

WATCHDOG_SECONDS = 20.0
STOP_SECONDS = 15.0
"""What a child has to go offline before it is killed."""
BACKOFF = (1.0, 60.0)
STEADY_SECONDS = 60.0
GIVEN_UP = (2, 3)
"""Exit codes of a child that will not come to more: wrong settings, or refused for good."""


@dataclass
class _Child:
    camera: str
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    seen_at: float = 0.0
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class IsolatedFleet:
    """As :class:`luxxon_core.operator.fleet.Fleet`.

    Attributes:
        command: of a camera's process, by the camera's name.
        secret: what is written to its standard input: the wallet's passphrase, or an empty line.
    """

    cameras: Sequence[str]
    command: Callable[[str], Sequence[str]]
    secret: str = field(default="", repr=False)
    notifier: Notifier = field(default_factory=Notifier)
    ended: dict[str, int] = field(default_factory=dict, init=False)
    """Cameras that have given up, and with which exit code."""

    async def run(self, stop: asyncio.Event) -> bool:
        """Whether it was asked to stop; otherwise no camera is left."""
        children = [_Child(camera) for camera in self.cameras]
        with tempfile.TemporaryDirectory(prefix="luxxon-operate-") as folder:
            running = [
                asyncio.create_task(self._keep(child, Path(folder) / str(number)), name=child.camera)
                for number, child in enumerate(children)
            ]
            beside = [
                asyncio.create_task(self.notifier.live(lambda: _summary(children)), name="watchdog"),
                asyncio.create_task(self._announce(children), name="ready"),
            ]
            asked = asyncio.create_task(stop.wait(), name="stop")
            over = asyncio.gather(*running)
            try:
                await asyncio.wait((asked, over), return_when=asyncio.FIRST_COMPLETED)
                stopped = asked.done()
                log.info("operate.stopping" if stopped else "operate.nothing_left")
                self.notifier.tell(STOPPING=1)
            finally:
                for task in (*running, *beside, asked):
                    task.cancel()
                await asyncio.gather(*running, *beside, asked, over, return_exceptions=True)
            return stopped

    async def _announce(self, children: Sequence[_Child]) -> None:
        await asyncio.gather(*(child.settled.wait() for child in children))
        log.info("operate.ready", cameras=_summary(children))
        self.notifier.tell(READY=1, STATUS=_summary(children))

    async def _keep(self, child: _Child, address: Path) -> None:
        """Run a camera's process again and again, until it gives up."""
        delay, loop = BACKOFF[0], asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self._once(child, address)
            child.ready = False
            child.settled.set()
            log.warning("camera.process_ended", camera=child.camera, code=code)
            if code in GIVEN_UP:
                self.ended[child.camera] = code
                return
            delay = BACKOFF[0] if loop.time() - began > STEADY_SECONDS else min(delay * 2, BACKOFF[1])
            await asyncio.sleep(delay)

    async def _once(self, child: _Child, address: Path) -> int:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
            _bind(listening, address)
            environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
            process = child.process = await asyncio.create_subprocess_exec(
                *self.command(child.camera),
                stdin=asyncio.subprocess.PIPE,
                # A terminal's signals are for us; theirs is the end of their input.
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
                | environment,
            )
            assert process.stdin is not None
            process.stdin.write(f"{self.secret}\n".encode())
            child.seen_at = loop.time()
            loop.add_reader(listening, _heard, listening, child, loop)
            hanging = asyncio.create_task(_kill_when_silent(child, process), name="hang-watch")
            try:
                return await process.wait()
            finally:
                hanging.cancel()
                await asyncio.gather(hanging, return_exceptions=True)
                loop.remove_reader(listening)
                await _ended(process)


def _bind(listening: socket.socket, address: Path) -> None:
    address.unlink(missing_ok=True)
    listening.bind(str(address))


def _heard(listening: socket.socket, child: _Child, loop: asyncio.AbstractEventLoop) -> None:
    try:
        lines = listening.recv(4096).decode(errors="replace").splitlines()
    except BlockingIOError:
        return
    child.seen_at = loop.time()
    if "READY=1" in lines:
        child.ready = True
        child.settled.set()


async def _kill_when_silent(child: _Child, process: asyncio.subprocess.Process) -> None:
    loop = asyncio.get_running_loop()
    while process.returncode is None:
        left = child.seen_at + WATCHDOG_SECONDS - loop.time()
        if left <= 0:
            log.error("camera.process_hangs", camera=child.camera)
            process.kill()
            return
        await asyncio.sleep(left)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Close its input, give it time, kill it."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _summary(children: Sequence[_Child]) -> str:
    return f"{sum(child.ready for child in children)} of {len(children)} cameras running"


def python_command(*arguments: str) -> list[str]:
    """``luxxon ARGS…`` of this installation."""
    return [sys.executable, "-m", "luxxon_core", *arguments]
