"""``luxxon`` on a terminal of its own: what stands on it now, keys and mouse."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from rich.cells import cell_len

TOKEN = re.compile(
    r"\x1b\[(?P<arguments>[<>=?]?[\d;:]*)(?P<command>[ -/]*[@-~])"
    r"|\x1b[\]PX^_](?P<string>[^\x1b\x07]*)(?:\x1b\\|\x07)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
    r"|(?P<text>[^\x1b]+)",
    re.DOTALL,
)
END_SECONDS = 40


class Cells:
    """The screen of a terminal without colours: what the console writes, and no more of ECMA-48 than that."""

    def __init__(self, columns: int, rows: int) -> None:
        self.resize(columns, rows)
        self.copied: list[str] = []
        """What was put on the clipboard by OSC 52, as base64."""
        self._rest = ""

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._x = self._y = 0
        self._cells = [[" "] * columns for _ in range(rows)]

    def feed(self, output: str) -> None:
        """Interpret output; what is not whole yet waits."""
        output, place = self._rest + output, 0
        while (match := TOKEN.match(output, place)) is not None:
            place = match.end()
            if (text := match["text"]) is not None:
                self._write(text)
            elif (string := match["string"]) is not None:
                if string.startswith("52;c;"):
                    self.copied.append(string.removeprefix("52;c;"))
            elif match["command"] is not None:
                self._control(match["arguments"], match["command"])
        self._rest = output[place:]

    def _control(self, arguments: str, command: str) -> None:
        first, _, second = arguments.partition(";")
        number = int(first) if first.isdigit() else 0
        if command == "H":
            self._y, self._x = max(number, 1) - 1, (int(second) if second.isdigit() else 1) - 1
        elif command == "C":
            self._x += number or 1
        elif (command == "J" and number == 2) or (command in "hl" and arguments == "?1049"):
            self.resize(self.columns, self.rows)

    def _write(self, text: str) -> None:
        for glyph in text:
            if glyph == "\r":
                self._x = 0
            elif glyph == "\n":
                self._y += 1
            elif glyph >= " " and (width := cell_len(glyph)):
                if 0 <= self._y < self.rows and self._x + width <= self.columns:
                    self._cells[self._y][self._x : self._x + width] = [glyph, *[""] * (width - 1)]
                self._x += width

    @property
    def lines(self) -> list[str]:
        return ["".join(line) for line in self._cells]

    def place(self, words: str) -> tuple[int, int] | None:
        """Column and row, from zero, of the first cell of words."""
        for y, line in enumerate(self._cells):
            found = "".join(line).find(words)
            if found >= 0:
                return cell_len("".join(line)[:found]), y
        return None


class Console:
    """The running program and its terminal."""

    def __init__(self, process: asyncio.subprocess.Process, end: int, size: tuple[int, int]) -> None:
        self.process = process
        self.cells = Cells(*size)
        self._end = end
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(end, self._read)

    def _read(self) -> None:
        try:
            found = os.read(self._end, 65536)
        except OSError:  # the program has closed its side
            found = b""
        if not found:
            asyncio.get_running_loop().remove_reader(self._end)
        self.cells.feed(self._decoder.decode(found))
        self._news.set()

    @property
    def text(self) -> str:
        """What stands on the terminal now."""
        return "\n".join(self.cells.lines)

    async def shows(self, words: str | re.Pattern[str], seconds: float = 60) -> str:
        """Wait until words stand on the terminal; the words."""
        wanted = words if isinstance(words, re.Pattern) else re.compile(re.escape(words))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (found := wanted.search(self.text)) is None:
                    await self.stirs()
                return found[0]
        raise AssertionError(f"{words!r} is not on the terminal:\n{self.text}")

    async def hides(self, words: str, seconds: float = 60) -> None:
        """Wait until words stand there no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while words in self.text:
                    await self.stirs()
                return
        raise AssertionError(f"{words!r} stays on the terminal:\n{self.text}")

    async def stirs(self) -> None:
        """Wait until it writes something."""
        self._news.clear()
        await self._news.wait()

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    async def click(self, words: str, seconds: float = 60) -> None:
        """Press and release the left button on words (SGR 1006)."""
        await self.shows(words, seconds)
        found = self.cells.place(words)
        assert found is not None
        self.click_at(*found)

    async def click_away(self, words: str, tries: int = 4) -> None:
        """Click on words that go away by it; again where they had just moved."""
        for left in reversed(range(tries)):
            await self.click(words)
            try:
                await self.hides(words, 5)
            except AssertionError:
                if not left:
                    raise
            else:
                return

    def click_at(self, x: int, y: int) -> None:
        self.press(f"\x1b[<0;{x + 1};{y + 1}M\x1b[<0;{x + 1};{y + 1}m")

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the terminal."""
        self.cells.resize(columns, rows)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)  # the kernel does where the terminal is its controlling one

    async def ends(self, seconds: float = END_SECONDS) -> int:
        """The exit code."""
        return await asyncio.wait_for(self.process.wait(), seconds)

    def close(self) -> None:
        with suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)


@asynccontextmanager
async def console(
    *arguments: str,
    environment: Mapping[str, str],
    size: tuple[int, int] = (80, 24),
    folder: Path | None = None,
) -> AsyncIterator[Console]:
    """``luxxon ARGS…`` on a terminal of true colour; ended with the block.

    Args:
        environment: beside what the tests have that is not of Luxxon.
        folder: where it runs; here when not given.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luxxon_core", *arguments,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder,
        env={**clean, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = Console(process, ours, size)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await shown.ends()
        if process.returncode is None:
            process.kill()
            await process.wait()
        shown.close()
