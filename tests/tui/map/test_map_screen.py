"""The Map screen with keys and mouse: choosing, asking, paying once, what is said when nobody is there."""

from __future__ import annotations

import msgspec
import pytest
from frames import text_of
from map_market import COVERAGE, QUOTE, SESSION, Stand, opened, refusal
from scenes import NOW, WORKSPACE, until

from luxxon_core.kernel.geo import Point, distance_m
from luxxon_core.kernel.wire import Timestamp
from luxxon_core.wallet.schemas import WalletState
from luxxon_tui.map.find import Find
from luxxon_tui.map.projection import View
from luxxon_tui.map.request import Notice, told
from luxxon_tui.store import Side, Store, Who
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.field import Field

GRAND_PLACE = Point(50.8467, 4.3525)


async def test_a_first_picture_is_two_keys_away() -> None:
    async with opened() as (pilot, screen, stand):
        assert screen.desk.point == Point(50.8505, 4.3512), "a camera that is online is chosen"
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        asked = text_of(pilot.app)
        assert "Request live view?" in asked and "0.30 USDC" in asked and "Brussels, Belgium" in asked
        assert not stand.of("POST /sessions"), "nothing is spent before the answer"
        await pilot.press("y")
        await until(lambda: bool(stand.of(f"POST /sessions/{SESSION}/dispatch")))
        (sent,) = stand.of("POST /sessions")
        assert sent["quoteId"] == QUOTE and sent["maxDurationSeconds"] == 300
        assert (sent["lat"], sent["lng"]) == (50.8505, 4.3512)
        await until(lambda: pilot.app.store.watched.value == SESSION)
        await until(lambda: pilot.app.current_mode == "live")


async def test_the_first_camera_to_come_online_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luxxon_tui.screens.map.MARKET_SECONDS", 0.05)
    stand = Stand(coverage=())
    async with opened(stand, priced=False) as (pilot, screen, _):
        assert "nobody is online yet" in text_of(pilot.app) and screen.desk.point is None
        stand.coverage = COVERAGE
        await until(lambda: screen.desk.point == Point(50.8505, 4.3512))
        screen.choose(GRAND_PLACE)
        asked = len(stand.of("GET /coverage"))
        await until(lambda: len(stand.of("GET /coverage")) > asked)
        assert screen.desk.point == GRAND_PLACE, "what the user chose stays"


async def test_no_is_no() -> None:
    async with opened() as (pilot, _, stand):
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await pilot.press("escape")
        await until(lambda: not isinstance(pilot.app.screen, Card))
        await pilot.pause()
        assert not stand.of("POST /sessions")


async def test_enter_before_there_is_a_price_asks_once_there_is() -> None:
    async with opened() as (pilot, screen, stand):
        screen.choose(GRAND_PLACE)
        assert screen.desk.price.quote is None
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await until(lambda: "Request live view?" in text_of(pilot.app))
        assert not stand.of("POST /sessions")


async def test_who_supplies_nothing_sees_the_cameras_all_the_same() -> None:
    def buyer(store: Store) -> None:
        store.who.set(Who(WORKSPACE, "acme", "acme", role="OWNER", wallet="0x" + "1" * 40))
        store.workspace.set(msgspec.structs.replace(store.workspace.value, roles=["CONSUMER"]))

    stand = Stand(refuse={"GET /sessions/open": refusal(403, "NOT_AUTHORIZED", "no supplier")})
    async with opened(stand, change=buyer) as (pilot, _, _stand):
        assert "the cameras were not read" not in text_of(pilot.app)
        await pilot.press("ctrl+r")
        await until(lambda: "Save coverage" in text_of(pilot.app))
        await pilot.pause()
        assert "the cameras were not read" not in text_of(pilot.app)


async def test_a_held_key_asks_once() -> None:
    async with opened() as (pilot, _, stand):
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await pilot.press("enter", "enter", "enter")
        await until(lambda: bool(stand.of("POST /sessions")))
        await pilot.pause()
        assert len(stand.of("POST /sessions")) == 1


