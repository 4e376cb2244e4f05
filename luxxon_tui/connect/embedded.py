"""A marketplace of one's own on this machine: a server, and an operator with a test card, in processes of
their own, so that nothing they do holds up the console."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from luxxon_core.kernel.errors import StartError

START_SECONDS = 90.0
END_SECONDS = 20.0
KEPT_LINES = 400
LONGEST_LINE = 1 << 18
CAMERA = "testcard"


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
        with suppress(ValueError):  # a line without an end
            async for raw in self._process.stderr:
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


@asynccontextmanager
async def marketplace(data_dir: Path, told: Callable[[str], None]) -> AsyncIterator[str]:
    """A server on a free port of the loopback address while the block runs; its URL.

    Args:
        told: each line of its log.

    Raises:
        StartError: it did not start; the message is its own.
    """
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    arguments = ("serve", "--port", "0", "--data-dir", str(data_dir / "server"))
    child = await Child.start(*arguments, told=told, where=data_dir, environment={})
    try:
        served = str((await child.event("serving"))["url"])
        yield served.removesuffix("/api/v1")
    finally:
        await child.close()


@asynccontextmanager
async def operator(
    url: str, api_key: str, lat: float, lng: float, data_dir: Path, told: Callable[[str], None]
) -> AsyncIterator[None]:
    """An operator that shows a test card at a place while the block runs."""
    child = await Child.start(
        *("operate", CAMERA, "--lat", str(lat), "--lng", str(lng), "--radius", "500", "--json"),
        *("--data-dir", str(data_dir / "operator")),
        told=told,
        where=data_dir,
        environment={"LUXXON_URL": url, "LUXXON_API_KEY": api_key},
    )
    try:
        yield
    finally:
        await child.close()
