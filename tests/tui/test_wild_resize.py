"""A terminal that takes any size while a card is open: the console follows, and nothing falls over."""

from __future__ import annotations

import asyncio

import pytest
from frames import console, stored, text_of
from scenes import until
from textual._compositor import LayoutUpdate
from textual.events import Resize
from textual.geometry import Size

from luxxon_tui.app import ConsoleApp
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.question import Question, question_card

SIZES = ((40, 10), (200, 60), (81, 24), (10, 3), (300, 5), (79, 24), (80, 24), (160, 50), (20, 80), (120, 36))


def written(app: ConsoleApp) -> None:
    """Make what would go to the terminal now; a headless one takes nothing."""
    below = app._background_screens
    update = app.screen._compositor.render_update(full=True, screen_stack=below)
    if isinstance(update, LayoutUpdate):
        update.render_segments(app.console)


@pytest.mark.parametrize("screen", ["map", "sessions", "wallet"])
async def test_a_card_outlives_every_size(screen: str) -> None:
    app = console(stored("filled"), screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        card = question_card(Question("Leave while a session is live?", ("It goes on.",), "leave", "stay"))
        app.push_screen(card)
        await until(lambda: "Leave while" in text_of(app))
        for columns, rows in SIZES * 2:
            app.post_message(Resize(Size(columns, rows), Size(columns, rows)))
            for _ in range(40):  # at any moment on the way it can be written
                await asyncio.sleep(0)
                written(app)
            await pilot.pause()
            written(app)
        assert isinstance(app.screen, Card) and app.screen is card
        await until(lambda: "Leave while" in text_of(app))
        await pilot.press("escape")
        await until(lambda: app.screen is not card)
