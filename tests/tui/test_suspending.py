"""Ctrl+z: back to the shell, where one waits and nothing would stand still meanwhile."""

from __future__ import annotations

import pytest
from frames import console, stored
from scenes import until

from luxxon_tui.app import ConsoleApp


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
        monkeypatch.setattr(ConsoleApp, "_needed_here", lambda _: "")
        await pilot.press("ctrl+z")
        await until(lambda: stops == ["stopped"])


async def test_a_camera_that_is_online_from_here_keeps_it(stops: list[str]) -> None:
    import asyncio

    app = console(stored("filled"), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        app.run_worker(asyncio.Event().wait(), group="operate:dome")
        await pilot.pause()
        await pilot.press("ctrl+z")
        await until(lambda: "take it offline first" in toasts(app))
        assert not stops
