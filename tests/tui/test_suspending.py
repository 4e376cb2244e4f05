"""Ctrl+z: back to the shell, where one waits and nothing would stand still meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from frames import console, stored
from pixel_terminal import PixelTerminal
from scenes import until
from test_picture_terminal import ROWS, SIXEL_TERMINAL, cells, pixels
from test_picture_terminal import console as terminal

from luxxon_core.kernel.errors import StartError
from luxxon_core.profiles import ProfileTable
from luxxon_tui import suspending
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected, Opener


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(ConsoleApp, "action_suspend_process", lambda _: told.append("stopped"))
    return told


def toasts(app: ConsoleApp) -> str:
    """What they say, whole: on the screen it is wrapped."""
    return " ".join(each.message for each in app._notifications)


async def test_without_a_shell_it_says_why_not(stops: list[str]) -> None:
    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+z")
        await until(lambda: "No shell waits for this console" in toasts(app))
        assert not stops


async def test_with_a_shell_the_process_stops(stops: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(suspending, "needed_here", lambda _: "")
        await pilot.press("ctrl+z")
        await until(lambda: stops == ["stopped"])


async def test_a_camera_that_is_online_from_here_keeps_it(stops: list[str]) -> None:
    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        app.run_worker(asyncio.Event().wait(), group="operate:dome")
        await pilot.pause()
        await pilot.press("ctrl+z")
        await until(lambda: "take it offline first" in toasts(app))
        assert not stops


async def test_money_that_moves_keeps_it(stops: list[str]) -> None:
    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        app.run_worker(asyncio.Event().wait(), group="money")
        await pilot.pause()
        await pilot.press("ctrl+z")
        await until(lambda: "Money is on its way" in toasts(app))
        assert not stops


async def test_a_session_that_is_charged_by_the_second_keeps_it(
    stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspending, "shell_waits", lambda: True)
    app = console(stored("filled"), "sessions")
    assert any(view.side == "consumer" for view in app.store.live)
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(type(app._driver), "can_suspend", True)
        await pilot.press("ctrl+z")
        await until(lambda: "charged by the second" in toasts(app))
        assert not stops


async def test_a_marketplace_that_is_being_opened_keeps_it(
    stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:

        async def opened(name: str, profile: ProfileTable) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(app.server, "open", opened)
        app.open_profile("embedded", ProfileTable(embedded=True))
        await pilot.pause()
        await pilot.press("ctrl+z")
        await until(lambda: "This marketplace would stand still" in toasts(app))
        assert not stops


async def test_a_marketplace_that_did_not_open_keeps_nothing(
    stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again only when that is asked for."""
    monkeypatch.setattr(suspending, "shell_waits", lambda: True)
    app = console(stored("empty"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr(type(app._driver), "can_suspend", True)

        @asynccontextmanager
        async def refused(_: Opener, profile: ProfileTable) -> AsyncIterator[Connected]:
            raise StartError(message="no room on the disk")
            yield

        monkeypatch.setattr(Opener, "open", refused)
        app.open_profile("embedded", ProfileTable(embedded=True))
        await until(lambda: app.store.failure.value is not None)
        await pilot.press("ctrl+z")
        await until(lambda: stops == ["stopped"])


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
@pytest.mark.parametrize("answers", [{}, SIXEL_TERMINAL], ids=["cells", "pixels"])
async def test_fg_brings_all_of_it_back(tmp_path: Path, answers: dict[str, str]) -> None:
    """The terminal has nothing of it any more, and no further picture comes."""
    async with terminal(tmp_path, answers, program="job_console.py") as running:

        def stands(screen: PixelTerminal) -> bool:
            shown = pixels(screen) > 300 if answers else cells(screen)
            return shown and all(words in screen.screen() for words in ("luxxon", "Meter", "quit"))

        await running.until(stands)
        running.type("\x1a")
        await running.until(lambda _: "the shell again" in running.raw)
        running.screen = PixelTerminal(80, ROWS, (5, 10))
        running.type("fg\n")
        await running.until(stands)
