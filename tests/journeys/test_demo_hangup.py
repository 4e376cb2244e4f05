"""The window of a terminal is closed while the demo's session is LIVE: it is ended and paid, as by SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

LIVE_SECONDS, ENDED_SECONDS = 60.0, 40.0
ON_IT = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'luxxon_core', *sys.argv[1:]])"
)
"""Takes standard input for the terminal that hangs up on it, and becomes the program."""


@pytest.mark.parametrize("how", [("--headless",), ()], ids=["headless", "console"])
async def test_a_closed_terminal_ends_the_session_and_settles_it(how: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ON_IT, "demo", "--seconds", "600", *how,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=environment | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    try:
        said = b""
        async with asyncio.timeout(LIVE_SECONDS):
            while b"LIVE" not in said:
                said += await asyncio.to_thread(os.read, ours, 4096)
            while b"LIVE" in said and len(said) < 20_000 and not how:  # the picture comes as well
                said += await asyncio.to_thread(os.read, ours, 4096)
        os.close(ours)
        code = await asyncio.wait_for(process.wait(), ENDED_SECONDS)
        assert code == 0, "what the chain moved is what the bill says"
    finally:
        with contextlib.suppress(OSError):
            os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
