"""From nothing to the first picture, and straight in the next time, through the program on a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|[PX^_].*?\x1b\\|.)", re.S)
HALF_BLOCKS = re.compile("[▀▄▌▐▘▝▖▗▞▚]{3,}")


class Console:
    """``luxxon`` on a terminal of 80 columns and 24 rows.

    ``said`` is what it has written since the words that were last waited for, ``all`` everything before.
    """

    def __init__(self, process: asyncio.subprocess.Process, end: int) -> None:
        self.process, self.said, self.all = process, "", ""
        self._end = end
        self._news = asyncio.Event()
        self._raw = b""
        asyncio.get_running_loop().add_reader(end, self._read)

    def _read(self) -> None:
        try:
            found = os.read(self._end, 65536)
        except OSError:  # the program has closed its side
            found = b""
        if not found:
            asyncio.get_running_loop().remove_reader(self._end)
        self._raw += found
        self.said = re.sub(ESCAPES, "", self._raw.decode("utf-8", "replace"))
        self._news.set()

    async def says(self, words: str | re.Pattern[str], seconds: float = 60) -> None:
        """Wait for words from now on."""
        wanted = words if isinstance(words, re.Pattern) else re.compile(re.escape(words))
        async with asyncio.timeout(seconds):
            while wanted.search(self.said) is None:
                self._news.clear()
                await self._news.wait()
        self.all += self.said
        self._raw = b""

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def close(self) -> None:
        with suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)


@asynccontextmanager
async def console(environment: Mapping[str, str]) -> AsyncIterator[Console]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luxxon_core",
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**clean, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = Console(process, ours)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 40)
        if process.returncode is None:
            process.kill()
            await process.wait()
        shown.close()


async def left(shown: Console) -> int:
    """Leave, and say so again where a session is live; the exit code."""
    shown.press("q")
    asked = asyncio.create_task(shown.says("Leave while"))
    ended = asyncio.create_task(shown.process.wait())
    await asyncio.wait((asked, ended), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        shown.press("\r")
    asked.cancel()
    return await asyncio.wait_for(ended, 60)


async def test_first_start_to_the_first_picture_and_straight_in_afterwards(tmp_path: Path) -> None:
    profile = tmp_path / "config" / "luxxon.toml"
    environment = {"LUXXON_CONSOLE_FILE": str(profile), "XDG_DATA_HOME": str(tmp_path / "data")}
    async with console(environment) as shown:
        await shown.says("Try it here")
        shown.press("\r")
        await shown.says("A test card")
        shown.press("\r")
        await shown.says("starting a marketplace")
        await shown.says("Watch it now", 150)
        shown.press("\r")
        await shown.says("LIVE", 60)
        await shown.says(HALF_BLOCKS, 60)
        assert 'profile = "embedded"' in profile.read_text()
        assert await left(shown) == 0
    async with console(environment) as shown:
        await shown.says("home", 150)
        assert "Try it here" not in shown.all
        assert await left(shown) == 0  # the session that was left may be live again, and is asked about
