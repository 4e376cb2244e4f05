"""The map against a marketplace of its own: from a place on the map to its picture, and an own circle."""

from __future__ import annotations

from pathlib import Path

import pytest
from frames import text_of
from scenes import until

from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.profiles import ProfileTable
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import HOME
from luxxon_tui.context import ConsoleContext
from luxxon_tui.screens.map import MapScreen
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.picture import Picture

START = 120.0


async def test_from_the_map_to_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    monkeypatch.setattr("luxxon_tui.screens.map.MARKET_SECONDS", 0.2)
    profile = ProfileTable(embedded=True, data_dir=tmp_path / "market")
    facts = ConsoleContext(save_folder=tmp_path)
    app = ConsoleApp(facts=facts, profile=profile, profile_name="embedded", first="map")
    async with app.run_test(size=(120, 36)) as pilot:
        store, screen = app.store, app.screen
        assert isinstance(screen, MapScreen)
        await until(lambda: store.readiness.value in (Readiness.READY, Readiness.FAILED), START)
        assert store.failure.value is None
        desk = screen.desk
        await until(lambda: bool(desk.market.cameras) and desk.price.quote is not None, 60)
        screen.choose(Point(*HOME))
        await until(lambda: desk.price.quote is not None and desk.near.covering == 1, 30)
        await until(lambda: "covers this point" in text_of(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Card))
        await pilot.press("enter")
        await until(lambda: app.current_mode == "live", 30)
        await until(lambda: app.screen.query_one(Picture).latest is not None, 30)
        (session,) = store.live
        assert session.requested == Point(*HOME) and session.hold_micro == 300 * session.rate_micro
        await pilot.press("e", "enter")
        await until(lambda: not store.live, 30)

        await pilot.press("1", "ctrl+r")
        await until(lambda: "Save coverage" in text_of(app))
        screen.choose(Point(*HOME))
        before = desk.circle
        await pilot.press("right_square_bracket", "enter")
        await until(lambda: desk.saved is not None and desk.saved == desk.circle != before, 30)
        saved = store.workspace.value
        assert saved is not None and desk.circle == Circle(Point(*HOME), saved.coverage_radius_meters or 0)
