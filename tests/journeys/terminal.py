"""The command line at a terminal: what it asks there, and what it shows."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

SECONDS = 30.0


class Terminal:
    """``said`` is everything that stood on the screen, echoes included."""

    def __init__(self, process: asyncio.subprocess.Process, end: int) -> None:
        self.process = process
        self.said = b""
        self._end = end

    async def says(self, words: str) -> None:
        """Wait for words."""
        async with asyncio.timeout(SECONDS):
            while words.encode() not in self.said:
                self.said += await asyncio.to_thread(os.read, self._end, 4096)

    async def asked(self, question: str, answer: str) -> None:
        """Wait for a question and type the answer."""
        await self.says(question)
        os.write(self._end, answer.encode() + b"\n")

    async def ends(self) -> int:
        """The exit code."""
        return await asyncio.wait_for(self.process.wait(), SECONDS)


@asynccontextmanager
async def at_a_terminal(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """``luxxon ARGS…`` on a terminal of its own; killed in the end if it still runs."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "luxxon_core",
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=clean | dict(environment or {}),
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
