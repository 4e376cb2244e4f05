"""The first start as nobody has set it up: the console, and how its pages are gone through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from frames import NOW, PLAIN, shows, text_of
from textual.pilot import Pilot

from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.embedded import Child
from luxxon_tui.context import ConsoleContext
from luxxon_tui.screens.first_start import FirstStart
from luxxon_tui.widgets.field import Field

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"


def own_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's user is read or written."""
    for name in ("LUXXON_API_KEY", "LUXXON_URL", "LUXXON_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(folder / "config" / "luxxon.toml"))
    monkeypatch.setenv("LUXXON_WALLET", str(folder / "config" / "wallet.json"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """A marketplace of its own; its URL without a path."""
    arguments = ("serve", "--port", "0", "--data-dir", str(folder / "server"))
    child = await Child.start(*arguments, told=lambda _line: None, where=folder, environment={})
    try:
        yield str((await child.event("serving"))["url"]).removesuffix("/api/v1")
    finally:
        await child.close()


def fresh(first: str = "sessions", **facts: Any) -> ConsoleApp:
    """The console as it opens when nobody has chosen a profile."""
    context = ConsoleContext(zone=PLAIN.zone, fresh=True, **facts)
    return ConsoleApp(facts=context, clock=lambda: NOW, first=first)


def on(app: ConsoleApp) -> FirstStart:
    screen = app.screen
    assert isinstance(screen, FirstStart)
    return screen


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Type into the line that has the focus, in one go."""
    field = pilot.app.focused
    assert isinstance(field, Field)
    field.value = text
    await pilot.pause()


async def choose(pilot: Pilot[Any], words: str) -> None:
    """Move to the option with these words, and take it."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await shows(app, words)
    rows = on(app).query_one("#options")
    for _ in range(10):
        marked = next((line for line in text_of(app).splitlines() if "▎" in line), "")
        if words in marked:
            break
        await pilot.press("down")
    else:
        raise AssertionError(text_of(app))
    rows.focus()
    await pilot.press("enter")
