"""What people type that does not fit: the console says why, or does not take it."""

import pytest
from frames import console, filled, shows, text_of

from luxxon_tui.map.find import Find
from luxxon_tui.screens.workspace_cards import MintCard
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.field import NAME_LENGTH


@pytest.mark.parametrize("text", ["91,0", "50.8", "12, 181", "1 2 3"])
async def test_numbers_that_are_no_point_say_which_are(text: str) -> None:
    app = console(filled(), "map")
    async with app.run_test(size=(80, 24)):
        app.push_screen(Find(text=text))
        await shows(app, "−90 to 90 north, −180 to 180 east")


async def test_a_name_of_no_place_says_so() -> None:
    app = console(filled(), "map")
    async with app.run_test(size=(80, 24)):
        app.push_screen(Find(text="qqqqqqq"))
        await shows(app, "no such place")


async def test_a_label_is_no_longer_than_the_server_takes() -> None:
    app = console(filled(), "workspace")
    async with app.run_test(size=(80, 24)) as pilot:
        for card in (Ask("Rename the workspace", most=NAME_LENGTH), MintCard("TEST")):
            app.push_screen(card)
            await pilot.pause()
            await pilot.press(*"n" * 90)
            await pilot.press("enter")
            await pilot.pause()
            assert app.screen is card, "it is not sent"
            assert "nnnn" in text_of(app) and "these are 90" in text_of(app)
            await pilot.press("escape")
