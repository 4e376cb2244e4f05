"""Live pictures on terminals that answer, stay silent, talk nonsense, or have something in front."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pixel_terminal import PixelTerminal

from luxxon_tui.picture.answering import HELD_SECONDS

HERE = Path(__file__).parent
SECONDS = 20.0
MOST_AT_ONCE = 1 << 18
COLUMNS, ROWS = 70, 24

KITTY = {"a=q": "\x1b_Gi=4201;OK\x1b\\", "\x1b[>q": "\x1bP>|kitty(0.35.2)\x1b\\"}
SIZE = {"\x1b[16t": "\x1b[6;10;5t"}
PLAIN = {"\x1b[c": "\x1b[?62;22c"}
SIXEL = {"\x1b[c": "\x1b[?62;4;22c"}
KITTY_TERMINAL = KITTY | SIZE | PLAIN
SIXEL_TERMINAL = SIZE | SIXEL
PLACED_TERMINAL = KITTY_TERMINAL | {"\x1b[>q": "\x1bP>|WezTerm 20240203\x1b\\"}


class Running:
    """The console on a terminal that answers."""

    def __init__(self, end: int, process: asyncio.subprocess.Process, answers: dict[str, str]) -> None:
        self.end, self.process, self.answers = end, process, answers
        os.set_blocking(end, False)
        self.screen = PixelTerminal(COLUMNS, ROWS, (5, 10))
        self.raw = ""
        self.reading = True
        self.changed = asyncio.Event()
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        asyncio.get_running_loop().add_reader(end, self._read)

    def _read(self) -> None:
        data, ended = b"", False
        while len(data) < MOST_AT_ONCE:
            try:
                data += os.read(self.end, 1 << 16)
            except BlockingIOError:
                break
            except OSError:
                ended = True
                break
        if ended and not data:
            asyncio.get_running_loop().remove_reader(self.end)
            self.changed.set()
            return
        text = self._decode(data)
        asked = self.raw[-20:] + text
        self.raw += text
        for query, answer in list(self.answers.items()):
            if query in asked:
                del self.answers[query]  # once each
                self.type(answer)
        self.screen.feed(text)
        self.changed.set()

    def type(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    async def until(self, holds: Callable[[PixelTerminal], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds(self.screen):
                self.changed.clear()
                await self.changed.wait()

    async def holds(self, what: Callable[[PixelTerminal], bool], frames: int = 6) -> None:
        """It is so now and stays so while the picture moves on."""
        for _ in range(frames):
            assert what(self.screen), self.screen.screen()
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), SECONDS)

    async def leaves(self) -> int:
        self.type("q")
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    async def typed(self, keys: str) -> None:
        """What the console took for keys, after one more that is typed now."""
        self.type("z")
        await self.until(lambda screen: bool(re.search(r"typed:.* z\b", screen.screen())))
        assert f"typed:{keys} z" in self.screen.screen()


@asynccontextmanager
async def console(
    tmp_path: Path,
    answers: dict[str, str],
    setting: str = "auto",
    program: str = "pixel_console.py",
    **environment: str,
) -> AsyncIterator[Running]:
    columns = COLUMNS if program == "pixel_console.py" else 80  # the whole console needs them
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    kept = ("PATH", "LANG", "VIRTUAL_ENV")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    clean |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": str(tmp_path)}
    clean["PYTHONPATH"] = os.pathsep.join((str(HERE), str(HERE.parent.parent)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / program), setting,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=clean | environment,
    )  # fmt: skip
    os.close(theirs)
    running = Running(ours, process, dict(answers))
    running.screen = PixelTerminal(columns, ROWS, (5, 10))
    try:
        yield running
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def pixels(screen: PixelTerminal) -> int:
    return screen.count("image") + screen.count("sixel")


def whole(screen: PixelTerminal) -> bool:
    return pixels(screen) > 60 * 20


def cells(screen: PixelTerminal) -> bool:
    return pixels(screen) == 0 and any(glyph in screen.screen() for glyph in "▀▌▚▘▝▖▗")


TERMINALS = pytest.mark.parametrize(
    "answers", [KITTY_TERMINAL, PLACED_TERMINAL, SIXEL_TERMINAL], ids=["kitty", "placed", "sixel"]
)


@TERMINALS
async def test_nothing_in_front_is_drawn_over(tmp_path: Path, answers: dict[str, str]) -> None:
    async with console(tmp_path, answers) as running:
        await running.until(whole)
        running.type("t")
        await running.until(lambda screen: "a toast in front" in screen.screen())
        await running.until(cells)
        await running.holds(lambda screen: cells(screen) and "a toast in front" in screen.screen())
        running.type("u")
        await running.until(whole)
        running.type("m")
        await running.until(lambda screen: "a card in front" in screen.screen() and cells(screen))
        running.type("m")
        await running.until(whole)
        running.type("o")
        await running.until(lambda screen: "another screen" in screen.screen() and pixels(screen) == 0)
        running.type("o")
        await running.until(whole)
        running.type("h")
        await running.until(lambda screen: pixels(screen) == 0)
        running.type("h")
        await running.until(whole)


@TERMINALS
async def test_a_picture_that_stands_still_comes_back_too(tmp_path: Path, answers: dict[str, str]) -> None:
    async with console(tmp_path, answers) as running:
        await running.until(whole)
        running.type("n")
        running.type("m")
        await running.until(lambda screen: "a card in front" in screen.screen() and cells(screen))
        running.type("m")
        await running.until(lambda screen: "a card in front" not in screen.screen() and whole(screen))
        running.type("t")
        await running.until(lambda screen: "a toast in front" in screen.screen() and cells(screen))
        running.type("u")
        await running.until(whole)


@pytest.mark.parametrize("answers", [KITTY_TERMINAL, PLACED_TERMINAL], ids=["kitty", "placed"])
@pytest.mark.parametrize("key", ["q", "!"], ids=["leaving", "a fault"])
async def test_no_image_stays_behind(tmp_path: Path, answers: dict[str, str], key: str) -> None:
    async with console(tmp_path, answers) as running:
        await running.until(whole)
        running.type(key)
        await asyncio.wait_for(running.process.wait(), SECONDS)
        await running.until(lambda screen: not screen.images)
        assert running.screen.forgotten
        await running.until(lambda _: "\x1b[?1049l" in running.raw)
        last_image = running.raw.rindex("\x1b_G")
        assert "a=d,d=I" in running.raw[last_image : last_image + 20]
        assert last_image < running.raw.rindex("\x1b[?1049l")


async def test_a_new_size_uses_the_number_of_the_image_again(tmp_path: Path) -> None:
    async with console(tmp_path, KITTY_TERMINAL) as running:
        await running.until(whole)
        (number,) = running.screen.images
        fcntl.ioctl(running.end, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        os.kill(running.process.pid, 28)  # SIGWINCH
        await running.until(lambda screen: number in screen.forgotten and bool(screen.images))
        assert list(running.screen.images) == [number]
        assert running.screen.images[number].columns <= 60


async def test_a_silent_terminal_shows_cells_and_hears_every_key(tmp_path: Path) -> None:
    async with console(tmp_path, {}) as running:
        await running.until(cells)
        await running.typed("")
        await running.holds(cells)


async def test_the_question_comes_after_the_first_picture_of_the_screen(tmp_path: Path) -> None:
    async with console(tmp_path, {}) as running:
        await running.until(lambda _: "\x1b[c" in running.raw)
        assert "typed:" in running.raw[: running.raw.index("\x1b_Gi=4201")]


async def test_a_late_answer_counts_and_is_never_taken_for_keys(tmp_path: Path) -> None:
    async with console(tmp_path, {}) as running:
        await running.until(cells)
        await running.until(lambda _: "\x1b[c" in running.raw)
        await running.typed("")
        answer = "".join(KITTY_TERMINAL.values())
        for piece in (answer[:9], answer[9:40], answer[40:]):
            running.type(piece)
            await asyncio.sleep(0.01)
        await running.until(whole)
        assert re.search(r"typed: z\s*$", running.screen.screen().rstrip())


@pytest.mark.parametrize(
    "nonsense",
    [
        "\x1b_Gi=4201;ENOTSUPPORTED:no\x1b\\\x1b[?62c",
        "\x1b_Gi=77;OK\x1b\\\x1b[?62c",
        "\x1b_G" + "x" * 9000 + "\x1b\\\x1b[?62c",
        "\x1bP>|" + "kitty(0.40)" * 400,
        "\x1b[?62;22c\x1b[6;0;0t\x1b[4;99999;99999t",
        "\x1b_Gi=4201;OK",
    ],
    ids=["refused", "another image", "endless", "no end", "no size", "half"],
)
async def test_nonsense_changes_nothing_and_types_nothing(tmp_path: Path, nonsense: str) -> None:
    async with console(tmp_path, {"\x1b[c": nonsense}) as running:
        await running.until(cells)
        await running.until(lambda _: not running.answers)
        await asyncio.sleep(4 * HELD_SECONDS)  # what is typed into the middle of an answer is part of it
        await running.typed("")
        await running.holds(cells)


def tmux(tmp_path: Path, says: str) -> dict[str, str]:
    program = tmp_path / "bin" / "tmux"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    return {"TMUX": "/tmp/tmux-0/default,1,0", "PATH": f"{program.parent}:{os.environ['PATH']}"}


async def test_tmux_that_passes_sequences_on_gets_them_wrapped(tmp_path: Path) -> None:
    answers = {"a=q": KITTY["a=q"], "[>q": KITTY["\x1b[>q"], **PLAIN}
    async with console(tmp_path, answers, **tmux(tmp_path, "on")) as running:
        await running.until(whole)
        assert re.search(r"(?<!\x1b)\x1b_G", running.raw) is None
        assert "\x1bPtmux;\x1b\x1b_Ga=T" in running.raw
        await running.leaves()
        assert not running.screen.images


async def test_tmux_that_does_not_is_not_asked(tmp_path: Path) -> None:
    async with console(tmp_path, KITTY_TERMINAL, **tmux(tmp_path, "off")) as running:
        await running.until(cells)
        await running.typed("")
        assert "\x1b_G" not in running.raw and "\x1b[c" not in running.raw


async def test_what_a_terminal_answered_is_known_at_the_next_start(tmp_path: Path) -> None:
    known = {"TERM_PROGRAM": "ghostty", "TERM_PROGRAM_VERSION": "1.1.0"}
    answers = KITTY_TERMINAL | {"\x1b[>q": "\x1bP>|ghostty 1.1.0\x1b\\"}
    async with console(tmp_path, answers, **known) as running:
        await running.until(whole)
        await running.leaves()
    (kept,) = tmp_path.rglob("terminals.json")  # noqa: ASYNC240
    assert json.loads(kept.read_text())["xterm-256color|ghostty|1.1.0"]["protocol"] == "kitty"
    async with console(tmp_path, {}, **known) as running:
        await running.until(whole)
    kept.write_text('{"xterm-256color|ghostty|1.1.0": {"protocol": "rot13", "cell": [-1, "x"]}}')
    async with console(tmp_path, {}, **known) as running:
        await running.until(cells)


@pytest.mark.parametrize(
    ("setting", "seen"), [("kitty", "image"), ("sixel", "sixel"), ("cells", ""), ("half-blocks", "▀")]
)
async def test_the_users_own_choice_wins(tmp_path: Path, setting: str, seen: str) -> None:
    async with console(tmp_path, KITTY_TERMINAL | SIXEL, setting) as running:
        if seen in ("image", "sixel"):
            await running.until(lambda screen: screen.count(seen) > 1000)
        else:
            await running.until(cells)
            await running.holds(cells)
        if setting == "half-blocks":
            assert not any(glyph in running.screen.screen() for glyph in "▌▚▘▝▖▗")


async def test_no_colour_means_no_pixels(tmp_path: Path) -> None:
    async with console(tmp_path, KITTY_TERMINAL, NO_COLOR="1") as running:
        await running.until(cells)
        await running.typed("")
        assert not running.screen.images
