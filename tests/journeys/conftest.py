"""Runs the command line as a person would: a process of its own, its streams and its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

Run = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def luxxon(tmp_path: Path) -> AsyncIterator[Run]:
    """Start ``luxxon ARGS…`` in an empty folder; what still runs at the end is killed by its process id."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "luxxon_core",
            *arguments,
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stderr_says(process: asyncio.subprocess.Process, words: str, seconds: float = 60) -> None:
    """Wait for a line with ``words`` on standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(seconds):
        async for line in process.stderr:
            if words.encode() in line:
                return
    raise AssertionError(f"ended without saying {words!r}")


class Command:
    """One command of ``luxxon``, in one environment.

    Args:
        hidden: what no output may show.

    Attributes:
        out: what it said last on standard output.
        err: the same of standard error.
    """

    def __init__(self, run: Run, name: str, *, hidden: str | None = None, **environment: str) -> None:
        self._run, self._name, self._hidden, self._environment = run, name, hidden, environment
        self.out = self.err = ""

    async def __call__(self, *arguments: str) -> int:
        """Run it to its end; the exit code."""
        process = await self._run(self._name, *arguments, **self._environment)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        self.out, self.err = out.decode(), err.decode()
        assert self._hidden is None or self._hidden not in self.out + self.err
        assert "Traceback" not in self.err, self.err
        assert process.returncode is not None
        return process.returncode
