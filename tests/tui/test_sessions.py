"""The Sessions screen: what is listed, found, sorted, told of one session, and done to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from frames import (
    BRUSSELS,
    FAILURE,
    PAID,
    PLAIN,
    SESSIONS,
    SIZES,
    STATES,
    console,
    filled,
    pane,
    session,
    shows,
    stored,
    text_of,
)
from rich.cells import cell_len
from scenes import NOW, until

from luxxon_core.client import Luxxon
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected
from luxxon_tui.rows import Row, width_of
from luxxon_tui.screens import session_list
from luxxon_tui.screens.session_detail import Detail, detail
from luxxon_tui.screens.session_figures import Filter, Listing, Order, passes, state_of, today
from luxxon_tui.screens.session_roll import roll_of
from luxxon_tui.screens.sessions import SessionsScreen
from luxxon_tui.views import Loss, SessionView
from luxxon_tui.widgets.row_list import RowList

PLACES = filled().places.value
LONG = dict.fromkeys(PLACES, "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch, Wales")


def listing(**more: object) -> Listing:
    return replace(Listing(SESSIONS, PLACES, NOW, PLAIN.zone), **more)  # type: ignore[arg-type]


def chosen(shown: Listing) -> list[SessionView]:
    """The sessions that the list shows, in its order."""
    shelf = roll_of(shown).shelf(shown.filter, shown.order, shown.search)
    found = (shelf[place].view for place in range(len(shelf)))
    return [view for view in found if view is not None]


def words(rows: list[Row]) -> str:
    return "\n".join("".join(span.text for span in each) for each in rows)


# -- figures


def test_every_session_is_open_settling_or_done_and_never_two() -> None:
    for view in SESSIONS:
        assert sum(passes(view, each) for each in (Filter.OPEN, Filter.SETTLING, Filter.DONE)) == 1


def test_a_session_whose_time_was_used_up_is_no_trouble() -> None:
    used_up = session(20, "EXPIRED", BRUSSELS, 30, lasted=300, **PAID)
    assert state_of(used_up).text == "✓ CONFIRMED" and not passes(used_up, Filter.TROUBLE)
    unpaid = replace(used_up, settlement="SUBMITTED")
    assert state_of(unpaid).text == "◐ SETTLING" and passes(unpaid, Filter.SETTLING)
    nobody = session(21, "EXPIRED", BRUSSELS, 30)
    assert state_of(nobody).text == "○ EXPIRED" and passes(nobody, Filter.TROUBLE)


def test_what_is_live_comes_first_then_the_newest() -> None:
    ids = [int(view.id[:8], 16) for view in chosen(listing())]
    assert ids == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert int(chosen(listing(order=Order.AMOUNT))[0].id[:8], 16) == 5
    assert int(chosen(listing(order=Order.CLEAN))[0].id[:8], 16) == 9


def test_a_search_looks_at_all_that_is_listed() -> None:
    assert {view.requested for view in chosen(listing(search="brus"))} == {BRUSSELS}
    assert [view.side for view in chosen(listing(search="operator"))] == ["operator", "operator"]
    assert [view.state for view in chosen(listing(search="waiting kenya"))] == ["REQUESTED"]
    assert [view.id[:8] for view in chosen(listing(search="0000000b"))] == ["0000000b"]


def test_the_sums_of_today_are_those_of_the_list() -> None:
    day = today(SESSIONS, NOW, PLAIN.zone)
    ours = [view for view in SESSIONS if view.started_at and view.created_at > NOW - timedelta(hours=14)]
    spent = sum(view.charged_micro for view in ours if view.side == "consumer")
    earned = sum(view.to_micro or 0 for view in ours if view.side == "operator")
    assert (day.spent, day.earned) == (spent, earned)
    assert sum(day.quarters) == pytest.approx(spent + earned)


HEAVY = replace(
    session(99, "ENDED", BRUSSELS, 60 * 24 * 40, lasted=80_000, lost=12_345),
    max_seconds=86_400,
    hold_micro=86_400_000_000,
    charged_micro=67_655_000_000,
    to_micro=57_506_750_000,
    fee_micro=10_148_250_000,
    losses=tuple(Loss("OUTSIDE_GEOFENCE", at, at + 900_000) for at in range(0, 70_000_000, 3_000_000)),
    settlement="SUBMITTED",
    tx_hash="0x" + "8" * 64,
    tx_url="https://explorer.test/tx/0x88",
)


@pytest.mark.parametrize("view", [*SESSIONS, HEAVY], ids=lambda view: view.id[:8])
@pytest.mark.parametrize("offline", [False, True])
def test_rows_keep_to_their_width(view: SessionView, offline: bool) -> None:
    for places in ({}, LONG):
        heavy = listing(sessions=(view,), places=places, offline=offline)
        for width in (68, 69, 78, 130):
            rows = [item.content(width - 1) for item in session_list.items(heavy)]
            assert max(map(width_of, rows)) <= width - 1
            assert max(map(width_of, session_list.heads(width))) <= width
            assert width_of(session_list.filters(heavy, width, searching=False)) <= width
            assert max(map(width_of, session_list.today_rows(heavy, width, 12)), default=0) <= width
        for width, room in ((46, 32), (46, 20), (78, 20), (78, 12), (30, 8)):
            rows = detail(Detail(view, places, NOW, PLAIN.zone, offline=offline), width, room)
            assert len(rows) <= room and max(map(width_of, rows)) <= width


@pytest.mark.parametrize("view", SESSIONS, ids=lambda view: f"{view.id[:8]}-{view.state}")
def test_our_own_words_are_never_cut(view: SessionView) -> None:
    for width, room in ((46, 32), (78, 20)):
        text = words(detail(Detail(view, PLACES, NOW, PLAIN.zone), width, room))
        assert "…" not in text.replace("0x8f3a…c41d", "")
        if view.started_at is not None:
            assert all(word in text for word in ("Timeline", "Meter", "charge", "▄"))
            assert text.count("▂") > bool(view.losses)  # the legend has one
    rows = [item.content(68) for item in session_list.items(listing(sessions=(view,)))]
    assert "…" not in words(rows)


# -- the screen


def screen_of(app: ConsoleApp) -> SessionsScreen:
    screen = pane(app)
    assert isinstance(screen, SessionsScreen)
    return screen


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("state", STATES)
async def test_every_row_fits(state: str, size: tuple[int, int]) -> None:
    app = console(stored(state), "sessions")
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
    assert [sum(cell_len(text) for text, _, _ in strip) for strip in strips] == [size[0]] * size[1]


async def test_the_cursor_moves_the_detail() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await shows(app, "So far")
        await pilot.press("down", "down")
        await shows(app, "transaction sent")
        await pilot.press("end")
        assert screen_of(app).rows.key == SESSIONS[-1].id
        await pilot.click(RowList, offset=(5, 0))
        assert screen_of(app).rows.key == SESSIONS[0].id


async def test_a_narrow_terminal_opens_the_detail_instead_of_the_list() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "CONFIRMED")
        assert "Timeline" not in text_of(app)
        await pilot.press("down", "down", "enter")
        await shows(app, "Timeline")
        assert "trouble" not in text_of(app)
        await pilot.press("escape")
        await shows(app, "trouble")
        await pilot.press("enter")
        await pilot.resize_terminal(120, 36)
        await shows(app, "trouble")
        assert "Timeline" in text_of(app)


async def test_searching_and_back() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("slash", *"nairobi", "enter")
        await until(lambda: SESSIONS[1].id in keys(app) and len(keys(app)) == 1)
        assert app.focused is screen_of(app).rows
        await pilot.press("escape")
        await until(lambda: len(keys(app)) == len(SESSIONS))


def keys(app: ConsoleApp) -> list[str]:
    return [item.key for item in screen_of(app).rows.items if item.key]


async def test_filter_and_sort_go_round() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f")
        await until(lambda: len(keys(app)) == 2)
        await pilot.press("f", "f", "f", "f", "o")
        await until(lambda: keys(app)[0] == SESSIONS[4].id)


async def test_what_is_told_while_it_is_looked_at_is_shown() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        key = screen_of(app).rows.key
        app.store.put(session(12, "LIVE", BRUSSELS, 0.1, lasted=3))
        await until(lambda: keys(app)[0] == session(12, "LIVE", BRUSSELS, 0).id)
        assert screen_of(app).rows.key == key, "the cursor stays on its session"
        app.store.put(replace(SESSIONS[0], clean_seconds=111, charged_micro=111_000))
        await shows(app, "0.111000")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.json")]


async def test_a_receipt_is_saved_and_an_id_copied(tmp_path: Path) -> None:
    app = console(filled(), "sessions", context=replace(PLAIN, save_folder=tmp_path))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("down", "down", "s")
        await until(lambda: bool(names(tmp_path)))
        await pilot.press("c")
        assert app.clipboard == SESSIONS[2].id
    bill = json.loads((tmp_path / names(tmp_path)[0]).read_text())
    assert bill["sessionId"] == SESSIONS[2].id and bill["chargedMicroUsdc"] == "292000"


REFUSAL = {
    "status": "error",
    "code": "NOT_AUTHORIZED",
    "message": "Not yours",
    "detail": "d",
    "requestId": "r",
}


async def test_ending_and_cancelling_ask_once_and_go_to_the_server() -> None:
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(403, json=REFUSAL)

    app = console(filled(), "sessions")
    network = httpx.MockTransport(server)
    async with (
        Luxxon("http://market.test/api/v1", transport=network) as api,
        app.run_test(size=(120, 36), notifications=True) as pilot,
    ):
        app.server.connected = Connected(api)
        await pilot.press("e")
        await shows(app, "0.101000 USDC")
        await pilot.press("escape")
        await pilot.pause()
        assert asked == []
        await pilot.press("e")
        await shows(app, "End the session?")
        await pilot.press("enter")
        await shows(app, "the session was not ended")
        assert "Not yours" in text_of(app)
        await pilot.press("down", "e")
        await shows(app, "Cancel the request?")
        await pilot.press("enter")
        await until(lambda: len(asked) == 2)
    assert asked == [
        f"POST /api/v1/sessions/{SESSIONS[0].id}/end",
        f"DELETE /api/v1/sessions/{SESSIONS[1].id}",
    ]


async def test_a_session_is_shown_on_live() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("down", "down", "enter")
        await until(lambda: app.current_mode == "live")
        await shows(app, "292 s")


async def test_a_failure_can_be_tried_again_and_offers_no_other_keys() -> None:
    app = console(stored("failed"), "sessions")
    async with app.run_test(size=(80, 24)):
        await shows(app, FAILURE.title)
        assert FAILURE.remedy in text_of(app) and "enter open" not in text_of(app)