async def test_the_pool_is_too_small_is_said_before() -> None:
    def poor(store: Store) -> None:
        store.wallet.set(WalletState(WORKSPACE, "0x" + "1" * 40, "700000", "1", Timestamp.of(NOW)))

    async with opened(change=poor) as (pilot, _, stand):
        assert "0.20 USDC short" in text_of(pilot.app), "open sessions hold 0.60"
        assert "5 Wallet: top up" in text_of(pilot.app)
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Card) and not stand.of("POST /sessions")


@pytest.mark.parametrize(
    ("status", "code", "title", "remedy"),
    [
        (400, "INSUFFICIENT_CREDIT", "the pool is too small", "5 Wallet: top up"),
        (409, "QUOTE_EXPIRED", "the price has expired", "look at the new one"),
        (403, "NOT_AUTHORIZED", "this key may not ask", "no consumer"),
        (500, "EXTERNAL_ERROR", "not requested", "no consumer"),
    ],
)
async def test_a_refused_request_says_what_to_do(status: int, code: str, title: str, remedy: str) -> None:
    stand = Stand(refuse={"POST /sessions": refusal(status, code, "no consumer")})
    async with opened(stand) as (pilot, _, _stand):
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await pilot.press("enter")
        await until(lambda: title in text_of(pilot.app))
        assert remedy in text_of(pilot.app)


@pytest.mark.parametrize(
    ("code", "title"), [("NO_COVERAGE", "nobody covers it yet"), ("UNAVAILABLE", "every camera is busy")]
)
async def test_a_request_that_nobody_takes_waits_and_can_be_cancelled(code: str, title: str) -> None:
    stand = Stand(refuse={f"POST /sessions/{SESSION}/dispatch": refusal(503, code, "nobody")})
    async with opened(stand, change=lambda store: store.sessions.set({})) as (pilot, screen, _):
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Card))
        await pilot.press("enter")
        await until(lambda: title in text_of(pilot.app))
        assert "it waits; x cancels" in text_of(pilot.app)
        assert "waiting 0:00 of 5:00" in text_of(pilot.app)
        await pilot.press("x")
        await until(lambda: bool(stand.of(f"DELETE /sessions/{SESSION}")))
        await until(lambda: title not in text_of(pilot.app))
        assert not screen.desk.waiting


async def test_the_price_follows_the_place_once_it_stands_still() -> None:
    async with opened() as (pilot, screen, stand):
        before = len(stand.of("GET /pricing/quote"))
        for lat in (10.0, 20.0, 30.0, 40.0):
            screen.choose(Point(lat, 5.0))
        await pilot.pause()
        assert "◌ asking" in text_of(pilot.app)
        await until(lambda: screen.desk.price.quote is not None)
        asked = stand.of("GET /pricing/quote")[before:]
        assert [each["lat"] for each in asked] == ["40.0"], "those in between are not asked for"


async def test_the_price_is_renewed_before_it_expires() -> None:
    async with opened(Stand(lifetime=2.0)) as (_pilot, _screen, stand):
        many = len(stand.of("GET /pricing/quote"))
        await until(lambda: len(stand.of("GET /pricing/quote")) > many)


async def test_a_clock_that_is_wrong_does_not_make_prices_expire() -> None:
    async with opened(Stand(lifetime=-3_600.0)) as (pilot, _screen, stand):
        many = len(stand.of("GET /pricing/quote"))
        assert "valid 30 s" in text_of(pilot.app)
        await pilot.pause(0.3)
        assert len(stand.of("GET /pricing/quote")) == many, "the server is not asked over and over"


async def test_a_length_is_typed() -> None:
    async with opened() as (pilot, screen, stand):
        field = screen.query_one("#up-to", Field)
        field.focus()
        field.value = ""
        await pilot.press("9", "0", "s")
        await until(lambda: bool(screen.desk.price.quote) and screen.desk.seconds["up-to"] == 90)
        assert stand.of("GET /pricing/quote")[-1]["durationSeconds"] == "90"
        await until(lambda: "0.09 USDC" in text_of(pilot.app))
        await pilot.press("enter")
        assert field.value == "00:01:30" and screen.query_one("#wait").has_focus
        field.value = "25:00:00"
        await until(lambda: "up to: 1 s to 24 h" in text_of(pilot.app))
        assert field.has_class("-invalid") and screen.desk.price.quote is None


