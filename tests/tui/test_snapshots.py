"""The console as it looks: pictures that change only when the look does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import frames
import pytest
from scenes import ALL, GOOD, STALLED, console, settle, until
from textual.pilot import Pilot
from textual.widgets import Input

from luxxon_tui.app import ConsoleApp
from luxxon_tui.themes import PALETTES
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.picture import Picture

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
STATES = ["empty", "waiting", "live", "stalled", "offline", "ended"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("state", STATES)
def test_live(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    stream = STALLED if state in ("stalled", "offline") else GOOD
    view = ALL["losing" if state == "stalled" else state]

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, view, stream=stream)  # type: ignore[arg-type]
        await pilot.pause()

    assert snap_compare(console(view, stream=stream), terminal_size=size, run_before=before)


def test_half_blocks(snap_compare: Callable[..., bool]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, ALL["live"])  # type: ignore[arg-type]
        assert pilot.app.screen.query_one(Picture).driver_name == "half-blocks"
        await pilot.pause()

    app = console(ALL["live"])
    app.facts = replace(app.facts, preview="half-blocks")
    assert snap_compare(app, terminal_size=SIZES["80x24"], run_before=before)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_a_link_for_a_phone(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot.app, ALL["live"])  # type: ignore[arg-type]
        await pilot.press("p")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await pilot.pause()

    assert snap_compare(console(ALL["live"]), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("state", frames.STATES)
def test_sessions(snap_compare: Callable[..., bool], state: str, size: tuple[int, int]) -> None:
    assert snap_compare(
        frames.console(frames.stored(state), "sessions"), terminal_size=size, run_before=drawn
    )


def test_one_session(snap_compare: Callable[..., bool]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "enter")
        await drawn(pilot)

    app = frames.console(frames.filled(), "sessions")
    assert snap_compare(app, terminal_size=SIZES["80x24"], run_before=before)


@pytest.mark.parametrize("theme", [name for name in PALETTES if name != "luxxon-dark"])
def test_themes(snap_compare: Callable[..., bool], theme: str) -> None:
    app = frames.console(frames.filled(), "sessions", context=replace(frames.PLAIN, theme=theme))
    assert snap_compare(app, terminal_size=SIZES["120x36"], run_before=drawn)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("card", ["keys", "palette", "leaving", "passphrase", "toast"])
def test_shell(snap_compare: Callable[..., bool], card: str, size: tuple[int, int]) -> None:
    """What stands over every screen."""

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        if card == "passphrase":
            app.push_screen(
                Ask("Open the wallet", "/home/you/wallet.json", wrong="That does not open it", secret=True)
            )
        elif card == "toast":
            app.notify("luxxon-1c9e7a40.json", title="saved", timeout=60)
        else:
            await pilot.press(
                *{"keys": ["question_mark"], "palette": ["ctrl+p", *"sort"], "leaving": ["q"]}[card]
            )
        await drawn(pilot)

    app = frames.console(frames.filled(), "sessions")
    assert snap_compare(app, terminal_size=size, run_before=before)


async def drawn(pilot: Pilot[Any]) -> None:
    """Wait until the screen has come to rest; cursors do not blink."""
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    await pilot.pause()
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    await until(lambda: app.loaded)
    await pilot.pause()
