"""A terminal that is slow, stands still or goes away holds nothing up and leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_picture_terminal import SECONDS, cells, console

from luxxon_tui.picture import answering, outlet
from luxxon_tui.picture.outlet import Outlet

pytestmark = pytest.mark.alone

SLOW_CHUNK = 4096
MARK = re.compile(rb"\x1b\[\d+;1H\x1b\[38;2;(\d+);255;(\d+)")
"""The cell at the left of a row: the number of the picture, as its colour."""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
async def test_a_terminal_that_is_closed_ends_the_console(tmp_path: Path) -> None:
    """Not the controlling one, so that no SIGHUP tells: the end of its input has to."""
    async with console(tmp_path, {}) as running:
        await running.until(cells)
        loop = asyncio.get_running_loop()
        loop.remove_reader(running.end)
        closed, running.end = running.end, os.open(os.devnull, os.O_RDWR)
        os.dup2(running.end, closed)  # the number stays ours until the test has ended
        begun = loop.time()
        assert await asyncio.wait_for(running.process.wait(), SECONDS) == 0
        assert loop.time() - begun < 5


async def test_a_terminal_that_takes_nothing_is_left_all_the_same(tmp_path: Path) -> None:
    async with console(tmp_path, {}) as running:
        await running.until(cells)
        loop = asyncio.get_running_loop()
        loop.remove_reader(running.end)
        await asyncio.sleep(1.5)  # pictures enough to fill what is between
        running.type("q")
        assert await asyncio.wait_for(running.process.wait(), outlet.LEAVING_SECONDS + 10) == 0


async def test_a_slow_terminal_is_never_more_than_a_frame_behind(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    async with console(tmp_path, {}, "half-blocks", LUXXON_TEST_DRAWN=str(drawn)) as running:
        await running.until(cells)
        asyncio.get_running_loop().remove_reader(running.end)
        seen = await asyncio.wait_for(_seen_slowly(running.end, drawn, frames=12), 60)
    assert [number for number, _ in seen] == sorted(number for number, _ in seen), "none is shown late"
    assert max(later for _, later in seen[3:]) <= 1, seen
    assert seen[-1][0] - seen[3][0] > 2 * len(seen), "a reader this slow is not shown every frame"


async def _seen_slowly(end: int, drawn: Path, frames: int) -> list[tuple[int, int]]:
    """Read a few kilobytes now and then: each frame that begins, and how many were drawn after it by then."""
    seen: list[tuple[int, int]] = []
    text = b""
    while len(seen) < frames:
        try:
            text = text[-80:] + os.read(end, SLOW_CHUNK)
        except BlockingIOError:
            await asyncio.sleep(0.005)
            continue
        for red, blue in MARK.findall(text):
            number = int(red) >> 3 | int(blue) >> 3 << 5
            if not seen or number != seen[-1][0]:
                numbers = [int(line) for line in drawn.read_text().split()]  # noqa: ASYNC240
                seen.append((number, sum(other > number for other in numbers)))
        await asyncio.sleep(0.02)
    return seen


async def test_what_was_left_out_is_painted_although_nothing_else_is_written() -> None:
    painted = asyncio.Event()
    waiting = ["write"] * answering.MOST_WAITING
    driver = object.__new__(answering.AnsweringDriver)
    driver._left_out = driver._all_of_it = False
    driver._loop = asyncio.get_running_loop()
    driver._writer_thread = cast("Any", SimpleNamespace(_queue=SimpleNamespace(qsize=lambda: len(waiting))))
    driver._app = cast("Any", SimpleNamespace(_running=True, screen=SimpleNamespace(refresh=painted.set)))
    driver.write("the last that is written")
    await asyncio.sleep(2 * answering.CATCH_UP_SECONDS)
    assert not painted.is_set(), "the terminal has not caught up"
    waiting.clear()
    await asyncio.wait_for(painted.wait(), SECONDS)
    assert not driver._left_out


def test_an_outlet_survives_the_end_of_its_terminal() -> None:
    ours, theirs = os.pipe()
    told = []
    out = Outlet(theirs, lambda: told.append(1))
    os.close(ours)
    assert out.write("text") == 4 and out.write(b"bytes") == 5
    assert told == [1], "told once, and nothing raised"
    assert out.again().write("text") == 4 and told == [1], "what hung up stays so"
    os.close(theirs)


def test_a_writer_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "STILL_SECONDS", 0.2)
    ours, theirs = os.pipe()
    out = Outlet(theirs, lambda: None)
    writer = threading.Thread(target=out.write, args=(b"x" * (1 << 20),), daemon=True)
    writer.start()
    out.give_up(writer)
    assert writer.is_alive(), "it is left to itself"
    again = out.again()
    assert not again._gone, "a terminal that is taken again may take something"
    while writer.is_alive():  # and it ends by itself once there is room
        os.read(ours, 1 << 16)
        writer.join(0.01)
    os.close(ours)
    os.close(theirs)
