"""What lies under a card is shown as it is now, in darker colours, and costs little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from frames import SESSIONS, console, filled
from scenes import until
from textual._context import visible_screen_stack
from textual.pilot import Pilot

from luxxon_tui.app import ConsoleApp
from luxxon_tui.rows import row
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.modal import Modal


async def opened(app: ConsoleApp, pilot: Pilot[Any]) -> Card:
    card = Card([row("End the session?")], asks=True)
    await app.push_screen(card)
    await until(lambda: app.screen is card)
    await pilot.pause()
    return card


def shown(app: ConsoleApp) -> list[str]:
    """The lines of the screen with their styles, as the compositor has them now."""
    visible_screen_stack.set(app._background_screens)
    strips = app.screen._compositor.render_strips()
    return [repr([(text, style) for text, style, _ in strip.simplify()]) for strip in strips]


def anew(app: ConsoleApp) -> list[str]:
    """The same, with nothing kept from before."""
    for screen in app.screen_stack:
        if isinstance(screen, Modal):
            screen._under = None
    return shown(app)


def spend(app: ConsoleApp, clean: int) -> None:
    view = app.store.sessions.value[SESSIONS[0].id]
    app.store.put(replace(view, clean_seconds=clean, charged_micro=clean * 1000, elapsed_ms=clean * 1000))


@pytest.mark.parametrize("cards", [1, 2])
async def test_what_changes_below_is_seen(cards: int) -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded)
        for _ in range(cards):
            await opened(app, pilot)
        before = shown(app)
        spend(app, 271)
        await until(lambda: shown(app) != before)
        await pilot.pause()
        assert any("0.2710" in line for line in shown(app))
        assert shown(app) == anew(app)


async def test_the_colours_and_the_size_of_below_are_followed() -> None:
    app = console(filled(), "map")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded)
        await opened(app, pilot)
        dark = shown(app)
        app.theme = "luxxon-light"
        await until(lambda: shown(app) != dark)
        await pilot.pause()
        assert shown(app) == anew(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert len(shown(app)) == 24
        assert shown(app) == anew(app)


async def test_a_card_between_has_what_changed_while_it_was_covered() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded)
        under, over = await opened(app, pilot), await opened(app, pilot)
        spend(app, 283)
        await pilot.pause()
        over.dismiss(False)
        await until(lambda: app.screen is under)
        await pilot.pause()
        assert any("0.2830" in line for line in shown(app))
        assert shown(app) == anew(app)


async def test_rows_that_have_not_changed_are_not_tinted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = console(filled(), "map")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded)
        card = await opened(app, pilot)
        assert card._under is not None
        tinted: list[object] = []
        darkened = card._under._darkened
        monkeypatch.setattr(card._under, "_darkened", lambda strips: tinted.append(1) or darkened(strips))
        shown(app)
        card.below_changed()
        shown(app)
        assert not tinted
