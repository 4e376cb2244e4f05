"""The link for a phone: a code that can be read, at any height, and a word when there is none."""

from __future__ import annotations

import asyncio

import pytest
import segno
from rich.cells import cell_len
from scenes import (
    ENDED,
    LINK,
    LIVE,
    OFFLINE,
    WAITING,
    RecordedFeed,
    console,
    settle,
    until,
    watching,
)

from luxxon_core.kernel.errors import NotAuthorized
from luxxon_core.links.schemas import Link
from luxxon_core.qr import CELLS
from luxxon_tui.app import ConsoleApp
from luxxon_tui.rows import Row
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.themes import DARK, LIGHT
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.phone import phone_card

UNTIL = "14:17:11"
PAIRS = {cell: pair for pair, cell in CELLS.items()}


def texts(rows: list[Row]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]


def modules(lines: list[str]) -> list[list[bool]]:
    """The dark modules that half blocks show, without the light ones around them."""
    drawn = [line for line in lines if line.strip() and set(line) <= set(PAIRS)]
    rows = [[PAIRS[cell][half] for cell in line] for line in drawn for half in (0, 1)]
    inked = [y for y, row in enumerate(rows) if any(row)]
    left = min(row.index(True) for row in rows if any(row))
    right = max(len(row) - row[::-1].index(True) for row in rows if any(row))
    return [row[left:right] for row in rows[inked[0] : inked[-1] + 1]]


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("height", [22, 23, 24, 36])
def test_the_code_is_that_of_the_link_dark_on_light(palette: object, height: int) -> None:
    rows = phone_card(LINK.url, LINK.side, UNTIL, palette, height)  # type: ignore[arg-type]
    assert len(rows) + 2 <= height
    wanted = segno.make_qr(LINK.url, error="l", boost_error=False)
    assert modules(texts(rows)) == [[bool(one) for one in row] for row in wanted.matrix]
    (span,) = rows[-3]
    shade = {role: int(getattr(palette, role)[1:3], 16) for role in (span.role, span.on or "")}
    assert shade[span.role] < 0x20
    assert shade[span.on or ""] > 0xF0


def test_where_no_code_fits_the_address_is_told() -> None:
    rows = texts(phone_card(LINK.url, LINK.side, UNTIL, DARK, 12))
    assert LINK.url in "".join(rows)
    assert len(rows) + 2 <= 12
    assert max(map(cell_len, rows)) <= 70


async def test_a_key_shows_it_while_the_session_is_live() -> None:
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Card))
        await pilot.press("escape")
        assert not isinstance(app.screen, Card)
    for view in (WAITING, OFFLINE):
        app = console(view)
        async with app.run_test() as pilot:
            await settle(app, view)
            await pilot.press("p")
            await pilot.pause()
            assert not isinstance(app.screen, Card)


async def test_a_refusal_is_told() -> None:
    class Refusing(RecordedFeed):
        async def link(self) -> Link:
            raise NotAuthorized("session:viewDenied")

    app = watching(Refusing(LIVE))
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        await pilot.press("p")
        await until(lambda: bool(app._notifications))
        assert not isinstance(app.screen, Card)
        assert any("no link" in one.message for one in app._notifications)


class Slow(RecordedFeed):
    """Its server takes its time."""

    def __init__(self) -> None:
        super().__init__(LIVE)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def link(self) -> Link:
        self.asked.set()
        await self.answer.wait()
        return LINK


async def asking(app: ConsoleApp, feed: Slow) -> LiveScreen:
    await settle(app, LIVE)
    app.simulate_key("p")
    await asyncio.wait_for(feed.asked.wait(), 5)
    assert isinstance(app.screen, LiveScreen)
    return app.screen


async def test_a_slow_server_holds_up_no_other_key() -> None:
    feed = Slow()
    app = watching(feed)
    async with app.run_test() as pilot:
        screen = await asking(app, feed)
        app.simulate_key("p")
        app.simulate_key("f")
        await until(lambda: screen.has_class("-full"))
        feed.answer.set()
        await until(lambda: isinstance(app.screen, Card))
        await pilot.press("escape")
        assert app.screen is screen, "one card, however often the key was pressed"


async def test_no_link_is_shown_to_a_session_that_is_over_meanwhile() -> None:
    feed = Slow()
    app = watching(feed)
    async with app.run_test() as pilot:
        screen = await asking(app, feed)
        screen.take(ENDED)
        feed.answer.set()
        await pilot.pause()
        await pilot.pause()
        assert app.screen is screen
