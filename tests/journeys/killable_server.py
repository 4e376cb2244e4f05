"""The server of ``killed_server.py``, started and at hand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SCRIPT = Path(__file__).parent / "killed_server.py"
START_SECONDS = 60.0


class Killable:
    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, str]) -> None:
        self.process, self.told = process, told

    def first_frame(self, uid: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{uid}\n".encode())

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def server(data_dir: Path, port: int, *options: str) -> AsyncIterator[Killable]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(data_dir),
        str(port),
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while not (line := await process.stdout.readline()).startswith(b"{"):
                assert line, "it has ended"
        yield Killable(process, json.loads(line))
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.write(b"\n")  # it ends in order, its database with it
            await process.wait()
