"""Finding a place on the Map screen: by name, by numbers, by a link, and the nearest camera."""

from __future__ import annotations

from frames import text_of
from map_market import opened
from scenes import until
from textual.events import Key

from luxxon_core.kernel.geo import Point, distance_m
from luxxon_tui.map.find import Find
from luxxon_tui.widgets.field import Field

GRAND_PLACE = Point(50.8467, 4.3525)


async def test_a_place_is_found_by_name() -> None:
    async with opened() as (pilot, screen, stand):
        await pilot.press("slash", "b", "o", "g", "o")
        find = pilot.app.screen
        assert isinstance(find, Find)
        await until(lambda: bool(find.targets) and find.targets[0].label == "Bogotá, Colombia")
        assert "8\N{NO-BREAK SPACE}79" in text_of(pilot.app)
        await pilot.press("down", "up", "enter")
        await until(lambda: not isinstance(pilot.app.screen, Find))
        assert screen.desk.point is not None and distance_m(screen.desk.point, Point(4.61, -74.08)) < 20_000
        await until(lambda: screen.desk.price.quote is not None)
        assert "nobody covers it now" in text_of(pilot.app) and "n  camera " in text_of(pilot.app)
        view = screen.map.view
        assert view is not None and distance_m(view.centre, screen.desk.point) < 5_000
        assert stand.of("GET /pricing/quote")[-1]["lat"].startswith("4.6")


async def test_a_pasted_link_is_a_place() -> None:
    async with opened() as (pilot, screen, _):
        await pilot.press("slash")
        find = pilot.app.screen
        find.query_one(Field).value = "https://www.openstreetmap.org/#map=15/-33.8688/151.2093"
        assert isinstance(find, Find)
        await until(lambda: bool(find.targets))
        await pilot.press("enter")
        await until(lambda: screen.desk.point == Point(-33.8688, 151.2093))
        await until(lambda: "Sydney" in text_of(pilot.app))


async def test_what_is_not_found_is_said() -> None:
    async with opened() as (pilot, _, _stand):
        await pilot.press("slash", *"xyzzyqq")
        await until(lambda: "no such place" in text_of(pilot.app))
        pilot.app.screen.query_one(Field).value = "https://maps.app.goo.gl/abc"
        await until(lambda: "a short link" in text_of(pilot.app))
        await pilot.press("enter", "escape")
        await until(lambda: not isinstance(pilot.app.screen, Find))


async def test_coordinates_typed_into_the_field() -> None:
    async with opened() as (pilot, screen, _):
        field = screen.query_one("#place", Field)
        field.focus()
        field.value = "50.8467 4.3525"
        await pilot.press("enter")
        await until(lambda: screen.desk.point == GRAND_PLACE)
        await until(lambda: screen.map.has_focus and field.value == "50.8467, 4.3525")
        field.focus()
        field.value = "Lisbon"
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, Find))
        find = pilot.app.screen
        assert isinstance(find, Find)
        await until(lambda: bool(find.targets) and find.targets[0].label == "Lisbon, Portugal")


async def test_typing_and_moving_never_hold_up_the_loop() -> None:
    """The gazetteer and the coastlines are read in threads, and a step is painted well within a frame."""
    from watchdog import watched

    async with opened() as (pilot, _, _stand):
        await pilot.press("slash")  # Textual tints the screen under a card, which takes it a moment
        find = pilot.app.screen
        assert isinstance(find, Find)
        await pilot.pause(0.2)
        async with watched(limit=0.1) as stood:
            await pilot.press(*"san fran")
            await until(lambda: bool(find.targets))
        assert not stood.over, str(stood)
        await pilot.press("enter")
        await until(lambda: not isinstance(pilot.app.screen, Find))
        await pilot.pause(0.2)
        async with watched(limit=0.1) as stood:
            for key in ("plus", "left", "up", "minus", "right", "down", "w"):
                await pilot.press(key)
        assert not stood.over, str(stood)


async def test_enter_before_anything_is_found_takes_the_likeliest() -> None:
    async with opened() as (pilot, screen, _):
        await pilot.press("slash")
        find = pilot.app.screen
        assert isinstance(find, Find)
        for key in "bogota":
            pilot.app.post_message(Key(key, key))
        pilot.app.post_message(Key("enter", "\r"))
        bogota = Point(4.61, -74.08)
        await until(lambda: distance_m(screen.desk.point or GRAND_PLACE, bogota) < 20_000)


async def test_where_nobody_covers_the_nearest_camera_is_one_key_away() -> None:
    async with opened() as (pilot, screen, _):
        screen.choose(Point(50.80, 4.35))
        await until(lambda: "n  camera 3.8 km off" in text_of(pilot.app))
        await pilot.press("n")
        await until(lambda: screen.desk.point == Point(50.8330, 4.3660))
        await until(lambda: "nobody covers it now" not in text_of(pilot.app))
