"""A terminal smaller than the console is drawn for: one line with the size it needs, and back by itself."""

import pytest
from frames import console, filled, shows, text_of
from textual.pilot import Pilot

from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.too_small import NEEDED, TooSmall


async def resized(pilot: Pilot[int], width: int, height: int) -> None:
    await pilot.resize_terminal(width, height)
    await pilot.pause()


@pytest.mark.parametrize("size", [(60, 20), (79, 24), (80, 23), (200, 5), (24, 3), (5, 1)], ids=str)
@pytest.mark.parametrize("screen", ["live", "wallet", "sessions"])
async def test_says_the_size_it_needs(screen: str, size: tuple[int, int]) -> None:
    app = console(filled(), screen)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        lines = [line.strip() for line in text_of(app).splitlines() if line.strip()]
        assert 1 <= len(lines) <= 2, lines
        if size[0] > 12:
            assert "80×24" in lines[0]
        if size[0] >= 60:
            assert f"{size[0]}×{size[1]}" in lines[0]


async def test_comes_back_by_itself_with_what_was_open_and_typed() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        before = text_of(app)
        await resized(pilot, 60, 20)
        await shows(app, "80×24")
        await resized(pilot, 80, 24)
        await shows(app, "CONFIRMED")
        assert text_of(app) == before
        app.push_screen(Ask("Find", "a place"))
        await shows(app, "a place")
        await pilot.press("a", "b")
        await shows(app, "ab")
        await resized(pilot, 60, 20)
        await shows(app, "80×24")
        await pilot.press("c", "escape", "5")
        await resized(pilot, 120, 36)
        await shows(app, "a place")
        assert "ab" in text_of(app), "what was typed is there, and what was typed unseen is not"
        assert "abc" not in text_of(app)
        assert not app.screen.query(TooSmall)


async def test_covers_what_is_opened_while_it_is_too_small() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(60, 20)) as pilot:
        app.push_screen(Ask("Find", "a place"))
        await pilot.pause()
        assert "a place" not in text_of(app)
        app.pop_screen()
        await pilot.pause()
        await app.action_screen("wallet")
        await pilot.pause()
        assert "80×24" in text_of(app)
        assert "Balances" not in text_of(app)
        await resized(pilot, *NEEDED)
        await shows(app, "Balances")


async def test_leaves_while_it_is_too_small() -> None:
    app = console(filled(sessions=()), "sessions")
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0


async def test_leaves_a_live_session_at_the_second_key() -> None:
    app = console(filled(), "live")
    async with app.run_test(size=(60, 20)) as pilot:
        await shows(app, "q twice")
        await pilot.press("q")
        await pilot.pause()
        assert app.is_running
        await resized(pilot, 80, 24)
        await shows(app, "Leave while")
        await resized(pilot, 60, 20)
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0
