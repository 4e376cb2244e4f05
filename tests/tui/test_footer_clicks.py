"""What the footer shows can be clicked, whoever the key belongs to: app, screen, or what has the focus."""

from frames import console, filled, shows, text_of
from textual.pilot import Pilot

from luxxon_tui.app import ConsoleApp
from luxxon_tui.widgets.footer import Footer


async def click(pilot: Pilot[int], app: ConsoleApp, label: str) -> None:
    line = text_of(app).splitlines()[-1]
    await pilot.click(Footer, offset=(line.index(label), 0))
    await pilot.pause()


async def test_quit_leaves() -> None:
    app = console(filled(sessions=()), "wallet")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "q quit")
        await click(pilot, app, "quit")
    assert app.return_code == 0


async def test_keys_of_the_screen_and_of_its_list() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "enter open")
        await click(pilot, app, "open")
        await shows(app, "Timeline")
        await click(pilot, app, "back")
        await pilot.pause()
        assert "Timeline" not in text_of(app)