async def test_letters_in_a_field_are_no_keys() -> None:
    async with opened() as (pilot, screen, _):
        screen.query_one("#wait", Field).focus()
        shown = dict(screen.desk.shown)
        await pilot.press("c", "d", "q", "slash")
        await pilot.pause()
        assert screen.desk.shown == shown and not isinstance(pilot.app.screen, Find)


async def test_a_click_chooses_and_a_drag_moves() -> None:
    async with opened() as (pilot, screen, _):
        view, chosen = screen.map.view, screen.desk.point
        assert view is not None
        await pilot.click("#map", offset=(30, 12))
        await until(lambda: screen.desk.point != chosen)
        expected = view.point_at(30.5, 12.5)
        assert screen.desk.point is not None and distance_m(screen.desk.point, expected) < 10
        assert screen.map.view == view, "a click moves nothing"
        chosen = screen.desk.point
        await pilot.mouse_down("#map", offset=(30, 12))
        await pilot.hover("#map", offset=(40, 15))
        await pilot.mouse_up("#map", offset=(40, 15))
        await pilot.pause()
        assert screen.map.view == view.moved(-10, -3) and screen.desk.point == chosen


async def test_a_click_on_a_camera_chooses_the_camera() -> None:
    async with opened() as (pilot, screen, _):
        view = screen.map.view
        assert view is not None
        column, row = (int(each) for each in view.cell_of(Point(-33.90, 151.20)))
        await pilot.click("#map", offset=(column, row))
        await until(lambda: screen.desk.point == Point(-33.90, 151.20))


async def test_the_wheel_zooms_at_the_pointer() -> None:
    async with opened() as (pilot, screen, _):
        before = screen.map.view
        assert before is not None
        await pilot._post_mouse_events([_scroll()], "#map", offset=(60, 5), button=0)
        await until(lambda: screen.map.view != before)
        after = screen.map.view
        assert after is not None and after.size > before.size
        moved = distance_m(before.point_at(60.5, 5.5), after.point_at(60.5, 5.5))
        assert moved < 4 * after.metres_per_dot() * 8


def _scroll() -> type:
    from textual.events import MouseScrollUp

    return MouseScrollUp


