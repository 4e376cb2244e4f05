"""A marketplace of one's own on this machine: a server, and an operator with a camera, in processes of their
own, so that nothing they do holds up the console, and they are started again when they die."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from luxxon_core.kernel.errors import StartError

START_SECONDS = 90.0
END_SECONDS = 20.0
KEPT_LINES = 400
LONGEST_LINE = 1 << 18
CAMERA = "testcard"
BACKOFF = (0.5, 15.0)
"""Seconds before one that does not stay is started again, doubling …"""
STEADY_SECONDS = 60.0
"""… and the time after which it has stayed."""


class Child:
    """A ``luxxon`` command in a process of its own, and the last lines that it has said."""

    def __init__(self, process: asyncio.subprocess.Process, told: Callable[[str], None]) -> None:
        self._process = process
        self._told = told
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._events: dict[str, asyncio.Future[dict[str, object]]] = {}
        self._reading = asyncio.create_task(self._read(), name="child")

    @classmethod
    async def start(
        cls, *arguments: str, told: Callable[[str], None], where: Path, environment: Mapping[str, str]
    ) -> Child:
        """Run it; what the environment says of another deployment is not handed on."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "luxxon_core",
            *arguments,
            cwd=where,
            env={**clean, "LUXXON_LOG_FORMAT": "json", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a ctrl+c is the console's to understand
            limit=LONGEST_LINE,
        )
        return cls(process, told)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def event(self, name: str) -> dict[str, object]:
        """What it logs as ``name``, once it does.

        Raises:
            StartError: it ended before, with its last words; or it took too long.
        """
        waiting = self._events.setdefault(name, asyncio.get_running_loop().create_future())
        done, _ = await asyncio.wait(
            (waiting, self._reading), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting in done:
            return waiting.result()
        last = self._lines[-1] if self._lines else "it said nothing"
        raise StartError(message=last.removeprefix("luxxon: ") if done else f"no start in time: {last}")

    async def _read(self) -> None:
        assert self._process.stderr is not None, "piped"
        while True:
            try:
                raw = await self._process.stderr.readline()
            except ValueError:  # a line without an end is left out; one that is not read would hold it up
                continue
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            self._told(line)
            self._note(line)

    def _note(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        waiting = self._events.get(str(said.get("event"))) if isinstance(said, dict) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(said)

    async def close(self) -> None:
        """End it and wait for that. Idempotent."""
        if self.running:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), END_SECONDS)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def ended(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        return await self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid


@dataclass
class Kept:
    """A ``luxxon`` command that is started again when it dies.

    Attributes:
        start: starts it, and gives it back once it works.
        what: ``your marketplace``: what the user calls it.
        notice: is told when it has died, and when it is back.
    """

    start: Callable[[], Awaitable[Child]]
    what: str
    notice: Callable[[str], None]
    child: Child

    async def run(self) -> None:
        """Keep it running until cancelled."""
        delay, loop = BACKOFF[0], asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self.child.ended()
            self.notice(f"{self.what} has ended ({_cause(code)}); starting it again")
            delay = BACKOFF[0] if loop.time() - began > STEADY_SECONDS else min(delay * 2, BACKOFF[1])
            while True:
                try:
                    await self.child.close()
                    self.child = await self.start()
                except StartError as error:
                    self.notice(f"{self.what} does not start: {error.message}")
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, BACKOFF[1])
                else:
                    self.notice(f"{self.what} is back")
                    break


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


@asynccontextmanager
async def _keeping(
    start: Callable[[], Awaitable[Child]], what: str, notice: Callable[[str], None]
) -> AsyncIterator[None]:
    """A command while the block runs, started again whenever it dies."""
    kept = Kept(start, what, notice, await start())
    running = asyncio.create_task(kept.run(), name=f"keep {what}")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await kept.child.close()


@asynccontextmanager
async def marketplace(
    data_dir: Path, told: Callable[[str], None], notice: Callable[[str], None]
) -> AsyncIterator[str]:
    """A server on a free port of the loopback address while the block runs; its URL. One that dies is started
    again at the same port.

    Args:
        told: each line of its log.
        notice: that it has died, and that it is back.

    Raises:
        StartError: it did not start; the message is its own.
    """
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    url, port = "", 0

    async def start() -> Child:
        nonlocal url, port
        arguments = ("serve", "--port", str(port), "--data-dir", str(data_dir / "server"))
        child = await Child.start(*arguments, told=told, where=data_dir, environment={})
        try:
            url = str((await child.event("serving"))["url"]).removesuffix("/api/v1")
        except BaseException:
            await child.close()
            raise
        port = urlsplit(url).port or port
        return child

    async with _keeping(start, "your marketplace", notice):
        yield url


@asynccontextmanager
async def operator(
    url: str,
    api_key: str,
    lat: float,
    lng: float,
    data_dir: Path,
    told: Callable[[str], None],
    notice: Callable[[str], None],
    camera: str = CAMERA,
) -> AsyncIterator[None]:
    """An operator that shows a camera, by default a test card, at a place while the block runs.

    Args:
        camera: as ``luxxon operate`` takes it: ``webcam``, ``file:clip.mp4``.
    """

    async def start() -> Child:
        return await Child.start(
            *("operate", camera, "--lat", str(lat), "--lng", str(lng), "--radius", "500", "--json"),
            *("--data-dir", str(data_dir / "operator")),
            told=told,
            where=data_dir,
            environment={"LUXXON_URL": url, "LUXXON_API_KEY": api_key},
        )

    async with _keeping(start, "its camera", notice):
        yield
