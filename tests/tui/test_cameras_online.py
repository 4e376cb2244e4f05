"""Several cameras at the marketplace at once: each by itself, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from camera_stage import afresh, looked, only, opened
from filmed import Cameras, Filmed
from frames import SIZES, shows, text_of
from scenes import WORKSPACE, until
from textual.pilot import Pilot

from luxxon_core.kernel.errors import Unavailable
from luxxon_core.kernel.ids import new_id
from luxxon_core.operator import camera
from luxxon_core.source import Health, HealthState, MediaProfile, SourceNotReady
from luxxon_core.testing import FakeMarketplace
from luxxon_tui.app import ConsoleApp
from luxxon_tui.operate import operation
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.store import Side
from luxxon_tui.suspending import needed_here
from luxxon_tui.widgets.choose import Choose


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cameras:
    """Two cameras: ``gate`` has a key of its own."""
    cameras = Cameras(found=("ptz", "gate"))
    cameras.own_markets["gate"] = FakeMarketplace(workspace_id=str(new_id()))
    only(cameras, monkeypatch, tmp_path)
    return cameras


async def both(app: ConsoleApp, pilot: Pilot[Any], first: FakeMarketplace, second: FakeMarketplace) -> None:
    """Both cameras online."""
    await looked(app)
    await pilot.press("space", "down", "space")
    await until(lambda: first.listeners == 1 and second.listeners == 1)
    await shows(app, "2 online")


async def test_two_cameras_are_online_and_asked_for_at_once(found: Cameras) -> None:
    first, second = FakeMarketplace(workspace_id=WORKSPACE), found.own_markets["gate"]
    app = opened(first)
    async with app.run_test(size=(120, 36)) as pilot:
        await both(app, pilot, first, second)
        screen = app.screen_stack[0]
        assert isinstance(screen, CamerasScreen)
        assert first.availability_state == second.availability_state == "ONLINE"
        one = first.assign(max_duration_seconds=600)
        await shows(app, "for ptz-04")
        other = second.assign(max_duration_seconds=120)
        await shows(app, "for gate")  # the chosen camera's first
        assert "2:00 at most" in text_of(app)
        await pilot.press("a")
        await until(lambda: bool(second.called("sessions.start")))
        assert not first.called("sessions.start")
        await shows(app, "for ptz-04")
        await pilot.press("a")
        await until(lambda: bool(first.called("sessions.start")))
        for market, session in ((first, one), (second, other)):
            market.move(session.id, "LIVE")
            market.meter(session.id, 62)
        await until(lambda: text_of(app).count("▲ online") == 2)  # there is no edge to publish at
        known = screen._sessions_known()
        assert [known[one.id].elapsed_ms for one in (session, other)] == [62_000, 62_000]
        await shows(app, "LIVE 1:02")
        second.move(other.id, "ENDED")
        await until(lambda: "waits for an" in text_of(app))
        await pilot.press("space")
        await until(lambda: second.availability_state == "OFFLINE" and "gate" not in screen.desk.operations)
        await shows(app, "1 online")
        assert first.availability_state == "ONLINE" and screen.desk.links["ptz"].is_open
    assert first.availability_state == "OFFLINE"
    assert all(source.closed for source in found.sources)


async def test_one_that_is_refused_says_so_in_its_row_and_disturbs_no_other(found: Cameras) -> None:
    market = FakeMarketplace(workspace_id=WORKSPACE)
    found.refused.add("gate")
    app = opened(market)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("space", "down", "space")
        await shows(app, "✕ not online")
        await shows(app, "● online")
        assert screen.desk.links["gate"].trouble and "1 online" in text_of(app)
        found.refused.clear()
        await pilot.press("space")
        await shows(app, "2 online")
        assert not screen.desk.links["gate"].trouble


def fails(found: Cameras, monkeypatch: pytest.MonkeyPatch, reason: str = "the cable is out") -> None:
    """The first camera says that it has failed, and cannot be opened anew."""
    kind = found.types[0]
    kind.open_error = SourceNotReady("fake:cable", reason)
    monkeypatch.setattr(kind.opened[-1], "health", lambda: Health(HealthState.FAILED, last_error=reason))


async def test_one_that_has_died_is_taken_offline_but_not_out_of_a_session_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, found: Cameras
) -> None:
    """Else people would ask for it and wait in vain; a session in hand may still heal."""
    monkeypatch.setattr(camera, "SOURCE_PATIENCE", 0.5)
    monkeypatch.setattr(operation, "SAMPLE_SECONDS", 0.1)
    market = FakeMarketplace(workspace_id=WORKSPACE)
    app = opened(market)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        screen = await looked(app)
        await pilot.press("space")
        await until(lambda: market.listeners == 1)
        session = market.assign(max_duration_seconds=600)
        await shows(app, "Incoming assignment")
        await pilot.press("a")
        await until(lambda: bool(market.called("sessions.start")))
        market.move(session.id, "LIVE")
        running = screen.desk.operations["ptz"]
        await until(lambda: running.status is not None and running.status.session_id is not None)
        fails(found, monkeypatch)
        await asyncio.sleep(1.5)  # longer than the patience
        assert running.online and market.availability_state == "ONLINE"
        market.move(session.id, "ENDED")
        await until(lambda: market.availability_state == "OFFLINE")
        await shows(app, "▲ offline for now")
        assert "the cable is out" in text_of(app) and "none online" in text_of(app)
        assert [one for one in app._notifications if "offline until it is back" in one.message]
        assert needed_here(app), "it still belongs to the console"
        found.types[0].open_error = None
        await until(lambda: market.availability_state == "ONLINE")
        await shows(app, "● online")
        assert screen.desk.operations["ptz"] is running and not running.lost
    assert market.availability_state == "OFFLINE" and all(source.closed for source in found.sources)


async def test_one_that_is_tried_again_is_given_up_by_the_same_key(
    monkeypatch: pytest.MonkeyPatch, found: Cameras
) -> None:
    monkeypatch.setattr(camera, "SOURCE_PATIENCE", 0.3)
    market = FakeMarketplace(workspace_id=WORKSPACE)
    app = opened(market)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("space")
        await shows(app, "1 online")
        fails(found, monkeypatch)
        await shows(app, "▲ offline for now")
        await pilot.press("space")
        await until(lambda: "ptz" not in screen.desk.operations)
        found.types[0].open_error = None
        many = len(found.types[0].opened)
        await asyncio.sleep(1.5)
        assert len(found.types[0].opened) == many and market.availability_state == "OFFLINE"
        await pilot.press("space")
        await shows(app, "1 online")
        fails(found, monkeypatch)
        await shows(app, "▲ offline for now")
    assert all(source.closed for source in found.sources), "it was left in the middle"


async def test_a_plugin_that_raises_takes_its_own_camera_offline_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, found: Cameras
) -> None:
    """Told by the type of its error: the text may be a URL with a password."""
    monkeypatch.setattr(camera, "SOURCE_PATIENCE", 0.3)
    first, second = FakeMarketplace(workspace_id=WORKSPACE), found.own_markets["gate"]
    app = opened(first)

    def raises() -> Any:
        raise RuntimeError("rtsp://admin:hunter2@192.0.2.1/")

    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await both(app, pilot, first, second)
        kind = found.types[0]
        kind.open_error = SourceNotReady("fake:cable", "the cable is out")
        monkeypatch.setattr(kind.opened[-1], "health", raises)
        await until(lambda: any("(RuntimeError)" in one.message for one in app._notifications))
        await until(lambda: first.availability_state == "OFFLINE")
        await shows(app, "1 online")
        assert second.availability_state == "ONLINE" and app.return_code is None
        assert "hunter2" not in str([one.message for one in app._notifications])
        kind.open_error = None
        await shows(app, "2 online")


async def test_a_plugin_that_cannot_be_offered_is_let_go_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, found: Cameras
) -> None:
    """It opens, and raises at what it is asked first; who asks for one that is closed is told so."""
    monkeypatch.setattr(camera, "SLOW", (0.2, 0.2))
    market = FakeMarketplace(workspace_id=WORKSPACE)
    app = opened(market)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        link, broken = screen.desk.links["ptz"], True
        media_profiles = Filmed.media_profiles

        def raises(source: Filmed) -> list[MediaProfile]:
            if broken and link.is_open:
                raise KeyError("hunter2")
            return media_profiles(source)

        monkeypatch.setattr(Filmed, "media_profiles", raises)
        await pilot.press("space")
        await shows(app, "▲ offline for now")
        assert "(KeyError)" in text_of(app) and app.return_code is None
        broken = False
        await shows(app, "1 online")
        broken = True
        await screen.desk.operations["ptz"].switch(MediaProfile("low", "raw", 160, 90, 15.0))
        assert "1 online" in text_of(app)
        await link.close()
        with pytest.raises(SourceNotReady):
            assert link.source


async def test_a_workspace_has_one_camera_online(found: Cameras) -> None:
    found.own_markets.clear()
    app = opened(FakeMarketplace(workspace_id=WORKSPACE))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await looked(app)
        await pilot.press("space", "down", "space")
        await until(lambda: "api_key of its own" in screen.desk.links["gate"].trouble)
        await shows(app, "1 online")


async def test_another_radius_is_told_while_online_and_the_card_knows(found: Cameras) -> None:
    market = FakeMarketplace(workspace_id=WORKSPACE)
    app = opened(market)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.press("space")
        await until(lambda: market.listeners == 1)
        await pilot.press("right_square_bracket")
        await until(lambda: len(market.called("workspaces.update")) == 2)
        before, after = (call["coverage_radius_meters"] for call in market.called("workspaces.update"))
        assert after > before == 500 and market.availability_state == "ONLINE"
        assert screen.desk.operations["ptz"].terms.radius_m == after
        market.assign(requested_lat=50.8466, requested_lng=4.3528)
        await shows(app, "Incoming assignment")
        assert f"m of {after:.0f}" in text_of(app)
        market.failure = Unavailable()
        await pilot.press("right_square_bracket")
        await until(lambda: any("circle was not changed" in one.message for one in app._notifications))


async def test_another_profile_is_chosen_shown_and_published(found: Cameras) -> None:
    market = found.own_markets["gate"]
    app = opened(FakeMarketplace(workspace_id=WORKSPACE))
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        assert not screen.check_action("profile", ()), "the first camera has one profile"
        await pilot.press("down", "enter", "space")
        await until(lambda: market.listeners == 1)
        await shows(app, "p switch")
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Choose))
        await shows(app, "160×90  15 fps")
        await pilot.press("down", "enter")
        await until(lambda: found.sources[-1].asked[-1] == "low")
        await shows(app, "160×90 raw")
        agent = screen.desk.operations["gate"]._agent
        assert agent is not None and agent._publisher._wanted == "low"


async def test_the_mouse_does_it_too(found: Cameras) -> None:
    app = opened(FakeMarketplace(workspace_id=WORKSPACE))
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await looked(app)
        await pilot.click("#cards", offset=(5, 6))
        assert screen.shown is screen.desk.links["gate"]
        await pilot.click("#cards", offset=(5, 6))
        await until(lambda: screen.desk.links["gate"].is_open)
        footer = text_of(app).splitlines()[-1]
        await pilot.click("Footer", offset=(footer.index("online") + 1, 0))
        await shows(app, "1 online")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_two_online(snap_compare: Callable[..., bool], found: Cameras, size: tuple[int, int]) -> None:
    first, second = FakeMarketplace(workspace_id=WORKSPACE), found.own_markets["gate"]

    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        await until(lambda: app.loaded)
        await both(app, pilot, first, second)
        first.assign()
        await shows(app, "for ptz-04")
        await afresh(pilot)

    assert snap_compare(opened(first), terminal_size=size, run_before=before)


async def test_a_camera_without_a_place_leads_to_the_side_of_the_map_that_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(FakeMarketplace(workspace_id=WORKSPACE))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await looked(app)
        monkeypatch.setattr(screen.desk, "terms", lambda *_: None)
        await pilot.press("space")
        await shows(app, "circle on the map")
        assert app.store.side.value is Side.OPERATE, "on the other side enter would ask for a camera"