async def test_keys_move_the_map() -> None:
    async with opened() as (pilot, screen, _):
        view = screen.map.view
        assert view is not None
        await pilot.press("plus", "plus")
        closer = screen.map.view
        assert closer is not None and closer.size == pytest.approx(4 * view.size, rel=0.1)
        assert screen.desk.point is not None
        column, row = closer.cell_of(screen.desk.point)
        assert 0 <= column < closer.columns and 0 <= row < closer.rows, "zoomed around the place"
        await pilot.press("left", "up")
        assert screen.map.view == closer.moved(-4, -2)
        await pilot.press("right", "down")
        assert screen.map.view == closer
        await pilot.press("shift+right")
        assert screen.map.view == closer.moved(closer.columns // 2, 0)
        await pilot.press("w")
        assert screen.map.view == View.world(*closer.shape)
        await pilot.press("minus")
        assert screen.map.view == View.world(*closer.shape), "the whole world is as far as it goes"


async def test_space_chooses_the_middle() -> None:
    async with opened() as (pilot, screen, _):
        await pilot.press("plus", "plus", "plus", "right", "right", "right", "right")
        view = screen.map.view
        assert view is not None and "┼" in text_of(pilot.app)
        await pilot.press("space")
        await pilot.pause()
        assert screen.desk.point is not None
        assert distance_m(screen.desk.point, view.centre) < 12 * view.metres_per_dot()


async def test_layers_come_and_go() -> None:
    async with opened() as (pilot, screen, _):
        screen.choose(GRAND_PLACE, look=2_500)
        await pilot.pause(0.1)
        with_circles = text_of(pilot.app)
        await pilot.press("c")
        await pilot.pause(0.1)
        without = text_of(pilot.app)
        dots = sum(0x2800 < ord(sign) < 0x2900 for sign in without)
        assert dots < sum(0x2800 < ord(sign) < 0x2900 for sign in with_circles)
        await pilot.press("d")
        await pilot.pause(0.1)
        assert " demand " not in text_of(pilot.app).split("Cameras near")[0]


async def test_a_line_of_the_table_chooses_its_camera() -> None:
    async with opened() as (pilot, screen, _):
        await pilot.click("#near", offset=(14, 3))
        await until(lambda: screen.desk.point == Point(50.8480, 4.3550))


async def test_operating_shows_and_saves_the_own_circle() -> None:
    async with opened(side=Side.OPERATE) as (pilot, screen, stand):
        assert "Coverage" in text_of(pilot.app) and "Request live view" not in text_of(pilot.app)
        before = screen.desk.circle
        screen.choose(GRAND_PLACE, look=3_000)
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        await pilot.pause()
        circle = screen.desk.circle
        assert circle is not None and circle != before and circle.center == GRAND_PLACE
        await until(lambda: "▲ not saved" in text_of(pilot.app))
        await pilot.press("enter")
        await until(lambda: bool(stand.of(f"PATCH /workspaces/{WORKSPACE}")))
        (sent,) = stand.of(f"PATCH /workspaces/{WORKSPACE}")
        assert sent["coverageRadiusMeters"] == circle.radius_m and sent["coverageLat"] == GRAND_PLACE.lat
        await until(lambda: "not saved" not in text_of(pilot.app))
        assert not stand.of("GET /pricing/quote"), "who operates needs no price"


async def test_flipping_sides_keeps_both() -> None:
    async with opened() as (pilot, screen, _):
        point = screen.desk.point
        await pilot.press("ctrl+r")
        await until(lambda: "Save coverage" in text_of(pilot.app))
        await pilot.press("ctrl+r")
        await until(lambda: "Request live view" in text_of(pilot.app))
        assert screen.desk.point == point
        await until(lambda: screen.desk.price.quote is not None)


async def test_offline_keeps_what_was_read_and_comes_back_by_itself() -> None:
    from frames import OFFLINE

    from luxxon_tui.views import Online

    async with opened() as (pilot, screen, stand):
        screen.store.link.set(OFFLINE)
        await until(lambda: "no link to the server" in text_of(pilot.app))
        assert "◎" in text_of(pilot.app) and "Brussels" in text_of(pilot.app)
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Card)
        reads = len(stand.of("GET /coverage"))
        screen.store.link.set(Online(12))
        await until(lambda: len(stand.of("GET /coverage")) > reads)
        await until(lambda: "valid" in text_of(pilot.app))


async def test_a_market_that_cannot_be_read_says_so() -> None:
    stand = Stand(refuse={"GET /coverage": refusal(403, "INSUFFICIENT_SCOPE", "the key lacks a scope")})
    async with opened(stand, priced=False) as (pilot, _, _stand):
        assert "the cameras were not read" in text_of(pilot.app)
        assert "the key lacks a scope" in text_of(pilot.app)


async def test_hostile_answers_are_left_out() -> None:
    coverage = ((91.0, 0.0, 500.0, "PTZ"), (10.0, 10.0, -5.0, "PTZ"), (50.85, 4.35, 600.0, "\x1b[31mX"))
    async with opened(Stand(coverage=coverage)) as (pilot, screen, _):
        assert [camera.point for camera in screen.desk.market.cameras] == [Point(50.85, 4.35)]
        assert "\x1b" not in text_of(pilot.app)


def test_our_own_words_fit_the_narrow_panel() -> None:
    from dataclasses import replace

    from luxxon_tui.map.request import REFUSALS, RequestView

    empty = RequestView(NOW)
    views = [
        replace(empty, online=False),
        replace(empty, max_seconds=None),
        replace(empty, wait_seconds=None),
        replace(empty, point=GRAND_PLACE, supply_known=True),
    ]
    notices: list[Notice | None] = [*map(told, views), *(notice for _, notice in REFUSALS)]
    for notice in notices:
        assert notice is not None and len(notice.title) + 2 <= 24 and len(notice.help) <= 24
