"""An address at which no market answers: the first start says why, in words, and what can be done."""

from __future__ import annotations

import asyncio

import pytest
from frames import BRUSSELS, PLAIN, text_of
from scenes import NOW, until

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.operate.operation import Offer
from luxxon_tui.rows import Row, width_of
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens.cameras_panels import OfferView, offer_rows
from luxxon_tui.screens.first_start import FirstStart
from luxxon_tui.screens.first_start_pages import Place
from luxxon_tui.screens.first_start_work import NOT_REACHED, check, explained
from luxxon_tui.views import Failure
from luxxon_tui.widgets.row_list import RowList


async def said(address: str) -> Failure:
    with pytest.raises(LuxxonError) as raised:
        await check(address)
    return explained(raised.value, NOT_REACHED)


async def test_a_port_where_nothing_listens() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    told = await said(f"127.0.0.1:{port}")
    assert told.title == f"Nothing listens at 127.0.0.1:{port}" and "port" in told.remedy


async def test_an_https_that_is_none() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        told = await said(f"https://127.0.0.1:{port}")
    finally:
        server.close()
    assert told.title == f"127.0.0.1:{port} does not speak https" and "http://" in told.remedy


async def test_a_name_that_no_host_has_is_not_repeated_without_end() -> None:
    told = await said(f"http://{'a' * 300}.invalid")
    assert told.title.startswith("There is no host aaa") and len(told.title) < 130


@pytest.mark.parametrize("width", [74, 114])
def test_words_of_a_page_are_wrapped_and_not_cut(width: int) -> None:
    wrong = Failure("why " * 40, "", "what to do about it " * 10)
    shown = [*pages.heading(pages.wallet((), None), width), *pages.status(wrong=wrong, width=width)]
    assert all(width_of(each) <= width for each in shown)
    assert not any("…" in span.text for each in shown for span in each)


async def test_the_first_start_explains_its_keys() -> None:
    app = ConsoleApp(facts=ConsoleContext(zone=PLAIN.zone, fresh=True), clock=lambda: NOW, first="sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, FirstStart) and app.screen.focused is not None)
        await pilot.press("question_mark")
        await until(lambda: "Open the chosen line" in text_of(app))
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, FirstStart))


async def test_a_second_click_does_nothing_once_the_first_has_led_on() -> None:
    app = ConsoleApp(facts=ConsoleContext(zone=PLAIN.zone, fresh=True), clock=lambda: NOW, first="sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, FirstStart) and app.screen.focused is not None)
        screen = app.screen
        assert isinstance(screen, FirstStart)
        await pilot.press("down", "enter")
        await until(lambda: screen.place is Place.SERVER)
        screen.query_one(RowList).post_message(RowList.Opened(screen.query_one(RowList), "connect"))
        await pilot.pause()
        await pilot.press("escape")
        await until(lambda: screen.place is Place.WELCOME)


async def test_the_list_has_the_keys_again_after_something_was_done() -> None:
    app = ConsoleApp(facts=ConsoleContext(zone=PLAIN.zone, fresh=True), clock=lambda: NOW, first="sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, FirstStart) and app.screen.focused is not None)
        screen = app.screen
        assert isinstance(screen, FirstStart)
        screen._doing("looking at the chain")
        await until(lambda: screen.focused is None)
        screen._doing(None)
        await pilot.pause()
        assert screen.focused is screen.query_one(RowList)


def test_the_buttons_of_an_assignment_stand_still() -> None:
    offer = Offer("s", BRUSSELS, 300, 1000, NOW)
    before = offer_rows(OfferView(offer, NOW), 31)
    after = offer_rows(OfferView(offer, NOW, BRUSSELS, 500, "Brussels, Belgium", 0.85), 31)

    def button(rows: list[Row]) -> int:
        return next(y for y, each in enumerate(rows) if any("Accept" in span.text for span in each))

    assert button(before) == button(after) and len(before) == len(after)
