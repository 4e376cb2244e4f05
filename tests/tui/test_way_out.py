"""The terminal is given back, whoever ends the console."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from scenes import until

from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.program import INTERRUPTED, main, run_console

pytestmark = pytest.mark.alone


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_terminal_that_goes_away_closes_the_console(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    left = []

    async def run(*_: object, **__: object) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        try:
            await asyncio.sleep(10)
        finally:
            left.append("clean")
        return 0

    def unheard(_number: int, _frame: object) -> None:
        raise AssertionError("SIGHUP was not handled")

    monkeypatch.setattr("luxxon_tui.program.run_console", run)
    before = signal.signal(signal.SIGHUP, unheard)
    try:
        assert main() == INTERRUPTED and left == ["clean"]
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_cancelled_console_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    left = []

    async def headless(self: ConsoleApp) -> None:
        async with self.run_test():
            await until(lambda: not self.is_running or self._exit)
        left.append(self)

    monkeypatch.setattr(ConsoleApp, "run_async", headless)
    task = asyncio.create_task(run_console(None, None, ConsoleContext()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(left) == 1
